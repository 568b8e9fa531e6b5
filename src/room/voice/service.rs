//! Voice as one thing that is joined and left.

use std::time::Duration;

use super::MembersFull;
use crate::audio::playout::config::PlayoutConfig;
use crate::audio::speakers::SpeakersConfig;
use crate::proto::audio::stream::Hearing;
use crate::proto::event::State;
use crate::proto::event::voice::{VoiceEvent, VoiceJoin, VoiceLeave};
use crate::proto::model::Model;
use crate::proto::reason::Reason;
use crate::room::Room;

/// How a peer takes part in voice.
#[derive(Clone, PartialEq, Debug)]
pub struct VoiceOptions {
    /// Whom it hears: everybody.
    pub hearing: Hearing,
    /// How often [`VoiceEvent::Levels`] tells how loud it is: 100 ms. 1 to 99 ms count as 100, and
    /// nothing is told for 0.
    pub levels: Duration,
    /// Who counts as speaking for [`VoiceEvent::Speaking`].
    pub speakers: SpeakersConfig,
    /// How streams are played that are heard from now on.
    pub playout: PlayoutConfig,
    /// How many streams a [`Listener`](super::Listener) mixes that is asked for from now on. Of one
    /// more, the newest is not heard until another goes. 64, each of about 100 KB, and of what its
    /// packets have where those are long, at most 0.5 MB.
    pub voices: usize,
    /// How long a stream that was closed is still mixed, so that what is on its way to the loudspeaker
    /// is heard. 500 ms.
    pub linger: Duration,
    /// Packets of a stream that wait for a device to read them: 256, 5 s of them. Of more the newest are
    /// thrown away.
    pub waiting: usize,
    /// Packets whose levels wait for the room's next tick: 4,096, of 30 who speak for 2.5 s. How loud
    /// the newest are of more is not known.
    pub watched: usize,
    /// How many members may have a gain other than 1, and how many may be silenced. For more there is
    /// an error. 2,048.
    pub members: usize,
}

impl Default for VoiceOptions {
    fn default() -> Self {
        Self {
            hearing: Hearing::default(),
            levels: Duration::from_millis(100),
            speakers: SpeakersConfig::default(),
            playout: PlayoutConfig::default(),
            voices: 64,
            linger: Duration::from_millis(500),
            waiting: 256,
            watched: 4_096,
            members: 2_048,
        }
    }
}

/// Whether this peer takes part.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Service {
    /// It does not want to.
    #[default]
    Out,
    /// It wants to, and is not in the room yet.
    Wanted,
    /// It does.
    In,
    /// It did, and comes back.
    Away,
    /// It wants to, and is in the room of a relay that carries no voice.
    Unsupported,
    /// It wants to, and was not let in.
    Refused,
    /// It did, and the room is over.
    Over,
}

impl Service {
    /// The application wants to take part.
    pub(super) const fn want(&mut self) {
        if matches!(self, Self::Out) {
            *self = Self::Wanted;
        }
    }

    /// The application does not want to. What to tell of that.
    pub(super) fn leave(&mut self) -> Option<VoiceEvent> {
        let took_part = matches!(std::mem::take(self), Self::Wanted | Self::In | Self::Away);
        took_part.then_some(VoiceEvent::Left { why: VoiceLeave::Asked })
    }

    /// The room is in a state, at a relay that carries voices or not. What to tell of that.
    pub(super) fn observe(&mut self, state: &State, is_carried: bool) -> Option<VoiceEvent> {
        let over = |reason: &Reason| VoiceLeave::RoomOver { reason: reason.clone() };
        let (next, told) = match (&*self, state) {
            (Self::Wanted | Self::Refused | Self::Away | Self::Over, State::Ready)
                if !is_carried =>
            {
                (Self::Unsupported, Some(VoiceEvent::Left { why: VoiceLeave::Unsupported }))
            }
            // Of that it was told.
            (Self::Unsupported, State::Closed(_)) => (Self::Refused, None),
            (
                Self::Unsupported,
                State::Connecting | State::Joining | State::Reconnecting { .. },
            ) => (Self::Wanted, None),
            (Self::Wanted | Self::Refused, State::Ready) => {
                (Self::In, Some(VoiceEvent::Joined { how: VoiceJoin::First }))
            }
            (Self::Away | Self::Over, State::Ready) => {
                (Self::In, Some(VoiceEvent::Joined { how: VoiceJoin::Again }))
            }
            (Self::In, State::Reconnecting { reason, .. }) => {
                let why = VoiceLeave::Disconnected { reason: reason.clone() };
                (Self::Away, Some(VoiceEvent::Left { why }))
            }
            (Self::Wanted, State::Closed(reason)) => {
                (Self::Refused, Some(VoiceEvent::Left { why: over(reason) }))
            }
            (Self::In | Self::Away, State::Closed(reason)) => {
                (Self::Over, Some(VoiceEvent::Left { why: over(reason) }))
            }
            // The room goes online anew.
            (Self::Refused, State::Connecting | State::Joining) => (Self::Wanted, None),
            (Self::Over, State::Connecting | State::Joining) => (Self::Away, None),
            (unchanged, _) => (*unchanged, None),
        };
        *self = next;
        told
    }
}

