//! How a subject grows: its pace, its fit to a straight line, its generations.

use crate::config::LeakThresholds;
use crate::heap::Amount;

use super::super::estimate::{Doubt, Interval, interval};
use super::curve::Curve;
use super::suspect::{Part, Shape};

/// Samples that a growth rests on where there are so many: then chance is about a seventh.
const ENOUGH: f64 = 50.0;
/// Moments at which a straight line is fitted.
const FIT_POINTS: u64 = 12;
pub(super) const HOUR: f64 = 3_600_000.0;

/// Growth in bytes per hour, over the shortest window that has enough samples.
pub(super) fn pace(
    curve: &Curve,
    since: u64,
    now: u64,
    shortest: u64,
    thresholds: &LeakThresholds,
) -> (f64, Interval) {
    let longest = now.saturating_sub(since).max(1);
    let mut length = shortest.min(longest);
    loop {
        let to = now.saturating_sub(scaled(length, thresholds.youngest_ratio));
        let from = now.saturating_sub(length).max(since);
        let gained = curve.between(from, to);
        if gained.samples >= ENOUGH || length >= longest {
            let hours = float(to.saturating_sub(from)).max(1.0) / HOUR;
            let amount = Amount {
                objects: gained.objects,
                bytes: gained.bytes,
            };
            let bounds = interval(gained.bytes, Doubt::of(amount, round(gained.samples)));
            let bounds = Interval {
                low: bounds.low / hours,
                high: bounds.high / hours,
            };
            return (gained.bytes / hours, bounds);
        }
        length = (length * 3 / 2).min(longest);
    }
}

/// Generations, fit and shape of the growth between `since` and `to`.
pub(super) fn shape(curve: &Curve, part: &mut Part, to: u64, thresholds: &LeakThresholds) -> Shape {
    let since = part.since;
    let spread = spread(curve, since, to, (thresholds.window_ms() / 10).max(1));
    part.generations = spread.generations;
    let middle = since + to.saturating_sub(since) / 2;
    let (first, second) = (curve.between(since, middle), curve.between(middle, to));
    let width = to.saturating_sub(since) / FIT_POINTS;
    let slices: Vec<f64> = (0..FIT_POINTS)
        .map(|at| {
            let edge = since + width * at;
            curve.between(edge, edge + width).samples
        })
        .collect();
    part.fit = fit(&running(&slices));
    // Only what chance does not explain counts as faster.
    let doubt = first.samples.sqrt() + second.samples.sqrt();
    let is_faster = second.samples - first.samples > 2.0 * doubt;
    Shape {
        evidence: part.evidence,
        samples: first.samples + second.samples,
        acceleration: if is_faster || first.samples > second.samples {
            second.bytes / first.bytes.max(1.0)
        } else {
            1.0
        },
        dispersion: spread.dispersion,
        mean_size: part.bytes / part.objects.max(1e-9),
    }
}

/// How samples spread over intervals of birth.
struct Spread {
    /// Intervals with samples.
    generations: usize,
    /// Variance of the samples per interval divided by their mean: 1 for chance alone.
    dispersion: f64,
}

fn spread(curve: &Curve, since: u64, to: u64, generation: u64) -> Spread {
    let from = curve.births().partition_point(|birth| *birth < since);
    let births = &curve.births()[from..];
    let (mut generations, mut squares) = (0, 0.0);
    for born_together in births.chunk_by(|a, b| a / generation == b / generation) {
        generations += 1;
        let first = born_together[0] / generation * generation;
        squares += curve
            .between(first.max(since), first + generation)
            .samples
            .powi(2);
    }
    let intervals = float(to.saturating_sub(since) / generation).max(1.0);
    let mean = curve.between(since, to.max(since) + 1).samples / intervals;
    Spread {
        generations,
        dispersion: if mean > 0.0 {
            (squares / intervals - mean * mean) / mean
        } else {
            0.0
        },
    }
}

/// Running sums of slices, by their number.
fn running(slices: &[f64]) -> Vec<(f64, f64)> {
    let mut sum = 0.0;
    let points = (0_u32..).zip(slices).map(|(at, slice)| {
        sum += slice;
        (f64::from(at), sum)
    });
    points.collect()
}

/// r² of a straight line through points; 0 where all lie on one level.
pub(super) fn fit(points: &[(f64, f64)]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a dozen")]
    let count = points.len().max(1) as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sums = points.iter().fold((0.0, 0.0, 0.0), |sums, point| {
        let (dx, dy) = (point.0 - x, point.1 - y);
        (sums.0 + dx * dy, sums.1 + dx * dx, sums.2 + dy * dy)
    });
    if sums.1 > 0.0 && sums.2 > 0.0 {
        sums.0 * sums.0 / (sums.1 * sums.2)
    } else {
        0.0
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds of a window"
)]
pub(super) fn scaled(length: u64, ratio: f64) -> u64 {
    (float(length) * ratio) as u64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of samples"
)]
pub(super) fn round(samples: f64) -> u64 {
    samples.round() as u64
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
