//! How long voice takes from its capture to a loudspeaker, and how much of it is made up: the mean of
//! ten seeds each. Nothing of devices and of the codec's 6.5 ms is in the delays.

use std::time::Duration;
use std::{env, fs};

use parlor::audio::codec::EncoderSettings;
use parlor::audio::playout::config::PlayoutConfig;

use crate::stage::{Heard, Sent, listen, speak, talk};
use crate::traces::{Losses, Network};

const SEEDS: u64 = 10;

/// The first seed, or `PARLOR_SEED`.
fn first() -> u64 {
    env::var("PARLOR_SEED").map_or(0, |seed| seed.parse().unwrap())
}

/// What is sent, and by which network.
struct Case {
    name: &'static str,
    sent: Vec<Sent>,
    network: fn(u64) -> Network,
    config: PlayoutConfig,
}

impl Case {
    /// Every case, of some voice.
    fn all(pcm: &[f32]) -> Vec<Self> {
        let usual = EncoderSettings::default();
        let plain = speak(pcm, &usual, false);
        let telling = speak(pcm, &EncoderSettings { loss: 10, ..usual }, false);
        let repeating = speak(pcm, &EncoderSettings { bitrate: 24_000, ..usual }, true);
        let case = |name, sent: &[Sent], network| Self {
            name,
            sent: sent.to_vec(),
            network,
            config: PlayoutConfig::default(),
        };
        // Who has a carrier that sends again knows so, and how long a round trip is.
        let patient = PlayoutConfig { start: Duration::from_millis(200), ..Default::default() };
        let reliable =
            |name, network| Self { config: patient.clone(), ..case(name, &plain, network) };
        vec![
            case("loopback", &plain, Network::loopback),
            case("datagrams-0", &plain, |seed| Network::datagrams(seed, Losses::Alone(0))),
            case("datagrams-1", &telling, |seed| Network::datagrams(seed, Losses::Alone(10))),
            case("datagrams-5", &telling, |seed| Network::datagrams(seed, Losses::Alone(50))),
            case("datagrams-10", &telling, |seed| Network::datagrams(seed, Losses::Alone(100))),
            case("repeats-5", &repeating, |seed| Network::datagrams(seed, Losses::Alone(50))),
            case("repeats-10", &repeating, |seed| Network::datagrams(seed, Losses::Alone(100))),
            case("bursts-5", &telling, |seed| Network::datagrams(seed, Losses::Bursts(17))),
            reliable("reliable-1", |seed| Network::reliable(seed, 10)),
            reliable("reliable-5", |seed| Network::reliable(seed, 50)),
        ]
    }

    fn run(&self, seed: u64) -> Heard {
        let phase = seed * 1_000 + 300;
        listen(&self.sent, &mut (self.network)(seed), self.config.clone(), (phase, 0))
    }
}

/// What ten runs of a case have in common.
struct Figures {
    /// In milliseconds.
    mean: f64,
    p95: f64,
    p99: f64,
    /// The longest of all.
    longest: f64,
    /// In percent of voice.
    concealed: f64,
    /// In percent of voice.
    expanded: f64,
    /// How often what is heard was made longer or shorter, a minute of voice.
    stretches: f64,
}

impl Figures {
    fn of(runs: &[Heard]) -> Self {
        let mean =
            |of: &dyn Fn(&Heard) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
        Self {
            mean: mean(&Heard::mean),
            p95: mean(&|run| run.at(0.95)),
            p99: mean(&|run| run.at(0.99)),
            longest: runs.iter().map(|run| run.at(1.0)).fold(0.0, f64::max),
            concealed: mean(&Heard::concealed),
            expanded: mean(&|run| {
                100.0 * run.statistics.expanded as f64 / run.statistics.voice as f64
            }),
            stretches: mean(&Heard::stretches),
        }
    }

    #[expect(clippy::print_stdout, reason = "what was measured is worth knowing")]
    fn print(&self, name: &str) {
        let Self { mean, p95, p99, longest, concealed, expanded, stretches } = self;
        println!(
            "{name:13} mean {mean:5.1} p95 {p95:5.1} p99 {p99:5.1} longest {longest:5.1} ms, \
             {concealed:.2} % concealed, {expanded:.2} % put in, {stretches:.0} stretches a minute"
        );
    }
}

#[test]
fn voice_is_neither_late_nor_made_up_where_it_need_not_be() {
    let mut failed = Vec::new();
    for case in Case::all(&talk(32)) {
        let runs: Vec<_> = (first()..first() + SEEDS).map(|seed| case.run(seed)).collect();
        let figures = Figures::of(&runs);
        figures.print(case.name);
        let Figures { mean, p95, p99, longest, concealed, expanded, .. } = figures;
        let bars = match case.name {
            "loopback" => mean <= 40.0 && p99 <= 70.0 && concealed == 0.0,
            "datagrams-0" => mean <= 100.0 && p95 <= 110.0 && concealed <= 0.1,
            "datagrams-1" => mean <= 108.0 && p95 <= 115.0 && concealed <= 0.6,
            "datagrams-5" => mean <= 111.0 && p95 <= 118.0 && concealed <= 1.5,
            "repeats-5" => mean <= 111.0 && p95 <= 118.0 && concealed <= 0.7,
            "datagrams-10" => mean <= 113.0 && p95 <= 118.0 && concealed <= 3.0,
            "repeats-10" => mean <= 114.0 && p95 <= 118.0 && concealed <= 1.8,
            "bursts-5" => mean <= 110.0 && p95 <= 120.0 && concealed <= 5.0,
            "reliable-1" => mean <= 218.0 && concealed <= 0.55,
            "reliable-5" => mean <= 270.0 && concealed <= 0.85,
            name => panic!("no bars for {name}"),
        };
        let put_in = if case.name.starts_with("reliable") { 0.4 } else { 0.15 };
        if !bars || longest > 520.0 || expanded > put_in {
            failed.push(case.name);
        }
    }
    assert_eq!(failed, [""; 0]);
}

/// Writes what is heard of a recording of 48 kHz and 16 bits, for `scores.py` to compare.
#[test]
#[ignore = "reads PARLOR_SPEECH, a file, and writes into PARLOR_HEARD, a directory"]
fn a_recording_is_heard() {
    let mut reader = hound::WavReader::open(env::var("PARLOR_SPEECH").unwrap()).unwrap();
    let pcm: Vec<f32> =
        reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32_768.0).collect();
    let directory = env::var("PARLOR_HEARD").unwrap();
    fs::create_dir_all(&directory).unwrap();
    for case in Case::all(&pcm) {
        let runs: Vec<_> = (0..SEEDS).map(|seed| case.run(seed)).collect();
        Figures::of(&runs).print(case.name);
        for (seed, run) in runs.iter().enumerate() {
            let path = format!("{directory}/{}-{seed}.wav", case.name);
            let mut writer = hound::WavWriter::create(path, reader.spec()).unwrap();
            for sample in &run.pcm {
                writer.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).unwrap();
            }
            writer.finalize().unwrap();
        }
    }
}
