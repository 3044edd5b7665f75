//! Whether a subject becomes a suspect: which evidence there is, and for how long it must stand.

use crate::config::LeakThresholds;
use crate::heap::AGES;

use super::curve::Curve;
use super::evidence::{Evidence, backlog, doubling, survivors};
use super::follow::onset;
use super::shape::scaled;
use super::track::Track;
use super::window::Window;

/// A queue is told from what comes and goes by windows that are longer by this factor.
const LONGER: u64 = 4;

/// The evidence of the shortest window that has any.
pub(super) fn evidence(
    curve: &Curve,
    freed: &[u32; AGES],
    track: &Track,
    windows: &[Window],
    thresholds: &LeakThresholds,
) -> Option<(Evidence, Window)> {
    let mut allowed = windows
        .iter()
        .filter(|window| window.from() >= track.not_before);
    let survive = allowed.clone().find_map(|window| {
        let found = survivors(curve, freed, window, thresholds)?;
        Some((found, *window))
    });
    if survive.is_some() {
        return survive;
    }
    let long = thresholds.window_ms() * LONGER;
    let queue = allowed
        .clone()
        .find(|window| window.length >= long && backlog(curve, track, window, thresholds));
    if let Some(window) = queue {
        return Some((Evidence::Backlog, *window));
    }
    let window = allowed.next_back()?;
    // What is there when the observation begins may be as old as the process.
    let first = track.first().unwrap_or(window.now).max(track.not_before);
    let begin = if first <= window.start + thresholds.warm_up_ms() {
        window.start
    } else {
        first
    };
    doubling(track, window.now, begin, thresholds).then_some((Evidence::Doubling, *window))
}

/// For how long evidence must have been there, in milliseconds: chance does not last. Twice as long where the growth began with the
/// process, as that of what only fills up does, unless it is critical by now.
pub(super) fn least_standing(
    evidence: Evidence,
    window: &Window,
    curve: &Curve,
    track: &Track,
    thresholds: &LeakThresholds,
) -> u64 {
    let least = scaled(thresholds.window_ms(), thresholds.standing_ratio);
    let since = onset(evidence, curve, window, track);
    let began_with_process = since <= window.start + thresholds.warm_up_ms();
    let bytes = curve.between(since, window.now + 1).bytes;
    #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    let is_critical = bytes > thresholds.critical.size as f64;
    if began_with_process && !is_critical {
        least * 2
    } else {
        least
    }
}
