//! `state.json`: the coder, residuals and rotations of the state lane, and a stream of frames.

use parlor::proto::state::coder::{Chance, Writer};
use parlor::proto::state::grid::{Kind, Truth};
use parlor::proto::state::residual::{self, Spread};
use parlor::proto::state::rotation::Turn;
use parlor::proto::state::stream::{Incoming, Outgoing};
use serde::Serialize;
use serde_json::{Value, json};

use crate::vectors::check;

#[derive(Serialize)]
struct Case {
    name: &'static str,
    why: &'static str,
    given: Value,
    gives: Value,
}

#[test]
fn state() {
    let cases = [coder(), residuals(), turns(), vec![frames(), anew()]];
    check("state.json", &cases.into_iter().flatten().collect::<Vec<_>>());
}

fn coder() -> Vec<Case> {
    let even = (0..8).map(|at| (0xa5 >> at & 1 == 1, 32_768)).collect();
    let likely = (0..40).map(|at| (at % 5 != 0, 60_000)).collect();
    vec![
        bits("coder-nothing", "no bits, no bytes", Vec::new()),
        bits("coder-even", "a number of 8 bits", even),
        bits("coder-likely", "bits that are mostly as expected", likely),
    ]
}

fn bits(name: &'static str, why: &'static str, bits: Vec<(bool, u32)>) -> Case {
    let mut writer = Writer::default();
    bits.iter().for_each(|(bit, chance)| writer.bit(*bit, Chance::new(*chance)));
    let gives = json!(hex::encode(writer.finish()));
    Case { name, why, given: json!(bits), gives }
}

fn residuals() -> Vec<Case> {
    let cases: [(&str, &str, u32, &[i32]); 3] = [
        ("residual-small", "from the first spread on", 512, &[0, 0, 1, -1, 0, 2, -3, 0]),
        ("residual-large", "low bits stand for themselves", 100_000, &[400, -700, 3, 0, 90_000]),
        ("residual-leap", "more than 20 beyond what is expected", 8, &[1_000_000, -1]),
    ];
    let case = |(name, why, mean, residuals): (&'static str, &'static str, u32, &[i32])| {
        let (mut writer, mut spread) = (Writer::default(), Spread::new(mean));
        for residual in residuals {
            residual::write(&mut writer, *residual, spread);
            spread = spread.learned(*residual);
        }
        let gives = json!(hex::encode(writer.finish()));
        Case { name, why, given: json!({ "spread": mean, "residuals": residuals }), gives }
    };
    cases.into_iter().map(case).collect()
}

fn turns() -> Vec<Case> {
    let a = Turn([268_435_456, -536_870_912, 134_217_728, 880_803_840]);
    let b = Turn::small([30_000_000, -7_000_000, 1_234_567]);
    vec![
        Case {
            name: "turn-product",
            why: "one behind the other; the first is not quite of length 1",
            given: json!([a.0, b.0]),
            gives: json!(a.times(b).0),
        },
        Case {
            name: "turn-repeated",
            why: "13 times",
            given: json!([b.0, 13]),
            gives: json!(b.repeated(13).0),
        },
        Case {
            name: "turn-small",
            why: "half of a vector, as a rotation",
            given: json!([30_000_000, -7_000_000, 1_234_567]),
            gives: json!(b.0),
        },
    ]
}

