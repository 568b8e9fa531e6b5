//! Who is to have direct links with a peer, and what goes by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::proto::audio::stream::{Share, Shared, Topic};
use crate::proto::id::PeerId;

/// The account of one peer. The driver writes it as the machine says; the swarm reads it. It holds what
/// the machine holds, and no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circle {
    book: Arc<Mutex<Book>>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Book {
    members: BTreeSet<PeerId>,
    /// What goes by direct links, by its topics there.
    shared: BTreeMap<Topic, Shared>,
}

impl Circle {
    /// A peer is to have a direct link, or not any more.
    pub(crate) fn acquaint(&self, peer: PeerId, known: bool) {
        let mut book = self.book();
        if known {
            book.members.insert(peer);
        } else {
            book.members.remove(&peer);
        }
        drop(book);
        self.changed.notify_one();
    }

    /// What becomes of a stream.
    pub(crate) fn share(&self, shared: Shared) {
        let mut book = self.book();
        match shared.share {
            Share::Hear | Share::Speak | Share::Hold => book.shared.insert(shared.direct, shared),
            Share::Off => book.shared.remove(&shared.direct),
        };
        drop(book);
        self.changed.notify_one();
    }

    /// Returns once something was written since this returned last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Who is to have direct links.
    pub(crate) fn members(&self) -> BTreeSet<PeerId> {
        self.book().members.clone()
    }

    /// Whether a peer is to have one.
    pub(crate) fn is_member(&self, peer: PeerId) -> bool {
        self.book().members.contains(&peer)
    }

    /// The topics that are to be had from their owners.
    pub(crate) fn heard(&self) -> BTreeSet<Topic> {
        let book = self.book();
        let heard = book.shared.values().filter(|shared| shared.share == Share::Hear);
        heard.map(|shared| shared.direct).collect()
    }

    /// By which topic those know what came on one who play it; nothing, if it is not to be had from
    /// this peer.
    pub(crate) fn hear(&self, peer: PeerId, direct: Topic) -> Option<Topic> {
        let shared = *self.book().shared.get(&direct)?;
        (shared.peer == peer && shared.share == Share::Hear).then_some(shared.topic)
    }

    /// Whether others may subscribe to a topic: it is this peer's own.
    pub(crate) fn admits(&self, direct: Topic) -> bool {
        let book = self.book();
        let share = book.shared.get(&direct).map(|shared| shared.share);
        matches!(share, Some(Share::Speak | Share::Hold))
    }

    /// On which topic what is said on one of the relay's goes by direct links, if it does.
    pub(crate) fn speak(&self, topic: Topic) -> Option<Topic> {
        let book = self.book();
        let mut spoken = book.shared.values().filter(|shared| shared.share == Share::Speak);
        spoken.find(|shared| shared.topic == topic).map(|shared| shared.direct)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that can panic is done while it is locked.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_its_owners_to_speak_on_and_its_hearers_to_ask_for() {
        let circle = Circle::default();
        let [me, ada, ben] = [1, 2, 3].map(|id| PeerId::new([id; 32]));
        let [at_relay, direct] = [1, 2].map(|drawn| Topic::new([drawn; 5]));
        let share = |peer, share| circle.share(Shared { topic: at_relay, direct, peer, share });
        share(ada, Share::Hear);
        assert_eq!(circle.hear(ada, direct), Some(at_relay));
        assert_eq!(circle.hear(ben, direct), None, "of another it is not taken");
        assert_eq!(circle.hear(ada, at_relay), None);
        assert!(!circle.admits(direct) && circle.speak(at_relay).is_none());
        share(me, Share::Hold);
        assert!(circle.admits(direct) && circle.speak(at_relay).is_none());
        assert!(circle.heard().is_empty());
        share(me, Share::Speak);
        assert_eq!(circle.speak(at_relay), Some(direct));
        assert_eq!(circle.hear(me, direct), None);
        share(me, Share::Off);
        assert!(!circle.admits(direct));
    }
}
