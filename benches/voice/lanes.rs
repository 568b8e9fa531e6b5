//! Voice beside what moves: whether either is later for the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parlor::net::Arrivals;
use parlor::proto::audio::packet::Packet;
use parlor::proto::config::PeerConfig;
use parlor::proto::model::handle::Handle as _;
use parlor::proto::model::path::Path;
use parlor::{Event, Model, ModelRef, Ownership, RealtimeDictionary, StateConfig, Terms};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::ages::Ages;
use crate::hub::Hub;
use crate::member::{FRAME_TIME, Member, Mouth};
use crate::report::{Cell, Report};
use crate::script::{Script, micros};
use crate::{Carrier, Outcome};

/// Who takes part, and how many of them talk.
const PEOPLE: usize = 32;
const TALKERS: usize = 3;

/// How often each moves, a second.
const RATE: u32 = 20;

/// How far one goes at a time, in metres: more than what is told is off.
const STEP: f32 = 0.05;

/// The property of a place.
const PLACE: u16 = 1;

/// What of a run is not measured, at its beginning and at its end.
const WARM: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_millis(500);

/// How often what was heard is looked at. Each packet says when it came.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, Default, Model)]
struct Stage {
    #[property(1)]
    dancers: RealtimeDictionary<u32, Dancer>,
}

#[derive(Clone, Debug, Default, Model)]
struct Dancer {
    #[property(1, unreliable, quantize = 0.01)]
    at: [f32; 3],
}

/// What is measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) carrier: Carrier,
    /// How often each is measured.
    pub(crate) runs: u32,
    /// How long that takes, for four of them.
    pub(crate) length: Duration,
    pub(crate) seed: u64,
}

/// What happens in a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    State,
    Voice,
    Both,
}

const KINDS: [Kind; 3] = [Kind::State, Kind::Voice, Kind::Both];

/// Which run is when.
#[derive(Clone, Copy)]
struct Schedule {
    beginning: Instant,
    /// How long a run is measured.
    length: Duration,
    runs: u32,
}

impl Schedule {
    fn span(&self) -> Duration {
        WARM + self.length + REST
    }

    fn count(&self) -> u32 {
        self.runs * 3
    }

    fn end(&self) -> Instant {
        self.beginning + self.span() * self.count()
    }

    /// The run of a moment, and what it is: one kind follows the other, each time from another on.
    fn run(&self, at: Instant) -> Option<(usize, Kind)> {
        let past = at.checked_duration_since(self.beginning)?;
        let run = (past.as_nanos() / self.span().as_nanos()) as usize;
        let kind = KINDS[(run + run / 3) % 3];
        (run < self.count() as usize).then_some((run, kind))
    }

    /// The same, of what counts.
    fn counted(&self, at: Instant) -> Option<(usize, Kind)> {
        let (run, kind) = self.run(at)?;
        let from = self.beginning + self.span() * u32::try_from(run).ok()? + WARM;
        (from..from + self.length).contains(&at).then_some((run, kind))
    }

    fn has(&self, lane: Kind, at: Instant) -> bool {
        self.run(at).is_some_and(|(_, kind)| kind == lane || kind == Kind::Both)
    }
}

/// How old things were, of each run.
#[derive(Default)]
struct Seen {
    state: BTreeMap<(Kind, usize), Vec<u32>>,
    voice: BTreeMap<(Kind, usize), Vec<u32>>,
}

/// What all know.
struct Scene {
    schedule: Schedule,
    moved: Script,
    said: Script,
    /// Who speaks, by the epochs of streams.
    whose: BTreeMap<u32, usize>,
}

