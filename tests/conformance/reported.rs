//! The cases of `speaking.json` that do not bind: what follows from losses, and who is seen to speak.

use std::time::Duration;

use parlor::audio::adaptation::{Adaptation, AdaptationConfig, Redundancy};
use parlor::audio::level::{Meter, MeterConfig};
use parlor::audio::speakers::{Change, Speakers, SpeakersConfig};
use parlor::proto::audio::packet::Level;
use parlor::proto::time::Time;

use crate::speaking::Case;

fn millis(at: u64) -> Time {
    Time::ZERO + Duration::from_millis(at)
}

pub(crate) fn losses() -> Vec<Case> {
    let case = |name, why, until, reports: &[(u64, u8)]| {
        let mut adaptation = Adaptation::new(AdaptationConfig::default(), 32_000);
        let (mut follows, mut before) = (Vec::new(), None);
        for at in (0..=until).step_by(20) {
            for (_, loss) in reports.iter().filter(|(reported, _)| *reported == at) {
                adaptation.report(millis(at), *loss);
            }
            let advice = adaptation.advise(millis(at));
            if before.replace(advice) != Some(advice) {
                let bits = advice.bitrate;
                follows.push(match advice.redundancy {
                    Redundancy::Corrected(loss) => format!("{at} corrected {loss} {bits}"),
                    Redundancy::Repeated => format!("{at} repeated {bits}"),
                });
            }
        }
        let reports = reports.iter().map(|(at, loss)| format!("{at} {loss}")).collect();
        Case::Losses { name, why, reports, until, follows }
    };
    let flutter: Vec<_> = (1..10).map(|n| (n * 4_000, if n % 2 == 0 { 2 } else { 9 })).collect();
    vec![
        case("losses-none", "nothing is lost, once that is known", 9_000, &[(1_000, 0)]),
        case(
            "losses-corrected",
            "what was more counts less and less",
            40_000,
            &[(1_000, 8), (2_000, 1)],
        ),
        case(
            "losses-repeated",
            "from above 8 until below 4 for 10 s",
            40_000,
            &[(1_000, 9), (10_000, 3)],
        ),
        case(
            "losses-again",
            "it was not low for 10 s in a row",
            60_000,
            &[(1_000, 9), (10_000, 3), (20_000, 5), (30_000, 3)],
        ),
        case("losses-flutter", "it is told otherwise all the time", 40_000, &flutter),
        case("losses-full", "and 20 is not full", 75_000, &[(1_500, 20), (5_500, 30), (15_500, 0)]),
        case(
            "losses-all",
            "more than 100 is 100, and is over in 50 s",
            60_000,
            &[(2_000, 255), (4_000, 0)],
        ),
    ]
}

/// Levels of streams, in turn, for each 20 ms from one time to another.
type Run = (u64, u64, &'static [(&'static str, &'static [u8])]);

fn run((from, to, streams): &Run) -> String {
    streams.iter().fold(format!("{from} {to}"), |words, (stream, levels)| {
        let levels: Vec<_> = levels.iter().map(u8::to_string).collect();
        format!("{words} {stream} {}", levels.join(","))
    })
}

/// What is heard at which time, and of whom.
fn heard(runs: &[Run]) -> impl Iterator<Item = (u64, Vec<(&'static str, Level)>)> {
    runs.iter().flat_map(|(from, to, streams)| {
        (*from..*to).step_by(20).enumerate().map(|(count, at)| {
            let level = |levels: &[u8]| Level { voice: true, dbov: levels[count % levels.len()] };
            (at, streams.iter().map(|(stream, levels)| (*stream, level(levels))).collect())
        })
    })
}

pub(crate) fn speaks() -> Vec<Case> {
    let case = |name, why, runs: &[Run]| {
        let mut speakers = Speakers::new(SpeakersConfig::default());
        let mut changes = Vec::new();
        for (at, levels) in heard(runs) {
            for (stream, level) in levels {
                speakers.observe(millis(at), &stream, level);
            }
            changes.extend(speakers.tick(millis(at)).into_iter().map(|change| match change {
                Change::Started(stream) => format!("{at} {stream} starts"),
                Change::Stopped(stream) => format!("{at} {stream} stops"),
            }));
        }
        Case::Speaks { name, why, levels: runs.iter().map(run).collect(), changes }
    };
    vec![
        case(
            "speaks",
            "from the tenth loud frame until 300 ms after the last",
            &[(0, 1_000, &[("a", &[30]), ("b", &[31])]), (1_000, 2_000, &[("a", &[60])])],
        ),
        case(
            "speaks-now-and-then",
            "ten loud frames in 540 ms are no speech, in 360 ms they are",
            &[
                (0, 3_000, &[("a", &[5, 70, 70])]),
                (3_000, 3_600, &[("a", &[70])]),
                (3_600, 4_400, &[("a", &[5, 70])]),
            ],
        ),
        case(
            "speaks-as-loud",
            "who begins to speak is as loud as that, whatever was before",
            &[
                (0, 1_000, &[("a", &[100]), ("b", &[60])]),
                (1_000, 1_400, &[("a", &[10]), ("b", &[20])]),
            ],
        ),
        case(
            "speaks-loudest",
            "three of four, and none gives way to one who is hardly louder",
            &[
                (0, 2_000, &[("a", &[20]), ("b", &[10]), ("c", &[15]), ("d", &[25])]),
                (2_000, 8_000, &[("a", &[20]), ("b", &[10]), ("c", &[15]), ("d", &[18])]),
                (8_000, 14_000, &[("a", &[20]), ("b", &[10]), ("c", &[15]), ("d", &[12])]),
                (14_000, 15_000, &[("a", &[20]), ("c", &[15]), ("d", &[12])]),
            ],
        ),
    ]
}

pub(crate) fn volumes() -> Vec<Case> {
    let case = |name, why, until, runs: &[Run]| {
        let mut meter = Meter::new(MeterConfig::default());
        let (mut levels, mut reports) = (heard(runs).peekable(), Vec::new());
        for now in (0..=until).step_by(20) {
            for (_, level) in
                levels.next_if(|(at, _)| *at == now).into_iter().flat_map(|heard| heard.1)
            {
                meter.observe(millis(now), level);
            }
            reports.extend(meter.report(millis(now)).map(|volume| format!("{now} {volume:.4}")));
        }
        Case::Volume { name, why, levels: runs.iter().map(run).collect(), until, reports }
    };
    vec![
        case(
            "volume",
            "it rises at once, and falls smoothly, to nothing if nothing comes",
            2_600,
            &[
                (0, 300, &[("a", &[127])]),
                (300, 500, &[("a", &[30])]),
                (500, 640, &[("a", &[6])]),
                (640, 1_000, &[("a", &[127])]),
            ],
        ),
        case(
            "volume-between",
            "what is louder between two reports is seen at the second, less what it fell",
            600,
            &[(0, 20, &[("a", &[59])]), (40, 60, &[("a", &[0])]), (60, 400, &[("a", &[60])])],
        ),
    ]
}
