//! Whether a peer may come in, as the application's server says.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::Answer;
use super::cache::Cache;
use super::config::WebhookConfig;
use super::event::body;
use super::post::{Post, WebhookFault};
use super::target::Target;
use crate::net::clock::Clock;
use crate::net::identity::fresh_seed;
use crate::proto::authorisation::{Question, Verdict};
use crate::proto::id::Hex;

/// Asks the server of one application.
#[derive(Debug)]
pub struct Authoriser {
    post: Post,
    config: WebhookConfig,
    clock: Clock,
    cache: Mutex<Cache>,
    /// Those that are asked at once.
    asking: Semaphore,
    /// Those, and the ones that wait for that.
    places: Semaphore,
}

impl Authoriser {
    /// Asks at `target` from now on. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(target: Target, config: WebhookConfig, clock: Clock) -> Self {
        Self {
            post: Post::new(target, &config),
            clock,
            cache: Mutex::new(Cache::new(config.cached, config.cache_for)),
            asking: Semaphore::new(config.in_flight),
            places: Semaphore::new(config.in_flight.saturating_add(config.waiting)),
            config,
        }
    }

    /// Whether a peer may come in: by an answer that is remembered, or else one that is asked for now.
    /// Returns within [`WebhookConfig::request`].
    ///
    /// # Errors
    ///
    /// When there is no good answer, for who operates the relay. Nobody is to come in then.
    pub async fn authorise(&self, question: &Question) -> Result<Verdict, WebhookFault> {
        if let Some(verdict) = self.cache().find(question, self.clock.now()) {
            return Ok(verdict);
        }
        let _place = self.places.try_acquire().map_err(|_| WebhookFault::Busy)?;
        let after = self.config.request;
        let answer = timeout(after, self.ask(question)).await;
        let answer = answer.map_err(|_| WebhookFault::TimedOut { after })??;
        self.cache().insert(question, &answer, self.clock.now());
        Ok(answer.verdict)
    }

    async fn ask(&self, question: &Question) -> Result<Answer, WebhookFault> {
        let _turn = self.asking.acquire().await.map_err(|_| WebhookFault::Busy)?;
        let id = format!("msg_{}", Hex(&fresh_seed()[..16]));
        let body = self.post.ask(&id, ask(question), self.config.request).await?;
        Answer::read(&body).ok_or(WebhookFault::Malformed)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(question: &Question) -> Bytes {
    let Question { app, room, peer, context } = question;
    let data = json!({
        "app": Hex(&app.0).to_string(),
        "room": room.as_str(),
        "peer": peer.to_string(),
        "context": context,
    });
    body("room.join", Clock::unix_micros() / 1_000_000, &data)
}
