//! Recordings, in and out.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Cursor, Read};
use std::path::{Path, PathBuf};

use hound::{Error, SampleFormat, WavReader, WavSpec, WavWriter};
use parlor::audio::RATE;
use parlor::audio::pcm::Sample;
use parlor::audio::resample::{InputResampler, MAX_CHANNELS, MAX_RATE, MIN_RATE};

use crate::failure::Failure;

/// What stands before the samples of a stream is at most so long, in bytes.
const MAX_HEADER: usize = 1 << 16;

/// A length that says that nobody knows it, and the greatest that every size of samples divides.
const UNKNOWN: u32 = u32::MAX;
const LONGEST: u32 = u32::MAX / 10_080 * 10_080;

/// A WAV that is read.
pub(crate) struct Recording {
    name: String,
    reader: WavReader<Box<dyn Read + Send>>,
}

impl Recording {
    /// Opens a file, or standard input for `-`.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let (name, reader): (_, Box<dyn Read + Send>) = if path.as_os_str() == "-" {
            let stream = BufReader::new(io::stdin());
            ("standard input".to_owned(), Box::new(endless(stream)?))
        } else {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| unreadable(&name, &error))?;
            if file.metadata().is_ok_and(|file| file.is_file() && file.len() == 0) {
                return Err(empty(&name));
            }
            (name, Box::new(BufReader::new(file)))
        };
        let reader = WavReader::new(reader).map_err(|error| wrong(&name, &error))?;
        let recording = Self { name, reader };
        recording.check()?;
        Ok(recording)
    }

    fn check(&self) -> Result<(), Failure> {
        let Self { name, reader } = self;
        let (rate, channels) = self.format();
        if !(MIN_RATE..=MAX_RATE).contains(&rate) || channels > MAX_CHANNELS {
            return Err(Failure::failed(format_args!(
                "{name} has {channels} channels of {rate} samples a second, and 1 to {MAX_CHANNELS} of \
                 {MIN_RATE} to {MAX_RATE} can be said: convert it, for instance with `sox {name} -r \
                 {RATE} -c 1 out.wav`"
            )));
        }
        if reader.len() == 0 {
            return Err(empty(name));
        }
        let WavSpec { bits_per_sample: bits, sample_format, .. } = reader.spec();
        let good = match sample_format {
            SampleFormat::Int => matches!(bits, 8 | 16 | 24 | 32),
            SampleFormat::Float => bits == 32,
        };
        if good { Ok(()) } else { Err(wrong(name, &Error::Unsupported)) }
    }

    /// Samples a second, and channels.
    pub(crate) fn format(&self) -> (u32, usize) {
        let spec = self.reader.spec();
        (spec.sample_rate, usize::from(spec.channels))
    }

    /// The next samples, of all channels in turn, at most so many for each. None at the end, and where
    /// the rest was cut off.
    pub(crate) fn read(&mut self, most: usize) -> Result<Vec<f32>, Failure> {
        let spec = self.reader.spec();
        let channels = usize::from(spec.channels);
        let most = most * channels;
        let read: Result<Vec<f32>, Error> = match spec.sample_format {
            SampleFormat::Float => until_cut(self.reader.samples::<f32>().take(most)).collect(),
            SampleFormat::Int => {
                let full = (1_i64 << (spec.bits_per_sample - 1)) as f32;
                let samples = until_cut(self.reader.samples::<i32>().take(most));
                samples.map(|sample| sample.map(|sample| sample as f32 / full)).collect()
            }
        };
        let mut pcm = read.map_err(|error| wrong(&self.name, &error))?;
        pcm.truncate(pcm.len() / channels * channels);
        Ok(pcm)
    }
}

/// The samples before the place where a recording breaks off though its header promises more.
fn until_cut<S>(
    samples: impl Iterator<Item = Result<S, Error>>,
) -> impl Iterator<Item = Result<S, Error>> {
    // That is what hound says then.
    samples.take_while(|sample| {
        !matches!(sample, Err(Error::IoError(error)) if error.kind() == io::ErrorKind::Other)
    })
}

fn empty(name: &str) -> Failure {
    Failure::failed(format_args!("{name} holds no samples: record it again"))
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::failed(format_args!("cannot read {name}: {error}"))
}

fn wrong(name: &str, error: &Error) -> Failure {
    match error {
        Error::IoError(error) if error.kind() != io::ErrorKind::Other => unreadable(name, error),
        _ => Failure::failed(format_args!(
            "{name} is no WAV of integers of 8 to 32 bits or floats of 32: convert it, for instance with \
             `sox {name} -e signed -b 16 out.wav`"
        )),
    }
}

