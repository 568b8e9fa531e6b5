//! One that speaks, a relay, and two that hear it: processes of their own, which are this program's
//! commands, and proof that what was heard is what was said.

mod compare;
mod speech;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use parlor::audio::RATE;
use serde_json::{Value as Json, json};

use self::compare::{Likeness, compare};
use self::speech::speech;
use super::process::Process;
use super::story;
use super::table::Steps;
use crate::arguments::seed;
use crate::arguments::voice::VoiceDemoArguments;
use crate::failure::Failure;
use crate::output::{Output, STRONG, paint};
use crate::sound::wav::{Tape, whole};

const ROOM: &str = "voices";

/// The longest recording, in samples of 48 kHz: two minutes.
const LONGEST: usize = 120 * RATE as usize;

/// What a hearer has to have heard of what was said, and how like it has to be.
const LEAST_SHARE: f64 = 0.9;
const LEAST_LIKE: f64 = 0.7;

/// The longest mean delay from mouth to ear, in milliseconds, and the most that may be made up, in percent:
/// several times what this computer needs when it has nothing else to do.
const MOST_DELAY: f64 = 250.0;
const MOST_CONCEALED: f64 = 10.0;

/// How long hearers go on when nothing more is said: as long as a sound may take.
const AFTER: Duration = Duration::from_secs(1);

/// How long processes may take beyond what is said.
const PATIENCE: Duration = Duration::from_secs(30);

/// By how many microseconds the computer's clock may be set meanwhile: delays are measured by it.
const CLOCK_SET: i64 = 2_000;

