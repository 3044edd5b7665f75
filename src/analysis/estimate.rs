//! What samples can and cannot say: confidence intervals and medians.
//!
//! # The interval
//!
//! The number `k` of sampled blocks is a Poisson variable, so `k` blocks seen are compatible, at 95 %, with every expectation
//! between `lower(k)` and `upper(k)`, the exact Poisson limits: 0.0253 and 5.57 for one block, 4.80 and 18.39 for ten, and about
//! `k ± 1.96 √k` for many, which is a relative error of `1.96 / √k`. The estimate is multiplied by `lower(k) / k` and
//! `upper(k) / k`.
//!
//! Two things make it better than counting. Blocks far above the sampling interval are sampled with certainty and carry no
//! error: with `p`, the probability that a block of the site is sampled (samples divided by estimated blocks), the variance of a
//! site's estimate `B` is `B² (1 - p) / k`. And sites differ in weight: variances are added up, and `k` is replaced by the
//! effective number of samples, `B² / variance`. Within a site the mean `p` is that of its smallest blocks, so the interval
//! is, if anything, too wide.
//!
//! What is not known is only what was missed, `B (1 - p)`. Where nearly all blocks are sampled, that is a few blocks at most: their
//! number is a Poisson variable with a small expectation, mostly 0 and sometimes 1, which the variance does not tell. So the upper
//! end leaves room for as many as are missed in 97.5 % of all cases. `tests/truth.rs` shows why: without it, sixty blocks of six
//! intervals, of which one is missed in every seventh run, are within the interval in 85 % of the runs.

use crate::catalog::{BUCKETS, SIZE_BOUNDS};
use crate::heap::Amount;

/// Exact limits of the expectation for 0, 1, 2... events seen, at 95 %.
const POISSON_LIMITS: [(f64, f64); 11] = [
    (0.0, 3.6889),
    (0.0253, 5.5716),
    (0.2422, 7.2247),
    (0.6187, 8.7673),
    (1.0899, 10.2416),
    (1.6235, 11.6683),
    (2.2019, 13.0595),
    (2.8144, 14.4227),
    (3.4538, 15.7632),
    (4.1154, 17.0848),
    (4.7954, 18.3904),
];
/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_964;
/// Size of the smallest block in bytes, for interpolation in the first bucket.
const SMALLEST: f64 = 1.0;
/// Width of a bucket as a factor, for interpolation in the last one, which has no upper bound.
const BUCKET_FACTOR: f64 = 4.0;

/// A confidence interval at 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Interval {
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// How far an estimate in bytes may be off. That of several sites is the sum of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Doubt {
    /// Variance of the estimate.
    variance: f64,
    /// Part of the estimate that stands for blocks which were not sampled.
    missed: f64,
}

impl Doubt {
    /// That of an estimate which rests on this many samples.
    pub(crate) fn of(amount: Amount, samples: u64) -> Self {
        let chance = 1.0 - certainty(amount, samples);
        let each = ratio(amount.bytes, float(samples)).unwrap_or_default();
        Self {
            variance: amount.bytes * each * chance,
            missed: amount.bytes * chance,
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            variance: self.variance + other.variance,
            missed: self.missed + other.missed,
        }
    }
}

/// Between which limits an estimate of this doubt lies; see the module's text.
pub(crate) fn interval(estimate: f64, doubt: Doubt) -> Interval {
    let Doubt { variance, missed } = doubt;
    if estimate <= 0.0 || variance <= 0.0 {
        return Interval {
            low: estimate,
            high: estimate,
        };
    }
    let effective = (estimate * estimate / variance).max(1.0);
    let (lower, upper) = poisson_limits(effective);
    let high = estimate * upper / effective;
    // What was missed, in blocks of one size whose number is a Poisson variable of this expectation and has the variance.
    let expected = ratio(missed * missed, variance).unwrap_or_default();
    let block = ratio(variance, missed).unwrap_or_default();
    let few = most_missed(expected).map(|number| estimate - missed + number * block);
    Interval {
        low: estimate * lower / effective,
        high: few.map_or(high, |few| high.max(few)),
    }
}

