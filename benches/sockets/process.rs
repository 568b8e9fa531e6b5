//! A process beside this one: this program once more, which says one line and then, for every line that
//! it gets, how much processor time it took so far. It ends with its input.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use cpu_time::ProcessTime;

use crate::Outcome;

/// A process that runs.
pub(crate) struct Process {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    said: String,
}

impl Process {
    /// Starts it, and waits for what it says.
    pub(crate) fn start(arguments: &[&str]) -> Outcome<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("the process says nothing")?);
        let mut process = Self { child, questions, answers, said: String::new() };
        process.said = process.line()?;
        Ok(process)
    }

    /// What it said first.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err("the process has ended".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// How much processor time it took so far. Blocks its thread for a moment.
    pub(crate) fn took(&mut self) -> Outcome<Duration> {
        let questions = self.questions.as_mut().ok_or("the process is asked nothing")?;
        writeln!(questions)?;
        questions.flush()?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.questions.take());
        // It ends with its input.
        self.child.wait().ok();
    }
}

/// Is such a process, which says a line.
pub(crate) fn answer(said: &str) -> Outcome<()> {
    let mut out = anstream::stdout();
    writeln!(out, "{said}")?;
    for question in io::stdin().lines() {
        question?;
        writeln!(out, "{}", ProcessTime::try_now()?.as_duration().as_nanos())?;
    }
    Ok(())
}
