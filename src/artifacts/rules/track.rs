//! Series made up for a test.

use std::time::Duration;

use crate::alert::Sample;

/// The course of one series, a sample at each interval, and how promtool is told of it.
#[derive(Debug, Clone)]
pub(super) struct Track {
    interval: Duration,
    samples: Vec<Option<f64>>,
    notation: Vec<String>,
}

impl Track {
    /// A series that has not begun.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            samples: Vec::new(),
            notation: Vec::new(),
        }
    }

    /// Samples within a time, at least one.
    pub(super) fn steps(&self, time: Duration) -> usize {
        let steps = time.as_millis().div_ceil(self.interval.as_millis().max(1));
        usize::try_from(steps).unwrap_or(usize::MAX).max(1)
    }

    /// One value for so many samples.
    pub(super) fn hold(self, value: f64, steps: usize) -> Self {
        self.ramp(value, 0.0, steps)
    }

    /// A value that rises with each of so many samples.
    pub(super) fn ramp(mut self, from: f64, by: f64, steps: usize) -> Self {
        if steps == 0 {
            return self;
        }
        let mut value = from;
        for _ in 0..steps {
            self.samples.push(Some(value));
            value += by;
        }
        self.notation.push(match (by, steps - 1) {
            (_, 0) => from.to_string(),
            (0.0, more) => format!("{from}x{more}"),
            (by, more) if by < 0.0 => format!("{from}{by}x{more}"),
            (by, more) => format!("{from}+{by}x{more}"),
        });
        self
    }

    /// No samples for so many intervals; the series does not end, it is late.
    pub(super) fn missing(mut self, steps: usize) -> Self {
        self.samples.extend(std::iter::repeat_n(None, steps));
        if steps > 0 {
            self.notation.push(format!("_x{steps}"));
        }
        self
    }

    /// Goes on from the last value, rising by `rate` per second for so many samples.
    pub(super) fn grow(self, rate: f64, steps: usize) -> Self {
        let by = rate * self.interval.as_secs_f64();
        let from = self.last() + by;
        self.ramp(from, by, steps)
    }

    /// Stays at the last value for so many samples.
    pub(super) fn stay(self, steps: usize) -> Self {
        let last = self.last();
        self.hold(last, steps)
    }

    /// The last value, 0 before the first.
    pub(super) fn last(&self) -> f64 {
        self.samples.last().copied().flatten().unwrap_or_default()
    }

    /// How many samples there are, the missing ones included.
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// As promtool reads it.
    pub(super) fn notation(&self) -> String {
        self.notation.join(" ")
    }

    /// Its samples.
    pub(super) fn samples(&self) -> Vec<Sample> {
        let interval = self.interval.as_secs_f64();
        let numbered = (0_u32..).zip(&self.samples);
        numbered
            // What is missing is late.
            .filter(|(_, sample)| sample.is_some())
            .map(|(step, sample)| Sample {
                time: f64::from(step) * interval,
                value: *sample,
            })
            .collect()
    }
}
