//! A hub whose applications have servers that are asked and told.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{self, BoxFuture};

use super::authoriser::Authoriser;
use super::deliveries::Deliveries;
use super::event::Lifecycle;
use crate::net::hub::log;
use crate::net::relay::Machine;
use crate::proto::authorisation::{Question, Verdict};
use crate::proto::event::{Effect, Input, LeaveReason};
use crate::proto::hub::{Hub, HubEvent};
use crate::proto::id::{AppId, RoomKey};
use crate::proto::time::Time;

/// A [`Hub`] for a [`Relay`](crate::net::Relay) that asks applications' servers who may come in, and
/// tells them what happens in their rooms.
#[derive(Debug)]
pub struct HookedHub {
    hub: Hub,
    authorisers: BTreeMap<AppId, Arc<Authoriser>>,
    deliveries: BTreeMap<AppId, Deliveries>,
}

impl HookedHub {
    /// A hub that asks and tells nobody yet.
    #[must_use]
    pub const fn new(hub: Hub) -> Self {
        Self { hub, authorisers: BTreeMap::new(), deliveries: BTreeMap::new() }
    }

    /// Lets nobody into the rooms of an application from now on whom its server does not let in. Without
    /// a good answer nobody comes in.
    pub fn ask(&mut self, app: AppId, authoriser: Authoriser) {
        self.hub.ask_at_the_door(app);
        self.authorisers.insert(app, Arc::new(authoriser));
    }

    /// Tells an application's server from now on what happens in its rooms.
    pub fn tell(&mut self, app: AppId, deliveries: Deliveries) {
        self.deliveries.insert(app, deliveries);
    }

    /// The hub itself.
    #[must_use]
    pub const fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The hub itself.
    pub const fn hub_mut(&mut self) -> &mut Hub {
        &mut self.hub
    }
}

impl Machine for HookedHub {
    fn handle(&mut self, now: Time, input: Input) {
        self.hub.handle(now, input);
    }

    fn tick(&mut self, now: Time) {
        self.hub.tick(now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.hub.poll_effect()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.hub.poll_timeout()
    }

    fn shut_down(&mut self, now: Time) {
        self.hub.shut_down(now);
    }

    fn authorise(&self, question: Question) -> BoxFuture<'static, Option<Verdict>> {
        let Some(authoriser) = self.authorisers.get(&question.app).map(Arc::clone) else {
            return future::ready(None).boxed();
        };
        let asked = async move {
            let verdict = authoriser.authorise(&question).await;
            let (room, peer) = (&question.room, question.peer);
            verdict.inspect_err(|why| tracing::warn!(%room, %peer, %why, "no word on a join")).ok()
        };
        asked.boxed()
    }

    fn keep_rooms(&mut self, is_durable: bool) {
        self.hub.keep_rooms(is_durable);
    }

    fn is_open(&self, room: &RoomKey) -> bool {
        self.hub.is_open(room)
    }

    fn publish(&mut self) {
        while let Some(event) = self.hub.poll_event() {
            log(&event);
            if let Some(((app, room), event)) = lifecycle(event)
                && let Some(deliveries) = self.deliveries.get(&app)
            {
                deliveries.push(app, &room, &event);
            }
        }
    }
}

/// What an application's server is told of an event, and of which room.
fn lifecycle(event: HubEvent) -> Option<(RoomKey, Lifecycle)> {
    Some(match event {
        HubEvent::Opened { room } => (room, Lifecycle::RoomCreated),
        HubEvent::Closed { room } => (room, Lifecycle::RoomClosed),
        HubEvent::Joined { room, client, peer } => (room, Lifecycle::MemberJoined { peer, client }),
        HubEvent::Left { room, client, peer, reason } => {
            let reason = word(reason).to_owned();
            (room, Lifecycle::MemberLeft { peer, client, reason })
        }
        HubEvent::Kicked { room, peer, by, .. } => {
            (room, Lifecycle::MemberModerated { by, peer, action: "kick".to_owned() })
        }
        HubEvent::Signal { .. }
        | HubEvent::Restored { .. }
        | HubEvent::Unreadable { .. }
        | HubEvent::NotKept { .. }
        | HubEvent::KeepsNoMore { .. }
        | HubEvent::PluginFailed { .. }
        | HubEvent::Undone { .. }
        | HubEvent::Refused { .. } => return None,
    })
}

const fn word(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Left => "left",
        LeaveReason::Lost => "lost",
        LeaveReason::Replaced => "replaced",
        LeaveReason::Expelled => "expelled",
        LeaveReason::Kicked => "kicked",
    }
}
