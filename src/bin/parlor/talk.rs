//! `parlor talk`: a recording, what comes through a pipe or what a microphone captures, said in a room at
//! its own pace.

mod source;

use std::future::ready;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use parlor::audio::level::MeterConfig;
use parlor::net::Clock;
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::event::{Event, State};
use parlor::room::{AudioError, AudioInput, AudioInputOptions, Room};
use serde_json::json;

use self::source::Source;
use crate::arguments::voice::TalkArguments;
use crate::failure::Failure;
use crate::join::{self, Untyped, watch};
use crate::output::{FAINT, Output, paint};
use crate::relay::interrupted;
use crate::sound::device::Device;
use crate::sound::keys::{Key, Keys};
use crate::sound::meter::{Bar, Loudness};
use crate::sound::{Link, Pace};

/// How long the relay may take to open a stream.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pieces of silence behind what was said, 10 ms each: what is still being encoded goes out, and the end of
/// the talk spurt behind the pause that makes one.
const TAIL: u32 = 60;

/// Pieces between two looks of the meter.
const SHOWN_EVERY: u32 = 10;

/// Says something in a room until its end.
pub(crate) async fn run(arguments: &TalkArguments) -> Result<(), Failure> {
    let (source, piped) = open(arguments)?;
    let output = Output { json: arguments.join.peer.common.json };
    let mut room = Box::pin(join::enter(&arguments.join)).await?;
    let options = AudioInputOptions {
        rate: source.format.0,
        channels: source.format.1,
        muted: arguments.muted,
        ..AudioInputOptions::default()
    };
    let input = room.create_audio_input(options).map_err(Failure::failed)?;
    let mut talk = Talk {
        room,
        output,
        input,
        bar: Bar::new(output),
        loudness: Loudness::new(MeterConfig::default()),
        link: Link::default(),
        keyed: !piped,
        format: source.format,
        muted: arguments.muted,
        said: 0,
        unheard: 0,
        lost: None,
    };
    let keys = if piped { Keys::none() } else { Keys::open(arguments.until_eof) };
    Box::pin(talk.begin()).await?;
    Box::pin(talk.speak(source, keys)).await?;
    Box::pin(talk.end()).await
}

/// What is said, and whether it comes through standard input.
fn open(arguments: &TalkArguments) -> Result<(Source, bool), Failure> {
    let file = match (&arguments.file, &arguments.device) {
        (_, Some(name)) => return Ok((Source::capture(name.as_deref())?, false)),
        (Some(file), None) => file.as_path(),
        (None, None) if io::stdin().is_terminal() => {
            return Err(Failure::usage(
                "there is nothing to say: pass --file FILE or --device, or pipe a WAV in",
            ));
        }
        (None, None) => Path::new("-"),
    };
    Ok((Source::open(file, arguments.again)?, file.as_os_str() == "-"))
}

/// Somebody who speaks.
struct Talk {
    room: Room<Untyped>,
    output: Output,
    input: AudioInput,
    bar: Bar,
    loudness: Loudness,
    link: Link,
    /// Whether keys are for it.
    keyed: bool,
    /// Samples a second, and channels.
    format: (u32, usize),
    muted: bool,
    /// Samples that were said, and how many of them while muted.
    said: u64,
    unheard: u64,
    /// How many of a hundred packets the worst hearer missed at last.
    lost: Option<u8>,
}

/// What is next.
enum Turn {
    Said(Option<Vec<f32>>),
    Due,
    Key(Key),
    Room,
    Interrupted,
}

impl Talk {
    /// Waits until somebody can hear it.
    async fn begin(&mut self) -> Result<(), Failure> {
        let clock = Clock::new();
        while !self.input.is_live() {
            if Duration::from_micros(clock.now().as_micros()) > PATIENCE {
                return Err(Failure::failed("the relay has not opened the stream: try again"));
            }
            self.room.wait(Duration::from_millis(100)).await;
            self.report()?;
        }
        Ok(())
    }

    /// Says it all, and some silence.
    async fn speak(&mut self, mut source: Source, mut keys: Keys) -> Result<(), Failure> {
        let mut ended = pin!(interrupted());
        let (mut tail, mut turns) = (TAIL, 0_u32);
        let mut piece: Option<Vec<f32>> = None;
        let mut pace = self.start(&source)?;
        // What was captured before anybody could hear it is over.
        source.forget_captured();
        loop {
            source.check()?;
            let frames = piece.as_ref().map_or(0, Vec::len) / self.format.1;
            let turn = tokio::select! {
                next = source.next(), if piece.is_none() => Turn::Said(next?),
                // What is captured has waited for its time.
                () = pace.wait(frames), if piece.is_some() && source.device.is_none() => Turn::Due,
                () = ready(()), if piece.is_some() && source.device.is_some() => Turn::Due,
                key = keys.next() => Turn::Key(key),
                () = self.room.wait(Duration::from_secs(1)) => Turn::Room,
                () = &mut ended => Turn::Interrupted,
            };
            match turn {
                Turn::Said(Some(said)) => piece = Some(said),
                Turn::Said(None) if tail == 0 => break,
                Turn::Said(None) => {
                    tail -= 1;
                    piece = Some(self.silence());
                }
                Turn::Due => {
                    self.push(&piece.take().unwrap_or_default(), tail == TAIL)?;
                    pace.pass(frames);
                    turns += 1;
                    if turns.is_multiple_of(SHOWN_EVERY) {
                        self.show(&pace);
                    }
                }
                Turn::Key(Key::Mute) => self.mute()?,
                Turn::Room => self.report()?,
                Turn::Key(Key::Quit) | Turn::Interrupted => break,
            }
        }
        self.told(&pace, &source)
    }

