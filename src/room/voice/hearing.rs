//! Whom this peer hears, and how loud.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::audio::playout::statistics::PlayoutStatistics;
use crate::proto::audio::stream::{Hearing, StreamName};
use crate::proto::id::PeerId;
use crate::proto::model::Model;
use crate::room::Room;

/// The most exceptions of a [`Hearing`], by the specification.
const EXCEPTIONS: usize = 2_048;

/// As many members are heard otherwise than the others already as can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{limit} members have a setting of their own at most: take one back first")]
pub struct MembersFull {
    /// How many may be.
    pub limit: usize,
}

/// What the application says of whom it hears.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Whom, but for what follows; nobody, if it takes no part.
    base: Option<Hearing>,
    silenced: BTreeSet<PeerId>,
    deaf: bool,
}

impl Wishes {
    /// Those of who says at first whom it hears: of more than [`EXCEPTIONS`] the first count.
    pub(super) fn new(mut base: Hearing) -> Self {
        while base.but.len() > EXCEPTIONS {
            base.but.pop_last();
        }
        Self { base: Some(base), ..Self::default() }
    }

    /// Whom it hears beside what [`Self::silence`] and [`Self::deafen`] say.
    pub(super) fn set_base(&mut self, base: Option<Hearing>) -> Result<(), MembersFull> {
        let before = std::mem::replace(&mut self.base, base);
        let fits = self.fits();
        if fits.is_err() {
            self.base = before;
        }
        fits
    }

    fn silence(&mut self, peer: PeerId, silenced: bool, limit: usize) -> Result<(), MembersFull> {
        if !silenced {
            self.silenced.remove(&peer);
        } else if self.silenced.insert(peer) {
            let fits =
                if self.silenced.len() > limit { Err(MembersFull { limit }) } else { self.fits() };
            if fits.is_err() {
                self.silenced.remove(&peer);
            }
            return fits;
        }
        Ok(())
    }

    const fn deafen(&mut self, deaf: bool) {
        self.deaf = deaf;
    }

    /// Whom it hears after all; nothing, if it takes no part.
    pub(super) fn hearing(&self) -> Option<Hearing> {
        let mut hearing = self.base.clone()?;
        hearing.deaf |= self.deaf;
        for peer in &self.silenced {
            if hearing.all {
                hearing.but.insert(*peer);
            } else {
                hearing.but.remove(peer);
            }
        }
        Some(hearing)
    }

    fn fits(&self) -> Result<(), MembersFull> {
        // Who is silenced may be taken back at any time.
        let said = self.base.as_ref().map_or(0, |base| base.but.len());
        let exceptions = self.hearing().map_or(0, |hearing| hearing.but.len()).max(said);
        if exceptions > EXCEPTIONS { Err(MembersFull { limit: EXCEPTIONS }) } else { Ok(()) }
    }
}

impl<M: Model> Room<M> {
    /// Says whom this peer hears, but for those whom [`Self::silence_for_me`] silenced. It hears nobody
    /// before, and nothing comes.
    ///
    /// # Errors
    ///
    /// When that makes more than 2,048 exceptions: nothing is changed.
    pub fn set_hearing(&mut self, hearing: Hearing) -> Result<(), MembersFull> {
        self.voices.base(hearing)?;
        self.tell_hearing();
        Ok(())
    }

    /// Hears a member no more, or again: this peer alone, at once, and whatever else is said of whom it
    /// hears. It stays so when either comes back, until it is taken back.
    ///
    /// # Errors
    ///
    /// When [`VoiceOptions::members`](super::VoiceOptions::members) are silenced, or there would be more
    /// than 2,048 exceptions of whom this peer hears: nothing is changed.
    pub fn silence_for_me(&mut self, peer: PeerId, silenced: bool) -> Result<(), MembersFull> {
        let limit = self.voices.options.members;
        self.voices.wishes.silence(peer, silenced, limit)?;
        self.tell_hearing();
        Ok(())
    }

