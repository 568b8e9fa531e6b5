//! What the engine knows of a codec.

use thiserror::Error;

use crate::proto::audio::packet::MAX_PAYLOAD;

/// Makes encoders and decoders that understand each other.
pub trait Codec: Send + Sync {
    /// An encoder for one stream.
    ///
    /// # Errors
    ///
    /// [`CodecError::Setting`] if a setting is out of its range.
    fn encoder(&self, settings: &EncoderSettings) -> Result<Box<dyn Encoder>, CodecError>;

    /// A decoder for one stream.
    ///
    /// # Errors
    ///
    /// [`CodecError::Failed`] if the codec cannot.
    fn decoder(&self) -> Result<Box<dyn Decoder>, CodecError>;
}

/// How a stream is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncoderSettings {
    /// Bits a second while something is said, from 6,000 to 128,000. It is kept to on average.
    pub bitrate: u32,
    /// How much work an encoder does, from 0 to 10.
    pub complexity: u8,
    /// Which share of packets is expected to be lost, in percent. Above 0, frames tell something of
    /// the frame before them ([`Decoder::recover`]).
    pub loss: u8,
    /// Whether an encoder tells silence ([`Encoded::Silence`]) instead of encoding it.
    pub discontinuous: bool,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        Self { bitrate: 32_000, complexity: 10, loss: 0, discontinuous: true }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoded {
    /// It is so many bytes, at least one and at most [`MAX_PAYLOAD`].
    Frame(usize),
    /// It is silence that goes on: there is nothing to be sent.
    Silence,
}

/// Makes bytes of one stream's frames, in their order.
pub trait Encoder: Send {
    /// Encodes one frame, [`FRAME`](super::FRAME) samples, into `out`, whose first bytes it writes.
    /// `out` has room for [`MAX_PAYLOAD`] bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError::Samples`] or [`CodecError::Room`] if a slice is not as long;
    /// [`CodecError::Failed`] if the codec cannot.
    fn encode(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<Encoded, CodecError>;

    /// Bits a second from the next frame on; what is out of range is brought into it.
    fn set_bitrate(&mut self, bits_per_second: u32);

    /// The share of packets that are expected to be lost from the next frame on, in percent: above 0
    /// frames tell something of the frame before them.
    fn set_loss(&mut self, percent: u8);
}

/// Makes samples of one stream's frames, in their order. Decoding, recovering and concealing go on
/// from each other. Decoding and recovering allocate nothing once each has been done once.
pub trait Decoder: Send {
    /// Decodes a frame, whoever made it. Returns how many samples of `out` it has written.
    ///
    /// # Errors
    ///
    /// [`CodecError::Frame`] if these bytes are no frame, or one longer than `out`. The decoder may be
    /// used on.
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError>;

    /// Decodes what `next` tells of the frame before it, which is lost. Returns how many samples of
    /// `out` it has written: none if `next` tells nothing, and then nothing has changed.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`].
    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError>;

    /// Goes on for `out.len()` samples, a multiple of 2.5 ms and at most a frame, as if nothing were
    /// missing, and quieter with time. Returns how many samples of `out` it has written.
    ///
    /// # Errors
    ///
    /// [`CodecError::Failed`] if the codec cannot.
    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError>;

    /// Forgets everything: another stream follows.
    fn reset(&mut self);
}

/// Why something is not encoded or decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum CodecError {
    /// A setting is out of its range.
    #[error("{value} as {setting} is not within {least} and {most}")]
    Setting {
        /// Its name in [`EncoderSettings`].
        setting: &'static str,
        /// What it is.
        value: u32,
        /// The least it may be.
        least: u32,
        /// The most it may be.
        most: u32,
    },
    /// These are not the samples of a frame.
    #[error("{0} samples are no frame")]
    Samples(usize),
    /// There is not enough room for an encoded frame.
    #[error("{0} bytes are less than the {MAX_PAYLOAD} that a frame may have")]
    Room(usize),
    /// Bytes are no frame, or a longer one than there is room for.
    #[error("{bytes} bytes are no frame of at most {room} samples")]
    Frame {
        /// How many bytes.
        bytes: usize,
        /// How many samples there is room for.
        room: usize,
    },
    /// The codec failed, for a reason of its own.
    #[error("the codec failed: {0}")]
    Failed(&'static str),
}
