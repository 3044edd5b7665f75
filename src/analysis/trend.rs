//! A window of the history at an interval, and what each level did in it.

use std::time::{Duration, SystemTime};

use crate::snapshot::Point;

use super::tracker::{Statistics, statistics};

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

/// Merges points, given one after another and the oldest first, into intervals counted back from a time.
#[derive(Debug)]
pub(crate) struct Slots {
    now: SystemTime,
    interval: Duration,
    merged: Vec<Point>,
    /// The interval of the last, counted back.
    current: Option<u128>,
}

impl Slots {
    /// Empty ones.
    pub(crate) fn new(now: SystemTime, interval: Duration) -> Self {
        Self {
            now,
            interval,
            merged: Vec::new(),
            current: None,
        }
    }

    /// Takes in the next point.
    pub(crate) fn add(&mut self, point: &Point) {
        let age = self.now.duration_since(point.time).unwrap_or_default();
        let at = age.as_nanos().checked_div(self.interval.as_nanos());
        match self.merged.last_mut() {
            Some(last) if self.current == at => *last = last.merge(point),
            _ => self.merged.push(*point),
        }
        self.current = at;
    }

    /// What the levels did.
    pub(crate) fn trend(self) -> Trend {
        let points = self.merged;
        Trend {
            rss: statistics(&points, |point| point.rss),
            heap: statistics(&points, |point| point.heap),
            virtual_size: statistics(&points, |point| point.virtual_size),
            points,
        }
    }
}
