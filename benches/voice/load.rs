//! What a relay carries: rooms full of people, some of whom talk.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use parlor::net::Arrivals;
use parlor::proto::audio::packet::Packet;
use parlor::proto::config::PeerConfig;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::ages::Ages;
use crate::hub::Hub;
use crate::member::{FRAME_TIME, Member, Mouth, Nothing};
use crate::report::{Cell, Report, float};
use crate::script::{Script, micros};
use crate::{Carrier, Outcome};

/// How many come in at once.
const AT_THE_DOOR: usize = 16;

/// How long is talked before it is measured, and how long is waited for what is late.
const WARM: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(1);

/// How often what came is looked at. Each packet says when that was.
const LOOK: Duration = Duration::from_millis(500);

/// Who is there.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    name: &'static str,
    rooms: usize,
    /// Of a room.
    members: usize,
    talkers: usize,
    /// Within which time the frames of one room begin behind those of another.
    spread: Duration,
}

impl Shape {
    pub(crate) const fn rooms(rooms: usize, spread: Duration) -> Self {
        Self { name: "rooms", rooms, members: 8, talkers: 2, spread }
    }

    pub(crate) const fn hall(listeners: usize) -> Self {
        Self { name: "hall", rooms: 1, members: listeners + 4, talkers: 4, spread: Duration::ZERO }
    }
}

/// What came out.
pub(crate) struct Measured {
    shape: Shape,
    carrier: Carrier,
    length: Duration,
    /// Packets that were said, and that should have been heard.
    said: usize,
    expected: usize,
    /// Of each that was heard, microseconds from when it was said.
    ages: Vec<u32>,
    /// Packets that were not taken to be said, and that had no room when they were heard.
    unsaid: usize,
    missed: u64,
    /// Processor time of the relay, and of all peers.
    relay: Duration,
    peers: Duration,
}

pub(crate) async fn measure(
    shape: Shape,
    carrier: Carrier,
    length: Duration,
    seed: u64,
) -> Outcome<Measured> {
    let mut hub = Hub::start()?;
    let (hearers, mouths) = Box::pin(gather(shape, carrier, hub.address(carrier)?)).await?;
    let frames = ((WARM + length).as_millis() / FRAME_TIME.as_millis()) as usize;
    let script = Arc::new(Script::new(mouths.len(), frames));
    let (from, to) = (script.beginning() + WARM, script.beginning() + WARM + length);
    let whose: BTreeMap<u32, usize> =
        mouths.iter().enumerate().map(|(who, mouth)| (mouth.epoch, who)).collect();
    let whose = Arc::new(whose);
    let mut talking = JoinSet::new();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut phase = Duration::ZERO;
    for (who, mouth) in mouths.into_iter().enumerate() {
        if who % shape.talkers == 0 {
            phase = shape.spread / 256 * (rng.next_u32() % 256);
        }
        talking.spawn(talk(mouth, who, phase, Arc::clone(&script)));
    }
    let mut hearing = JoinSet::new();
    for hearer in hearers {
        let (script, whose) = (Arc::clone(&script), Arc::clone(&whose));
        hearing.spawn(Box::pin(hearer.hear(script, whose, (from, to))));
    }
    let (relay, peers) = Box::pin(watch(&mut hub, from, to)).await?;
    let unsaid = talking.join_all().await.into_iter().sum();
    let heard = hearing.join_all().await;
    let said = whose.values().map(|who| script.count(*who, from, to)).sum();
    let missed = heard.iter().map(|heard| heard.missed).sum();
    let ages = heard.into_iter().flat_map(|heard| heard.ages).collect();
    let expected = said * (shape.members - 1);
    Ok(Measured { shape, carrier, length, said, expected, ages, unsaid, missed, relay, peers })
}

/// The processor time that the relay takes, and this process, from one moment to another.
async fn watch(hub: &mut Hub, from: Instant, to: Instant) -> Outcome<(Duration, Duration)> {
    let mut took = [(Duration::ZERO, Duration::ZERO); 2];
    for (took, at) in took.iter_mut().zip([from, to]) {
        sleep_until(at.into()).await;
        *took = (hub.0.took()?, ProcessTime::try_now()?.as_duration());
    }
    let [before, after] = took;
    Ok((after.0.saturating_sub(before.0), after.1.saturating_sub(before.1)))
}