/// The number of events that is exceeded in 2.5 % of all cases at most when few are expected, and half a one more, against rounding.
/// Absent where none need be feared, and where so many are expected that their variance tells enough.
fn most_missed(expected: f64) -> Option<f64> {
    // Events are as many or more in 2.5 % of all cases when the lower limit of their number is expected.
    let exceeded = POISSON_LIMITS
        .iter()
        .position(|(lower, _)| *lower >= expected)?;
    let number = u32::try_from(exceeded.checked_sub(1)?).ok()?;
    (number > 0).then(|| f64::from(number) + 0.5)
}

/// The most that can be there although none of its samples was found, when the samples of the same kind stand for `amount`.
pub(crate) fn unseen(amount: Amount, samples: u64) -> Interval {
    let (low, upper) = POISSON_LIMITS[0];
    let weight = ratio(amount.bytes, float(samples)).unwrap_or_default();
    Interval {
        low,
        high: upper * weight * (1.0 - certainty(amount, samples)),
    }
}

/// Probability that such a block is sampled.
fn certainty(amount: Amount, samples: u64) -> f64 {
    ratio(float(samples), amount.objects)
        .unwrap_or_default()
        .min(1.0)
}

/// Exact for whole numbers up to ten, straight lines between them, Byar's approximation above (right to 0.2 % there).
fn poisson_limits(events: f64) -> (f64, f64) {
    for (pair, below) in POISSON_LIMITS.windows(2).zip(0_u8..) {
        let [low, high] = pair else { continue };
        let part = events - f64::from(below);
        if part <= 1.0 {
            let between = |from: f64, to: f64| from + part * (to - from);
            return (between(low.0, high.0), between(low.1, high.1));
        }
    }
    let byar = |events: f64, z: f64| {
        events * (1.0 - 1.0 / (9.0 * events) + z / (3.0 * events.sqrt())).powi(3)
    };
    (byar(events, -Z), byar(events + 1.0, Z))
}

/// Estimate of the median from counts per bucket: interpolated within its bucket on a logarithmic scale, or, where one bucket
/// holds every block, the mean. Right to a factor of two or so, as the buckets are powers of four; above the last bound, where
/// there is nothing to interpolate towards, as if that bucket were as wide as the others. Absent without blocks.
pub(crate) fn median(buckets: &[f64; BUCKETS], mean: f64) -> Option<f64> {
    let total: f64 = buckets.iter().sum();
    if total <= 0.0 {
        return None;
    }
    let (mut below, mut lower) = (0.0, SMALLEST);
    let bounds = SIZE_BOUNDS.iter().map(|bound| Some(float(*bound)));
    for (count, bound) in buckets.iter().zip(bounds.chain([None])) {
        let upper = bound.unwrap_or(lower * BUCKET_FACTOR);
        if *count >= total {
            return Some(mean.clamp(lower, bound.unwrap_or(f64::MAX)));
        }
        if *count > 0.0 && below + count >= total / 2.0 {
            return Some(lower * (upper / lower).powf((total / 2.0 - below) / count));
        }
        below += count;
        lower = upper;
    }
    None
}

