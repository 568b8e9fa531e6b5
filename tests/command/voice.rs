//! What one process says, another hears: through a relay, a third.

use std::f32::consts::TAU;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::process::{Process, Relay, objects, parlor, run, text};

const RATE: usize = 48_000;

/// 200 ms.
const WINDOW: usize = 9_600;

fn spec(sample_rate: u32, channels: u16, bits_per_sample: u16) -> WavSpec {
    let sample_format = if bits_per_sample == 32 { SampleFormat::Float } else { SampleFormat::Int };
    WavSpec { channels, sample_rate, bits_per_sample, sample_format }
}

/// Writes samples, the same in each channel.
fn write(path: &Path, spec: WavSpec, pcm: &[f32]) {
    let mut writer = WavWriter::create(path, spec).unwrap();
    for sample in pcm.iter().flat_map(|sample| vec![*sample; usize::from(spec.channels)]) {
        match spec.sample_format {
            SampleFormat::Float => writer.write_sample(sample).unwrap(),
            SampleFormat::Int => {
                let full = (1_i32 << (spec.bits_per_sample - 1)) as f32;
                writer.write_sample((sample * full) as i32).unwrap();
            }
        }
    }
    writer.finalize().unwrap();
}

fn read(path: &Path) -> Vec<f32> {
    let mut reader = WavReader::open(path).unwrap();
    assert_eq!(reader.spec(), spec(48_000, 1, 16));
    reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect()
}

/// Something like a voice, at any rate: harmonics of a pitch that wavers, in syllables. The lowest, which a
/// codec's filter shifts, are not there.
pub(crate) fn voice(rate: u32, seconds: f32) -> Vec<f32> {
    let mut phase = 0.0_f32;
    let samples = 0..(rate as f32 * seconds) as usize;
    let sample = samples.map(|at| {
        let time = at as f32 / rate as f32;
        let pitch = 120.0 + 30.0 * (time * 1.7).sin() + 15.0 * (time * 5.3).sin();
        phase = (phase + pitch / rate as f32).fract();
        let voice: f32 = (3..15).map(|k| (TAU * phase * k as f32).sin() / (k as f32).sqrt()).sum();
        let syllable = (TAU * time * 1.5).sin().abs() * (0.7 + 0.3 * (time * 9.7).sin());
        if time < 0.5 { 0.0 } else { voice * syllable * 0.08 }
    });
    sample.collect()
}

/// A tone.
fn tone(pitch: f32, seconds: usize) -> Vec<f32> {
    (0..RATE * seconds).map(|at| 0.2 * (TAU * pitch * at as f32 / RATE as f32).sin()).collect()
}

/// The amplitude of a tone in something.
fn amplitude(pcm: &[f32], pitch: f32) -> f32 {
    let part = |shift: f32| -> f32 {
        let wave = (0..pcm.len()).map(|at| (TAU * pitch * at as f32 / RATE as f32 + shift).sin());
        pcm.iter().zip(wave).map(|(sample, wave)| sample * wave).sum()
    };
    2.0 * part(0.0).hypot(part(TAU / 4.0)) / pcm.len().max(1) as f32
}

fn energy(pcm: &[f32]) -> f32 {
    pcm.iter().map(|sample| sample * sample).sum()
}

/// Samples that are one where something is looked for roughly.
const ROUGH: usize = 12;

fn roughly(pcm: &[f32]) -> Vec<f32> {
    pcm.chunks_exact(ROUGH).map(|samples| samples.iter().sum()).collect()
}

/// Where in `heard` a window is, and the cosine of the angle between both.
fn find(window: &[f32], heard: &[f32]) -> (usize, f32) {
    let best = |window: &[f32], heard: &[f32]| {
        let mine = energy(window);
        let alike = heard.windows(window.len()).enumerate().map(|(at, heard)| {
            let product: f32 = window.iter().zip(heard).map(|(one, other)| one * other).sum();
            (at, product / (mine * energy(heard)).sqrt().max(1e-6))
        });
        alike.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or((0, 0.0))
    };
    let (rough, _) = best(&roughly(window), &roughly(heard));
    let from = (rough * ROUGH).saturating_sub(ROUGH);
    let to = (from + window.len() + 2 * ROUGH).min(heard.len());
    let (at, like) = best(window, &heard[from..to]);
    (from + at, like)
}

