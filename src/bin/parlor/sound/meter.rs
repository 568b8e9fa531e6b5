//! How loud it is, in the last line of a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use parlor::audio::level::{Meter, MeterConfig};
use parlor::proto::audio::packet::Level;
use parlor::proto::time::Time;

use crate::failure::Failure;
use crate::output::{Output, VALUE, paint};

/// Characters of a meter.
const WIDTH: usize = 20;

/// A line that changes, on standard error. Where that is no terminal, or programs read, there is none.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(crate) fn new(output: Output) -> Self {
        let watched = io::stderr().is_terminal() && !output.json;
        Self(watched.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            bar
        }))
    }

    /// Shows another text.
    pub(crate) fn show(&self, text: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(text());
            bar.tick();
        }
    }

    /// Writes something above it.
    pub(crate) fn above(&self, write: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// One voice's meter.
#[derive(Clone, Debug)]
pub(crate) struct Loudness(Meter);

impl Loudness {
    pub(crate) const fn new(config: MeterConfig) -> Self {
        Self(Meter::new(config))
    }

    /// Takes the level of what was said or heard now.
    pub(crate) fn observe(&mut self, now: Time, level: Level) {
        self.0.observe(now, level);
    }

    /// The meter as a text of always the same width.
    pub(crate) fn text(&self, now: Time) -> String {
        let full = ((self.0.volume(now) * WIDTH as f32).round() as usize).min(WIDTH);
        format!("{}{}", paint(VALUE, "#".repeat(full)), "-".repeat(WIDTH - full))
    }
}