pub(crate) async fn measure(plan: Plan, report: &mut Report) -> Outcome<()> {
    let hub = Hub::start()?;
    let address = hub.address(plan.carrier)?;
    let (people, mouths) = Box::pin(gather(plan, address)).await?;
    let length = plan.length / 4;
    let runs = plan.runs;
    let beginning = Instant::now() + Duration::from_secs(1);
    let schedule = Schedule { beginning, length, runs };
    let seconds = (schedule.span() * schedule.count()).as_secs() as usize + 2;
    let whose = mouths.iter().enumerate().map(|(who, mouth)| (mouth.epoch, who)).collect();
    let scene = Arc::new(Scene {
        schedule,
        moved: Script::new(PEOPLE, seconds * RATE as usize),
        said: Script::new(TALKERS, seconds * 50),
        whose,
    });
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    let mut tasks = JoinSet::new();
    for (who, mouth) in mouths.into_iter().enumerate() {
        tasks.spawn(talk(mouth, who, Arc::clone(&scene)));
    }
    let mut dancing = JoinSet::new();
    for person in people {
        let phase = Duration::from_secs(1) / RATE / 256 * (rng.next_u32() % 256);
        dancing.spawn(Box::pin(person.dance(phase, Arc::clone(&scene))));
    }
    let mut all = Seen::default();
    for seen in dancing.join_all().await {
        let seen = seen?;
        for (run, ages) in seen.state {
            all.state.entry(run).or_default().extend(ages);
        }
        for (run, ages) in seen.voice {
            all.voice.entry(run).or_default().extend(ages);
        }
    }
    row(report, plan, "state", &all.state, Kind::State);
    row(report, plan, "voice", &all.voice, Kind::Voice);
    Ok(())
}

/// Everybody is there, with a place of its own, and hears everybody.
async fn gather(plan: Plan, address: &str) -> Outcome<(Vec<Person>, Vec<Mouth>)> {
    let mut coming = JoinSet::new();
    for number in 0..PEOPLE {
        let address = address.to_owned();
        coming.spawn(Box::pin(async move {
            let state = StateConfig { rate: RATE, ..PeerConfig::default().state };
            let config = PeerConfig { state, ..PeerConfig::default() };
            let settings = (plan.carrier.net(), config);
            let mut member =
                Box::pin(Member::enter::<Stage>(number, "room", &address, settings)).await?;
            member.hear();
            let mouth = if number < TALKERS { Some(member.open().await?) } else { None };
            let person = Box::pin(Person::meet(member, number)).await?;
            Outcome::Ok((person, mouth))
        }));
    }
    let come = coming.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?;
    let (people, mouths): (Vec<_>, Vec<_>) = come.into_iter().unzip();
    let mut mouths: Vec<_> =
        people.iter().zip(mouths).map(|(it, mouth)| (it.number, mouth)).collect();
    mouths.sort_by_key(|(number, _)| *number);
    Ok((people, mouths.into_iter().filter_map(|(_, mouth)| mouth).collect()))
}

async fn talk(mouth: Mouth, who: usize, scene: Arc<Scene>) {
    let (mut due, mut number) = (scene.schedule.beginning, 0_u16);
    while due < scene.schedule.end() {
        sleep_until(due.into()).await;
        if scene.schedule.has(Kind::Voice, due) {
            let packet = mouth.frame(number);
            scene.said.note(who, number.into());
            // What is not taken is not heard.
            let _taken = mouth.say(packet);
            number += 1;
        }
        due += FRAME_TIME;
    }
}

/// One of those who move and hear.
struct Person {
    member: Member,
    number: usize,
    own: ModelRef<Dancer>,
    /// Everybody's place, and whose it is.
    all: BTreeMap<Path, (usize, ModelRef<Dancer>)>,
    ears: Vec<(u32, Arrivals)>,
    seen: Seen,
}

impl Person {
    async fn meet(mut member: Member, number: usize) -> Outcome<Self> {
        let stage: &Stage = member.peer.store().root().ok_or("there is no stage")?;
        let dancers = stage.dancers.clone();
        let key = u32::try_from(number)?;
        let own = dancers.insert(member.peer.store_mut(), &key, Dancer::default())?;
        member.peer.store_mut().claim(&own, Terms::default())?;
        member
            .until(|member| {
                let ownership = member.peer.ownership_state(&own, member.now());
                let mine = matches!(ownership, Ownership::Confirmed { .. });
                mine && dancers.len(member.peer.store()) >= PEOPLE
            })
            .await?;
        let all = dancers.iter(member.peer.store()).filter_map(|(number, dancer, _)| {
            Some((dancer.path()?.clone(), (usize::try_from(number).ok()?, dancer)))
        });
        let all = all.collect();
        let others = TALKERS - usize::from(number < TALKERS);
        let ears = member.ears(others).await?;
        Ok(Self { member, number, own, all, ears, seen: Seen::default() })
    }

