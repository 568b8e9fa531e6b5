//! W2 as a relay and two peers have it, history cut as by default: what a relay stores while one
//! integer is written 20 times a second for ten minutes, and at rest after that.

use std::time::Duration;

use parlor::Model;
use parlor_bench::room::{Room, Stored};

use super::Plan;
use crate::content::{Dice, FIRST_INTEGER, Object, Value};
use crate::engine::Outcome;
use crate::engine::parlor::{Space, thing};
use crate::report::{Report, Section};

/// What a frame lasts.
const FRAME: Duration = Duration::from_millis(50);
/// How long nobody writes at the end.
const REST: Duration = Duration::from_secs(60);
const AUTHOR: usize = 0;
const READER: usize = 1;

/// Runs it.
pub(super) fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut dice = Dice::new(plan.seed);
    let mut room = Room::new(Space::shape, 2)?;
    let mut object = Object::regular(0);
    let author = room.peer(AUTHOR);
    let space = author.store().root::<Space>().ok_or("the room is of another type")?.clone();
    let made = space.things.add(author.store_mut(), thing(&object))?;
    room.go_on(FRAME)?;
    let mut most = Stored::default();
    for _ in 0..plan.commits {
        let Value::Integer(value) = object.change(FIRST_INTEGER, &mut dice) else {
            return Err("no integer".into());
        };
        let (now, author) = (room.now(), room.peer(AUTHOR));
        author.store_mut().update(&made, |thing| thing.integer0 = value)?;
        author.flush(now);
        room.go_on(FRAME)?;
        most = most.most(room.stored());
    }
    let busy = room.cuts();
    room.go_on(REST)?;
    let rest = room.stored();
    let reader = room.store(READER);
    if reader.get(&made).map(|thing| thing.integer0) != Some(object.integers[0]) {
        return Err("the reader holds something else".into());
    }
    let hours = plan.commits as f64 * FRAME.as_secs_f64() / 3600.0;
    let mut sheet = report.sheet("w2 integer at a relay", "parlor");
    let mut put = |metric, unit, value: f64| sheet.put(Section::Store, metric, unit, value);
    put("at most", "kB", most.all() as f64 / 1e3);
    put("at most, base", "kB", most.base as f64 / 1e3);
    put("at most, changes", "kB", most.changes as f64 / 1e3);
    put("at most, signatures", "kB", most.words as f64 / 1e3);
    put("at most, signatures kept", "kB", most.word as f64 / 1e3);
    put("at most, if only the last signature is kept", "kB", most.kept() as f64 / 1e3);
    put("at rest", "kB", rest.all() as f64 / 1e3);
    put("at rest, base", "kB", rest.base as f64 / 1e3);
    put("at rest, changes", "kB", rest.changes as f64 / 1e3);
    put("cuts", "/h", f64::from(busy) / hours);
    put("cuts at rest", "", f64::from(room.cuts() - busy));
    Ok(())
}
