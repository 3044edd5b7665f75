//! How many requests are answered: a token bucket, as in the toolkit. Time comes from who asks.

use std::time::{Duration, Instant};

use crate::config::Rate;

/// Starts full, and gains one token in each interval.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// When the bucket is full again, if nothing more is taken.
    full_at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let missing = self.full_at.saturating_duration_since(now);
        let most = self
            .rate
            .interval
            .saturating_mul(self.rate.burst.saturating_sub(1));
        if missing > most {
            return Err(missing - most);
        }
        self.full_at = now + missing + self.rate.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_passes_and_then_one_in_each_interval() {
        let start = Instant::now();
        let rate = Rate {
            interval: 100 * MS,
            burst: 3,
        };
        let mut bucket = Bucket::new(rate, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        assert_eq!(bucket.take(start), Err(100 * MS));
        assert_eq!(bucket.take(start + 99 * MS), Err(MS));
        assert_eq!(bucket.take(start + 100 * MS), Ok(()));
        assert_eq!(bucket.take(start + 150 * MS), Err(50 * MS));
        // It never holds more than the burst.
        let later = start + 100_000 * MS;
        assert_eq!(
            [(); 4].map(|()| bucket.take(later).is_ok()),
            [true, true, true, false]
        );
    }
}
