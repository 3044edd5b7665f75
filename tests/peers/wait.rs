//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Longest wait. Far more than anything here takes on an idle machine.
const BOUND: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none in time.
pub(crate) fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(BOUND, what, ask)
}

/// The same with a bound of its own.
///
/// # Panics
/// When there is no answer in time.
pub(crate) fn within<T>(bound: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
