//! `parlor listen`: who speaks in a room, heard by a loudspeaker, or at the pace of one that there is not.

mod ears;
mod table;

use std::pin::pin;
use std::time::Duration;

use parlor::audio::{BLOCK, RATE};
use parlor::proto::audio::stream::Hearing;
use parlor::proto::event::{Event, State};
use parlor::room::Room;
use serde_json::{Value as Json, json};

use self::ears::{Account, Ears};
use crate::arguments::voice::{ListenArguments, Whom};
use crate::failure::Failure;
use crate::join::watch;
use crate::join::{self, Untyped};
use crate::output::{FAINT, NAME, Output, paint};
use crate::relay::interrupted;
use crate::sound::device::Device;
use crate::sound::keys::{Key, Keys};
use crate::sound::meter::Bar;
use crate::sound::wav::Tape;
use crate::sound::{Link, Pace};

/// Blocks between two looks of the meters.
const SHOWN_EVERY: u64 = 10;

/// Hears a room until it is told to end.
pub(crate) async fn run(arguments: &ListenArguments) -> Result<(), Failure> {
    let output = Output { json: arguments.join.peer.common.json };
    let mut room = Box::pin(join::enter(&arguments.join)).await?;
    let loudspeaker = arguments.device.as_ref().map(Option::as_deref);
    let ears = Ears::new(&mut room, loudspeaker)?;
    let tape = arguments.out.as_deref().map(Tape::create).transpose()?;
    let mut listening = Listening {
        room,
        output,
        ears,
        hearing: Hearing { all: false, ..Hearing::default() },
        tape,
        bar: Bar::new(output),
        link: Link::default(),
        blocks: 0,
    };
    let heard = Box::pin(listening.hear(arguments)).await;
    // However it ended, what was heard is there.
    let kept = listening.tape.take().map_or(Ok(()), Tape::finish);
    let pace = heard?;
    kept?;
    listening.told(arguments, &pace)?;
    listening.room.leave();
    listening.room.wait(Duration::ZERO).await;
    Ok(())
}

/// Somebody who listens.
struct Listening {
    room: Room<Untyped>,
    output: Output,
    ears: Ears,
    /// Whom it hears.
    hearing: Hearing,
    tape: Option<Tape>,
    bar: Bar,
    link: Link,
    /// Of 10 ms, that were heard.
    blocks: u64,
}

/// What is next.
enum Turn {
    Due,
    Key(Key),
    Room,
    Interrupted,
}

impl Listening {
    async fn hear(&mut self, arguments: &ListenArguments) -> Result<Pace, Failure> {
        let mut ended = pin!(interrupted());
        let mut keys = Keys::open(arguments.until_eof);
        let mut pace = self.start()?;
        self.report(&arguments.who, &pace)?;
        let blocks = arguments.seconds.map(|seconds| (seconds * 100.0).ceil() as u64);
        while blocks.is_none_or(|blocks| self.blocks < blocks) {
            let turn = tokio::select! {
                () = pace.wait(0) => Turn::Due,
                key = keys.next() => Turn::Key(key),
                () = self.room.wait(Duration::from_secs(1)) => Turn::Room,
                () = &mut ended => Turn::Interrupted,
            };
            match turn {
                Turn::Due => {
                    self.block(&pace)?;
                    pace.pass(BLOCK);
                }
                Turn::Room => self.report(&arguments.who, &pace)?,
                Turn::Key(Key::Mute) => {}
                Turn::Key(Key::Quit) | Turn::Interrupted => break,
            }
        }
        Ok(pace)
    }

