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
