//! The past, in bounded memory.
//!
//! The newer half of the ring keeps every moment; in the older half neighbours are merged when room is needed, until each covers
//! as much time as it takes to span the retention. So a ring of 2000 moments at 30 s answers for the last 8 hours to the moment
//! and for the last week to twenty minutes, and minima and maxima are never lost.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::{Parts, Snapshot};

/// A level over the time that a point covers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Lowest value, in bytes as the other two.
    pub min: u64,
    /// Mean over the time covered.
    pub mean: f64,
    /// Highest value.
    pub max: u64,
}

/// One moment, or several merged.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The last moment covered.
    pub time: SystemTime,
    /// Time from the first moment covered to the last.
    pub span: Duration,
    /// Moments covered.
    pub moments: u32,
    /// Resident set size; absent where it could not be read.
    pub rss: Option<Level>,
    /// Bytes that the program holds; absent where its allocator is unknown.
    pub heap: Option<Level>,
    /// Virtual size.
    pub virtual_size: Option<Level>,
    /// Allocator operations since the start of the process, at the last moment.
    pub operations: Option<u64>,
    /// Bytes asked for since the start of the process, at the last moment.
    pub bytes: Option<u64>,
    /// What else the last moment said.
    pub parts: Parts,
}

impl Level {
    #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    fn of(value: u64) -> Self {
        Self {
            min: value,
            mean: value as f64,
            max: value,
        }
    }

    /// Two levels as one; the mean weighs them by their moments.
    pub fn merge(self, weight: u32, other: Self, other_weight: u32) -> Self {
        let (a, b) = (f64::from(weight), f64::from(other_weight));
        Self {
            min: self.min.min(other.min),
            mean: (self.mean * a + other.mean * b) / (a + b),
            max: self.max.max(other.max),
        }
    }
}

impl Point {
    /// A moment of which only this is known.
    #[cfg(test)]
    pub(crate) fn at(seconds: f64, parts: Parts) -> Self {
        let mut point = Self::of(&Snapshot::default());
        point.time = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds);
        point.parts = parts;
        point
    }

    /// A moment of which only levels are known: resident set size, bytes that the program holds, virtual size.
    pub(super) fn of_levels(
        time: SystemTime,
        rss: Option<u64>,
        heap: Option<u64>,
        virtual_size: Option<u64>,
    ) -> Self {
        Self {
            time,
            span: Duration::ZERO,
            moments: 1,
            rss: rss.map(Level::of),
            heap: heap.map(Level::of),
            virtual_size: virtual_size.map(Level::of),
            operations: None,
            bytes: None,
            parts: Parts::default(),
        }
    }

    /// What a snapshot leaves in the history.
    pub fn of(snapshot: &Snapshot) -> Self {
        let process = snapshot.process.get();
        let counts = snapshot.heap.get();
        let sizes = || {
            counts
                .into_iter()
                .flat_map(|counts| &counts.components)
                .flat_map(|component| &component.operations)
        };
        Self {
            time: snapshot.time,
            span: Duration::ZERO,
            moments: 1,
            rss: process.map(|process| Level::of(process.rss)),
            heap: snapshot.heap_bytes().map(Level::of),
            virtual_size: process.map(|process| Level::of(process.virtual_size)),
            operations: counts
                .map(|_| sizes().fold(0, |sum: u64, sizes| sum.saturating_add(sizes.count()))),
            bytes: counts
                .map(|_| sizes().fold(0, |sum: u64, sizes| sum.saturating_add(sizes.bytes))),
            parts: Parts::of(snapshot),
        }
    }

    /// This point and the one after it as one.
    pub fn merge(&self, next: &Self) -> Self {
        let level = |a: Option<Level>, b: Option<Level>| match (a, b) {
            (Some(a), Some(b)) => Some(a.merge(self.moments, b, next.moments)),
            (a, b) => a.or(b),
        };
        Self {
            time: next.time,
            span: self.covered_with(next),
            moments: self.moments.saturating_add(next.moments),
            rss: level(self.rss, next.rss),
            heap: level(self.heap, next.heap),
            virtual_size: level(self.virtual_size, next.virtual_size),
            operations: next.operations.or(self.operations),
            bytes: next.bytes.or(self.bytes),
            parts: next.parts.or(self.parts),
        }
    }

    fn covered_with(&self, next: &Self) -> Duration {
        self.span
            .saturating_add(next.time.duration_since(self.time).unwrap_or_default())
    }
}

/// The bounded ring of past moments, oldest first.
#[derive(Debug)]
pub struct History {
    points: VecDeque<Point>,
    capacity: usize,
    retention: Duration,
}

impl History {
    /// Fewest points that a ring can have.
    pub const MIN_CAPACITY: usize = 16;

    /// A ring of at most `capacity` points (at least [`MIN_CAPACITY`](Self::MIN_CAPACITY)) that forgets what is older than
    /// `retention`. All its memory is reserved here.
    pub fn new(capacity: usize, retention: Duration) -> Self {
        let capacity = capacity.max(Self::MIN_CAPACITY);
        Self {
            points: VecDeque::with_capacity(capacity),
            capacity,
            retention,
        }
    }

    /// The same past in other bounds. What no longer fits is merged, and forgotten in the end.
    pub(super) fn resized(&self, capacity: usize, retention: Duration) -> Self {
        let mut resized = Self::new(capacity, retention);
        for point in &self.points {
            resized.push(*point);
        }
        resized
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.points.clear();
    }