    async fn dance(mut self, phase: Duration, scene: Arc<Scene>) -> Outcome<Seen> {
        let schedule = scene.schedule;
        let (mut due, mut number) = (schedule.beginning + phase, 0_u16);
        let mut look = Instant::now();
        while Instant::now() < schedule.end() {
            let now = Instant::now();
            if due <= now {
                if schedule.has(Kind::State, now) {
                    number += 1;
                    let x = f32::from(number) * STEP;
                    scene.moved.note(self.number, number.into());
                    self.member.peer.store_mut().update(&self.own, |own| own.at[0] = x)?;
                }
                due += Duration::from_secs(1) / RATE;
            }
            self.member.step(due).await;
            self.see(&scene)?;
            if look <= now {
                look = now + LOOK;
                self.listen(&scene);
            }
        }
        self.listen(&scene);
        Ok(self.seen)
    }

    /// Sees who has moved.
    fn see(&mut self, scene: &Scene) -> Outcome<()> {
        while let Some(event) = self.member.peer.poll_event() {
            let changed = match event {
                Event::Changed(changed) if changed.properties.contains(&PLACE) => changed,
                Event::Overrun => return Err("events were lost".into()),
                _ => continue,
            };
            let Some((who, dancer)) = self.all.get(&changed.model) else { continue };
            if *who == self.number {
                continue;
            }
            let Some(shown) = self.member.peer.store().get(dancer) else { continue };
            #[expect(clippy::cast_possible_truncation, reason = "nobody gets that far")]
            #[expect(clippy::cast_sign_loss, reason = "all go forward")]
            let number = (shown.at[0] / STEP).round() as usize;
            let Some(written) = scene.moved.when(*who, number) else { continue };
            if let Some((run, kind)) = scene.schedule.counted(written) {
                let ages = self.seen.state.entry((kind, run)).or_default();
                ages.push(micros(written, Instant::now()));
            }
        }
        Ok(())
    }

    /// Takes what was heard.
    fn listen(&mut self, scene: &Scene) {
        for (epoch, arrivals) in &mut self.ears {
            let Some(who) = scene.whose.get(epoch) else { continue };
            while let Some(arrival) = arrivals.pop() {
                let Ok(packet) = Packet::read(arrival.packet().clone()) else { continue };
                let Some(said) = scene.said.when(*who, packet.sequence.into()) else { continue };
                if let Some((run, kind)) = scene.schedule.counted(said) {
                    let ages = self.seen.voice.entry((kind, run)).or_default();
                    ages.push(micros(said, self.member.instant(arrival.at)));
                }
            }
        }
    }
}

/// The middle one of some figures.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn row(
    report: &mut Report,
    plan: Plan,
    lane: &str,
    seen: &BTreeMap<(Kind, usize), Vec<u32>>,
    alone: Kind,
) {
    let of = |kind: Kind, part: fn(Ages) -> f64| {
        let runs = seen.iter().filter(|((of, _), _)| *of == kind);
        median(runs.map(|(_, ages)| part(Ages::of(ages.clone()))).collect())
    };
    let count = |kind: Kind| {
        let runs = seen.iter().filter(|((of, _), _)| *of == kind);
        runs.map(|(_, ages)| ages.len()).sum::<usize>()
    };
    let slow = of(alone, |ages| ages.slow);
    let bar = slow + (0.2 * slow).max(5.0);
    report.row(
        "lanes: 32 in a room, 3 talk, all move at 20 Hz; medians of the runs",
        vec![
            ("carrier", Cell::text(plan.carrier.name())),
            ("lane", Cell::text(lane)),
            ("alone p50 ms", Cell::number(of(alone, |ages| ages.middle), 1)),
            ("alone p99", Cell::number(slow, 1)),
            ("together p50", Cell::number(of(Kind::Both, |ages| ages.middle), 1)),
            ("together p99", Cell::at_most(of(Kind::Both, |ages| ages.slow), bar, 1)),
            ("seen alone", Cell::text(&count(alone).to_string())),
            ("seen together", Cell::text(&count(Kind::Both).to_string())),
        ],
    );
}
