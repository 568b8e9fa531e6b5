//! The one place that writes to the terminal.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use parlor::proto::event::State;
use serde_json::Value as Json;

use crate::failure::Failure;

pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
pub(crate) const VALUE: Style = AnsiColor::Green.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes for people or for programs. Colour goes only to terminals, and not against `NO_COLOR`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// For programs: one JSON object per line.
    pub(crate) json: bool,
}

impl Output {
    /// Writes a line for people; programs are not told.
    pub(crate) fn line(self, text: impl Display) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// Writes an object in one line, for programs and people alike.
    pub(crate) fn object(self, object: &Json) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{object}")?;
        Ok(out.flush()?)
    }

    /// Writes an object for programs, or else a line for people.
    pub(crate) fn tell(self, object: &Json, text: impl Display) -> Result<(), Failure> {
        if self.json { self.object(object) } else { self.line(text) }
    }
}

/// Says what went wrong.
pub(crate) fn complain(why: impl Display) {
    let mut err = anstream::stderr().lock();
    // Whoever cannot be told cannot be told that either.
    writeln!(err, "{BAD}error:{BAD:#} {why}").ok();
}

/// Whether a person reads and types.
pub(crate) fn is_watched() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// `style` around `text`.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// How far a room is, in a word.
pub(crate) const fn word(state: &State) -> &'static str {
    match state {
        State::Offline => "offline",
        State::Connecting => "connecting",
        State::Joining => "joining",
        State::Ready => "ready",
        State::Reconnecting { .. } => "reconnecting",
        State::Closed(_) => "closed",
    }
}
