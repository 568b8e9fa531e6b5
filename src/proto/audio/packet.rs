//! One packet of a voice stream: twelve bytes, and what was said.
//!
//! All numbers are little endian.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 1 | bits 0 and 1 the version, 2 and 3 the [`Kind`], 4 whether a talk spurt begins, 5 whether the frame before is repeated; 6 and 7 are zero |
//! | 1 | 1 | the [`Level`] |
//! | 2 | 2 | the sequence |
//! | 4 | 4 | the media time |
//! | 8 | 4 | the epoch |
//! | 12 | | of [`Kind::Audio`]: where the frame before is repeated, its length in a byte, and it; the frame. Else nothing |

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Bytes of a packet before what was said.
pub const HEADER: usize = 12;

/// The most bytes behind the header: a frame, and what is repeated with its length.
pub const MAX_PAYLOAD: usize = 1_000;

/// The most bytes of a frame that is repeated: its length is one byte.
pub const MAX_REPEATED: usize = 255;

/// The version that is spoken here.
const VERSION: u8 = 0;
const VERSION_BITS: u8 = 0b0000_0011;
const KIND_SHIFT: u8 = 2;
const KIND_BITS: u8 = 0b11;
const FIRST: u8 = 0b0001_0000;
const REPEATS: u8 = 0b0010_0000;
const RESERVED: u8 = 0b1100_0000;
const VOICE: u8 = 0b1000_0000;

/// What a packet tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// 20 ms of voice.
    Audio,
    /// A talk spurt is over. Said three times, so that one of them arrives.
    End,
    /// Nothing is said, and this is how loud that is. Said every 400 ms between talk spurts.
    Comfort,
}

/// How loud something is, as RFC 6464 has it: meters need no decoder.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Level {
    /// Whether the speaker's detector takes it for voice.
    pub voice: bool,
    /// How far the mean power is under that of the loudest square wave, in decibels: 0 is the
    /// loudest, [`Level::SILENCE`] the least that can be said.
    pub dbov: u8,
}

impl Level {
    /// The `dbov` of silence, and the highest there is.
    pub const SILENCE: u8 = 127;

    const fn read(byte: u8) -> Self {
        Self { voice: byte & VOICE != 0, dbov: byte & !VOICE }
    }

    fn byte(self) -> u8 {
        self.dbov.min(Self::SILENCE) | if self.voice { VOICE } else { 0 }
    }
}

/// A packet of a voice stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// What it tells.
    pub kind: Kind,
    /// Whether a talk spurt begins with it. Of [`Kind::Audio`] only.
    pub first: bool,
    /// How loud the frame is, or what is behind a silence.
    pub level: Level,
    /// One more with every packet of the stream, whatever its kind, modulo 2^16.
    pub sequence: u16,
    /// When the first sample of the frame was captured, in samples of 48 kHz; of [`Kind::End`] when
    /// the next frame would have begun, the same in all three; of [`Kind::Comfort`] that of the silent
    /// frame in whose place it was sent.
    ///
    /// These are the low 32 bits of a count by the room's time that is a multiple of a frame's 960
    /// samples, so that the frames of all who speak begin together. Within a talk spurt it grows by
    /// 960 from frame to frame; between spurts by any multiple of that. 2^32 is none: where the count
    /// wraps, what is left of a division by 960 changes, and only differences can be relied on.
    pub time: u32,
    /// Drawn when the stream was opened: another is another stream, whose sequence and time have
    /// nothing to do with those before.
    pub epoch: u32,
    /// The frame before this one once more, if it is repeated: at most [`MAX_REPEATED`] bytes. Of
    /// [`Kind::Audio`] only.
    pub previous: Option<Bytes>,
    /// The frame, in the stream's codec. Empty if and only if the kind is not [`Kind::Audio`].
    pub frame: Bytes,
}

/// Why bytes are no packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PacketError {
    /// There is less than a header.
    #[error("{0} bytes are less than the {HEADER} of a header")]
    Short(usize),
    /// What is behind the header is too long.
    #[error("{0} bytes behind the header are more than {MAX_PAYLOAD}")]
    Long(usize),
    /// It is of a version that is not known here.
    #[error("version {0} is not {VERSION}")]
    Version(u8),
    /// It is of a kind that is not known here.
    #[error("kind {0} is not known")]
    Kind(u8),
    /// A bit is set that means nothing, or nothing in a packet of its kind.
    #[error("the first byte {0:#010b} has a bit that means nothing there")]
    Flag(u8),
    /// Something is said where nothing is.
    #[error("{0} bytes in a packet that says nothing")]
    Payload(usize),
    /// The frame that is repeated is empty, or not all there.
    #[error("a repeated frame of {length} bytes in {payload} bytes")]
    Previous {
        /// How long it is said to be.
        length: usize,
        /// Bytes behind the header.
        payload: usize,
    },
    /// There is no frame.
    #[error("no frame")]
    Empty,
}