    /// Hears nobody for now, or again those it heard: who is silenced stays so.
    pub fn deafen(&mut self, deaf: bool) {
        self.voices.wishes.deafen(deaf);
        self.tell_hearing();
    }

    /// How loud a member is played, of all its streams: 0 is silence, 1 as it was said, 4 the most
    /// (400 %), as [`Gain::set`](crate::audio::mixer::Gain::set) has it. Changes within 10 ms, whether it
    /// is heard now or later, by a [`Listener`](super::Listener) or an
    /// [`AudioOutput`](super::AudioOutput), and stays so when either comes back. At 0 its packets still
    /// come: see [`Self::silence_for_me`].
    ///
    /// # Errors
    ///
    /// When [`VoiceOptions::members`](super::VoiceOptions::members) have a gain other than 1: nothing
    /// is changed.
    pub fn set_gain(&mut self, peer: PeerId, gain: f32) -> Result<(), MembersFull> {
        let limit = self.voices.options.members;
        let taken = self.voices.heard.set_gain(peer, gain, limit);
        if taken { Ok(()) } else { Err(MembersFull { limit }) }
    }

    /// How loud a member is played: what was set last, or 1.
    #[must_use]
    pub fn gain(&self, peer: PeerId) -> f32 {
        self.voices.heard.gain(peer)
    }

    /// How each stream is heard that is played here: delays, and what was lost, as it was at most 100 ms
    /// of sound before this room's last tick.
    pub fn hearing_statistics(&self) -> impl Iterator<Item = (StreamName, PlayoutStatistics)> {
        self.voices.heard.statistics()
    }

    /// Tells the relay whom this peer hears.
    pub(super) fn tell_hearing(&mut self) {
        let nobody = || Hearing { deaf: true, ..Hearing::default() };
        let said = self.peer.hearing().is_some();
        let hearing = self.voices.wishes.hearing().or_else(|| said.then(nobody));
        if let Some(hearing) = hearing {
            self.peer.set_hearing(hearing, self.clock.now());
            self.perform();
            self.follow_voices(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId::new([byte; 32])
    }

    #[test]
    fn who_is_silenced_stays_so_whatever_else_is_said() {
        let mut wishes = Wishes::default();
        wishes.silence(peer(1), true, 9).unwrap();
        assert_eq!(wishes.hearing(), None, "it takes no part");
        let some = Hearing { all: false, but: [peer(1), peer(2)].into(), deaf: false };
        for base in [Hearing::default(), some] {
            wishes.set_base(Some(base)).unwrap();
            for deaf in [true, false] {
                wishes.deafen(deaf);
                let hearing = wishes.hearing().unwrap();
                assert_eq!((hearing.hears(peer(1)), hearing.hears(peer(2))), (false, !deaf));
            }
        }
        wishes.silence(peer(1), false, 9).unwrap();
        assert!(wishes.hearing().unwrap().hears(peer(1)));
    }

    #[test]
    fn no_more_are_silenced_than_a_relay_takes() {
        let mut wishes = Wishes::default();
        wishes.set_base(Some(Hearing::default())).unwrap();
        wishes.silence(peer(1), true, 2).unwrap();
        wishes.silence(peer(2), true, 2).unwrap();
        wishes.silence(peer(2), true, 2).unwrap();
        assert_eq!(wishes.silence(peer(3), true, 2), Err(MembersFull { limit: 2 }));
        assert!(wishes.hearing().unwrap().hears(peer(3)));
        let of = |number: usize| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            PeerId::new(bytes)
        };
        let but = (0..EXCEPTIONS - 1).map(of).collect();
        let full = Err(MembersFull { limit: EXCEPTIONS });
        assert_eq!(wishes.set_base(Some(Hearing { but, ..Hearing::default() })), full);
        assert_eq!(wishes.hearing().unwrap().but.len(), 2, "as before");
    }
}
