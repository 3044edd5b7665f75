//! Growth of an exact level (the heap, or resident memory): the median of the slopes between all pairs of a dozen means, with the
//! confidence interval that belongs to it (Sen 1968), so that no distribution is assumed and single steps do not count as growth.

use super::shape::fit;
use super::thin::least_missed;

/// Most points that are kept; then older ones stand further apart.
const MOST_POINTS: usize = 512;
/// Intervals that a window is divided into.
const PARTS: u64 = 11;
/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.96;

/// Past values of a level, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels {
    points: Vec<(u64, f64)>,
}

/// Growth over a window, in bytes per millisecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    pub(super) rate: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// From the first mean to the last.
    pub(super) mean: f64,
    /// r² of a straight line.
    pub(super) fit: f64,
    /// The least growth in a third of the time, as a share of what a third would have of an even growth.
    pub(super) least_third: f64,
}

impl Growth {
    /// Whether the level grew in every third of the time, by at least so much of what a third would have of an even growth.
    pub(super) fn is_even(&self, least: f64) -> bool {
        self.low > 0.0 && self.least_third >= least
    }
}

impl Levels {
    /// Adds a value; one that is not later than the last is ignored.
    pub(super) fn push(&mut self, time: u64, value: f64) {
        if self.points.last().is_some_and(|(last, _)| *last >= time) {
            return;
        }
        if self.points.len() >= MOST_POINTS
            && let Some(least) = least_missed(self.points.len(), |at| self.points[at].0)
        {
            self.points.remove(least);
        }
        self.points.push((time, value));
    }

    /// Bytes reserved.
    pub(super) fn bytes(&self) -> usize {
        self.points.capacity() * size_of::<(u64, f64)>()
    }

    pub(super) fn clear(&mut self) {
        self.points.clear();
    }

    /// Whether the level never grew like this before, by so many times: from `since` until the window that begins at `from`, and there was time enough for it.
    pub(super) fn is_unusual(&self, since: u64, from: u64, growth: &Growth, ratio: f64) -> bool {
        let Some((now, _)) = self.points.last() else {
            return false;
        };
        let length = now.saturating_sub(from);
        if from.saturating_sub(since) < 2 * length {
            return false;
        }
        let past = self.points.partition_point(|(time, _)| *time < since)
            ..self.points.partition_point(|(time, _)| *time <= from);
        let past = &self.points[past];
        let mut begin = 0;
        let mut most = 0.0_f64;
        for (time, value) in past {
            while past[begin].0 + length < *time {
                begin += 1;
            }
            most = most.max(value - past[begin].1);
        }
        growth.rate * float(length) >= ratio * most
    }

    /// The last value, and when it was.
    pub(super) fn last(&self) -> Option<(u64, f64)> {
        self.points.last().copied()
    }

    /// The last value at or before a moment; absent where nothing is known from before.
    pub(super) fn at(&self, time: u64) -> Option<f64> {
        let after = self.points.partition_point(|(other, _)| *other <= time);
        Some(self.points.get(after.checked_sub(1)?)?.1)
    }

    /// The highest value before a moment, 0 where nothing is known.
    pub(super) fn highest_before(&self, time: u64) -> f64 {
        let before = self.points.iter().take_while(|(other, _)| *other < time);
        before.map(|(_, value)| *value).fold(0.0, f64::max)
    }

    /// Growth between two moments.
    pub(super) fn gained(&self, from: u64, to: u64) -> Option<f64> {
        Some(self.at(to)? - self.at(from)?)
    }

    /// Growth from `from` to the last value; absent where there is not a value in nearly every part of that time.
    pub(super) fn growth(&self, from: u64) -> Option<Growth> {
        let (now, _) = *self.points.last()?;
        let first = self.points.partition_point(|(time, _)| *time < from);
        let width = now.saturating_sub(from) / PARTS;
        if width == 0 {
            return None;
        }
        let mut means: Vec<(f64, f64)> = Vec::new();
        let mut sum = (0.0, 0.0, 0.0);
        let mut part = 0;
        for (time, value) in &self.points[first..] {
            let at = ((time - from) / width).min(PARTS - 1);
            if at != part {
                push_mean(&mut means, sum);
                (sum, part) = ((0.0, 0.0, 0.0), at);
            }
            sum = (sum.0 + float(time - from), sum.1 + value, sum.2 + 1.0);
        }
        push_mean(&mut means, sum);
        (means.len() >= 8).then(|| sen(&means)).flatten()
    }
}