impl Packet {
    /// Reads a packet. What it holds shares `bytes`; nothing is copied.
    ///
    /// # Errors
    ///
    /// A [`PacketError`] if this is not exactly what [`Self::write`] gives.
    pub fn read(bytes: Bytes) -> Result<Self, PacketError> {
        let header: [u8; HEADER] = *bytes.first_chunk().ok_or(PacketError::Short(bytes.len()))?;
        let [flags, level, s0, s1, t0, t1, t2, t3, e0, e1, e2, e3] = header;
        let kind = kind(flags)?;
        let payload = bytes.slice(HEADER..);
        if payload.len() > MAX_PAYLOAD {
            return Err(PacketError::Long(payload.len()));
        }
        let (previous, frame) = match kind {
            Kind::Audio => frames(payload, flags & REPEATS != 0)?,
            Kind::End | Kind::Comfort if !payload.is_empty() => {
                return Err(PacketError::Payload(payload.len()));
            }
            Kind::End | Kind::Comfort => (None, payload),
        };
        Ok(Self {
            kind,
            first: flags & FIRST != 0,
            level: Level::read(level),
            sequence: u16::from_le_bytes([s0, s1]),
            time: u32::from_le_bytes([t0, t1, t2, t3]),
            epoch: u32::from_le_bytes([e0, e1, e2, e3]),
            previous,
            frame,
        })
    }

    /// The packet's bytes. What has no place is left out: anything that only [`Kind::Audio`] has in
    /// a packet of another kind, and a repeated frame that is empty, or longer than
    /// [`MAX_REPEATED`], or than what the frame leaves of [`MAX_PAYLOAD`].
    #[must_use]
    pub fn write(&self) -> Bytes {
        let audio = self.kind == Kind::Audio;
        let left = MAX_PAYLOAD.saturating_sub(self.frame.len() + 1).min(MAX_REPEATED);
        let previous = self.previous.as_ref().and_then(|previous| {
            let length = u8::try_from(previous.len()).ok()?;
            (audio && (1..=left).contains(&previous.len())).then_some((length, previous))
        });
        let mut flags = VERSION | (self.kind as u8) << KIND_SHIFT;
        if audio && self.first {
            flags |= FIRST;
        }
        if previous.is_some() {
            flags |= REPEATS;
        }
        let repeated = previous.map_or(0, |(_, previous)| 1 + previous.len());
        let mut bytes = BytesMut::with_capacity(HEADER + repeated + self.frame.len());
        bytes.put_u8(flags);
        bytes.put_u8(self.level.byte());
        bytes.put_u16_le(self.sequence);
        bytes.put_u32_le(self.time);
        bytes.put_u32_le(self.epoch);
        if let Some((length, previous)) = previous {
            bytes.put_u8(length);
            bytes.put_slice(previous);
        }
        if audio {
            bytes.put_slice(&self.frame);
        }
        bytes.freeze()
    }
}

/// The kind by the first byte, if all of that byte means something.
const fn kind(flags: u8) -> Result<Kind, PacketError> {
    let version = flags & VERSION_BITS;
    if version != VERSION {
        return Err(PacketError::Version(version));
    }
    let kind = match flags >> KIND_SHIFT & KIND_BITS {
        0 => Kind::Audio,
        1 => Kind::End,
        2 => Kind::Comfort,
        unknown => return Err(PacketError::Kind(unknown)),
    };
    let meaningless = match kind {
        Kind::Audio => RESERVED,
        Kind::End | Kind::Comfort => RESERVED | FIRST | REPEATS,
    };
    if flags & meaningless != 0 {
        return Err(PacketError::Flag(flags));
    }
    Ok(kind)
}