/// A stream whose writer does not know how long it will be, and says so by a length that no samples have:
/// as one of the greatest length.
fn endless(mut stream: impl Read + Send) -> Result<impl Read + Send, Failure> {
    let mut header = vec![0; 12];
    let taken = read_full(&mut stream, &mut header)?;
    header.truncate(taken);
    while header.len() >= 12 && header.len() < MAX_HEADER {
        let mut chunk = [0; 8];
        let taken = read_full(&mut stream, &mut chunk)?;
        let [.., a, b, c, d] = chunk;
        let length = u32::from_le_bytes([a, b, c, d]);
        if chunk.starts_with(b"data") && length == UNKNOWN {
            chunk[4..].copy_from_slice(&LONGEST.to_le_bytes());
        }
        header.extend(&chunk[..taken]);
        if taken < chunk.len() || chunk.starts_with(b"data") {
            break;
        }
        let length = usize::try_from(length).unwrap_or(MAX_HEADER).min(MAX_HEADER);
        let mut body = vec![0; length];
        let taken = read_full(&mut stream, &mut body)?;
        header.extend(&body[..taken]);
    }
    Ok(Cursor::new(header).chain(stream))
}

/// Fills `into` as far as the stream goes.
fn read_full(stream: &mut impl Read, into: &mut [u8]) -> Result<usize, Failure> {
    let mut filled = 0;
    while filled < into.len() {
        match stream.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable("standard input", &error)),
        }
    }
    Ok(filled)
}

/// All of a recording as one voice of 48 kHz, at most so many samples of that. What is left is not read.
pub(crate) fn whole(path: &Path, most: usize) -> Result<Vec<f32>, Failure> {
    let mut recording = Recording::open(path)?;
    let (rate, channels) = recording.format();
    let mut resampler = InputResampler::new(rate, channels).map_err(Failure::failed)?;
    let mut voice = Vec::new();
    loop {
        let pcm = recording.read(usize::try_from(rate).unwrap_or(usize::MAX))?;
        let full = resampler.push(0, &pcm, |_, frame| voice.extend(frame));
        full.map_err(Failure::failed)?;
        if pcm.is_empty() || voice.len() >= most {
            voice.truncate(most);
            return Ok(voice);
        }
    }
}

/// A WAV that is written: one channel of 48 kHz and 16 bits.
pub(crate) struct Tape {
    path: PathBuf,
    writer: WavWriter<BufWriter<File>>,
    written: u32,
    kept: u32,
}

/// Samples after which what was written is there however the process ends: a second.
const KEPT_EVERY: u32 = RATE;

/// The most samples of a file: its length has 32 bits. 12 hours.
const MOST: u32 = 12 * 3_600 * RATE;

impl Tape {
    /// A new file, in the place of any that was there.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let writer = WavWriter::create(path, spec).map_err(|error| unwritten(path, &error))?;
        Ok(Self { path: path.to_owned(), writer, written: 0, kept: 0 })
    }

    /// Writes samples at the end.
    pub(crate) fn write(&mut self, pcm: &[f32]) -> Result<(), Failure> {
        for sample in pcm {
            let written = self.writer.write_sample(i16::from_f32(*sample));
            written.map_err(|error| unwritten(&self.path, &error))?;
        }
        self.written += u32::try_from(pcm.len()).unwrap_or(MOST);
        if self.written >= MOST {
            return Err(Failure::failed(format_args!(
                "{} is full after 12 hours: begin another",
                self.path.display()
            )));
        }
        if self.written - self.kept >= KEPT_EVERY {
            self.kept = self.written;
            return self.writer.flush().map_err(|error| unwritten(&self.path, &error));
        }
        Ok(())
    }

    /// Ends the file.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.writer.finalize().map_err(|error| unwritten(&self.path, &error))
    }
}

fn unwritten(path: &Path, error: &Error) -> Failure {
    Failure::failed(format_args!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV as it comes through a pipe, with what its header says of its length.
    fn piped(length: u32, samples: &[i16]) -> Vec<u8> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
        let mut bytes = bytes.into_inner();
        let at = bytes.windows(4).position(|word| word == b"data").unwrap() + 4;
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn a_stream_whose_length_nobody_knows_is_read_to_its_end() {
        for length in [UNKNOWN, 0x7fff_f000, 6] {
            let stream = endless(Cursor::new(piped(length, &[-32_768, 0, 16_384]))).unwrap();
            let reader = WavReader::new(Box::new(stream) as Box<dyn Read + Send>).unwrap();
            let mut recording = Recording { name: "it".to_owned(), reader };
            assert_eq!(recording.read(2).unwrap(), [-1.0, 0.0]);
            assert_eq!(recording.read(2).unwrap(), [0.5]);
            assert!(recording.read(2).unwrap().is_empty());
        }
    }

    #[test]
    fn what_is_no_recording_is_left_to_the_reader_as_it_is() {
        for bytes in [&b""[..], b"RIFF", b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xffabc"] {
            let mut read = Vec::new();
            endless(bytes).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
        }
    }
}
