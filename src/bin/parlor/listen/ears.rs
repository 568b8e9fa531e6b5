//! The voices of a room, all in one; and of each how loud it is, and how it was heard.

use std::collections::BTreeMap;

use parlor::audio::level::MeterConfig;
use parlor::audio::playout::statistics::PlayoutStatistics;
use parlor::audio::{BLOCK, RATE};
use parlor::proto::audio::stream::{Hearing, StreamName};
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::time::Time;
use parlor::room::{Listener, Room};
use parlor::{PeerId, VoiceOptions};

use crate::failure::Failure;
use crate::join::Untyped;
use crate::sound::device::{self, Device};
use crate::sound::meter::Loudness;

/// Voices in the table at the end. Of more, the first that are over are forgotten.
const VOICES: usize = 256;

/// How one voice was heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub(super) name: StreamName,
    pub(super) peer: PeerId,
    pub(super) counts: PlayoutStatistics,
}

struct Voice {
    peer: PeerId,
    counts: Option<PlayoutStatistics>,
    loudness: Loudness,
    open: bool,
}

/// Who plays what is heard, at which pace.
enum Player {
    /// Whoever reads it, though there is no loudspeaker.
    Reader(Box<Listener>),
    Loudspeaker(Device),
}

/// Hears everybody whom the room says.
pub(super) struct Ears {
    player: Player,
    voices: BTreeMap<StreamName, Voice>,
}

impl Ears {
    /// Takes part in a room's voice, and hears nobody yet. Plays it by a loudspeaker, if one is named,
    /// or without a name the system's own.
    pub(super) fn new(
        room: &mut Room<Untyped>,
        loudspeaker: Option<Option<&str>>,
    ) -> Result<Self, Failure> {
        let hearing = Hearing { all: false, ..Hearing::default() };
        let options = VoiceOptions { hearing, ..VoiceOptions::default() };
        room.join_voice(options).map_err(Failure::failed)?;
        let mut listen = |format| room.listen(format).map_err(Failure::failed);
        let player = match loudspeaker {
            Some(name) => Player::Loudspeaker(device::play(name, listen)?),
            None => Player::Reader(Box::new(listen((RATE, 1))?)),
        };
        Ok(Self { player, voices: BTreeMap::new() })
    }

    /// The loudspeaker, if there is one.
    pub(super) const fn device(&self) -> Option<&Device> {
        match &self.player {
            Player::Reader(_) => None,
            Player::Loudspeaker(device) => Some(device),
        }
    }

    /// Takes how loud voices were.
    pub(super) fn note(&mut self, now: Time, event: &VoiceEvent) {
        let VoiceEvent::Levels(levels) = event else { return };
        for level in levels {
            if let Some(voice) = self.voices.get_mut(&level.name) {
                voice.loudness.observe(now, level.level);
            }
        }
    }

    /// Takes from the room who is heard, and how.
    pub(super) fn follow(&mut self, room: &Room<Untyped>, hearing: &Hearing) {
        self.voices.values_mut().for_each(|voice| voice.open = false);
        let me = room.peer();
        for stream in room.streams() {
            if stream.peer != me && hearing.hears(stream.peer) {
                let voice = self.voices.entry(stream.name).or_insert_with(|| Voice {
                    peer: stream.peer,
                    counts: None,
                    loudness: Loudness::new(MeterConfig::default()),
                    open: true,
                });
                voice.open = true;
            }
        }
        for (name, counts) in room.hearing_statistics() {
            if let Some(voice) = self.voices.get_mut(&name) {
                voice.counts = Some(counts);
            }
        }
        while self.voices.len() > VOICES
            && let Some((name, _)) = self.voices.iter().find(|(_, voice)| !voice.open)
        {
            let name = *name;
            self.voices.remove(&name);
        }
    }

    /// The next 10 ms of all; nothing, if a loudspeaker plays them.
    ///
    /// # Errors
    ///
    /// When the loudspeaker is lost.
    pub(super) fn read(&mut self) -> Result<Option<[f32; BLOCK]>, Failure> {
        match &mut self.player {
            Player::Reader(listener) => {
                let mut block = [0.0; BLOCK];
                listener.read(&mut block).map_err(Failure::failed)?;
                Ok(Some(block))
            }
            Player::Loudspeaker(device) => device.lost().map_or(Ok(None), Err),
        }
    }

    /// The voices that are open, with their meters.
    pub(super) fn meters(&self, now: Time) -> impl Iterator<Item = (StreamName, String)> {
        let open = self.voices.iter().filter(|(_, voice)| voice.open);
        open.map(move |(name, voice)| (*name, voice.loudness.text(now)))
    }

    /// How all were heard, also those that are over.
    pub(super) fn accounts(&self) -> impl Iterator<Item = Account> {
        self.voices.iter().filter_map(|(name, voice)| {
            Some(Account { name: *name, peer: voice.peer, counts: voice.counts? })
        })
    }
}
