//! Rules of the application's own at the relay: they see what members write and give before it comes in,
//! and may let it in, change it or keep it out; and they act in rooms as the relay does.

mod asking;
mod update;
mod view;

use crate::proto::id::RoomKey;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

pub(super) use self::asking::Asking;
pub use self::update::{Given, Update, Write, Writer};
pub use self::view::View;
use super::act::Act;
use super::{Hub, HubEvent};
use crate::proto::datastore::intent::Intent;
use crate::proto::model::path::Path;
use crate::proto::time::Time;

/// What becomes of an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Ruling {
    /// It comes in as it is.
    #[default]
    Accept,
    /// It comes in, and the relay writes something behind it, as [`Act::Write`] does. Everybody has both,
    /// in this order, and mostly in one frame; who looks between the two sees the author's value.
    Amend(Vec<Intent>),
    /// It stays out: see [`Self::Replace`], without anything in its place.
    Refuse {
        /// What is refused: where the update [writes](Write::place) something, or a model above. It is
        /// all of the update if it writes nothing there.
        place: Path,
        /// Why, by the application's own numbers, above 0.
        code: u32,
    },
    /// It stays out, and the relay writes something in its place. A change is signed and hashed by its
    /// author, so that a relay cannot write another for it: nobody else ever sees what the author wrote,
    /// and what comes instead is by the relay.
    ///
    /// The author sees its own edit until the answer is there. Then it is told
    /// [`Event::Refused`](crate::proto::event::Event::Refused) with
    /// [`Denial::Ruled`](crate::proto::reason::Denial::Ruled), all that it wrote at `place` and below and
    /// that had not come in is taken back, and what the relay wrote shows. What it wrote elsewhere, in
    /// this frame or meanwhile, it writes anew, and the plugin is asked about that again. What it claimed
    /// there is denied ([`Event::ClaimDenied`](crate::proto::event::Event::ClaimDenied)).
    Replace {
        /// What is refused, as in [`Self::Refuse`].
        place: Path,
        /// Why, by the application's own numbers, above 0.
        code: u32,
        /// What is written instead.
        with: Vec<Intent>,
    },
}

/// What becomes of a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hearing {
    /// It is heard.
    #[default]
    Pass,
    /// Nobody hears it. Its giver is told
    /// [`Event::SignalLost`](crate::proto::event::Event::SignalLost) if it was for one hearer, and else
    /// nothing.
    Stop,
    /// It is heard, and says this, still by its giver. One that says more than signals may is stopped.
    Say(Bytes),
}

/// Something to be done in a room.
pub type Order = (RoomKey, Act);

/// Rules of an application at its relay: [`Hub::set_plugin`].
///
/// All of it is called while the relay waits: it must be quick, and must not block. It sees what it is
/// handed, and says what is to be done; it has no time, entropy or sockets but those that it brings. A
/// relay has one; one that is made of several asks them itself.
///
/// **What is asked about.** Each change that a member writes to a document, once, when it is about to
/// come in and ownership has nothing against it; and each signal, before anybody hears it. What a member
/// writes in one frame is one change of the models and one of the texts. About what a member brings of
/// another's it is asked as well: [`Writer::peer`] is its author then. Not asked about are values of the
/// state lane, also those that the relay folds into the document when their writer says no more of them,
/// goes, or loses their model: a member can set any property that is a number by these, and a rule that
/// guards one is to look at it again, when told that a member has left or by [`Self::tick`]. Nor is it
/// asked about what the relay itself writes, and about changes while a room is brought back that
/// the relay had forgotten. When that is whole, [`HubEvent::Restored`] says so, and the plugin can look at
/// the room and put it right.
///
/// **Panics.** An update about which it panics stays out, a signal is stopped, orders are none; room and
/// relay go on, and [`HubEvent::PluginFailed`] says so. A program that is built to abort on panics ends.
pub trait Plugin: Debug + Send {
    /// A member has written something: may it come in?
    fn judge(&mut self, update: &Update<'_>) -> Ruling {
        let _ = update;
        Ruling::Accept
    }

    /// A member has given a signal: who it is for may hear it?
    fn hear(&mut self, signal: &Given<'_>) -> Hearing {
        let _ = signal;
        Hearing::Pass
    }

