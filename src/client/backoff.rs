//! Pauses between attempts.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// Each pause is twice as long as the one before, up to half a minute, and then half as long or half as long again, by chance: clients
/// that were refused together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause.mul_f64(0.5 + fastrand::f64())
    }

    /// An attempt has succeeded.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}