/// A part of a whole; absent where there is no whole.
pub(crate) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// A count as a number to calculate with.
#[allow(
    clippy::cast_precision_loss,
    reason = "no process has 2^53 bytes, and an estimate needs no more bits"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of blocks so small that each sample stands for a great many.
    fn limits(events: f64) -> (f64, f64) {
        let doubt = Doubt {
            variance: events,
            missed: events,
        };
        let interval = interval(events, doubt);
        (interval.low, interval.high)
    }

    fn close(value: f64, expected: f64, part: f64) {
        assert!(
            (value - expected).abs() <= expected * part,
            "{value} instead of {expected}"
        );
    }

    #[test]
    fn the_interval_is_that_of_poisson() {
        // Half the chi-squared quantiles at 2k and 2k + 2 degrees of freedom.
        for (events, low, high) in [
            (1.0, 0.025_318, 5.571_643),
            (2.0, 0.242_209, 7.224_688),
            (5.0, 1.623_486, 11.668_332),
            (10.0, 4.795_389, 18.390_356),
            (12.0, 6.2006, 20.9616),
            (30.0, 20.240_874, 42.826_865),
            (100.0, 81.363_991, 121.626_794),
        ] {
            let (lower, upper) = limits(events);
            close(lower, low, 0.002);
            close(upper, high, 0.002);
        }
        let (low, high) = limits(40_000.0);
        close(low, 40_000.0 - 1.96 * 200.0, 1e-4);
        close(high, 40_000.0 + 1.96 * 200.0, 1e-4);
    }

    #[test]
    fn the_interval_narrows_with_every_sample_and_holds_the_estimate() {
        let mut last = f64::INFINITY;
        for step in 10..300_u32 {
            let events = f64::from(step) / 10.0;
            let (low, high) = limits(events);
            assert!(low < events && events < high, "{events}");
            assert!((high - low) / events < last, "{events}");
            last = (high - low) / events;
        }
    }

    #[test]
    fn a_block_that_is_always_sampled_has_no_error() {
        let huge = Amount {
            objects: 1.0,
            bytes: 1e9,
        };
        assert_eq!(Doubt::of(huge, 1), Doubt::default());
        let exact = Interval {
            low: 1e9,
            high: 1e9,
        };
        assert_eq!(interval(1e9, Doubt::default()), exact);
        assert_eq!(unseen(huge, 1).high, 0.0);
        assert_eq!(Doubt::of(Amount::default(), 0), Doubt::default());
    }

    #[test]
    fn sites_weigh_by_what_they_stand_for() {
        // Nine sure blocks beside one sample that stands for as much: the one decides the error.
        let large = Amount {
            objects: 9.0,
            bytes: 900.0,
        };
        let small = Amount {
            objects: 1e9,
            bytes: 900.0,
        };
        let sum = Doubt::of(large, 9).plus(Doubt::of(small, 1));
        let mixed = interval(1_800.0, sum);
        let (lower, upper) = poisson_limits(4.0);
        close(mixed.low, 1_800.0 * lower / 4.0, 1e-6);
        close(mixed.high, 1_800.0 * upper / 4.0, 1e-6);
    }

    #[test]
    fn a_block_that_is_seldom_missed_lies_within_the_interval() {
        // Sixty blocks, of which so many are missed on average, and from so few to so many in 95 % of all cases.
        for (missed, least, most) in [
            (0.02, 0, 0),
            (0.03, 0, 1),
            (0.15, 0, 1),
            (0.3, 0, 2),
            (1.0, 0, 3),
            (4.0, 1, 8),
        ] {
            let weight = 1.0 / (1.0 - missed / 60.0);
            let seen = |number: u32| {
                let objects = f64::from(number) * weight;
                let bytes = objects * 1e6;
                let doubt = Doubt::of(Amount { objects, bytes }, number.into());
                interval(bytes, doubt)
            };
            for lost in least..=most {
                let interval = seen(60 - lost);
                let holds = interval.low <= 6e7 && 6e7 <= interval.high;
                assert!(holds, "{lost} of {missed}: {interval:?}");
            }
            assert!(seen(60 - most - 3).high < 6e7, "{missed}");
        }
    }

    #[test]
    fn what_was_not_seen_alive_may_still_be_there() {
        let many = Amount {
            objects: 1e9,
            bytes: 1_000.0,
        };
        let unseen = unseen(many, 10);
        assert_eq!(unseen.low, 0.0);
        close(unseen.high, 3.6889 * 100.0, 1e-4);
    }

    #[test]
    fn the_median_lies_where_half_the_blocks_are_smaller() {
        let mut sizes = [0.0; BUCKETS];
        assert_eq!(median(&sizes, 0.0), None);
        // Up to 1 KiB.
        sizes[3] = 10.0;
        assert_eq!(median(&sizes, 700.0), Some(700.0));
        assert_eq!(median(&sizes, 5_000.0), Some(1_024.0));
        sizes[4] = 10.0;
        assert_eq!(median(&sizes, 700.0), Some(1_024.0));
        // Half of the blocks are reached after a quarter of the bucket from 1 KiB to 4 KiB.
        sizes[3] = 5.0;
        close(
            median(&sizes, 0.0).unwrap(),
            1_024.0 * 4_f64.powf(0.25),
            1e-9,
        );
        let mut smallest = [0.0; BUCKETS];
        smallest[0] = 3.0;
        smallest[12] = 1.0;
        close(
            median(&smallest, 0.0).unwrap(),
            16_f64.powf(2.0 / 3.0),
            1e-9,
        );
        let mut largest = [0.0; BUCKETS];
        largest[12] = 4.0;
        assert_eq!(median(&largest, 1e9), Some(1e9));
        largest[0] = 1.0;
        let beyond = f64::from(64 << 20) * 4_f64.powf(1.5 / 4.0);
        close(median(&largest, 1e9).unwrap(), beyond, 1e-9);
    }
}
