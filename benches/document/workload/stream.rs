//! W2: one object for ten minutes at 20 Hz, a commit each time: one integer, or a transform of 40
//! bytes.

use std::f32::consts::TAU;

use super::trip::{Ends, Trips};
use super::{Made, Plan, connected, pass};
use crate::content::{Dice, FIRST_INTEGER, Object, TRANSFORM, Value};
use crate::engine::{Engine, Form, Outcome};
use crate::measure::held;
use crate::report::{Report, Section};

/// How many times in a run the room is stored.
const STORED: usize = 12;

/// Runs both cases.
pub(super) fn run<E: Engine>(plan: &Plan, report: &mut Report) -> Outcome<()> {
    let mut dice = Dice::new(plan.seed);
    case::<E>(plan, report, "w2 integer", |author| {
        let mut made = Made::new();
        made.more(author, 0, vec![Object::regular(0)])?;
        let handle = made.handles.pop().ok_or("nothing was made")?;
        let mut object = Object::regular(0);
        let next = move |_| (FIRST_INTEGER, object.change(FIRST_INTEGER, &mut dice));
        Ok((handle, Box::new(next)))
    })?;
    case::<E>(plan, report, "w2 transform", |author| {
        let handle = author.create_moving(0, transform(0))?;
        let next = |commit| (TRANSFORM, Value::Transform(transform(commit + 1)));
        Ok((handle, Box::new(next)))
    })
}

/// What is written at each commit.
type Next = Box<dyn FnMut(usize) -> (usize, Value)>;

fn case<E: Engine>(
    plan: &Plan,
    report: &mut Report,
    name: &str,
    make: impl FnOnce(&mut E) -> Outcome<(E::Handle, Next)>,
) -> Outcome<()> {
    let (mut author, mut reader) = (E::new(0)?, E::new(1)?);
    let (handle, mut next) = make(&mut author)?;
    let mut relay = connected::<E>(&[0, 1])?;
    pass(&mut relay, (0, &mut author), &mut [(1, &mut reader)])?;
    let mut trips = Trips::default();
    let (mut stored, mut most) = (0, 0);
    let every = plan.commits.div_ceil(STORED).max(1);
    for commit in 0..plan.commits {
        let (property, value) = next(commit);
        let mut ends =
            Ends { relay: &mut relay, author: (0, &mut author), reader: (1, &mut reader) };
        trips.go(&mut ends, &[(&handle, property, value)])?;
        if (commit + 1) % every == 0 || commit + 1 == plan.commits {
            stored = reader.snapshot(Form::Usual)?.map_or(0, |bytes| bytes.len());
            most = most.max(stored);
        }
    }
    if author.read()? != reader.read()? {
        return Err(format!("{name}: author and reader differ").into());
    }
    let mut sheet = report.sheet(name, E::NAME);
    sheet.put(Section::Delta, "total", "kB", trips.bytes().total() / 1e3);
    trips.report::<E>(&mut sheet);
    sheet.put(Section::Snapshot, "at the end", "kB", stored as f64 / 1e3);
    sheet.put(Section::Snapshot, "at its largest", "kB", most as f64 / 1e3);
    if let Some(shallow) = reader.snapshot(Form::Shallow)? {
        sheet.put(Section::Snapshot, "at the end, shallow", "kB", shallow.len() as f64 / 1e3);
    }
    sheet.put(Section::Heap, "author", "kB", held(author));
    Ok(())
}

/// Somebody who walks in a circle, turns, and slowly grows: place, rotation and scale as `f32`.
fn transform(commit: usize) -> [u8; 40] {
    let time = commit as f32 / 20.0;
    let (turn, step) = (time * 0.3, time * TAU * 0.9);
    let (sine, cosine) = (turn / 2.0).sin_cos();
    let scale = 1.0 + time * 1e-4;
    let parts = [
        turn.cos() * 8.0,
        step.sin().abs() * 0.05,
        turn.sin() * 8.0,
        step.sin() * 0.01,
        sine,
        step.cos() * 0.01,
        cosine,
        scale,
        scale,
        scale,
    ];
    let mut bytes = [0; 40];
    for (place, part) in bytes.chunks_exact_mut(4).zip(parts) {
        place.copy_from_slice(&part.to_le_bytes());
    }
    bytes
}
