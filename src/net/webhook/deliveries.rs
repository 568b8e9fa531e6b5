//! What happens in rooms, told to the application's server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::debug;

use super::backlog::{Backlog, DeliveryStatistics};
use super::config::WebhookConfig;
use super::event::Lifecycle;
use super::post::Post;
use super::target::Target;
use crate::net::clock::Clock;
use crate::net::identity::fresh_seed;
use crate::proto::id::{AppId, RoomName};
use crate::proto::time::Time;

/// Tells one target what happens, at least once and in order: an event is tried until it has arrived,
/// with the same `webhook-id` each time, and the next waits for it. Events are kept in memory; those
/// beyond [`WebhookConfig::queue`] and [`WebhookConfig::keep`] are lost, of which the target is told
/// by `events.lost`.
#[derive(Debug)]
pub struct Deliveries {
    shared: Arc<Shared>,
    clock: Clock,
}

/// The half of [`Deliveries`] that goes out.
#[derive(Debug)]
pub struct Courier {
    shared: Arc<Shared>,
    clock: Clock,
    post: Post,
    config: WebhookConfig,
}

#[derive(Debug)]
struct Shared {
    backlog: Mutex<Backlog>,
    pushed: Notify,
    closed: Notify,
}

impl Shared {
    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deliveries {
    /// Both halves for a target. The courier is to be [run](Courier::run) in a task.
    #[must_use]
    pub fn new(target: Target, config: WebhookConfig, clock: Clock) -> (Self, Courier) {
        let shared = Arc::new(Shared {
            backlog: Mutex::new(Backlog::new(config.clone(), fresh_seed())),
            pushed: Notify::new(),
            closed: Notify::new(),
        });
        let post = Post::new(target, &config);
        (Self { shared: Arc::clone(&shared), clock }, Courier { shared, clock, post, config })
    }

    /// Tells of what happened in a room now. Never waits.
    pub fn push(&self, app: AppId, room: &RoomName, event: &Lifecycle) {
        let body = event.body(app, room, unix_seconds());
        self.shared.backlog().push(body, self.clock.now());
        self.shared.pushed.notify_one();
    }

    /// What became of the events so far.
    #[must_use]
    pub fn statistics(&self) -> DeliveryStatistics {
        self.shared.backlog().statistics
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.shared.closed.notify_one();
    }
}

impl Courier {
    /// Delivers until the other half is dropped. Then what waits is delivered still, until the first
    /// try that fails; the rest is lost.
    pub async fn run(self) {
        let mut is_closed = false;
        loop {
            let next = self.shared.backlog().next(self.clock.now(), unix_seconds());
            let wait = match next {
                None if is_closed => return,
                None => None,
                Some((id, body)) => match self.post.tell(&id, body, self.config.request).await {
                    Ok(()) => {
                        self.shared.backlog().arrived();
                        continue;
                    }
                    Err(_) if is_closed => return,
                    Err(why) => {
                        debug!(%why, "an event was not delivered");
                        Some(self.clock.now() + self.shared.backlog().failed())
                    }
                },
            };
            is_closed |= self.rest(wait).await;
        }
    }

    /// Waits for the time of the next try; or for an event, if there is none. Returns whether the
    /// other half was dropped meanwhile.
    async fn rest(&self, until: Option<Time>) -> bool {
        tokio::select! {
            biased;
            () = self.shared.closed.notified() => true,
            () = self.clock.sleep_until(until) => false,
            () = self.shared.pushed.notified(), if until.is_none() => false,
        }
    }
}

fn unix_seconds() -> u64 {
    Clock::unix_micros() / 1_000_000
}