    fn start(&self) -> Result<Pace, Failure> {
        let pace = Pace::new(RATE);
        let (peer, members) = (self.room.peer().to_string(), self.room.members().count());
        let device = self.ears.device();
        let ready = json!({
            "event": "listening",
            "peer": peer,
            "client": self.room.client().map(|client| client.0),
            "members": members,
            "relay": self.room.relay().map(|relay| relay.to_string()),
            "device": device.map(|device| &device.name),
            "unix_us": pace.began_unix(),
        });
        let by = device.map(|device| format!(", by {}", device.name)).unwrap_or_default();
        let text = paint(FAINT, format_args!("listening as {peer}, one of {members}{by}"));
        self.bar.above(|| self.output.tell(&ready, text))?;
        Ok(pace)
    }

    /// Hears the next 10 ms.
    fn block(&mut self, pace: &Pace) -> Result<(), Failure> {
        let now = pace.now();
        let block = self.ears.read()?;
        if let (Some(tape), Some(block)) = (&mut self.tape, block) {
            tape.write(&block)?;
        }
        self.blocks += 1;
        if self.blocks.is_multiple_of(SHOWN_EVERY) {
            self.bar.show(|| {
                let meters = self.ears.meters(now).map(|(name, meter)| {
                    format!(
                        "{} {meter}",
                        paint(NAME, format_args!("{}.{}", name.client, name.number))
                    )
                });
                meters.collect::<Vec<_>>().join("  ")
            });
        }
        Ok(())
    }

    /// Tells what happened, and follows it.
    fn report(&mut self, who: &[Whom], pace: &Pace) -> Result<(), Failure> {
        while let Some(event) = self.room.poll_event() {
            if let Event::State(State::Closed(reason)) = &event {
                return Err(Failure::failed(reason));
            }
            if let Event::Voice(voice) = &event {
                self.ears.note(pace.now(), voice);
            }
            let is_told = match &event {
                Event::State(state) => self.link.tells(state),
                event => matches!(event, Event::Voice(_)),
            };
            if !is_told {
                continue;
            }
            if let Some(happened) = watch::object(&event, |path| path.as_str().to_owned()) {
                self.tell(&happened)?;
            }
        }
        let hearing = self.whom(who);
        if hearing != self.hearing {
            self.hearing = hearing;
            self.room.set_hearing(self.hearing.clone()).map_err(Failure::failed)?;
        }
        self.ears.follow(&self.room, &self.hearing);
        Ok(())
    }

    /// Whom it is to hear, of those who are there.
    fn whom(&self, who: &[Whom]) -> Hearing {
        if who.is_empty() {
            return Hearing::default();
        }
        let but = who.iter().filter_map(|whom| match whom {
            Whom::Peer(peer) => Some(*peer),
            Whom::Client(client) => {
                let mut members = self.room.members();
                members.find(|member| member.client == *client).map(|member| member.peer)
            }
        });
        Hearing { all: false, but: but.collect(), ..Hearing::default() }
    }

    fn tell(&self, happened: &Json) -> Result<(), Failure> {
        self.bar.above(|| self.output.tell(happened, watch::line(happened)))
    }

    /// Says how everybody was heard.
    fn told(&self, arguments: &ListenArguments, pace: &Pace) -> Result<(), Failure> {
        let accounts: Vec<Account> = self.ears.accounts().collect();
        let trouble = self.ears.device().and_then(Device::trouble);
        let seconds = self.blocks as f64 / 100.0;
        let object = json!({
            "event": "listened",
            "seconds": seconds,
            "out": arguments.out,
            "clock_set_us": pace.clock_set(),
            "trouble": trouble,
            "streams": accounts.iter().map(table::object).collect::<Vec<_>>(),
        });
        let out = arguments.out.as_ref().map(|out| format!(", written to {}", out.display()));
        let out = out.or_else(|| trouble.map(|trouble| format!("; {trouble}"))).unwrap_or_default();
        let table = if accounts.is_empty() {
            "nobody spoke".to_owned()
        } else {
            table::of(&accounts).to_string()
        };
        self.bar.above(|| {
            self.output.tell(&object, format_args!("{table}\nlistened for {seconds:.1} s{out}"))
        })
    }
}