fn push_mean(means: &mut Vec<(f64, f64)>, (times, values, count): (f64, f64, f64)) {
    if count > 0.0 {
        means.push((times / count, values / count));
    }
}

/// Median of all slopes between two points, and the confidence interval of the slope at 95 %.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank among a few dozen slopes"
)]
fn sen(points: &[(f64, f64)]) -> Option<Growth> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (at, later) in points.iter().enumerate() {
        let earlier = points[..at].iter().filter(|earlier| later.0 > earlier.0);
        slopes.extend(earlier.map(|earlier| (later.1 - earlier.1) / (later.0 - earlier.0)));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    let (count, n) = (slopes.len() as f64, points.len() as f64);
    // Kendall's variance of the number of concordant minus discordant pairs.
    let spread = Z * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let at = |rank: f64| {
        let rank = rank.round().clamp(0.0, (count - 1.0).max(0.0)) as usize;
        slopes.get(rank).copied()
    };
    let third = (points.len() - 1) / 3;
    let edges = [0, third, points.len() - 1 - third, points.len() - 1];
    let (first, last) = (points[0], points[points.len() - 1]);
    let whole = (last.1 - first.1) / (last.0 - first.0);
    let least = edges.windows(2).filter_map(|pair| {
        let (from, to) = (points.get(pair[0])?, points.get(pair[1])?);
        Some((to.1 - from.1) / (to.0 - from.0) / whole)
    });
    Some(Growth {
        least_third: if whole > 0.0 {
            least.fold(f64::INFINITY, f64::min)
        } else {
            0.0
        },
        mean: whole,
        fit: fit(points),
        rate: at(count / 2.0 - 0.5)?,
        low: at((count - spread) / 2.0)?,
        high: at((count + spread) / 2.0)?,
    })
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of a window")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(value: impl Fn(u64) -> f64) -> Levels {
        let mut levels = Levels::default();
        (0..100).for_each(|at| levels.push(at * 1_000, value(at)));
        levels
    }

    #[test]
    fn a_line_has_its_slope_and_a_step_has_none() {
        let line = levels(|at| at as f64 * 10.0).growth(0).unwrap();
        assert!(
            (line.rate - 0.01).abs() < 1e-9 && line.is_even(0.9),
            "{line:?}"
        );
        let step = levels(|at| if at < 50 { 0.0 } else { 500.0 })
            .growth(0)
            .unwrap();
        assert!(!step.is_even(0.1), "{step:?}");
        let flat = levels(|at| (at % 3) as f64).growth(0).unwrap();
        assert!(flat.low <= 0.0 && flat.high >= 0.0, "{flat:?}");
    }

    #[test]
    fn a_long_past_stays_bounded_and_keeps_its_slope() {
        let mut levels = Levels::default();
        (0..10_000).for_each(|at| levels.push(at * 1_000, at as f64));
        assert!(levels.points.len() <= MOST_POINTS);
        let whole = levels.growth(0).unwrap();
        assert!((whole.rate - 0.001).abs() < 1e-6, "{whole:?}");
        let recent = levels.growth(9_900_000).unwrap();
        assert!((recent.rate - 0.001).abs() < 1e-6, "{recent:?}");
    }

    #[test]
    fn too_few_values_say_nothing() {
        let mut levels = Levels::default();
        levels.push(0, 0.0);
        levels.push(100_000, 5.0);
        assert_eq!(levels.growth(0), None);
        levels.push(50_000, 9.0);
        assert_eq!(levels.points.len(), 2, "a value from before is ignored");
    }
}
