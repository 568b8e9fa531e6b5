//! How long everything stands still when history is cut: each call is one pause, between which a
//! peer does everything else.

use super::Plan;
use super::join::{Past, made};
use crate::content::Value;
use crate::engine::parlor::Parlor;
use crate::engine::{Engine, Form, Outcome};
use crate::measure::{Series, timed};
use crate::report::{Report, Section};

/// How many values are gone through at once, as peers and relays do.
const BUDGET: usize = 4_096;

/// Cuts the history of a room that eight have written.
pub(super) fn run(plan: &Plan, report: &mut Report) -> Outcome<()> {
    for (kind, random) in [("regular", false), ("random", true)] {
        let Past { replica: mut room, expected, object } = made::<Parlor>(plan, plan.cut, random)?;
        let (snapshot, making) = timed(|| room.snapshot(Form::Usual));
        let bytes = snapshot?.map_or(0, |bytes| bytes.len());
        let mut calls = Series::default();
        room.cut(BUDGET).into_iter().for_each(|taken| calls.push(taken / 1e3));
        if room.read()? != expected {
            return Err("the room holds something else after the cut".into());
        }
        room.write(&[(&object, 0, Value::Float(0.5))])?;
        let mut sheet = report.sheet(&format!("cut of {} models, {kind}", plan.cut), Parlor::NAME);
        sheet.put(Section::Epoch, "calls", "", calls.count() as f64);
        sheet.put(Section::Epoch, "the longest", "ms", calls.most());
        sheet.put(Section::Epoch, "the last, which goes over", "ms", calls.last(1));
        sheet.put(Section::Epoch, "all", "ms", calls.total());
        sheet.put(Section::Epoch, "what the epoch begins with", "kB", bytes as f64 / 1e3);
        sheet.put(Section::Epoch, "cut at once and in columns", "ms", making / 1e3);
    }
    Ok(())
}