/// Where files are.
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    fn open(out: Option<&Path>) -> Result<Self, Failure> {
        let path = match out {
            Some(out) => out.to_owned(),
            None => env::temp_dir().join(format!("parlor-demo-{}", hex::encode(&seed()?[..8]))),
        };
        fs::create_dir_all(&path).map_err(|error| {
            Failure::failed(format_args!("cannot make the folder {}: {error}", path.display()))
        })?;
        Ok(Self { path, kept: out.is_some() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is left to the system.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// One that hears.
struct Hearer {
    name: &'static str,
    /// Which of the relay's addresses it takes.
    way: &'static str,
    file: PathBuf,
    process: Process,
    /// What it said when it began.
    began: Json,
}

/// Tells the story, and proves its end.
pub(super) async fn tell(
    output: Output,
    key: &str,
    arguments: &VoiceDemoArguments,
) -> Result<(), Failure> {
    let folder = Folder::open(arguments.out.as_deref())?;
    let said = match &arguments.file {
        Some(file) => whole(file, LONGEST)?,
        None => speech(arguments.seconds.min(LONGEST as f64 / f64::from(RATE))),
    };
    let mut tape = Tape::create(&folder.file("said.wav"))?;
    tape.write(&said)?;
    tape.finish()?;
    let mut steps = Steps::new(output);
    steps.begin("starting a relay");
    let (relay, addresses) = story::relay(key).await?;
    steps.end("relay", "a process of its own, at ports that the system chose")?;

    steps.begin("two come in to listen");
    let mut hearers = Vec::new();
    for (name, way, file) in [("bob", "QUIC", "heard-1.wav"), ("carol", "TCP", "heard-2.wav")] {
        let file = folder.file(file);
        let address = address(&addresses, way)?;
        let file_name = file.display().to_string();
        let own = ["--until-eof", "--out", &file_name];
        let process = Process::start(name, &command("listen", address, &own), key)?;
        hearers.push(Hearer { name, way, file, process, began: Json::Null });
    }
    for hearer in &mut hearers {
        hearer.began = until(&mut hearer.process, "listening").await?;
    }
    steps.end("listen", "bob by QUIC, carol by TCP")?;

    steps.begin("alice speaks");
    let file = folder.file("said.wav").display().to_string();
    let own = ["--file", &file];
    let mut alice =
        Process::start("alice", &command("talk", address(&addresses, "QUIC")?, &own), key)?;
    let began = until(&mut alice, "talking").await?;
    let length = Duration::from_secs_f64(said.len() as f64 / f64::from(RATE));
    let talked = alice.last(false, length + PATIENCE).await?;
    steps.end("talk", "alice has said everything, at the pace of a voice")?;

    steps.begin("comparing");
    tokio::time::sleep(AFTER).await;
    let mut reports = Vec::new();
    for hearer in hearers {
        reports.push(report(hearer, &said, (&began, &talked)).await?);
    }
    relay.end().await?;
    steps.end("compare", "what was heard, beside what was said")?;
    let seconds = steps.finish();
    conclude(output, &folder, &reports, (length, seconds))
}

/// The arguments of a command in the room.
fn command(name: &str, address: &str, own: &[&str]) -> Vec<String> {
    let common = [name, ROOM, "--json", "--relay", address];
    common.iter().chain(own).map(|&word| word.to_owned()).collect()
}

fn address<'a>(addresses: &'a [String], way: &str) -> Result<&'a str, Failure> {
    let part = if way == "TCP" { "/tcp/" } else { "/quic-v1/" };
    let address = addresses.iter().find(|address| address.contains(part));
    let address = address.map(String::as_str);
    address.ok_or_else(|| Failure::failed(format_args!("the relay has no address for {way}")))
}

/// The event of a name, past all others.
async fn until(process: &mut Process, event: &str) -> Result<Json, Failure> {
    loop {
        let happened = process.read().await?;
        if happened["event"] == event {
            return Ok(happened);
        }
    }
}

/// Ends a hearer, and compares what it heard.
async fn report(
    hearer: Hearer,
    said: &[f32],
    (began, talked): (&Json, &Json),
) -> Result<Json, Failure> {
    let Hearer { name, way, file, process, began: listening } = hearer;
    let listened = process.last(true, PATIENCE).await?;
    for ended in [talked, &listened] {
        if ended["clock_set_us"].as_i64().is_none_or(|set| set.abs() > CLOCK_SET) {
            return Err(Failure::failed("the computer's clock was set meanwhile: try again"));
        }
    }
    let unix = |object: &Json| object["unix_us"].as_i64().unwrap_or_default();
    let ahead = (unix(began) - unix(&listening)) * i64::from(RATE) / 1_000_000;
    let heard = whole(&file, usize::MAX)?;
    let stream = listened["streams"]
        .as_array()
        .and_then(|streams| streams.iter().find(|stream| stream["peer"] == began["peer"]).cloned());
    let likeness = compare(said, &heard, ahead);
    let stream = stream.unwrap_or_default();
    Ok(json!({
        "name": name,
        "way": way,
        "file": file,
        "heard": is_heard(&likeness, &stream),
        "share": likeness.share(),
        "likeness": likeness.like,
        "delay_ms": likeness.mean_delay(),
        "longest_delay_ms": likeness.longest_delay(),
        "snr_db": likeness.snr,
        "playout": stream,
    }))
}

fn is_heard(likeness: &Likeness, stream: &Json) -> bool {
    likeness.said > 0
        && likeness.share() >= LEAST_SHARE
        && likeness.like >= LEAST_LIKE
        && likeness.mean_delay() <= MOST_DELAY
        && stream["concealed_percent"].as_f64().is_some_and(|concealed| concealed <= MOST_CONCEALED)
}

fn conclude(
    output: Output,
    folder: &Folder,
    reports: &[Json],
    (length, seconds): (Duration, f64),
) -> Result<(), Failure> {
    let heard = reports.iter().all(|report| report["heard"] == true);
    let outcome = json!({
        "heard": heard,
        "said_seconds": length.as_secs_f64(),
        "seconds": seconds,
        "out": folder.kept.then(|| folder.path.display().to_string()),
        "hearers": reports,
    });
    if folder.kept {
        fs::write(folder.file("report.json"), format!("{outcome:#}\n"))?;
    }
    if output.json {
        output.object(&outcome)?;
    } else {
        output.line(of(reports))?;
        if folder.kept {
            let path = folder.path.display();
            output
                .line(format_args!("{path} has said.wav, heard-1.wav, heard-2.wav, report.json"))?;
        }
        let verdict =
            if heard { "both heard what was said" } else { "what was said was NOT heard" };
        output.line(paint(STRONG, format_args!("{verdict}; all in {seconds:.1} s")))?;
    }
    if heard { Ok(()) } else { Err(Failure::Told) }
}

/// What was heard, one row for each that heard.
fn of(reports: &[Json]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "hearer",
        "by",
        "heard",
        "likeness",
        "SNR",
        "mouth to ear",
        "longest",
        "playout",
        "made up",
    ]);
    for report in reports {
        let number = |value: &Json| value.as_f64().unwrap_or_default();
        let playout = &report["playout"];
        table.add_row([
            report["name"].as_str().unwrap_or_default().to_owned(),
            report["way"].as_str().unwrap_or_default().to_owned(),
            format!("{:.0} %", number(&report["share"]) * 100.0),
            format!("{:.2}", number(&report["likeness"])),
            format!("{:.1} dB", number(&report["snr_db"])),
            format!("{:.0} ms", number(&report["delay_ms"])),
            format!("{:.0} ms", number(&report["longest_delay_ms"])),
            format!("{:.0} ms", number(&playout["mean_delay_ms"])),
            format!("{:.1} %", number(&playout["concealed_percent"])),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