/// The share of what was said that was heard, in its order, and the mean ratio in decibels of what was
/// said to what is different, of frames of 20 ms.
pub(crate) fn likeness(said: &[f32], heard: &[f32]) -> (f32, f32) {
    let (mut loud, mut found, mut from) = (0, 0, None);
    let mut ratios = Vec::new();
    for (at, window) in said.chunks_exact(WINDOW).enumerate() {
        if energy(window) / (WINDOW as f32) < 1e-3 {
            continue;
        }
        loud += 1;
        // Once the delay is known, it changes little.
        let begin = from.map_or(0, |delay: usize| (at * WINDOW + delay).saturating_sub(4_800));
        let begin = begin.min(heard.len());
        let end = from.map_or(heard.len(), |_| (begin + WINDOW + 9_600).min(heard.len()));
        let (place, like) = find(window, &heard[begin..end]);
        if like < 0.6 {
            continue;
        }
        found += 1;
        let heard = &heard[begin + place..];
        from = from.or_else(|| (begin + place).checked_sub(at * WINDOW));
        for (said, heard) in window.chunks_exact(960).zip(heard.chunks_exact(960)) {
            let difference: Vec<f32> = said.iter().zip(heard).map(|(a, b)| a - b).collect();
            let ratio = 10.0 * (energy(said) / energy(&difference).max(1e-9)).log10();
            if energy(said) > 0.5 {
                ratios.push(ratio.clamp(-10.0, 35.0));
            }
        }
    }
    let ratio = ratios.iter().sum::<f32>() / ratios.len().max(1) as f32;
    (found as f32 / loud.max(1) as f32, ratio)
}