    /// Adds a moment. One that is not later than the last (the clock was set back) starts a new past: what lies in its future is
    /// forgotten.
    pub fn push(&mut self, point: Point) {
        while self
            .points
            .back()
            .is_some_and(|last| last.time >= point.time)
        {
            self.points.pop_back();
        }
        let too_old = |old: &Point| {
            point
                .time
                .duration_since(old.time)
                .is_ok_and(|age| age > self.retention)
        };
        while self.points.front().is_some_and(too_old) {
            self.points.pop_front();
        }
        if self.points.len() >= self.capacity {
            self.compact();
        }
        self.points.push_back(point);
    }

    /// Merges neighbours in the older half; where none may be merged any more, forgets the oldest.
    fn compact(&mut self) {
        let half = self.capacity / 2;
        // Two neighbours that stay apart cover more than this together, so the half covers the retention.
        let widest = self.retention * 2 / u32::try_from(half).unwrap_or(u32::MAX).max(1);
        let mut kept = 0;
        let mut at = 0;
        while at < half {
            let merged = match self.points.get(at + 1) {
                Some(next) if at + 1 < half && self.points[at].covered_with(next) <= widest => {
                    at += 1;
                    Some(self.points[at - 1].merge(next))
                }
                _ => None,
            };
            self.points[kept] = merged.unwrap_or(self.points[at]);
            kept += 1;
            at += 1;
        }
        if kept == half {
            self.points.pop_front();
        } else {
            self.points.drain(kept..half);
        }
    }

    /// All points, oldest first.
    pub fn points(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.points.iter()
    }

    /// Points whose last moment is not older than `duration` before `now`, oldest first.
    pub fn since(&self, now: SystemTime, duration: Duration) -> impl Iterator<Item = &Point> {
        let from = now.checked_sub(duration);
        let first = self
            .points
            .partition_point(|point| from.is_some_and(|from| point.time < from));
        self.points.range(first..)
    }

    /// How far back it may reach.
    pub fn retention(&self) -> Duration {
        self.retention
    }

    /// Bytes reserved.
    pub fn reserved_bytes(&self) -> u64 {
        (self.points.capacity() * size_of::<Point>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(30);

    fn point(at: u32, rss: u64) -> Point {
        Point {
            time: SystemTime::UNIX_EPOCH + STEP * at,
            span: Duration::ZERO,
            moments: 1,
            rss: Some(Level::of(rss)),
            heap: None,
            virtual_size: None,
            operations: Some(u64::from(at)),
            bytes: None,
            parts: Parts::default(),
        }
    }

    #[test]
    fn a_week_fits_in_two_thousand_points_and_no_peak_is_lost() {
        let retention = Duration::from_secs(7 * 24 * 3600);
        let mut history = History::new(2_000, retention);
        let ticks: u32 = 7 * 24 * 120;
        for at in 0..ticks {
            history.push(point(at, if at == 1_000 { 1 << 30 } else { u64::from(at) }));
            assert!(history.points().len() <= 2_000);
        }
        let points: Vec<_> = history.points().copied().collect();
        assert_eq!(
            points.iter().map(|point| point.moments).sum::<u32>(),
            ticks,
            "a moment was lost"
        );
        assert_eq!(
            points
                .iter()
                .filter_map(|point| point.rss)
                .map(|rss| rss.max)
                .max(),
            Some(1 << 30)
        );
        assert_eq!(points[0].rss.unwrap().min, 0, "the beginning was lost");
        assert!(points.windows(2).all(|pair| pair[0].time < pair[1].time));
        let newest_half = &points[points.len() - 900..];
        assert!(
            newest_half.iter().all(|point| point.moments == 1),
            "the recent past must stay exact"
        );
        let now = SystemTime::UNIX_EPOCH + STEP * (ticks - 1);
        let day = history.since(now, Duration::from_secs(24 * 3600)).count();
        assert!(
            day > 1_000,
            "24 hours must be answered from this ring: {day} points"
        );
    }

    #[test]
    fn what_is_older_than_the_retention_is_forgotten() {
        let mut history = History::new(100, STEP * 10);
        (0..50).for_each(|at| history.push(point(at, 1)));
        assert_eq!(history.points().len(), 11);
    }

    #[test]
    fn the_oldest_go_when_nothing_can_be_merged() {
        let mut history = History::new(16, STEP * 16);
        (0..100).for_each(|at| history.push(point(at, 1)));
        assert!(history.points().len() <= 16);
        assert_eq!(history.points().last().unwrap().operations, Some(99));
    }

    #[test]
    fn a_clock_set_back_starts_a_new_past() {
        let mut history = History::new(100, STEP * 1_000);
        (0..50).for_each(|at| history.push(point(at, 1)));
        history.push(point(10, 2));
        let times: Vec<_> = history
            .points()
            .map(|point| point.operations.unwrap())
            .collect();
        assert_eq!(times, (0..=10).collect::<Vec<_>>());
    }

    #[test]
    fn merging_keeps_mean_minimum_and_maximum() {
        let merged = point(0, 10).merge(&point(1, 40)).merge(&point(2, 70));
        assert_eq!(
            merged.rss,
            Some(Level {
                min: 10,
                mean: 40.0,
                max: 70
            })
        );
        assert_eq!((merged.moments, merged.span), (3, STEP * 2));
    }
}
