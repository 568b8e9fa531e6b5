//! The demo's processes. Each ends when the demo does, however that ends: it is killed when it is
//! dropped, and its input ends when the demo is killed.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::peer::Order;
use crate::failure::Failure;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A process of this program that writes lines of JSON.
#[derive(Debug)]
pub(super) struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one. The app key goes through its environment, where other users cannot see it.
    pub(super) fn start(name: &str, arguments: &[String], key: &str) -> Result<Self, Failure> {
        let mut child = Command::new(env::current_exe()?)
            .args(arguments)
            .env("PARLOR_APP_KEY", key)
            .env_remove("PARLOR_RELAY")
            .env_remove("PARLOR_APP_KEY_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| gone(name))?;
        Ok(Self {
            name: name.to_owned(),
            input: child.stdin.take(),
            output: BufReader::new(output).lines(),
            child,
        })
    }

    /// The next object that it writes.
    pub(super) async fn read(&mut self) -> Result<Json, Failure> {
        let line = timeout(PATIENCE, self.output.next_line())
            .await
            .map_err(|_| Failure::failed(format_args!("{} did not answer", self.name)))??;
        let line = line.ok_or_else(|| gone(&self.name))?;
        serde_json::from_str(&line).map_err(Failure::failed)
    }

    /// Tells it to do something.
    pub(super) async fn tell(&mut self, order: Order) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or_else(|| gone(&self.name))?;
        let mut line = serde_json::to_string(&order).map_err(Failure::failed)?;
        line.push('\n');
        input.write_all(line.as_bytes()).await?;
        Ok(input.flush().await?)
    }

    /// Tells it to do something, and waits for the answer.
    pub(super) async fn ask(&mut self, order: Order) -> Result<Json, Failure> {
        self.tell(order).await?;
        self.read().await
    }

    /// Waits until it has ended by itself, at most so long, and gives the last object that it wrote. With
    /// `told`, its input ends first.
    pub(super) async fn last(mut self, told: bool, patience: Duration) -> Result<Json, Failure> {
        if told {
            drop(self.input.take());
        }
        let name = self.name.clone();
        let late = || Failure::failed(format_args!("{name} did not end"));
        let lines = async {
            let mut last = None;
            while let Some(line) = self.output.next_line().await? {
                last = Some(line);
            }
            Ok::<_, Failure>((last, self.child.wait().await?))
        };
        let (last, status) = timeout(patience, lines).await.map_err(|_| late())??;
        let last = last.filter(|_| status.success()).ok_or_else(|| gone(&name))?;
        serde_json::from_str(&last).map_err(Failure::failed)
    }

    /// Ends its input, and waits until it has ended.
    pub(super) async fn end(mut self) -> Result<bool, Failure> {
        drop(self.input.take());
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => Ok(status?.success()),
            // It is killed when it is dropped.
            Err(_) => Ok(false),
        }
    }
}

fn gone(name: &str) -> Failure {
    Failure::failed(format_args!("{name} has ended before its time"))
}
