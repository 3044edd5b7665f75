//! The memory tracker: levels over a window, their spread, and how fast they grow, with how sure that is.

use std::time::SystemTime;

use crate::snapshot::{Level, Point};

/// Most blocks that a slope is computed from; the cost grows with the square.
pub(crate) const MOST_BLOCKS: usize = 40;
/// Fewest points that have a slope.
const FEWEST: usize = 3;
/// Standard deviations between a slope and its bounds: chance alone passes a bound once in 740 times.
const DEVIATIONS: f64 = 3.0;

/// What a level did over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub(crate) struct Statistics {
    /// Growth per second; absent for fewer than three points.
    pub(crate) growth: Option<Slope>,
    /// Standard deviation divided by the mean, both over time: 0 for a flat line.
    pub(crate) volatility: f64,
    /// Highest value, between the points too.
    pub(crate) peak: u64,
    /// Lowest value, between the points too.
    pub(crate) min: u64,
    /// Mean over time.
    pub(crate) average: f64,
}

/// Theil-Sen slope: the median of the slopes between all pairs, which single steps and outliers do not move; with the bounds that
/// Kendall's statistic gives it.
///
/// The bounds suppose that the errors of the points are independent. Of fewer than seven points no order is improbable enough; then
/// the bounds lie as far off as the slopes of the pairs lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slope {
    /// Growth per second.
    pub(crate) per_second: f64,
    /// Lower bound.
    pub(crate) lowest: f64,
    /// Upper bound.
    pub(crate) highest: f64,
}

impl Slope {
    /// Whether it grows beyond doubt.
    pub(crate) fn is_growth(&self) -> bool {
        self.lowest > 0.0
    }
}

/// What a level did; absent where no point has it.
pub(crate) fn statistics(
    points: &[Point],
    level: impl Fn(&Point) -> Option<Level>,
) -> Option<Statistics> {
    let mut whole: Option<(Level, u32)> = None;
    let mut squares = 0.0;
    let mut moments = 0_u32;
    for (level, weight) in points
        .iter()
        .filter_map(|point| Some((level(point)?, point.moments)))
    {
        squares += level.mean * level.mean * f64::from(weight);
        moments = moments.saturating_add(weight);
        whole = Some(match whole {
            None => (level, weight),
            Some((sum, before)) => (sum.merge(before, level, weight), moments),
        });
    }
    let (whole, _) = whole?;
    let variance = (squares / f64::from(moments) - whole.mean * whole.mean).max(0.0);
    let means = series(points, |point| Some(level(point)?.mean));
    Some(Statistics {
        growth: slope(&blocks(&means, MOST_BLOCKS)),
        volatility: if whole.mean > 0.0 {
            variance.sqrt() / whole.mean
        } else {
            0.0
        },
        peak: whole.max,
        min: whole.min,
        average: whole.mean,
    })
}

/// A number of each point over the seconds since the first one; points without it are left out.
pub(crate) fn series(points: &[Point], number: impl Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
    let start = points
        .first()
        .map_or(SystemTime::UNIX_EPOCH, |point| point.time);
    let numbers = points.iter().filter_map(|point| {
        let time = point.time.duration_since(start).unwrap_or_default();
        Some((time.as_secs_f64(), number(point)?))
    });
    numbers.collect()
}

/// At most `most` points for a series, each the median of a block of neighbours: a point of its own where there are few.
pub(crate) fn blocks(series: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let size = series.len().div_ceil(most.max(1)).max(1);
    let mut values = Vec::with_capacity(size);
    let mut blocks = Vec::with_capacity(most);
    // Counted from the end, so that the newest block is a whole one.
    for block in series.rchunks(size) {
        values.clear();
        values.extend(block.iter().map(|(_, value)| *value));
        let times: f64 = block.iter().map(|(time, _)| *time).sum();
        #[allow(clippy::cast_precision_loss, reason = "a handful")]
        let time = times / block.len() as f64;
        blocks.push((time, median(&mut values)));
    }
    blocks.reverse();
    blocks
}

/// The middle one; there must be one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp);
    match lower {
        Some(lower) if is_even => lower.midpoint(*upper),
        _ => *upper,
    }
}

