//! Every limit of webhooks, documented once.

use std::time::Duration;

/// What is asked and told over HTTP, and how much of it. "Limits" is the project's table of limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Whether targets without TLS (`http`) are taken. Off. For tests, and for a server on the same
    /// computer or in a network that nobody else is in.
    pub allow_plain: bool,
    /// Whether it may connect to addresses that are not public: this computer's, those of private
    /// networks and links, and all that are reserved. Off, so that nobody who can name a target can
    /// have the relay knock at what only it can reach.
    pub allow_private: bool,
    /// How long a request may take from its beginning to the last byte of its answer, and for a
    /// question also the wait before it. Then it has failed. 4.5 s: a join has its answer within 5 s
    /// (limits), the ways of the peer included.
    pub request: Duration,
    /// Bytes of an answer's body. A longer one has failed. 64 KiB (limits).
    pub answer: usize,
    /// Questions of one application that are asked at once. More wait. 8 (limits).
    pub in_flight: usize,
    /// Questions of one application that wait. One more is answered by
    /// [`WebhookFault::Busy`](super::WebhookFault::Busy) at once. 64: at 8 a second, 8 s would go by.
    pub waiting: usize,
    /// Answers that are remembered, of one application; the oldest makes room for one more. 4,096, of
    /// at most 5 KiB each.
    pub cached: usize,
    /// The longest that an answer is remembered, whatever it says. 1 h.
    pub cache_for: Duration,
    /// Events that wait for one target, beside the one that is being told. Of more the oldest is
    /// lost. 10,000 (limits), of some 300 bytes each.
    pub queue: usize,
    /// How long an event is tried. Then it is lost. 24 h (limits).
    pub keep: Duration,
    /// The wait after an event's first try, of which half is left to chance. Each later one is twice
    /// as long. 1 s.
    pub backoff: Duration,
    /// The longest wait between two tries. 5 min.
    pub backoff_cap: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            allow_plain: false,
            allow_private: false,
            request: Duration::from_millis(4_500),
            answer: 64 << 10,
            in_flight: 8,
            waiting: 64,
            cached: 4_096,
            cache_for: Duration::from_secs(60 * 60),
            queue: 10_000,
            keep: Duration::from_secs(24 * 60 * 60),
            backoff: Duration::from_secs(1),
            backoff_cap: Duration::from_secs(5 * 60),
        }
    }
}
