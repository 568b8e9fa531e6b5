//! libopus behind the same traits as Parlor's own codec, set to the same.

use opus::{Application, Bandwidth, Bitrate, Channels, Error, Signal};
use parlor::audio::codec::{Codec, CodecError, Decoder, Encoded, Encoder, EncoderSettings};
use parlor::audio::{FRAME, RATE};

/// At this bitrate and below Parlor encodes no more than 8 kHz.
const WIDEBAND: u32 = 24_000;

/// libopus.
#[derive(Clone, Copy, Default, Debug)]
pub struct Libopus;

impl Codec for Libopus {
    fn encoder(&self, settings: &EncoderSettings) -> Result<Box<dyn Encoder>, CodecError> {
        let mut encoder =
            opus::Encoder::new(RATE, Channels::Mono, Application::Voip).map_err(failed)?;
        encoder.set_vbr(true).map_err(failed)?;
        encoder.set_vbr_constraint(false).map_err(failed)?;
        encoder.set_complexity(settings.complexity.into()).map_err(failed)?;
        encoder.set_dtx(settings.discontinuous).map_err(failed)?;
        let mut encoder = Box::new(Coder(encoder));
        encoder.set_bitrate(settings.bitrate);
        encoder.set_loss(settings.loss);
        Ok(encoder)
    }

    fn decoder(&self) -> Result<Box<dyn Decoder>, CodecError> {
        let decoder = opus::Decoder::new(RATE, Channels::Mono).map_err(failed)?;
        Ok(Box::new(Reader(decoder)))
    }
}

fn failed(error: Error) -> CodecError {
    CodecError::Failed(error.description())
}

struct Coder(opus::Encoder);

impl Encoder for Coder {
    fn encode(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<Encoded, CodecError> {
        match self.0.encode_float(pcm, out).map_err(failed)? {
            length @ 0..=2 => Ok(if length == 0 { Encoded::Frame(0) } else { Encoded::Silence }),
            length => Ok(Encoded::Frame(length)),
        }
    }

    fn set_bitrate(&mut self, bits_per_second: u32) {
        let rate = Bitrate::Bits(bits_per_second.cast_signed());
        self.0.set_bitrate(rate).expect("a bitrate that Parlor has");
        let most = if bits_per_second <= WIDEBAND { Bandwidth::Wideband } else { Bandwidth::Auto };
        self.0.set_bandwidth(most).expect("a bandwidth");
    }

    fn set_loss(&mut self, percent: u8) {
        self.0.set_packet_loss_perc(percent.into()).expect("a share");
        self.0.set_inband_fec(percent > 0).expect("a switch");
        let signal = if percent > 0 { Signal::Voice } else { Signal::Auto };
        self.0.set_signal(signal).expect("a sort of signal");
    }
}

struct Reader(opus::Decoder);

impl Decoder for Reader {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.0.decode_float(frame, out, false).map_err(failed)
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.0.decode_float(next, &mut out[..FRAME], true).map_err(failed)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        self.0.decode_float(&[], out, false).map_err(failed)
    }

    fn reset(&mut self) {
        self.0.reset_state().expect("a decoder that was made");
    }
}

/// Which libopus it is.
#[must_use]
pub fn version() -> &'static str {
    opus::version()
}
