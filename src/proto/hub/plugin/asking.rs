//! A plugin that is asked, about what one member brings.

use super::update::writes;
use super::{Given, Hearing, Plugged, Ruling, Update, View, Writer};
use crate::proto::change::Change;
use crate::proto::datastore::intent::Intent;
use crate::proto::event::signal::Audience;
use crate::proto::id::{DocumentId, PeerId, RoomKey};
use crate::proto::log::ChangeLog;
use crate::proto::model::path::Path;
use crate::proto::reason::Denial;
use crate::proto::time::Time;
use crate::proto::wire::bounded::Blob;
use crate::proto::wire::message::{Introduction, SignalAudience, SignalRecord};

/// The code of what stays out because nobody could say whether it may come in.
const FAILED: u32 = 0;

/// A plugin, and about whom it is asked.
#[derive(Debug)]
pub(in crate::proto::hub) struct Asking<'a> {
    plugged: &'a mut Plugged,
    room: &'a RoomKey,
    by: Writer,
    now: Time,
    /// What is to be written if the change comes in that was last asked about.
    behind: Option<Vec<Intent>>,
    /// What is to be written, each at once.
    wanted: Vec<Vec<Intent>>,
}

impl<'a> Asking<'a> {
    pub(in crate::proto::hub) const fn new(
        plugged: &'a mut Plugged,
        (room, by, now): (&'a RoomKey, Writer, Time),
    ) -> Self {
        Self { plugged, room, by, now, behind: None, wanted: Vec::new() }
    }

    /// Asks about a change of `log`'s document; `other` is the log of the room's other one. What could
    /// not come in anyhow is not asked about: the log says why.
    ///
    /// # Errors
    ///
    /// What of it is refused, and why.
    pub(in crate::proto::hub) fn judge(
        &mut self,
        (log, other): (&ChangeLog, &ChangeLog),
        author: &Introduction,
        change: &Change,
    ) -> Result<(), (Path, Denial)> {
        self.behind = None;
        if log.may_admit(*author, change).is_err() {
            return Ok(());
        }
        let document = log.document();
        let models = document == DocumentId::MODELS;
        let view = if models { View::new(log, other) } else { View::new(other, log) };
        let by = self.writer(author.peer);
        let (room, now, writes) = (self.room, self.now, writes(log, change));
        let update = Update { room, by, now, document, writes, view };
        let ruling = self.plugged.call(|plugin| plugin.judge(&update));
        let failed = Ruling::Refuse { place: Path::root(), code: FAILED };
        let (place, code, with) = match ruling.unwrap_or(failed) {
            Ruling::Accept => return Ok(()),
            Ruling::Amend(behind) => {
                self.behind = Some(behind);
                return Ok(());
            }
            Ruling::Refuse { place, code } => (place, code, None),
            Ruling::Replace { place, code, with } => (place, code, Some(with)),
        };
        self.wanted.extend(with);
        // Were nothing of the change taken back, it would come again, for ever.
        let there = update.writes.iter().any(|write| place.contains(&write.place()));
        let place = if there { place } else { Path::root() };
        Err((place, Denial::Ruled { code }))
    }

    /// Who wrote what the member brings. Another's rights are not known here.
    fn writer(&self, peer: PeerId) -> Writer {
        let moderates = self.by.moderates && self.by.peer == peer;
        Writer { peer, moderates, ..self.by }
    }

    /// The change that was last asked about is in.
    pub(in crate::proto::hub) fn admitted(&mut self) {
        self.wanted.extend(self.behind.take());
    }

    /// What is to be written.
    pub(in crate::proto::hub) fn end(self) -> Vec<Vec<Intent>> {
        self.wanted
    }

    /// Asks about a signal, which may be changed. Returns whether it may be heard.
    pub(in crate::proto::hub) fn hear(
        self,
        signal: &mut SignalRecord,
        (view, reliable): (View<'_>, bool),
        limit: usize,
    ) -> bool {
        let (room, by, now) = (self.room, self.by, self.now);
        let to = match signal.to {
            SignalAudience::Others => Audience::Others,
            SignalAudience::Peer(peer) => Audience::Peer(peer),
            SignalAudience::Relay => Audience::Relay,
        };
        let (subject, payload) = (signal.subject.clone().into(), &*signal.payload);
        let given = Given { room, by, now, subject, to, payload, reliable, view };
        match self.plugged.call(|plugin| plugin.hear(&given)) {
            Some(Hearing::Pass) => true,
            Some(Hearing::Say(payload)) => {
                let said = Blob::new(payload).filter(|said| said.len() <= limit);
                said.map(|said| signal.payload = said).is_some()
            }
            Some(Hearing::Stop) | None => false,
        }
    }
}
