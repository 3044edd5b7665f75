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

/// Between which limits an estimate of this variance lies; see the module's text.
pub(crate) fn interval(estimate: f64, variance: f64) -> Interval {
    if estimate <= 0.0 || variance <= 0.0 {
        return Interval {
            low: estimate,
            high: estimate,
        };
    }
    let effective = (estimate * estimate / variance).max(1.0);
    let (lower, upper) = poisson_limits(effective);
    Interval {
        low: estimate * lower / effective,
        high: estimate * upper / effective,
    }
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

/// Variance of an estimate in bytes that rests on this many samples.
pub(crate) fn variance(amount: Amount, samples: u64) -> f64 {
    ratio(amount.bytes * amount.bytes, float(samples)).unwrap_or_default()
        * (1.0 - certainty(amount, samples))
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

    fn limits(events: f64) -> (f64, f64) {
        let interval = interval(events, events);
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
        assert_eq!(variance(huge, 1), 0.0);
        let exact = Interval {
            low: 1e9,
            high: 1e9,
        };
        assert_eq!(interval(1e9, 0.0), exact);
        assert_eq!(unseen(huge, 1).high, 0.0);
        assert_eq!(variance(Amount::default(), 0), 0.0);
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
        let sum = variance(large, 9) + variance(small, 1);
        let mixed = interval(1_800.0, sum);
        let (lower, upper) = poisson_limits(4.0);
        close(mixed.low, 1_800.0 * lower / 4.0, 1e-6);
        close(mixed.high, 1_800.0 * upper / 4.0, 1e-6);
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
