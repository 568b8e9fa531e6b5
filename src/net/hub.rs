//! The relay's machine on the relay's network.

use crate::net::relay::Machine;
use crate::proto::event::signal::Signalled;
use crate::proto::event::{Effect, Input};
use crate::proto::hub::{Hub, HubEvent};
use crate::proto::id::RoomKey;
use crate::proto::time::Time;

impl Machine for Hub {
    fn handle(&mut self, now: Time, input: Input) {
        Self::handle(self, now, input);
    }

    fn tick(&mut self, now: Time) {
        Self::tick(self, now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        Self::poll_effect(self)
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        Self::poll_timeout(self)
    }

    fn shut_down(&mut self, now: Time) {
        Self::shut_down(self, now);
    }

    fn keep_rooms(&mut self, is_durable: bool) {
        Self::keep_rooms(self, is_durable);
    }

    fn is_open(&self, room: &RoomKey) -> bool {
        Self::is_open(self, room)
    }

    fn publish(&mut self) {
        while let Some(event) = self.poll_event() {
            log(&event);
        }
    }
}

/// Writes into the log what the operator is told.
pub(crate) fn log(event: &HubEvent) {
    match event {
        HubEvent::Opened { room } => tracing::info!(room = %room.1, "opened"),
        HubEvent::Closed { room } => tracing::info!(room = %room.1, "closed"),
        HubEvent::Joined { room, client, peer } => {
            tracing::info!(room = %room.1, %client, %peer, "joined");
        }
        HubEvent::Left { room, client, peer, reason } => {
            tracing::info!(room = %room.1, %client, %peer, ?reason, "left");
        }
        HubEvent::Kicked { room, peer, by, ban_s } => {
            tracing::info!(room = %room.1, %peer, %by, ban_s, "put out");
        }
        HubEvent::Signal { room, signal: Signalled { subject, by, .. } } => {
            tracing::debug!(room = %room.1, %subject, %by, "signal");
        }
        HubEvent::NotKept { room } => tracing::error!(room = %room.1, "is not kept"),
        HubEvent::KeepsNoMore { why } => tracing::error!(%why, "nothing is kept any more"),
        HubEvent::Unreadable { room, why } => {
            tracing::error!(room = %room.1, %why, "a room that is kept cannot be opened");
        }
        HubEvent::Refused { peer, refusal } => tracing::info!(%peer, %refusal, "refused"),
        HubEvent::Restored { room } => tracing::info!(room = %room.1, "restored"),
        HubEvent::PluginFailed { faults } => tracing::warn!(faults, "the plugin panicked"),
        HubEvent::Undone { room, why } => {
            tracing::warn!(room = %room.1, %why, "what the plugin wanted is not done");
        }
    }
}
