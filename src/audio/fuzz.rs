//! Any bytes as what comes of a voice, for fuzzers.

use std::time::Duration;

use bytes::Bytes;

use super::BLOCK;
use super::codec::Codec;
use super::opus::Opus;
use super::playout::Playout;
use super::playout::config::PlayoutConfig;
use crate::proto::audio::packet::Packet;
use crate::proto::time::Time;

/// How long a block is.
const STEP: Duration = Duration::from_millis(10);

/// No packet is as long.
const LONGEST: u16 = 1_100;

/// The most that anything played is away from zero.
const LOUDEST: f32 = 1.5;

/// Takes bytes for packets of one stream and the times between them, and plays what comes, with Opus.
///
/// # Panics
///
/// When a packet that can be read is not written as it was, or what is played is not within its bounds.
pub fn voice_packets(data: &[u8]) {
    let Ok(decoder) = Opus.decoder() else { return };
    let mut playout = Playout::new(PlayoutConfig::default(), decoder);
    let (mut now, mut out) = (Time::ZERO, [0.0; BLOCK]);
    let mut rest = data;
    while let [blocks, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]) % LONGEST);
        let (packet, behind) = behind.split_at(length.min(behind.len()));
        rest = behind;
        if let Ok(packet) = Packet::read(Bytes::copy_from_slice(packet)) {
            assert_eq!(Packet::read(packet.write()).as_ref(), Ok(&packet), "written otherwise");
            playout.on_packet(now, packet);
        }
        for _ in 0..blocks % 8 {
            now += STEP;
            playout.pull(now, &mut out);
            assert!(out.iter().all(|sample| sample.abs() <= LOUDEST), "{out:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_played(data in vec(any::<u8>(), 0..2_000)) {
            voice_packets(&data);
        }
    }
}
