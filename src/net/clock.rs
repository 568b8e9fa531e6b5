//! The only reader of the clock.

use std::future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boot_time::Instant;

use crate::proto::time::Time;

/// Time since this clock was made, that of the computer's sleep included: who wakes must not believe
/// what held when it fell asleep. Copies share their beginning.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    beginning: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the monotonic clock is read first"
    )]
    pub fn new() -> Self {
        Self { beginning: Instant::now() }
    }

    /// How long it has been since the beginning. Never goes back.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::ZERO + self.beginning.elapsed()
    }

    /// Returns at `deadline` or up to a few milliseconds later; never, if there is none.
    ///
    /// Must be awaited within a tokio runtime.
    pub async fn sleep_until(&self, deadline: Option<Time>) {
        let Some(deadline) = deadline else {
            return future::pending().await;
        };
        let wait = deadline.since(self.now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Microseconds since 1970 by the computer's clock, which may be wrong and may jump. Good for
    /// the base of room time and for incarnation numbers, not for measuring.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where the calendar clock is read"
    )]
    pub fn unix_micros() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
