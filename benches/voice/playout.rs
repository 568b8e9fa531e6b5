//! The jitter buffer on traces of networks, by seed, and the `neteq` crate on the same packets at the
//! same times.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use cpu_time::ThreadTime;
use parlor::audio::FRAME;
use parlor::audio::codec::EncoderSettings;
use parlor::audio::playout::config::PlayoutConfig;
use parlor::proto::audio::packet::{Kind, Packet};

use crate::Outcome;
use crate::report::{Cell, Report, float};
use crate::rival;
use crate::stage::{Sent, listen, speak, talk};
use crate::traces::{Losses, Network};

/// How many seeds of each case.
const SEEDS: u64 = 3;

/// What is sent, and by which network.
struct Case {
    name: &'static str,
    sent: Vec<Sent>,
    network: fn(u64) -> Network,
}

/// What one of the two did: milliseconds, and parts of 100 of what was played.
#[derive(Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) mean: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    /// How long it means to wait, at the end.
    pub(crate) target: f64,
    pub(crate) concealed: f64,
    pub(crate) accelerated: f64,
    pub(crate) expanded: f64,
    /// Packets that came too late.
    pub(crate) late: f64,
    /// Microseconds of the processor for each block.
    pub(crate) took: f64,
}

impl Figures {
    /// The means of some.
    fn mean(all: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| all.iter().map(part).sum::<f64>() / float(all.len());
        Self {
            mean: of(|it| it.mean),
            p95: of(|it| it.p95),
            p99: of(|it| it.p99),
            target: of(|it| it.target),
            concealed: of(|it| it.concealed),
            accelerated: of(|it| it.accelerated),
            expanded: of(|it| it.expanded),
            late: of(|it| it.late),
            took: of(|it| it.took),
        }
    }
}

impl Case {
    fn all(length: Duration) -> Vec<Self> {
        let seconds = length.as_secs() as usize;
        let usual = EncoderSettings::default();
        // Three seconds of four are talk: here one goes on without a pause.
        let pcm: Vec<f32> = talk(seconds * 4 / 3 + 4)
            .chunks(4 * 48_000)
            .flat_map(|part| part[..part.len().min(3 * 48_000)].to_vec())
            .take(seconds * 48_000)
            .collect();
        let on = EncoderSettings { discontinuous: false, ..usual };
        let plain = ended(speak(&pcm, &on, false));
        let telling = ended(speak(&pcm, &EncoderSettings { loss: 10, ..on }, false));
        let pauses = ended(speak(&talk(seconds), &usual, false));
        let case = |name, sent: &[Sent], network| Self { name, sent: sent.to_vec(), network };
        vec![
            case("loopback", &plain, Network::loopback),
            case("30 to 70 ms", &plain, |seed| Network::datagrams(seed, Losses::Alone(0))),
            case("the same, 1 % lost", &telling, |seed| {
                Network::datagrams(seed, Losses::Alone(10))
            }),
            case("5 %", &telling, |seed| Network::datagrams(seed, Losses::Alone(50))),
            case("10 %", &telling, |seed| Network::datagrams(seed, Losses::Alone(100))),
            case("5 % in bursts", &telling, |seed| Network::datagrams(seed, Losses::Bursts(17))),
            case("a stream of QUIC, 5 %", &plain, |seed| Network::reliable(seed, 50)),
            case("30 to 70 ms, with pauses", &pauses, |seed| {
                Network::datagrams(seed, Losses::Alone(0))
            }),
        ]
    }

    fn ours(&self, seed: u64) -> Outcome<Figures> {
        let phase = seed % 10 * 1_000 + 300;
        let before = ThreadTime::try_now()?;
        let heard =
            listen(&self.sent, &mut (self.network)(seed), PlayoutConfig::default(), (phase, 0));
        let took = before.try_elapsed()?.as_secs_f64() * 1e6 / float(heard.sounds.len());
        let statistics = heard.statistics;
        let share = |samples: u64| {
            100.0 * float(samples as usize) / float(statistics.voice.max(1) as usize)
        };
        Ok(Figures {
            mean: heard.mean(),
            p95: heard.at(0.95),
            p99: heard.at(0.99),
            target: statistics.target.as_secs_f64() * 1e3,
            concealed: heard.concealed(),
            accelerated: share(statistics.accelerated),
            expanded: share(statistics.expanded),
            late: float(statistics.late as usize),
            took,
        })
    }