/// Theil-Sen slope per second, with its bounds; absent for fewer than three points.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks among less than a thousand pairs"
)]
pub(crate) fn slope(points: &[(f64, f64)]) -> Option<Slope> {
    let mut slopes = slopes(points)?;
    slopes.sort_unstable_by(f64::total_cmp);
    let (first, last) = (*slopes.first()?, *slopes.last()?);
    let per_second = median(&mut slopes.clone());
    let (points, pairs) = (points.len() as f64, slopes.len() as f64);
    let spread = DEVIATIONS * (points * (points - 1.0) * (2.0 * points + 5.0) / 18.0).sqrt();
    let (lowest, highest) = if spread > pairs {
        let apart = last - first;
        (per_second - apart, per_second + apart)
    } else {
        let from_end = (((pairs - spread) / 2.0) as usize).saturating_sub(1);
        (slopes[from_end], slopes[slopes.len() - 1 - from_end])
    };
    Some(Slope {
        per_second,
        lowest,
        highest,
    })
}

/// Theil-Sen slope per second alone, which is cheaper.
pub(crate) fn rate(points: &[(f64, f64)]) -> Option<f64> {
    slopes(points).map(|mut slopes| median(&mut slopes))
}

/// The slopes between all pairs.
fn slopes(points: &[(f64, f64)]) -> Option<Vec<f64>> {
    if points.len() < FEWEST {
        return None;
    }
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (at, (later, high)) in points.iter().enumerate() {
        for (earlier, low) in &points[..at] {
            if later > earlier {
                slopes.push((high - low) / (later - earlier));
            }
        }
    }
    (!slopes.is_empty()).then_some(slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Option<Slope> {
        let points: Vec<_> = (0_u32..)
            .zip(values)
            .map(|(at, value)| (f64::from(at * 10), *value))
            .collect();
        slope(&points)
    }

    #[test]
    fn one_outlier_does_not_move_the_slope() {
        let rate = |values: &[f64]| line(values).map(|slope| slope.per_second);
        assert_eq!(rate(&[0.0, 10.0, 20.0, 30.0, 40.0, 50.0]), Some(1.0));
        assert_eq!(
            rate(&[0.0, 10.0, 9_000.0, 30.0, 40.0, 50.0, 60.0]),
            Some(1.0)
        );
        assert_eq!(rate(&[5.0, 5.0, 5.0]), Some(0.0));
        assert_eq!(rate(&[5.0, 6.0]), None);
    }

    #[test]
    fn few_points_prove_growth_only_when_they_agree() {
        assert!(line(&[0.0, 10.0, 20.0, 30.0]).unwrap().is_growth());
        assert!(!line(&[0.0, 10.0, 11.0, 30.0]).unwrap().is_growth());
        assert!(!line(&[5.0, 5.0, 5.0, 5.0]).unwrap().is_growth());
        let steps = [0.0, 10.0, 11.0, 30.0, 31.0, 60.0, 61.0];
        assert!(line(&steps).unwrap().is_growth(), "seven that only rise");
        assert!(!line(&steps[..6]).unwrap().is_growth(), "six");
    }

    /// Flat noise passes for growth about once in 740 times.
    #[test]
    fn bounds_hold_the_truth() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            f64::from((state >> 40) as u32) / f64::from(1 << 24)
        };
        for points in [7, 12, 40] {
            let outside = (0..2_000)
                .filter(|_| {
                    let values: Vec<_> = (0..points).map(|_| random() * 100.0).collect();
                    let slope = line(&values).unwrap();
                    slope.lowest > 0.0 || slope.highest < 0.0
                })
                .count();
            assert!(outside <= 15, "{points} points: {outside} of 2000");
        }
    }

    #[test]
    fn blocks_are_medians_and_keep_the_slope() {
        let mut long: Vec<_> = (0..5_000)
            .map(|at| (f64::from(at), f64::from(at) * 2.0))
            .collect();
        long[2_500].1 = 1e9;
        let blocks = blocks(&long, MOST_BLOCKS);
        assert!(blocks.len() <= MOST_BLOCKS);
        assert!(blocks.iter().all(|(_, value)| *value < 10_000.0));
        let slope = slope(&blocks).unwrap();
        assert!((slope.per_second - 2.0).abs() < 1e-3, "{slope:?}");
        assert_eq!(super::blocks(&long[..3], 60), long[..3]);
        assert_eq!(median(&mut [3.0, 1.0, 2.0, 9.0]), 2.5);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
    }
}