/// The repeated frame and the frame of a payload.
fn frames(mut payload: Bytes, repeats: bool) -> Result<(Option<Bytes>, Bytes), PacketError> {
    let length = payload.len();
    let previous = if repeats {
        let said = usize::from(*payload.first().ok_or(PacketError::Empty)?);
        if said == 0 || said >= length {
            return Err(PacketError::Previous { length: said, payload: length });
        }
        let previous = payload.slice(1..=said);
        payload = payload.slice(said + 1..);
        Some(previous)
    } else {
        None
    };
    if payload.is_empty() {
        return Err(PacketError::Empty);
    }
    Ok((previous, payload))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn audio() -> impl Strategy<Value = Packet> {
        let frame = vec(any::<u8>(), 1..=MAX_PAYLOAD - MAX_REPEATED - 1);
        let previous = option::of(vec(any::<u8>(), 1..=MAX_REPEATED));
        (header(Kind::Audio), any::<bool>(), previous, frame).prop_map(
            |(header, first, previous, frame)| Packet {
                first,
                previous: previous.map(Bytes::from),
                frame: frame.into(),
                ..header
            },
        )
    }

    fn header(kind: Kind) -> impl Strategy<Value = Packet> {
        (any::<bool>(), 0..=Level::SILENCE, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
            move |(voice, dbov, sequence, time, epoch)| Packet {
                kind,
                first: false,
                level: Level { voice, dbov },
                sequence,
                time,
                epoch,
                previous: None,
                frame: Bytes::new(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packet in prop_oneof![audio(), header(Kind::End), header(Kind::Comfort)],
        ) {
            prop_assert_eq!(Packet::read(packet.write()), Ok(packet));
        }

        #[test]
        fn what_is_read_is_written(bytes in vec(any::<u8>(), 0..=HEADER + MAX_PAYLOAD + 2)) {
            let bytes = Bytes::from(bytes);
            if let Ok(packet) = Packet::read(bytes.clone()) {
                prop_assert_eq!(packet.write(), bytes);
            }
        }

        #[test]
        fn bytes_that_begin_well_are_read_or_refused(
            flags in 0_u8..=0b11_1111,
            rest in vec(any::<u8>(), HEADER - 1..=HEADER + 300),
        ) {
            let mut bytes = vec![flags & !VERSION_BITS];
            bytes.extend(rest);
            let bytes = Bytes::from(bytes);
            if let Ok(packet) = Packet::read(bytes.clone()) {
                prop_assert_eq!(packet.write(), bytes);
            }
        }
    }

    #[test]
    fn a_packet_is_refused_for_what_is_wrong_with_it() {
        let read = |bytes: &[u8]| Packet::read(Bytes::copy_from_slice(bytes)).map(|_| ());
        let with = |flags: u8, payload: &[u8]| {
            let mut bytes = vec![flags];
            bytes.resize(HEADER, 0);
            bytes.extend(payload);
            read(&bytes)
        };
        assert_eq!(read(&[0; HEADER - 1]), Err(PacketError::Short(HEADER - 1)));
        assert_eq!(with(0, &[1; MAX_PAYLOAD + 1]), Err(PacketError::Long(MAX_PAYLOAD + 1)));
        assert_eq!(with(0, &[1; MAX_PAYLOAD]), Ok(()));
        assert_eq!(with(1, &[1]), Err(PacketError::Version(1)));
        assert_eq!(with(0b1100, &[]), Err(PacketError::Kind(3)));
        assert_eq!(with(0b0100_0000, &[1]), Err(PacketError::Flag(0b0100_0000)));
        assert_eq!(with(0b0100 | FIRST, &[]), Err(PacketError::Flag(0b0100 | FIRST)));
        assert_eq!(with(0b1000, &[1, 2]), Err(PacketError::Payload(2)));
        assert_eq!(with(0, &[]), Err(PacketError::Empty));
        assert_eq!(with(REPEATS, &[]), Err(PacketError::Empty));
        let wrong = |length, payload| Err(PacketError::Previous { length, payload });
        assert_eq!(with(REPEATS, &[0, 1]), wrong(0, 2));
        assert_eq!(with(REPEATS, &[2, 1]), wrong(2, 2));
        assert_eq!(with(REPEATS, &[2, 1, 1]), Err(PacketError::Empty));
        assert_eq!(with(REPEATS, &[2, 1, 1, 1]), Ok(()));
    }

    #[test]
    fn a_repeated_frame_that_has_no_place_is_left_out() {
        let packet = |previous: usize, frame: usize| Packet {
            kind: Kind::Audio,
            first: false,
            level: Level { voice: true, dbov: 20 },
            sequence: 1,
            time: 960,
            epoch: 7,
            previous: Some(vec![1; previous].into()),
            frame: vec![2; frame].into(),
        };
        let kept = |previous, frame| {
            Packet::read(packet(previous, frame).write()).map(|read| read.previous.is_some())
        };
        assert_eq!(kept(MAX_REPEATED, 10), Ok(true));
        assert_eq!(kept(MAX_REPEATED + 1, 10), Ok(false));
        assert_eq!(kept(0, 10), Ok(false));
        assert_eq!(kept(10, MAX_PAYLOAD - 11), Ok(true));
        assert_eq!(kept(10, MAX_PAYLOAD - 10), Ok(false));
    }
}
