//! The windows that a moment is judged over: all end now, each is longer than the one before.

use crate::config::LeakThresholds;

use super::exact::{Growth, Levels};

/// Each window is longer than the one before by this factor.
const LADDER: f64 = 1.414;

/// A window that ends now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// When the observation began.
    pub(super) start: u64,
    pub(super) now: u64,
    pub(super) length: u64,
    /// Growth of the exact heap over it.
    pub(super) heap: Option<Growth>,
    /// Whether the heap never grew so much in this time before.
    pub(super) is_unusual: bool,
    /// Growth of the heap in the second quarter of the time since the start, and in the half after it.
    pub(super) quarters: Option<(f64, f64)>,
}

impl Window {
    pub(super) fn from(&self) -> u64 {
        self.now.saturating_sub(self.length)
    }
}

/// The windows that fit between the end of the warm-up and now.
pub(super) fn windows(
    levels: &Levels,
    start: u64,
    now: u64,
    thresholds: &LeakThresholds,
) -> Vec<Window> {
    let from = start + thresholds.warm_up_ms();
    let quarter = |at: u64| start + now.saturating_sub(start) / 4 * at;
    let gained = |from: u64, to: u64| levels.gained(quarter(from), quarter(to));
    let quarters = gained(1, 2).zip(gained(2, 4));
    let mut windows = Vec::new();
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a window")]
    let mut length = thresholds.window_ms() as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds of a window"
    )]
    while length as u64 <= now.saturating_sub(from).min(thresholds.longest_window_ms()) {
        let length_ms = length as u64;
        let heap = levels.growth(now - length_ms);
        let is_unusual = heap.is_some_and(|growth| {
            let ratio = thresholds.unusual_ratio;
            levels.is_unusual(from, now - length_ms, &growth, ratio)
        });
        windows.push(Window {
            start,
            now,
            length: length_ms,
            heap,
            is_unusual,
            quarters,
        });
        length *= LADDER;
    }
    windows
}
