//! What the past says of a snapshot: plain numbers, derived above and put in here by who composes.

use std::time::Duration;

use crate::catalog::Verdict;

use super::LeakReading;

/// Numbers that no collector reads, because they follow from the history.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Derived {
    /// Seconds until the limit is reached if memory goes on growing as it does; absent without a limit, without growth beyond doubt, and
    /// while there is little history.
    pub limit_exhaustion_seconds: Option<f64>,
    /// How resident memory grows; absent while there is too little history to tell.
    pub growth: Option<Growth>,
    /// What the leak detector found; absent where nothing looks for leaks.
    pub leaks: Option<LeakReading>,
}

/// How resident memory grows, and which part of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Growth {
    /// Which part grows; absent where it is a part that cannot be told apart from others.
    pub verdict: Option<Verdict>,
    /// Time that was looked at.
    pub window: Duration,
    /// Growth of resident memory in bytes per second.
    pub bytes_per_second: f64,
    /// Lower bound of that; where it lies above 0, memory grows beyond doubt.
    pub lowest_bytes_per_second: f64,
    /// Upper confidence bound.
    pub highest_bytes_per_second: f64,
    /// Every part that can be told apart.
    pub parts: Vec<PartGrowth>,
}

/// How one part of resident memory grows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PartGrowth {
    /// The verdict if this part grows most; absent for anonymous memory of which it is unknown what it is.
    pub verdict: Option<Verdict>,
    /// Its growth in bytes per second; negative while it shrinks.
    pub bytes_per_second: f64,
    /// Its share in the growth of all growing parts, 0 to 1.
    pub share: f64,
}

impl Growth {
    /// Of resident memory over `window`, without any part.
    pub fn new(window: Duration, slope: f64, lowest: f64, highest: f64) -> Self {
        Self {
            verdict: None,
            window,
            bytes_per_second: slope,
            lowest_bytes_per_second: lowest,
            highest_bytes_per_second: highest,
            parts: Vec::new(),
        }
    }
}

impl PartGrowth {
    /// Growth of a part.
    pub fn new(verdict: Option<Verdict>, bytes_per_second: f64, share: f64) -> Self {
        Self {
            verdict,
            bytes_per_second,
            share,
        }
    }
}
