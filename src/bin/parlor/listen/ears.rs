//! The voices of a room, all in one; and of each how loud it is, and how it was heard.

use std::collections::BTreeMap;

use parlor::audio::level::MeterConfig;
use parlor::audio::playout::statistics::PlayoutStatistics;
use parlor::audio::{BLOCK, RATE};
use parlor::proto::audio::stream::{Hearing, StreamName};
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::time::Time;
use parlor::room::{AudioError, Listener, Room};
use parlor::{PeerId, VoiceOptions};

use crate::failure::Failure;
use crate::join::Untyped;
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

/// Hears everybody whom the room says.
pub(super) struct Ears {
    listener: Listener,
    voices: BTreeMap<StreamName, Voice>,
}

impl Ears {
    /// Takes part in a room's voice, and hears nobody yet.
    pub(super) fn new(room: &mut Room<Untyped>) -> Result<Self, Failure> {
        let hearing = Hearing { all: false, ..Hearing::default() };
        let options = VoiceOptions { hearing, ..VoiceOptions::default() };
        room.join_voice(options).map_err(Failure::failed)?;
        let listener = room.listen((RATE, 1)).map_err(Failure::failed)?;
        Ok(Self { listener, voices: BTreeMap::new() })
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

    /// The next 10 ms of all.
    pub(super) fn read(&mut self, out: &mut [f32; BLOCK]) -> Result<(), AudioError> {
        self.listener.read(out)
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
