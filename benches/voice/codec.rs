//! What encoding, decoding, playing and mixing take.

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ThreadTime;
use parlor::audio::codec::{Codec as _, EncoderSettings};
use parlor::audio::mixer::{Gain, Mixer};
use parlor::audio::opus::Opus;
use parlor::audio::playout::Playout;
use parlor::audio::playout::config::PlayoutConfig;
use parlor::audio::{BLOCK, FRAME};
use parlor::proto::audio::packet::MAX_PAYLOAD;
use parlor::proto::time::Time;

use crate::Outcome;
use crate::report::{Cell, Report, float};
use crate::stage::{BLOCK_TIME, START, Sent, speak, talk};

/// How long is talked, in seconds.
const SECONDS: usize = 30;

/// How often each is done; the fastest counts, as others use the same processor.
const TIMES: usize = 5;

/// The shortest time that something takes, in microseconds for each of so many.
pub(crate) fn fastest(count: usize, mut it: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut least = Duration::MAX;
    for _ in 0..TIMES {
        let before = ThreadTime::try_now()?;
        it()?;
        least = least.min(before.try_elapsed()?);
    }
    Ok(least.as_secs_f64() * 1e6 / float(count))
}

pub(crate) fn measure(report: &mut Report) -> Outcome<()> {
    let pcm = talk(SECONDS);
    let usual = EncoderSettings::default();
    let frames = pcm.len() / FRAME;
    for (name, settings) in [
        ("encode a frame, 32 kb/s", usual),
        ("the same, with what is lost told", EncoderSettings { loss: 10, ..usual }),
        ("the same, complexity 5", EncoderSettings { complexity: 5, ..usual }),
    ] {
        let took = fastest(frames, || {
            let mut encoder = Opus.encoder(&settings)?;
            let mut out = [0; MAX_PAYLOAD];
            for frame in pcm.chunks_exact(FRAME) {
                black_box(encoder.encode(frame, &mut out)?);
            }
            Ok(())
        })?;
        row(report, name, took, 20_000.0);
    }
    let sent = speak(&pcm, &EncoderSettings { discontinuous: false, ..usual }, false);
    let took = fastest(sent.len(), || {
        let mut decoder = Opus.decoder()?;
        let mut out = [0.0; FRAME];
        for (_, packet) in &sent {
            black_box(decoder.decode(&packet.frame, &mut out)?);
        }
        Ok(())
    })?;
    row(report, "decode a frame", took, 20_000.0);
    let blocks = pcm.len() / BLOCK;
    for speakers in [1, 4, 16] {
        let took = fastest(blocks, || mixed(&pcm, speakers))?;
        row(report, &format!("mix a block of {speakers}"), took, 10_000.0);
        let took = fastest(blocks, || played(&sent, blocks, speakers))?;
        row(report, &format!("decode, play and mix a block of {speakers}"), took, 10_000.0);
    }
    Ok(())
}

fn mixed(pcm: &[f32], speakers: usize) -> Outcome<()> {
    let (mut mixer, mut gains) = (Mixer::default(), vec![Gain::new(0.8); speakers]);
    let (blocks, _) = pcm.as_chunks::<BLOCK>();
    let mut out = [0.0; BLOCK];
    for at in 0..blocks.len() {
        for (speaker, gain) in gains.iter_mut().enumerate() {
            mixer.add(&blocks[(at + 37 * speaker) % blocks.len()], gain);
        }
        mixer.mix(&mut out);
        black_box(&out);
    }
    Ok(())
}

fn played(sent: &[Sent], blocks: usize, speakers: usize) -> Outcome<()> {
    let (mut mixer, mut gains) = (Mixer::default(), vec![Gain::new(0.8); speakers]);
    let mut playouts = Vec::new();
    for _ in 0..speakers {
        playouts.push(Playout::new(PlayoutConfig::default(), Opus.decoder()?));
    }
    let mut sent = sent.iter().peekable();
    let mut out = [0.0; BLOCK];
    for block in 0..blocks {
        let now = START + block as u64 * BLOCK_TIME;
        while let Some((at, packet)) = sent.next_if(|(at, _)| *at <= now) {
            for playout in &mut playouts {
                playout.on_packet(Time::from_micros(*at), packet.clone());
            }
        }
        for (playout, gain) in playouts.iter_mut().zip(&mut gains) {
            playout.pull(Time::from_micros(now), &mut out);
            mixer.add(&out, gain);
        }
        mixer.mix(&mut out);
        black_box(&out);
    }
    Ok(())
}

/// What something takes, and how much that is of the time there is for it, both in microseconds.
fn row(report: &mut Report, what: &str, took: f64, of: f64) {
    report.row(
        "codec: what each takes of one core",
        vec![
            ("what", Cell::text(what)),
            ("us", Cell::number(took, 2)),
            ("% of a core", Cell::number(100.0 * took / of, 2)),
        ],
    );
}
