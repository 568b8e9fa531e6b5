//! Opus (RFC 6716) by `opus-pure`.

use opus_pure::{
    Application, Bandwidth, Error, OpusDecoder, OpusEncoder, OpusMode, RateControl, Signal, packet,
};

use super::codec::{Codec, CodecError, Decoder, Encoded, Encoder, EncoderSettings};
use super::{FRAME, RATE};
use crate::proto::audio::packet::MAX_PAYLOAD;

/// The lowest and highest bitrate, in bits a second.
const BITRATE: (u32, u32) = (6_000, 128_000);

/// At this bitrate and below, no more than 8 kHz are encoded: measured, what is above costs more than
/// it gives once frames tell something of those before them.
const WIDEBAND: u32 = 24_000;

/// Bytes of a frame that says only that silence goes on, at most.
const SILENCE: usize = 2;

/// The codec.
#[derive(Clone, Copy, Default, Debug)]
pub struct Opus;

impl Codec for Opus {
    fn encoder(&self, settings: &EncoderSettings) -> Result<Box<dyn Encoder>, CodecError> {
        check("bitrate", settings.bitrate, BITRATE)?;
        check("complexity", settings.complexity.into(), (0, 10))?;
        check("loss", settings.loss.into(), (0, 100))?;
        let mut encoder = OpusEncoder::new(RATE.cast_signed(), 1, Application::Voip)
            .map_err(|error| CodecError::Failed(reason(&error)))?;
        encoder.rate_control = RateControl::Vbr;
        encoder.complexity = settings.complexity.into();
        encoder.use_dtx = settings.discontinuous;
        let mut encoder = Box::new(Coder(encoder));
        encoder.set_bitrate(settings.bitrate);
        encoder.set_loss(settings.loss);
        Ok(encoder)
    }

    fn decoder(&self) -> Result<Box<dyn Decoder>, CodecError> {
        OpusDecoder::new(RATE.cast_signed(), 1)
            .map(|decoder| -> Box<dyn Decoder> { Box::new(Reader(decoder)) })
            .map_err(|error| CodecError::Failed(reason(&error)))
    }
}

struct Coder(OpusEncoder);

impl Encoder for Coder {
    fn encode(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<Encoded, CodecError> {
        if pcm.len() != FRAME {
            return Err(CodecError::Samples(pcm.len()));
        }
        // What it is given is what it may use.
        let room = out.len();
        let out = out.get_mut(..MAX_PAYLOAD).ok_or(CodecError::Room(room))?;
        match self.0.encode(pcm, FRAME, out) {
            Ok(length) if length <= SILENCE => Ok(Encoded::Silence),
            Ok(length) => Ok(Encoded::Frame(length)),
            Err(error) => Err(CodecError::Failed(reason(&error))),
        }
    }

    fn set_bitrate(&mut self, bits_per_second: u32) {
        let bitrate = bits_per_second.clamp(BITRATE.0, BITRATE.1);
        self.0.bitrate_bps = bitrate.cast_signed();
        self.0.force_bandwidth = (bitrate <= WIDEBAND).then_some(Bandwidth::Wideband);
    }

    fn set_loss(&mut self, percent: u8) {
        self.0.packet_loss_perc = percent.min(100).into();
        self.0.use_inband_fec = percent > 0;
        // What is taken for music is encoded by a part of Opus that tells nothing of the frame before.
        self.0.signal_type = (percent > 0).then_some(Signal::Voice);
    }
}

struct Reader(OpusDecoder);

impl Decoder for Reader {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let wrong = CodecError::Frame { bytes: frame.len(), room: out.len() };
        let samples = packet::samples_48k(frame).map_err(|_| wrong)?;
        if samples > out.len() {
            return Err(wrong);
        }
        self.0.decode(frame, out.len(), out).map_err(|_| wrong)
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        let wrong = CodecError::Frame { bytes: next.len(), room: out.len() };
        let samples = packet::samples_48k(next).map_err(|_| wrong)?;
        if samples > out.len() {
            return Err(wrong);
        }
        if !tells_of_before(next) {
            return Ok(0);
        }
        self.0.decode_fec(next, samples, out).map_err(|_| wrong)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        self.0.decode(&[], out.len(), out).map_err(|error| CodecError::Failed(reason(&error)))
    }

    fn reset(&mut self) {
        // It only fails where making it failed.
        let _reset = self.0.reset_state();
    }
}