impl<M: Model> Room<M> {
    /// Takes part in voice: at once, or as soon as this peer is in the room, and again whenever it
    /// comes back. [`VoiceEvent::Joined`] says that it does, [`VoiceLeave::Unsupported`] that its relay
    /// is too old. It hears whom the options say, but for those whom [`Self::silence_for_me`] silenced;
    /// what it says goes out by [`Self::create_audio_input`].
    ///
    /// May be called at any time and any number of times: the last options count.
    ///
    /// # Errors
    ///
    /// When the options except more members from what is heard than a relay takes: nothing is changed.
    pub fn join_voice(&mut self, options: VoiceOptions) -> Result<(), MembersFull> {
        self.voices.base(options.hearing.clone())?;
        let changed = self.voices.options != options;
        self.voices.options = options;
        self.voices.service.want();
        if let Some(carrier) = self.carrier.as_ref().filter(|_| changed) {
            self.voices.change_meters(carrier);
        }
        self.tell_hearing();
        Ok(())
    }

    /// Takes part in voice no more: closes all inputs, and hears nobody. Returns whether it did, or was
    /// about to, of which [`VoiceEvent::Left`] tells, once. Works at any time: a join that is not
    /// complete never will be.
    pub fn leave_voice(&mut self) -> bool {
        let numbers: Vec<u8> = self.voices.inputs.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.close_audio_input(number));
        self.voices.forget_base();
        self.tell_hearing();
        let left = self.voices.service.leave();
        let was_in = left.is_some();
        left.into_iter().for_each(|left| self.voices.tell(left));
        was_in
    }

    /// Whether this peer takes part in voice now.
    #[must_use]
    pub fn is_in_voice(&self) -> bool {
        self.voices.service == Service::In
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECONNECTING: State =
        State::Reconnecting { attempt: 1, wait: Duration::ZERO, reason: Reason::Lost };

    fn joined(how: VoiceJoin) -> Option<VoiceEvent> {
        Some(VoiceEvent::Joined { how })
    }

    fn left(why: VoiceLeave) -> Option<VoiceEvent> {
        Some(VoiceEvent::Left { why })
    }

    #[test]
    fn it_is_joined_once_and_comes_back_and_is_left_once() {
        let mut service = Service::default();
        assert_eq!(service.observe(&State::Ready, true), None);
        for _ in 0..2 {
            service.want();
        }
        assert_eq!(service.observe(&State::Joining, true), None);
        assert_eq!(service.observe(&State::Ready, true), joined(VoiceJoin::First));
        service.want();
        assert_eq!(service.observe(&State::Ready, true), None);
        let lost = || left(VoiceLeave::Disconnected { reason: Reason::Lost });
        for _ in 0..2 {
            assert_eq!(service.observe(&RECONNECTING, true), lost());
            assert_eq!(service.observe(&RECONNECTING, true), None);
            assert_eq!(service.observe(&State::Joining, true), None);
            assert_eq!(service.observe(&State::Ready, true), joined(VoiceJoin::Again));
        }
        assert_eq!(service.leave(), left(VoiceLeave::Asked));
        assert_eq!(service.leave(), None);
        assert_eq!(service.observe(&State::Ready, true), None);
        service.want();
        assert_eq!(service.observe(&State::Ready, true), joined(VoiceJoin::First));
    }

    #[test]
    fn an_older_relay_is_told_of_once_and_a_newer_one_is_joined() {
        let unsupported = || left(VoiceLeave::Unsupported);
        for before in [State::Connecting, State::Ready] {
            let mut service = Service::default();
            service.want();
            service.observe(&before, true);
            service.observe(&RECONNECTING, false);
            for _ in 0..2 {
                assert_eq!(service.observe(&State::Joining, false), None);
                assert_eq!(service.observe(&State::Ready, false), unsupported());
                assert_eq!(service.observe(&State::Ready, false), None);
                assert_ne!(service, Service::In);
                assert_eq!(service.observe(&RECONNECTING, false), None);
            }
            assert_eq!(service.observe(&State::Ready, true), joined(VoiceJoin::First));
        }
        let mut service = Service::default();
        service.want();
        service.observe(&State::Ready, false);
        let closed = State::Closed(Reason::Left);
        assert_eq!(service.observe(&closed, false), None, "it was told already");
        assert_eq!(service.observe(&State::Connecting, false), None);
        let over = left(VoiceLeave::RoomOver { reason: Reason::Left });
        assert_eq!(service.observe(&closed, false), over);
    }

    #[test]
    fn leaving_wins_over_a_join_that_is_not_complete() {
        for state in [State::Connecting, State::Joining, RECONNECTING] {
            let mut service = Service::default();
            service.want();
            assert_eq!(service.observe(&state, true), None);
            assert_eq!(service.leave(), left(VoiceLeave::Asked));
            assert_eq!(service.observe(&State::Ready, true), None);
        }
    }

    #[test]
    fn a_room_that_is_over_ends_every_join_and_may_come_back() {
        let over = || left(VoiceLeave::RoomOver { reason: Reason::Left });
        let closed = State::Closed(Reason::Left);
        for (before, how) in
            [(State::Connecting, VoiceJoin::First), (State::Ready, VoiceJoin::Again)]
        {
            let mut service = Service::default();
            service.want();
            service.observe(&before, true);
            for _ in 0..2 {
                assert_eq!(service.observe(&closed, true), over());
                assert_eq!(service.observe(&closed, true), None);
                assert_eq!(service.observe(&State::Connecting, true), None);
            }
            assert_eq!(service.observe(&State::Ready, true), joined(how));
        }
    }
}
