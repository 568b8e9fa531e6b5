//! Where commands come from: a terminal with line editing, or a pipe.

use std::io::{self, BufRead, BufReader};
use std::thread;

use rustyline::{DefaultEditor, ExternalPrinter};
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;

/// A line, and whom to tell that it is done: only then is the next one read.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) done: oneshot::Sender<()>,
}

/// Lines from a thread that may wait for them.
pub(super) struct Input {
    lines: mpsc::Receiver<Line>,
    /// Prints above the line that is being typed.
    printer: Option<Box<dyn ExternalPrinter + Send>>,
}

impl Input {
    /// Starts to read.
    pub(super) fn open(edited: bool) -> Result<Self, Failure> {
        let (sender, lines) = mpsc::channel(1);
        let mut printer: Option<Box<dyn ExternalPrinter + Send>> = None;
        let read: Box<dyn FnMut() -> Option<String> + Send> = if edited {
            let mut editor = DefaultEditor::new().map_err(Failure::failed)?;
            if let Ok(above) = editor.create_external_printer() {
                printer = Some(Box::new(above));
            }
            Box::new(move || edit(&mut editor))
        } else {
            let mut lines = BufReader::new(io::stdin()).lines();
            Box::new(move || lines.next()?.ok())
        };
        thread::Builder::new()
            .name("parlor-input".to_owned())
            .spawn(move || forward(read, &sender))?;
        Ok(Self { lines, printer })
    }

    /// The next line; nothing at the end. Can be cancelled.
    pub(super) async fn next(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// Prints above the line that is being typed. Returns whether it could.
    pub(super) fn print_above(&mut self, text: &str) -> bool {
        let Some(printer) = &mut self.printer else {
            return false;
        };
        printer.print(format!("{text}\n")).is_ok()
    }
}

fn edit(editor: &mut DefaultEditor) -> Option<String> {
    let line = editor.readline("> ").ok()?;
    // The history is a convenience.
    editor.add_history_entry(&line).ok();
    Some(line)
}

fn forward(mut read: Box<dyn FnMut() -> Option<String> + Send>, sender: &mpsc::Sender<Line>) {
    while let Some(text) = read() {
        let (done, is_done) = oneshot::channel();
        if sender.blocking_send(Line { text, done }).is_err() {
            return;
        }
        // An error means that the session is over, which the next line will find out.
        is_done.blocking_recv().ok();
    }
}