/// A stream in which values come, move, rest and go, with one frame lost.
fn frames() -> Case {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new(100));
    let (mut steps, mut turn) = (Vec::new(), Turn::NONE);
    let rate = Turn::small([9_000_000, 2_000_000, -4_000_000]);
    for tick in 1..=40_u32 {
        let at = i64::from(tick);
        let place = [at * 700, 12_800 - at * 90, if tick > 20 { 5_000 } else { at * 250 }, 0];
        let mut given = vec![set(&mut outgoing, "4/a/1", Kind::Vector { components: 3 }, place)];
        if tick % 3 == 0 {
            let angle = [(at * 5_000).rem_euclid(184_320), 0, 0, 0];
            given.push(set(&mut outgoing, "4/a/2", Kind::Circle { steps: 720 }, angle));
        }
        if tick > 4 {
            // It turns, and rests from tick 25 on.
            if tick < 25 {
                turn = turn.times(rate);
            }
            let kind = Kind::Rotation { steps: 1_000 };
            outgoing.set("4/a/3", kind, Truth::Rotation(turn)).unwrap();
            given.push(json!(["4/a/3", "rotation 1000", turn.0]));
        }
        if tick == 35 {
            assert!(outgoing.remove("4/a/2"));
            given = vec![json!(["4/a/2", "gone"])];
        }
        let frame = outgoing.frame(tick, 1_200, false);
        let lost = tick == 12;
        let update = frame.as_ref().filter(|_| !lost).map(|frame| incoming.receive(frame).unwrap());
        if let Some(update) = &update {
            outgoing.acknowledge(update.number);
        }
        let said = update.map(|_| {
            let said = incoming.changes();
            said.map(|(entry, truth)| json!([entry.name, truth.map(shown)])).collect::<Vec<_>>()
        });
        steps.push(json!({
            "tick": tick,
            "given": given,
            "frame": frame.map(hex::encode),
            "lost": lost,
            "said": said,
        }));
    }
    let why = "values in parts (256ths of a step), rotations as x, y, z, w; every frame that is not lost is acknowledged at once";
    let gives = incoming.values(45).map(|(entry, truth)| json!([entry.name, shown(truth)]));
    let gives = gives.collect::<Vec<_>>();
    Case { name: "frames", why, given: json!(steps), gives: json!({ "at tick 45": gives }) }
}

/// A stream that begins anew in frames that have not room for all, when something has gone.
fn anew() -> Case {
    let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new(100));
    let kind = Kind::Vector { components: 1 };
    let names = ["4/a/1 f", "4/b/1 f", "4/c/1 f", "4/d/1 f"];
    let given = names.map(|name| set(&mut outgoing, name, kind, [7 << 8, 0, 0, 0]));
    let mut steps = Vec::new();
    for tick in 1..=5_u32 {
        let given = match tick {
            1 => json!(given),
            2 => {
                assert!(outgoing.remove(names[1]));
                outgoing.restart();
                json!([[names[1], "gone"]])
            }
            _ => json!([]),
        };
        let budget = if tick == 1 { 1_200 } else { 30 };
        let frame = outgoing.frame(tick, budget, true).unwrap();
        let update = incoming.receive(&frame).unwrap();
        outgoing.acknowledge(update.number);
        let said = incoming.changes();
        let said: Vec<_> =
            said.map(|(entry, truth)| json!([entry.name, truth.map(shown)])).collect();
        let frame = hex::encode(frame);
        steps.push(json!({ "tick": tick, "given": given, "frame": frame, "said": said }));
    }
    let why = "the frame of tick 2 builds on none, and has not room for all; that something is gone is told with the last of what there is";
    let gives = incoming.values(5).map(|(entry, truth)| json!([entry.name, shown(truth)]));
    let gives = gives.collect::<Vec<_>>();
    Case { name: "frames-anew", why, given: json!(steps), gives: json!({ "at tick 5": gives }) }
}

fn set(outgoing: &mut Outgoing, name: &str, kind: Kind, numbers: [i64; 4]) -> Value {
    outgoing.set(name, kind, Truth::Numbers(numbers)).unwrap();
    let kind = match kind {
        Kind::Vector { components } => format!("vector {components}"),
        Kind::Circle { steps } => format!("circle {steps}"),
        Kind::Rotation { steps } => format!("rotation {steps}"),
    };
    json!([name, kind, numbers])
}

fn shown(truth: Truth) -> Value {
    match truth {
        Truth::Numbers(numbers) => json!(numbers),
        Truth::Rotation(turn) => json!(turn.0),
    }
}