/// Whether a frame of 20 ms has a copy of the one before: RFC 6716, section 4.2.3. The bits in front
/// of a frame say which of its parts are voice, one for each 20 ms, and then whether there is a copy.
fn tells_of_before(frame: &[u8]) -> bool {
    let &[toc, first, ..] = frame else { return false };
    let one_frame = toc & 0b11 == 0 && packet::samples_48k(frame).is_ok_and(|all| all <= FRAME);
    one_frame
        && packet::mode(frame).is_ok_and(|mode| mode != OpusMode::CeltOnly)
        && first & 0b0100_0000 != 0
}

const fn check(
    setting: &'static str,
    value: u32,
    (least, most): (u32, u32),
) -> Result<(), CodecError> {
    if value < least || value > most {
        return Err(CodecError::Setting { setting, value, least, most });
    }
    Ok(())
}

/// The codec's own words.
const fn reason(error: &Error) -> &'static str {
    match error {
        Error::InvalidArgument(reason)
        | Error::InvalidPacket(reason)
        | Error::InvalidStream(reason)
        | Error::Internal(reason) => reason,
        Error::BufferTooSmall { .. } => "a buffer is too small",
        // Grows with the crate; files are not read here.
        Error::Io(_) | _ => "an unknown failure",
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Something like a voice: a few harmonics of a pitch that wavers, in syllables.
    fn voice(frame: usize) -> Vec<f32> {
        let sample = |at: usize| {
            let t = at as f32 / 48_000.0;
            let pitch = 140.0 * t + 3.0 * (t * 2.0).sin();
            let syllable = 0.6 + 0.4 * (t * TAU * 4.0).sin();
            let tones = 1_u8..9;
            tones.map(|k| (TAU * pitch * f32::from(k)).sin() / f32::from(k)).sum::<f32>()
                * 0.15
                * syllable
        };
        (frame * FRAME..(frame + 1) * FRAME).map(sample).collect()
    }

    fn encode(encoder: &mut dyn Encoder, pcm: &[f32]) -> Option<Vec<u8>> {
        let mut out = [0; MAX_PAYLOAD];
        match encoder.encode(pcm, &mut out).unwrap() {
            Encoded::Frame(length) => Some(out[..length].to_vec()),
            Encoded::Silence => None,
        }
    }

    fn frames(settings: &EncoderSettings, count: usize) -> Vec<Vec<u8>> {
        let mut encoder = Opus.encoder(settings).unwrap();
        (0..count).map(|frame| encode(&mut *encoder, &voice(frame)).unwrap()).collect()
    }

    /// Power of what differs, over all that is said.
    fn difference(said: &[f32], heard: &[f32]) -> f32 {
        let power = |of: &mut dyn Iterator<Item = f32>| of.map(|x| x * x).sum::<f32>();
        power(&mut said.iter().zip(heard).map(|(a, b)| a - b)) / power(&mut said.iter().copied())
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let refused = |settings| Opus.encoder(&settings).err();
        let usual = EncoderSettings::default();
        for (settings, setting, value) in [
            (EncoderSettings { bitrate: 5_999, ..usual }, "bitrate", 5_999),
            (EncoderSettings { bitrate: 128_001, ..usual }, "bitrate", 128_001),
            (EncoderSettings { complexity: 11, ..usual }, "complexity", 11),
            (EncoderSettings { loss: 101, ..usual }, "loss", 101),
        ] {
            let error = refused(settings);
            assert!(
                matches!(error, Some(CodecError::Setting { setting: s, value: v, .. })
                    if (s, v) == (setting, value)),
                "{error:?}"
            );
        }
        assert_eq!(refused(usual), None);
    }

    #[test]
    fn slices_of_other_lengths_are_refused() {
        let mut encoder = Opus.encoder(&EncoderSettings::default()).unwrap();
        let short = encoder.encode(&[0.0; FRAME - 1], &mut [0; MAX_PAYLOAD]);
        assert_eq!(short, Err(CodecError::Samples(FRAME - 1)));
        let no_room = encoder.encode(&[0.0; FRAME], &mut [0; MAX_PAYLOAD - 1]);
        assert_eq!(no_room, Err(CodecError::Room(MAX_PAYLOAD - 1)));
        let long = frames(&EncoderSettings::default(), 1).remove(0);
        let mut decoder = Opus.decoder().unwrap();
        let room = CodecError::Frame { bytes: long.len(), room: FRAME / 2 };
        assert_eq!(decoder.decode(&long, &mut [0.0; FRAME / 2]), Err(room));
    }

    #[test]
    fn the_bitrate_is_kept_to_on_average() {
        for bitrate in [24_000, 32_000] {
            let frames = frames(&EncoderSettings { bitrate, ..EncoderSettings::default() }, 250);
            let bytes: usize = frames.iter().map(Vec::len).sum();
            let rate = bytes * 8 / 5;
            assert!((bitrate as usize).abs_diff(rate) < bitrate as usize / 5, "{bitrate}: {rate}");
        }
    }

    #[test]
    fn silence_is_told_and_not_encoded() {
        let mut encoder = Opus.encoder(&EncoderSettings::default()).unwrap();
        for frame in 0..50 {
            assert!(encode(&mut *encoder, &voice(frame)).is_some());
        }
        let silent = (0..100).filter(|_| encode(&mut *encoder, &[0.0; FRAME]).is_none()).count();
        assert!(silent > 50, "{silent} of 100");
        let settings = EncoderSettings { discontinuous: false, ..EncoderSettings::default() };
        let mut encoder = Opus.encoder(&settings).unwrap();
        assert!((0..100).all(|_| encode(&mut *encoder, &[0.0; FRAME]).is_some()));
    }

    #[test]
    fn a_lost_frame_is_better_recovered_than_concealed() {
        let settings = EncoderSettings { loss: 10, ..EncoderSettings::default() };
        let frames = frames(&settings, 100);
        let (mut recovered, mut concealed) = (Vec::new(), Vec::new());
        let (mut whole, mut tellers) = (Vec::new(), 0);
        let mut decoders: Vec<_> = (0..3).map(|_| Opus.decoder().unwrap()).collect();
        for (at, frame) in frames.iter().enumerate() {
            let mut out = [0.0; FRAME];
            decoders[0].decode(frame, &mut out).unwrap();
            whole.extend(out);
            let lost = at % 5 == 3;
            let told = lost && decoders[1].recover(&frames[at + 1], &mut out) == Ok(FRAME);
            if lost && !told {
                assert_eq!(decoders[1].conceal(&mut out), Ok(FRAME));
            } else if !lost {
                assert_eq!(decoders[1].decode(frame, &mut out), Ok(FRAME));
            }
            tellers += usize::from(told);
            recovered.extend(out);
            let samples = if lost {
                decoders[2].conceal(&mut out)
            } else {
                decoders[2].decode(frame, &mut out)
            };
            assert_eq!(samples, Ok(FRAME));
            concealed.extend(out);
        }
        let (recovered, concealed) =
            (difference(&whole, &recovered), difference(&whole, &concealed));
        assert!(tellers > 10, "{tellers} of 20");
        assert!(recovered < concealed / 2.0, "{recovered} and {concealed}");
    }

    #[test]
    fn frames_that_tell_nothing_of_those_before_recover_nothing() {
        let frames = frames(&EncoderSettings::default(), 50);
        let mut decoder = Opus.decoder().unwrap();
        let mut out = [0.0; FRAME];
        for frame in &frames {
            assert_eq!(decoder.recover(frame, &mut out), Ok(0));
            assert_eq!(decoder.decode(frame, &mut out), Ok(FRAME));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_bytes_are_decoded_or_refused(
            calls in vec((0_u8..4, vec(any::<u8>(), 0..200), any::<(u8, u8)>()), 1..60),
        ) {
            let said = frames(&EncoderSettings { loss: 10, ..EncoderSettings::default() }, 8);
            let mut decoder = Opus.decoder().unwrap();
            let mut out = [0.0; FRAME];
            for (call, bytes, (at, flip)) in calls {
                let mut torn = said[usize::from(at) % said.len()].clone();
                let place = usize::from(flip) % torn.len();
                torn[place] ^= flip;
                let samples = match call {
                    0 => decoder.decode(&bytes, &mut out),
                    1 => decoder.decode(&torn, &mut out),
                    2 => decoder.recover(&torn, &mut out),
                    _ => decoder.conceal(&mut out),
                };
                prop_assert!(samples.is_ok_and(|samples| samples <= FRAME) || samples.is_err());
            }
        }
    }
}