    fn start(&self, source: &Source) -> Result<Pace, Failure> {
        let pace = Pace::new(self.format.0);
        let peer = self.room.peer().to_string();
        let ready = json!({
            "event": "talking",
            "peer": peer,
            "client": self.room.client().map(|client| client.0),
            "stream": self.input.number(),
            "rate": self.format.0,
            "channels": self.format.1,
            "device": source.device.as_ref().map(|device| &device.name),
            "unix_us": pace.began_unix(),
        });
        let by = source.device.as_ref().map(|device| format!(" by {}", device.name));
        let text = paint(FAINT, format_args!("speaking as {peer}{}", by.unwrap_or_default()));
        self.bar.above(|| self.output.tell(&ready, text))?;
        Ok(pace)
    }

    /// 10 ms of it.
    fn silence(&self) -> Vec<f32> {
        let (rate, channels) = self.format;
        vec![0.0; usize::try_from(rate / 100).unwrap_or(1) * channels]
    }

    fn push(&mut self, pcm: &[f32], is_said: bool) -> Result<(), Failure> {
        match self.input.push(pcm) {
            // A frame is lost.
            Err(AudioError::Codec(error)) => tracing::warn!(%error, "a frame is not said"),
            pushed => pushed.map_err(Failure::failed)?,
        }
        if is_said {
            let frames = (pcm.len() / self.format.1) as u64;
            self.said += frames;
            self.unheard += if self.muted { frames } else { 0 };
        }
        Ok(())
    }

    fn show(&mut self, pace: &Pace) {
        let now = pace.now();
        self.loudness.observe(now, self.input.level());
        let seconds = self.said / u64::from(self.format.0);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        self.bar.show(|| {
            let keys = match (self.keyed, self.muted) {
                (true, false) => "  m mutes, q ends",
                (true, true) => "  muted; m speaks, q ends",
                (false, _) => "",
            };
            format!("{}  {minutes}:{seconds:02}{keys}", self.loudness.text(now))
        });
    }

    fn mute(&mut self) -> Result<(), Failure> {
        self.muted = !self.muted;
        self.room.mute_audio_input(self.input.number(), self.muted);
        let object = json!({ "event": "muted", "muted": self.muted });
        let text = if self.muted { "muted" } else { "not muted any more" };
        self.bar.above(|| self.output.tell(&object, text))
    }

    /// Tells what happened.
    fn report(&mut self) -> Result<(), Failure> {
        while let Some(event) = self.room.poll_event() {
            match &event {
                Event::Voice(VoiceEvent::Refused { why, .. }) => return Err(Failure::failed(why)),
                Event::Voice(VoiceEvent::Reception { lost, .. }) => self.lost = Some(*lost),
                Event::State(State::Closed(reason)) => return Err(Failure::failed(reason)),
                _ => {}
            }
            let is_told = match &event {
                Event::State(state) => self.link.tells(state),
                event => matches!(
                    event,
                    Event::Voice(
                        VoiceEvent::Live { .. }
                            | VoiceEvent::Silenced { .. }
                            | VoiceEvent::Expires { .. }
                    )
                ),
            };
            let happened = is_told.then(|| watch::object(&event, |path| path.as_str().to_owned()));
            if let Some(happened) = happened.flatten() {
                self.bar.above(|| self.output.tell(&happened, watch::line(&happened)))?;
            }
        }
        Ok(())
    }

    /// Says how long it spoke.
    fn told(&self, pace: &Pace, source: &Source) -> Result<(), Failure> {
        let trouble = source.device.as_ref().and_then(Device::trouble);
        let seconds = |samples: u64| samples as f64 / f64::from(self.format.0);
        let (said, unheard) = (seconds(self.said), seconds(self.unheard));
        let object = json!({
            "event": "talked",
            "seconds": said,
            "muted_seconds": unheard,
            "lost_percent": self.lost,
            "clock_set_us": pace.clock_set(),
            "trouble": trouble,
        });
        let muted =
            if self.unheard > 0 { format!(", {unheard:.1} s of it muted") } else { String::new() };
        let lost = match self.lost {
            Some(lost @ 1..) => format!("; the worst hearer missed {lost} %"),
            _ => String::new(),
        };
        let trouble = trouble.map(|trouble| format!("; {trouble}")).unwrap_or_default();
        let text = format!("spoke for {said:.1} s{muted}{lost}{trouble}");
        self.bar.above(|| self.output.tell(&object, text))
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.room.close_audio_input(self.input.number());
        let settled = self.room.settled(PATIENCE).await;
        self.room.leave();
        self.room.wait(Duration::ZERO).await;
        if settled { Ok(()) } else { Err(Failure::failed("the relay was gone at the end")) }
    }
}
