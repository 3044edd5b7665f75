//! Levels over a window: points at an interval, slope, spread, peak, minimum and mean.

use std::time::{Duration, SystemTime};

use crate::snapshot::{Level, Point};

/// Most points that a slope is computed from; the cost grows with the square.
const MOST_FOR_SLOPE: usize = 300;
/// Fewest points that have a slope.
const FEWEST_FOR_SLOPE: usize = 3;

/// A window of the history at an interval.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) struct Trend {
    /// One point per interval that has any, oldest first.
    pub(crate) points: Vec<Point>,
    /// Resident set size.
    pub(crate) rss: Option<Statistics>,
    /// Bytes that the program holds.
    pub(crate) heap: Option<Statistics>,
    /// Virtual size.
    pub(crate) virtual_size: Option<Statistics>,
}

/// What a level did over a window.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub(crate) struct Statistics {
    /// Theil-Sen slope in bytes per second: the median of the slopes between all pairs, which single steps and outliers do not
    /// move. Absent for fewer than three points.
    pub(crate) growth_rate: Option<f64>,
    /// Standard deviation divided by the mean, both over time: 0 for a flat line.
    pub(crate) volatility: f64,
    /// Highest value, between the points too.
    pub(crate) peak: u64,
    /// Lowest value, between the points too.
    pub(crate) min: u64,
    /// Mean over time.
    pub(crate) average: f64,
}

/// Merges points into intervals counted back from `now`, and says what they did.
pub(crate) fn trend<'a>(
    points: impl IntoIterator<Item = &'a Point>,
    now: SystemTime,
    interval: Duration,
) -> Trend {
    let slot = |point: &Point| {
        let age = now.duration_since(point.time).unwrap_or_default();
        age.as_nanos()
            .checked_div(interval.as_nanos())
            .unwrap_or_default()
    };
    let mut merged: Vec<Point> = Vec::new();
    let mut current = None;
    for point in points {
        let at = slot(point);
        match merged.last_mut() {
            Some(last) if current == Some(at) => *last = last.merge(point),
            _ => merged.push(*point),
        }
        current = Some(at);
    }
    Trend {
        rss: statistics(&merged, |point| point.rss),
        heap: statistics(&merged, |point| point.heap),
        virtual_size: statistics(&merged, |point| point.virtual_size),
        points: merged,
    }
}

fn statistics(points: &[Point], level: impl Fn(&Point) -> Option<Level>) -> Option<Statistics> {
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
    Some(Statistics {
        growth_rate: slope(
            points
                .iter()
                .filter_map(|point| Some((point.time, level(point)?.mean))),
        ),
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

/// Theil-Sen slope per second; absent for fewer than three points. Of a long series every n-th point is taken, the last always.
pub(crate) fn slope(points: impl IntoIterator<Item = (SystemTime, f64)>) -> Option<f64> {
    let all: Vec<(SystemTime, f64)> = points.into_iter().collect();
    if all.len() < FEWEST_FOR_SLOPE {
        return None;
    }
    let step = all.len().div_ceil(MOST_FOR_SLOPE);
    let mut taken: Vec<(SystemTime, f64)> = all.iter().rev().step_by(step).copied().collect();
    taken.reverse();
    let mut slopes = Vec::with_capacity(taken.len() * (taken.len() - 1) / 2);
    for (at, (later, high)) in taken.iter().enumerate() {
        for (earlier, low) in &taken[..at] {
            let seconds = later
                .duration_since(*earlier)
                .unwrap_or_default()
                .as_secs_f64();
            if seconds > 0.0 {
                slopes.push((high - low) / seconds);
            }
        }
    }
    let middle = slopes.len() / 2;
    (!slopes.is_empty()).then(|| *slopes.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Option<f64> {
        slope((0..).zip(values).map(|(at, value)| {
            (
                SystemTime::UNIX_EPOCH + Duration::from_secs(at * 10),
                *value,
            )
        }))
    }

    #[test]
    fn one_outlier_does_not_move_the_slope() {
        assert_eq!(line(&[0.0, 10.0, 20.0, 30.0, 40.0, 50.0]), Some(1.0));
        assert_eq!(
            line(&[0.0, 10.0, 9_000.0, 30.0, 40.0, 50.0, 60.0]),
            Some(1.0)
        );
        assert_eq!(line(&[5.0, 5.0, 5.0]), Some(0.0));
        assert_eq!(line(&[5.0, 6.0]), None);
    }

    #[test]
    fn a_long_series_keeps_its_slope() {
        let values: Vec<f64> = (0..5_000).map(|at| f64::from(at) * 20.0).collect();
        assert_eq!(line(&values), Some(2.0));
    }
}