/// Everybody comes in, and hears everybody else.
async fn gather(
    shape: Shape,
    carrier: Carrier,
    address: &str,
) -> Outcome<(Vec<Hearer>, Vec<Mouth>)> {
    let numbers: Vec<usize> = (0..shape.rooms * shape.members).collect();
    let (mut members, mut mouths) = (Vec::new(), Vec::new());
    for some in numbers.chunks(AT_THE_DOOR) {
        let mut coming = JoinSet::new();
        for &number in some {
            let address = address.to_owned();
            coming.spawn(Box::pin(async move {
                let room = format!("room {}", number / shape.members);
                let settings = (carrier.net(), PeerConfig::default());
                let mut member =
                    Box::pin(Member::enter::<Nothing>(number, &room, &address, settings)).await?;
                member.hear();
                let talks = number % shape.members < shape.talkers;
                let mouth = if talks { Some(member.open().await?) } else { None };
                Outcome::Ok((number, member, mouth))
            }));
        }
        let come = coming.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?;
        for (number, member, mouth) in come {
            mouths.extend(mouth.map(|mouth| (number, mouth)));
            members.push((number, member));
        }
        // Who is in must not seem to be gone.
        for (_, member) in &mut members {
            member.step(Instant::now()).await;
        }
    }
    mouths.sort_by_key(|(number, _)| *number);
    let mut hearers = JoinSet::new();
    for (number, mut member) in members {
        hearers.spawn(Box::pin(async move {
            let talks = number % shape.members < shape.talkers;
            let ears = member.ears(shape.talkers - usize::from(talks)).await?;
            Outcome::Ok(Hearer { member, ears })
        }));
    }
    let hearers = hearers.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?;
    Ok((hearers, mouths.into_iter().map(|(_, mouth)| mouth).collect()))
}

/// Talks without a pause. Returns how many packets were not taken.
async fn talk(mouth: Mouth, who: usize, phase: Duration, script: Arc<Script>) -> usize {
    let mut unsaid = 0;
    let all: Vec<_> = (0..script.most()).zip(0_u16..).map(|(_, at)| mouth.frame(at)).collect();
    let mut due = script.beginning() + Duration::from_millis(500) + phase;
    for (number, packet) in all.into_iter().enumerate() {
        sleep_until(due.into()).await;
        due += FRAME_TIME;
        script.note(who, number);
        unsaid += usize::from(!mouth.say(packet));
    }
    sleep(PATIENCE).await;
    unsaid
}

/// One who hears all others of its room.
struct Hearer {
    member: Member,
    ears: Vec<(u32, Arrivals)>,
}

/// What one heard.
struct Heard {
    ages: Vec<u32>,
    missed: u64,
}

impl Hearer {
    async fn hear(
        mut self,
        script: Arc<Script>,
        whose: Arc<BTreeMap<u32, usize>>,
        (from, to): (Instant, Instant),
    ) -> Heard {
        let mut ages = Vec::new();
        while Instant::now() < to + PATIENCE {
            self.member.live(Instant::now() + LOOK).await;
            for (epoch, arrivals) in &mut self.ears {
                let Some(who) = whose.get(epoch) else { continue };
                let came = iter::from_fn(|| arrivals.pop());
                ages.extend(came.filter_map(|arrival| {
                    let packet = Packet::read(arrival.packet().clone()).ok()?;
                    let said = script.when(*who, packet.sequence.into())?;
                    let counts = (from..to).contains(&said);
                    counts.then(|| micros(said, self.member.instant(arrival.at)))
                }));
            }
        }
        Heard { ages, missed: self.ears.iter().map(|(_, arrivals)| arrivals.missed()).sum() }
    }
}

pub(crate) fn report(report: &mut Report, measured: &Measured) {
    let Measured { shape, carrier, said, expected, ages, unsaid, missed, .. } = measured;
    let seconds = measured.length.as_secs_f64();
    let second = |count: usize| float(count) / seconds;
    let Ages { middle, slow, slowest } = Ages::of(ages.clone());
    let lost = expected.saturating_sub(ages.len());
    let relay = measured.relay.as_secs_f64() / seconds;
    let by = format!("{} x {}, {} talk", shape.rooms, shape.members, shape.talkers);
    let title = match shape.name {
        "hall" => "hall: one room, all of which hear 4",
        _ => "rooms: of 8 each, 2 of whom talk",
    };
    report.row(
        title,
        vec![
            ("carrier", Cell::text(carrier.name())),
            ("who", Cell::text(&by)),
            ("in/s", Cell::number(second(*said), 0)),
            ("out/s", Cell::number(second(ages.len()), 0)),
            ("lost", Cell::at_most(float(lost), 0.0, 0)),
            ("not taken", Cell::number(float(*unsaid), 0)),
            ("not read", Cell::number(float(*missed as usize), 0)),
            ("p50 ms", Cell::number(middle, 1)),
            ("p99 ms", Cell::at_most(slow, 10.0, 1)),
            ("max ms", Cell::number(slowest, 1)),
            ("relay % of a core", Cell::at_most(100.0 * relay, 100.0, 0)),
            ("peers %", Cell::number(100.0 * measured.peers.as_secs_f64() / seconds, 0)),
            ("out/s a core", Cell::number(second(ages.len()) / relay, 0)),
        ],
    );
}