    fn theirs(&self, seed: u64) -> Outcome<Figures> {
        let phase = seed % 10 * 1_000 + 300;
        let mut network = (self.network)(seed);
        // Of everything, so that chance falls alike; it is given voice alone, which is all it knows.
        let came = self.sent.iter().map(|(at, packet)| (network.arrival(*at), packet));
        let voice = came.filter(|(_, packet)| packet.kind == Kind::Audio);
        let voice = voice.zip(0_u16..).filter_map(|((at, packet), number)| {
            let packet = Packet { sequence: number, ..packet.clone() };
            Some((at?, packet))
        });
        rival::listen(voice.collect(), phase)
    }
}

/// What is said until the end, with the end of it.
fn ended(mut sent: Vec<Sent>) -> Vec<Sent> {
    if let Some((at, last)) = sent.last().cloned() {
        let time = last.time.wrapping_add(FRAME as u32);
        for number in 1..=3 {
            let sequence = last.sequence.wrapping_add(number);
            let end = Packet {
                kind: Kind::End,
                first: false,
                previous: None,
                frame: Bytes::new(),
                sequence,
                time,
                ..last.clone()
            };
            sent.push((at + 20_000 * u64::from(number), end));
        }
    }
    sent
}

pub(crate) fn measure(length: Duration, seed: u64, report: &mut Report) -> Outcome<()> {
    let cases = Case::all(length);
    // It reads the clock, so it gets each packet when it comes: all of them at once.
    let theirs = thread::scope(|scope| {
        let runs = cases.iter().map(|case| {
            let seeds = (seed..seed + SEEDS).map(|seed| scope.spawn(move || case.theirs(seed)));
            seeds.collect::<Vec<_>>()
        });
        let runs: Vec<_> = runs.collect();
        let ended = runs.into_iter().map(|seeds| {
            let seeds = seeds.into_iter().map(|run| run.join().map_err(|_| "a run has failed")?);
            seeds.collect::<Outcome<Vec<_>>>()
        });
        ended.collect::<Outcome<Vec<_>>>()
    })?;
    for (case, theirs) in cases.iter().zip(theirs) {
        let ours = (seed..seed + SEEDS).map(|seed| case.ours(seed)).collect::<Outcome<Vec<_>>>()?;
        let (ours, theirs) = (Figures::mean(&ours), Figures::mean(&theirs));
        row(report, case.name, "parlor", ours, ours);
        row(report, case.name, "neteq", ours, theirs);
    }
    Ok(())
}

fn row(report: &mut Report, case: &str, who: &str, ours: Figures, it: Figures) {
    let cell = |part: fn(&Figures) -> f64, digits| match who {
        "parlor" => Cell::number(part(&it), digits),
        _ => Cell::beside(part(&ours), part(&it), digits),
    };
    report.row(
        "playout: the same packets at the same times",
        vec![
            ("network", Cell::text(case)),
            ("by", Cell::text(who)),
            ("mean ms", cell(|it| it.mean, 1)),
            ("p95 ms", cell(|it| it.p95, 1)),
            ("p99 ms", cell(|it| it.p99, 1)),
            ("target ms", cell(|it| it.target, 1)),
            ("concealed %", cell(|it| it.concealed, 2)),
            ("accelerated %", cell(|it| it.accelerated, 2)),
            ("expanded %", cell(|it| it.expanded, 2)),
            ("late", cell(|it| it.late, 1)),
            ("us a block", cell(|it| it.took, 1)),
        ],
    );
}
