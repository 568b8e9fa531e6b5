//! `timeline.json`: samples as they arrive, and what shows of them.

use std::time::Duration;

use parlor::Quaternion;
use parlor::realtime::timeline::blend::{Angle, Blend};
use parlor::realtime::timeline::config::TimelineConfig;
use parlor::realtime::timeline::{Sample, Timeline};
use serde::Serialize;
use serde_json::{Value, json};

use crate::vectors::check;

/// Milliseconds at which every case begins.
const START: u64 = 1_000_000;

#[derive(Serialize)]
struct Case {
    name: &'static str,
    why: &'static str,
    /// What is not as by default.
    config: Value,
    steps: Vec<Value>,
}

#[test]
fn timeline() {
    let cases = [delays(), movement(), disorder(), writers(), rotations()];
    check("timeline.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

/// What is done with one timeline, in milliseconds, and how values are written down.
struct Script<V: Blend> {
    timeline: Timeline<V>,
    steps: Vec<Value>,
    written: fn(&V) -> Value,
}

impl Script<f64> {
    fn new(config: TimelineConfig) -> Self {
        let written = |value: &f64| json!(rounded(*value));
        Self { timeline: Timeline::new(config), steps: Vec::new(), written }
    }

    /// Twenty samples a second that take `delay`, each a half more, and a look at each.
    fn moves(&mut self, (from, to): (u64, u64), delay: u64) {
        for at in (from..to).step_by(50) {
            self.push(at + delay, (at, at as f64 / 100.0, false, 1));
            self.show(at + delay);
        }
    }
}

impl<V: Blend> Script<V> {
    fn push(&mut self, arrived: u64, (at, value, teleport, writer): (u64, V, bool, u64)) {
        self.push_as((START + at) * 1_000, arrived, (value, teleport, writer));
    }

    fn push_as(&mut self, at: u64, arrived: u64, (value, teleport, writer): (V, bool, u64)) {
        let arrived = (START + arrived) * 1_000;
        let written = (self.written)(&value);
        let counts = self.timeline.push(arrived, Sample { at, value, teleport, writer });
        self.steps.push(json!({
            "arrived": arrived,
            "at": at,
            "value": written,
            "teleport": teleport,
            "writer": writer,
            "counts": counts,
        }));
    }

    fn show(&mut self, now: u64) {
        let now = (START + now) * 1_000;
        let shown = self.timeline.show(now).map(|shown| {
            json!({
                "value": (self.written)(&shown.value),
                "at": shown.at,
                "motion": format!("{:?}", shown.motion).to_lowercase(),
            })
        });
        let delay = self.timeline.delay().map(|delay| delay.as_micros());
        self.steps.push(json!({ "now": now, "shown": shown, "delay": delay }));
    }

    fn show_each(&mut self, times: impl IntoIterator<Item = u64>) {
        times.into_iter().for_each(|now| self.show(now));
    }

    fn case(self, name: &'static str, why: &'static str, config: Value) -> Case {
        Case { name, why, config, steps: self.steps }
    }
}

fn rounded(number: f64) -> f64 {
    // Not a negative zero.
    (number * 1e6).round() / 1e6 + 0.0
}

fn delays() -> Vec<Case> {
    let mut first = Script::new(TimelineConfig::default());
    first.show(0);
    first.push(60_000, (0, 7.0, false, 1));
    first.show_each([60_000, 60_100]);
    first.push(70_020, (70_000, 8.0, false, 1));
    first.show_each([70_020, 70_045, 70_070, 70_100]);

    let mut steady = Script::new(TimelineConfig::default());
    steady.moves((0, 250), 40);
    steady.show_each([250, 260, 270, 280]);

    let config = TimelineConfig { window: 6, ..TimelineConfig::default() };
    let mut varying = Script::new(config);
    for (tick, delay) in [40, 45, 20, 130, 60, 40, 30, 35, 40, 38, 40, 36].into_iter().enumerate() {
        let at = 50 * tick as u64;
        varying.push(at + delay, (at, at as f64 / 100.0, false, 1));
        varying.show(at + delay);
    }
    varying.show_each([640, 1_000, 1_400]);

    let mut bounded = Script::new(TimelineConfig::default());
    for (at, delay) in [(0, 0), (50, 5), (100, 600), (150, 1_001), (701, 0)] {
        bounded.push(at + delay, (at, at as f64 / 100.0, false, 1));
        bounded.show(at + delay);
    }
    vec![
        first.case("delay-first", "what rested long shows at once, and says no delay", json!({})),
        steady.case("delay-steady", "one interval behind the arrivals", json!({})),
        varying.case(
            "delay-varies",
            "slower to wait longer, faster to wait less, at once at rest",
            json!({ "window": 6 }),
        ),
        bounded.case(
            "delay-bounded",
            "no more than 400 ms beyond the shortest; above 1 s a delay does not count",
            json!({}),
        ),
    ]
}

fn movement() -> Vec<Case> {
    let mut stops = Script::new(TimelineConfig::default());
    stops.moves((0, 250), 0);
    stops.show_each([250, 251, 300, 333, 400, 450, 499, 500, 5_000]);

    let mut rests = Script::new(TimelineConfig::default());
    rests.moves((0, 150), 0);
    rests.show(1_000);
    rests.push(2_000, (2_000, 3.0, false, 1));
    rests.push(2_050, (2_050, 3.0, false, 1));
    rests.show_each([2_000, 2_010, 2_050, 2_075, 2_100, 2_110]);

    let mut teleport = Script::new(TimelineConfig::default());
    teleport.moves((0, 150), 0);
    teleport.push(150, (150, 50.0, true, 1));
    teleport.push(200, (200, 51.0, false, 1));
    teleport.show_each([175, 199, 200, 225]);

    let mut late = Script::new(TimelineConfig::default());
    late.moves((0, 150), 0);
    late.show_each([170, 200]);
    late.push(201, (145, 50.0, true, 1));
    late.show_each([201, 210, 500]);
    vec![
        stops.case(
            "movement-stops",
            "it coasts, and settles exactly on the last sample",
            json!({}),
        ),
        rests.case(
            "movement-rests",
            "what rested moves within an interval; said twice, it rests",
            json!({}),
        ),
        teleport.case(
            "movement-teleport",
            "it coasts until then, and is there at its time",
            json!({}),
        ),
        late.case("movement-teleport-late", "it is there at once", json!({})),
    ]
}

fn disorder() -> Vec<Case> {
    let mut loses = Script::new(TimelineConfig::default());
    loses.moves((0, 200), 0);
    loses.show_each([225, 250, 275]);
    loses.push(300, (300, 3.4, false, 1));
    loses.show_each([300, 316, 333, 350]);
    loses.push(350, (350, 3.5, false, 1));
    loses.show_each([400, 450, 650]);

    let mut late = Script::new(TimelineConfig::default());
    late.moves((0, 150), 0);
    late.push(200, (200, 2.0, false, 1));
    late.show(210);
    late.push(215, (150, 2.5, false, 1));
    late.show_each([215, 225]);
    late.push(226, (150, 9.0, false, 1));
    late.push_as((START - 1) * 1_000, 227, (9.0, false, 1));
    late.show_each([227, 260]);

    let mut future = Script::new(TimelineConfig::default());
    future.moves((0, 150), 0);
    future.push(150, (250, 2.0, false, 1));
    future.push_as(u64::MAX, 160, (9.0, false, 1));
    future.push_as(u64::MAX, 160, (8.0, false, 1));
    future.show_each([160, 200, 300, 320, 700]);

    let mut full = Script::new(TimelineConfig { capacity: 4, ..TimelineConfig::default() });
    full.moves((0, 100), 0);
    for at in (100..400).step_by(50) {
        full.push(at, (at, at as f64 / 100.0, false, 1));
    }
    full.show_each([101, 150, 300, 350]);
    vec![
        loses.case("disorder-loss", "a guess is led to what was so", json!({})),
        late.case("disorder-late", "in its place, once, and not behind all", json!({})),
        future.case(
            "disorder-future",
            "100 ms are borne; more is now, one behind the other",
            json!({}),
        ),
        full.case("disorder-full", "the oldest of five goes", json!({ "capacity": 4 })),
    ]
}

fn writers() -> Vec<Case> {
    let mut over = Script::new(TimelineConfig::default());
    over.moves((0, 200), 0);
    for at in [200, 250, 300, 350] {
        over.push(at + 20, (at, 9.0 - at as f64 / 100.0, false, 2));
        over.show(at + 20);
    }
    over.show_each([400, 416]);

    let mut still = Script::new(TimelineConfig::default());
    still.push(0, (0, 1.0, false, 1));
    still.show(0);
    still.push(10, (10, 4.0, false, 2));
    still.show_each([10, 50, 149, 150]);

    let config = TimelineConfig {
        blend: Duration::ZERO,
        coast: Duration::ZERO,
        ..TimelineConfig::default()
    };
    let mut hard = Script::new(config);
    hard.moves((0, 200), 0);
    hard.push(220, (200, 9.0, false, 2));
    hard.show_each([220, 249, 250]);
    vec![
        over.case(
            "writers-hand-over",
            "from where the one would be to what the other says, in 150 ms",
            json!({}),
        ),
        still.case("writers-still", "before any delay counts", json!({})),
        hard.case(
            "writers-hard",
            "nothing is guessed, and nothing led",
            json!({ "blend": 0, "coast": 0 }),
        ),
    ]
}

fn rotations() -> Vec<Case> {
    let mut turns = Script {
        timeline: Timeline::default(),
        steps: Vec::new(),
        written: |value: &Quaternion| json!(value.0.map(|part| rounded(part.into()))),
    };
    let (x, y) = ([0.6, 0.0, 0.0, 0.8], [0.0, -1.0, 0.0, 1.0]);
    for (at, turn) in [(0, [0.0, 0.0, 0.0, 1.0]), (50, x), (100, y)] {
        turns.push(at, (at, Quaternion(turn), false, 1));
        turns.show(at);
    }
    turns.show_each([125, 150, 200]);
    turns.push(200, (200, Quaternion([0.0, 0.0, 1.0, 0.0]), false, 2));
    turns.push(201, (250, Quaternion([0.0; 4]), false, 2));
    turns.show_each([200, 250, 300, 600]);

    let mut angles = Script {
        timeline: Timeline::default(),
        steps: Vec::new(),
        written: |value: &Angle| json!(rounded(value.0.into())),
    };
    for (at, angle) in [(0, 2.75), (50, 3.0), (100, -3.0), (150, -2.5)] {
        angles.push(at, (at, Angle(angle), false, 1));
        angles.show(at);
    }
    angles.show_each([125, 175, 200, 250]);
    angles.push(250, (250, Angle(10.0), false, 2));
    angles.show_each([250, 320, 400, 600]);
    vec![
        turns.case(
            "rotations-quaternions",
            "the shorter way; one without length does not count; exact at rest",
            json!({}),
        ),
        angles.case("rotations-angles", "radians, the shorter way", json!({})),
    ]
}
