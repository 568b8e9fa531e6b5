//! The `neteq` crate, with our decoder.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use neteq::codec::AudioDecoder;
use neteq::{AudioPacket, NetEq, NetEqConfig, NetEqError, RtpHeader};
use parlor::audio::codec::{Codec as _, Decoder};
use parlor::audio::opus::Opus;
use parlor::audio::{FRAME, RATE};
use parlor::proto::audio::packet::Packet;

use crate::Outcome;
use crate::playout::Figures;
use crate::report::float;
use crate::stage::{BASE, BLOCK_TIME, START};

/// What it knows Opus by.
const OPUS: u8 = 111;

/// No packet was decoded.
const NONE: u64 = u64::MAX;

/// Which packets were decoded: the media times of the first since it was asked, and of the last.
#[derive(Default)]
struct Decoded {
    first: AtomicU64,
    last: AtomicU64,
}

/// Packets have their media time in front.
struct Reader {
    decoder: Box<dyn Decoder>,
    decoded: Arc<Decoded>,
}

impl AudioDecoder for Reader {
    fn sample_rate(&self) -> u32 {
        RATE
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        let failed = |why: &str| NetEqError::DecoderError(why.to_owned());
        let (time, frame) = encoded.split_first_chunk().ok_or_else(|| failed("no packet"))?;
        let time = u64::from(u32::from_le_bytes(*time));
        self.decoded.last.store(time, Ordering::Relaxed);
        // The first stays.
        let known = (NONE, time);
        self.decoded
            .first
            .compare_exchange(known.0, known.1, Ordering::Relaxed, Ordering::Relaxed)
            .ok();
        let mut out = vec![0.0; FRAME];
        self.decoder.decode(frame, &mut out).map_err(|error| failed(&error.to_string()))?;
        Ok(out)
    }
}

/// Plays what comes at its times, which takes as long as that is, and begins with the first packet and
/// ends with the last.
pub(crate) fn listen(came: Vec<(u64, Packet)>, phase: u64) -> Outcome<Figures> {
    let config = NetEqConfig { sample_rate: RATE, channels: 1, ..NetEqConfig::default() };
    let mut neteq = NetEq::new(config).map_err(|error| error.to_string())?;
    let decoded = Arc::new(Decoded::default());
    let reader = Reader { decoder: Opus.decoder()?, decoded: Arc::clone(&decoded) };
    neteq.register_decoder(OPUS, Box::new(reader));
    let end = came.last().map_or(0, |(at, _)| *at);
    let first = came.first().map_or(START, |(at, _)| *at);
    let mut came = came.into_iter().peekable();
    // The times of a trace begin at no real moment.
    let beginning = Instant::now();
    let wait = |at: u64| {
        let due = beginning + Duration::from_micros(at.saturating_sub(START));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    };
    let (mut delays, mut blocks, mut took) = (Vec::new(), 0, Duration::ZERO);
    let mut now = START + phase;
    while now <= end {
        while let Some((at, packet)) = came.next_if(|(at, _)| *at <= now) {
            wait(at);
            let before = ThreadTime::try_now()?;
            neteq.insert_packet(wrapped(&packet)).map_err(|error| error.to_string())?;
            took += before.try_elapsed()?;
        }
        wait(now);
        if now >= first {
            let before = ThreadTime::try_now()?;
            let head = play(&mut neteq, &decoded)?;
            took += before.try_elapsed()?;
            blocks += 1;
            delays.extend(head.map(|head| {
                let captured = START as f64 / 1e3 + f64::from(head) / 48.0;
                now as f64 / 1e3 - captured
            }));
        }
        now += BLOCK_TIME;
    }
    Ok(figures(&neteq, delays, blocks, took))
}

fn wrapped(packet: &Packet) -> AudioPacket {
    // What is sent has times that soon begin at 0 again, which it may not be made for.
    let time = packet.time.wrapping_sub(BASE);
    let header = RtpHeader::new(packet.sequence, time, 1, OPUS, packet.first);
    let payload = [&time.to_le_bytes()[..], &packet.frame].concat();
    AudioPacket::new(header, payload, RATE, 1, 20)
}

/// Plays a block. Returns the media time of its first sample, if that was captured.
fn play(neteq: &mut NetEq, decoded: &Decoded) -> Outcome<Option<u32>> {
    let waiting = neteq.current_buffer_size_samples();
    let packets = neteq.get_statistics().packets_awaiting_decode * FRAME;
    // Decoded and not played yet.
    let left = u32::try_from(waiting.saturating_sub(packets))?;
    let last = decoded.last.load(Ordering::Relaxed);
    decoded.first.store(NONE, Ordering::Relaxed);
    let concealed = neteq.get_statistics().lifetime.concealed_samples;
    neteq.get_audio().map_err(|error| error.to_string())?;
    if neteq.get_statistics().lifetime.concealed_samples > concealed {
        return Ok(None);
    }
    if left > 0 {
        let behind = u32::try_from(last)?.wrapping_add(FRAME as u32);
        return Ok(Some(behind.wrapping_sub(left)));
    }
    Ok(u32::try_from(decoded.first.load(Ordering::Relaxed)).ok())
}

fn figures(neteq: &NetEq, mut delays: Vec<f64>, blocks: usize, took: Duration) -> Figures {
    delays.sort_by(f64::total_cmp);
    let at =
        |hundredth: usize| delays.get(delays.len() * hundredth / 100).copied().unwrap_or(f64::NAN);
    let statistics = neteq.get_statistics();
    let lifetime = statistics.lifetime;
    let played = float(blocks * FRAME / 2);
    let share = |samples: u64| 100.0 * float(samples as usize) / played;
    Figures {
        mean: delays.iter().sum::<f64>() / float(delays.len()),
        p95: at(95),
        p99: at(99),
        target: f64::from(statistics.target_delay_ms),
        concealed: share(lifetime.concealed_samples),
        accelerated: share(lifetime.removed_samples_for_acceleration),
        expanded: share(lifetime.inserted_samples_for_deceleration),
        late: float(lifetime.late_packets_discarded as usize),
        took: took.as_secs_f64() * 1e6 / float(blocks),
    }
}
