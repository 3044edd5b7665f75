//! A bounded past: which of its moments can be missed most.

/// The moment whose loss widens a gap least for its age, so that the younger ones stand closer together than the older ones. Never
/// the first or the last; absent for fewer than three.
pub(super) fn least_missed(count: usize, time: impl Fn(usize) -> u64) -> Option<usize> {
    let last = count.checked_sub(1)?;
    #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
    let widening = |at: usize| {
        let (before, after) = (time(at - 1), time(at + 1));
        let age = time(last).saturating_sub(before).max(1);
        after.saturating_sub(before) as f64 / age as f64
    };
    (1..last).min_by(|a, b| widening(*a).total_cmp(&widening(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_stand_further_apart_than_the_young() {
        let mut times: Vec<u64> = Vec::new();
        for at in 0..10_000 {
            times.push(at);
            if times.len() > 64
                && let Some(least) = least_missed(times.len(), |at| times[at])
            {
                times.remove(least);
            }
        }
        assert_eq!((times[0], times[63]), (0, 9_999));
        assert!(
            times
                .windows(2)
                .all(|pair| pair[1] - pair[0] < (10_000 - pair[0]) / 3 + 2),
            "{times:?}"
        );
        assert_eq!(least_missed(2, |at| at as u64), None);
    }
}