/// A room with files beside it.
struct Stage {
    relay: Relay,
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { relay: Relay::start(), folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command in the room, by the relay's address of a number.
    fn start(&self, name: &str, address: usize, more: &[&str]) -> Process {
        let address = &self.relay.addresses[address];
        let common = [name, "room", "--json", "--relay", address];
        Process::start(&[&common, more].concat())
    }

    /// One that listens until it is told to end, once it does.
    fn listen(&self, file: &str, more: &[&str]) -> (Process, PathBuf) {
        let file = self.file(file);
        let own = ["--until-eof", "--out", file.to_str().unwrap()];
        let listener = self.start("listen", 0, &[&own, more].concat());
        listener.until(|line| line["event"] == "listening");
        (listener, file)
    }
}

/// Ends a listener. Returns how it heard.
fn end(mut listener: Process) -> Vec<Json> {
    listener.tell("q");
    let listened = listener.until(|line| line["event"] == "listened");
    assert!(listener.end());
    listened["streams"].as_array().unwrap().clone()
}

#[test]
fn what_a_file_says_is_heard() {
    let stage = Stage::new();
    // Nothing is to be found in silence.
    let said = voice(48_000, 3.0);
    assert!(likeness(&said, &vec![0.0; 5 * RATE]).0 < 0.1);
    let (listener, heard) = stage.listen("heard.wav", &[]);
    let file = stage.file("said.wav");
    write(&file, spec(44_100, 2, 24), &voice(44_100, 3.0));
    let talker = stage.start("talk", 0, &["--file", file.to_str().unwrap()]);
    let talking = talker.until(|line| line["event"] == "talking");
    let opened = listener.until(|line| line["event"] == "opened");
    assert_eq!(opened["peer"], talking["peer"]);
    listener.until(|line| line["event"] == "speaking" && line["speaking"] == true);
    let talked = talker.until(|line| line["event"] == "talked");
    assert_eq!(
        (talked["seconds"].as_f64(), talked["muted_seconds"].as_f64()),
        (Some(3.0), Some(0.0))
    );
    assert!(talker.end());
    let closed = listener.until(|line| line["event"] == "closed");
    assert_eq!(closed["why"], "closed");
    let streams = end(listener);
    assert_eq!(streams.len(), 1, "{streams:?}");
    let stream = &streams[0];
    assert_eq!(stream["peer"], talking["peer"]);
    assert!(stream["voice_seconds"].as_f64().unwrap() > 2.0, "{stream}");
    assert!(stream["mean_delay_ms"].as_f64().unwrap() < 500.0, "{stream}");
    let heard = read(&heard);
    let (share, ratio) = likeness(&said, &heard);
    assert!(share > 0.8 && ratio > 3.0, "{share} of it, {ratio} dB; {stream}");
    let power = energy(&heard) / energy(&said);
    assert!((0.7..1.4).contains(&power), "{power}");
}

#[test]
fn what_comes_through_a_pipe_is_heard() {
    let stage = Stage::new();
    let (listener, heard) = stage.listen("heard.wav", &[]);
    let file = stage.file("said.wav");
    write(&file, spec(16_000, 1, 32), &voice(16_000, 2.0));
    // A recorder does not know how long it will be.
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(4).position(|word| word == b"data").unwrap() + 4;
    bytes[at..at + 4].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let output = parlor(&["talk", "room", "--relay", stage.relay.address()])
        .stdin(File::open(&file).unwrap())
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let told = text(&output.stdout);
    assert!(output.status.success() && told.contains("spoke for 2.0 s"), "{told}");
    listener.until(|line| line["event"] == "closed");
    end(listener);
    let (share, ratio) = likeness(&voice(48_000, 2.0), &read(&heard));
    assert!(share > 0.7 && ratio > 3.0, "{share} of it, {ratio} dB");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it stays muted for a while")]
fn who_is_muted_by_a_key_is_not_heard_meanwhile() {
    let stage = Stage::new();
    let file = stage.file("said.wav");
    write(&file, spec(48_000, 1, 16), &voice(48_000, 2.0)[RATE / 2..]);
    let (listener, _) = stage.listen("heard.wav", &[]);
    let own = ["--loop", "--until-eof", "--file", file.to_str().unwrap()];
    let mut talker = stage.start("talk", 0, &own);
    let speaks = |speaks: bool| {
        listener.until(|line| line["event"] == "speaking" && line["speaking"] == speaks);
    };
    speaks(true);
    talker.tell("m");
    listener.until(|line| line["event"] == "muted" && line["muted"] == true);
    speaks(false);
    sleep(Duration::from_millis(300));
    talker.tell("m");
    listener.until(|line| line["event"] == "muted" && line["muted"] == false);
    speaks(true);
    talker.tell("q");
    let talked = talker.until(|line| line["event"] == "talked");
    let seconds = |key: &str| talked[key].as_f64().unwrap();
    assert!(seconds("muted_seconds") > 0.1, "{talked}");
    assert!(seconds("seconds") > seconds("muted_seconds") + 0.3, "{talked}");
    assert!(talker.end());
    listener.until(|line| line["event"] == "closed" && line["why"] == "closed");
    end(listener);
}

#[test]
fn only_those_are_heard_who_are_wanted_and_who_is_killed_is_gone() {
    let stage = Stage::new();
    let (low, high) = (440.0, 1_000.0);
    let mut talkers = [("low", low), ("high", high)].map(|(name, pitch)| {
        let (file, identity) = (stage.file(&format!("{name}.wav")), stage.file(name));
        write(&file, spec(48_000, 1, 16), &tone(pitch, 1));
        let own = ["--loop", "--file", file.to_str().unwrap()];
        let identity = ["--identity", identity.to_str().unwrap()];
        // By TCP, whose end is noticed at once.
        let talker = stage.start("talk", 1, &[&own[..], &identity].concat());
        let talking = talker.until(|line| line["event"] == "talking");
        (talker, talking)
    });
    let client = talkers[0].1["client"].to_string();
    let peer = talkers[1].1["peer"].as_str().unwrap().to_owned();
    let (first, first_heard) = stage.listen("first.wav", &["--who", &client]);
    let (second, second_heard) = stage.listen("second.wav", &["--who", &peer]);
    for listener in [&first, &second] {
        listener.until(|line| line["event"] == "speaking");
    }
    // A third passes the time.
    let listen = ["listen", "elsewhere", "--relay", stage.relay.address(), "--seconds", "2.5"];
    assert!(run(&listen, "").status.success());
    talkers.reverse();
    let [(high_talker, _), (low_talker, _)] = talkers;
    low_talker.kill();
    let closed = first.until(|line| line["event"] == "closed");
    assert_eq!(closed["client"].to_string(), client);
    high_talker.kill();
    let streams = end(first);
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0]["client"].to_string(), client);
    // What was heard is there, though nobody ended the file.
    second.kill();
    for (heard, there, absent) in [(first_heard, low, high), (second_heard, high, low)] {
        let pcm = read(&heard);
        assert!(pcm.len() >= 2 * RATE, "{} samples", pcm.len());
        let (there, absent) = (amplitude(&pcm, there), amplitude(&pcm, absent));
        assert!(there > 0.02 && absent < there / 20.0, "{}: {there}, {absent}", heard.display());
    }
}