    /// Something happened at the relay. Told behind what happened, in order; of more than
    /// [`HubConfig::event_capacity`](crate::proto::config::HubConfig::event_capacity) at once the oldest
    /// are dropped. What its own orders cause is told in the next round, at once: orders that always
    /// cause others keep the relay busy for ever.
    fn told(&mut self, hub: &Hub, event: &HubEvent, now: Time) -> Vec<Order> {
        let _ = (hub, event, now);
        Vec::new()
    }

    /// When [`Self::tick`] is to be called, if ever. Asked for behind everything that happens, so that
    /// [`Self::judge`] can have something done at once.
    fn due(&self) -> Option<Time> {
        None
    }

    /// The time that [`Self::due`] named has come.
    fn tick(&mut self, hub: &Hub, now: Time) -> Vec<Order> {
        let _ = (hub, now);
        Vec::new()
    }
}

/// A relay's plugin, and what it is to be told.
#[derive(Debug)]
pub(super) struct Plugged {
    plugin: Box<dyn Plugin>,
    news: VecDeque<HubEvent>,
    due: Option<Time>,
    /// How often it has panicked, and how many of these the operator was told of.
    faults: u64,
    told: u64,
}

impl Plugged {
    /// Calls the plugin. Nothing if it panics.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut dyn Plugin) -> T) -> Option<T> {
        // What is handed in is read and not changed, so nothing of a room can be left half done. Its own
        // state may be: that is the plugin's affair.
        let outcome = catch_unwind(AssertUnwindSafe(|| call(&mut *self.plugin)));
        if outcome.is_err() {
            self.faults += 1;
            tracing::warn!(faults = self.faults, "a plugin panicked");
        }
        outcome.ok()
    }

    /// When there is something to do for it, if nothing else happens before.
    pub(super) fn due(&self) -> Option<Time> {
        if self.news.is_empty() { self.due } else { Some(Time::ZERO) }
    }

    /// Keeps something that it is to be told.
    pub(super) fn note(&mut self, event: &HubEvent, capacity: usize) {
        if self.news.len() >= capacity {
            self.news.pop_front();
        }
        self.news.push_back(event.clone());
    }
}

impl Hub {
    /// Has rules of the application's own asked from now on, in place of any before.
    pub fn set_plugin(&mut self, plugin: Box<dyn Plugin>) {
        let (news, due) = (VecDeque::new(), plugin.due());
        self.plugin = Some(Plugged { plugin, news, due, faults: 0, told: 0 });
    }

    /// What a room holds now.
    #[must_use]
    pub fn view(&self, room: &RoomKey) -> Option<View<'_>> {
        let [models, texts] = self.rooms.get(room)?.logs();
        Some(View::new(models, texts))
    }

    /// Tells the plugin what happened, and does what it wants done.
    pub(super) fn consult(&mut self, now: Time) {
        let Some(mut plugged) = self.plugin.take() else {
            return;
        };
        let mut orders = Vec::new();
        for event in std::mem::take(&mut plugged.news) {
            let wanted = plugged.call(|plugin| plugin.told(self, &event, now));
            orders.extend(wanted.unwrap_or_default());
        }
        plugged.due = plugged.call(|plugin| plugin.due()).flatten();
        if plugged.due.is_some_and(|due| due <= now) {
            let wanted = plugged.call(|plugin| plugin.tick(self, now));
            // After a panic its state is as it was: asked again at once, it would panic for ever.
            let due = wanted.is_some().then(|| plugged.call(|plugin| plugin.due()));
            plugged.due = due.flatten().flatten();
            orders.extend(wanted.unwrap_or_default());
        }
        let faults = plugged.faults;
        let failed = std::mem::replace(&mut plugged.told, faults) < faults;
        self.plugin = Some(plugged);
        if failed {
            // For the operator alone: told to the plugin, it would cause the next.
            self.enter_in_log(HubEvent::PluginFailed { faults });
        }
        for (room, act) in orders {
            if let Err(why) = self.act(now, &room, act) {
                tracing::debug!(room = %room.1, %why, "an order of a plugin is not done");
                self.report(HubEvent::Undone { room, why });
            }
        }
    }
}