#[test]
fn what_cannot_be_said_is_told_with_what_to_do() {
    let stage = Stage::new();
    let files = ["empty", "bare", "words", "slow", "wide"].map(|name| stage.file(name));
    let [empty, bare, words, slow, wide] = &files;
    fs::write(empty, "").unwrap();
    write(bare, spec(48_000, 1, 16), &[]);
    fs::write(words, "these are words, and no samples of anything").unwrap();
    write(slow, spec(4_000, 1, 16), &[0.0; 400]);
    write(wide, spec(48_000, 9, 16), &[0.0; 4_800]);
    let absent = stage.file("absent");
    let cases: &[(&Path, &[&str], i32, &str)] = &[
        (&absent, &[], 1, "cannot read"),
        (empty, &[], 1, "holds no samples"),
        (bare, &[], 1, "holds no samples"),
        (words, &[], 1, "convert it"),
        (slow, &[], 1, "convert it"),
        (wide, &[], 1, "9 channels"),
        (stage.folder.path(), &[], 1, "cannot read"),
        (Path::new("-"), &["--loop"], 2, "cannot be said again"),
    ];
    for (file, more, status, words) in cases {
        let file = file.to_str().unwrap();
        let talk = ["talk", "room", "--relay", stage.relay.address(), "--file", file];
        let output = run(&[&talk, *more].concat(), "");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(*status), "{file}: {errors}");
        assert!(errors.contains(words), "{file}: {errors}");
    }
    let listen = ["listen", "room", "--relay", stage.relay.address(), "--seconds", "1"];
    let output = run(&[&listen[..], &["--who", "nobody"]].concat(), "");
    assert_eq!(output.status.code(), Some(2));
    let out = stage.file("no-such-folder/out.wav");
    let output = run(&[&listen[..], &["--out", out.to_str().unwrap()]].concat(), "");
    assert!(text(&output.stderr).contains("cannot write"), "{}", text(&output.stderr));
    let output = run(&listen, "");
    assert!(text(&output.stdout).contains("nobody spoke\nlistened for 1.0 s"), "{output:?}");
}

#[test]
fn the_demo_hears_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let demo = ["demo", "--voice", "--json", "--seconds", "3", "--out", out];
    let outcome = objects(&demo, "").pop().unwrap();
    assert_eq!(outcome["heard"], true, "{outcome}");
    let hearers = outcome["hearers"].as_array().unwrap();
    assert_eq!(hearers.len(), 2);
    for hearer in hearers {
        let delay = hearer["delay_ms"].as_f64().unwrap();
        assert!((20.0..250.0).contains(&delay), "{hearer}");
        assert!(hearer["likeness"].as_f64().unwrap() > 0.7, "{hearer}");
    }
    for file in ["said.wav", "heard-1.wav", "heard-2.wav"] {
        assert!(energy(&read(&folder.path().join(file))) > 10.0, "{file}");
    }
    let report: Json =
        serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report, outcome);
    // A recording in which nothing is said cannot be heard.
    let silence = folder.path().join("silence.wav");
    write(&silence, spec(16_000, 1, 16), &[0.0; 16_000]);
    let output = run(&["demo", "--voice", "--json", "--file", silence.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
}
