//! How often series come in, and what that does to every time in a rule.

use std::time::Duration;

/// Fewest samples that a window must hold: below it, one missed scrape decides.
const SAMPLES: u32 = 4;

/// How often series come in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Between two scrapes.
    scrape: Duration,
    /// Between two pushes.
    push: Duration,
    /// By how many times everything happens faster than in earnest.
    shorten: f64,
}

impl Pace {
    /// Series that come every `scrape` or every `push`; all else is divided by `shorten`, so that alerts can be rehearsed.
    pub fn new(scrape: Duration, push: Duration, shorten: f64) -> Self {
        let pace = Self {
            scrape,
            push,
            shorten,
        };
        let push = pace.shortened(push).max(if shorten > 1.0 {
            scrape
        } else {
            Duration::ZERO
        });
        Self { push, ..pace }
    }

    /// Between two scrapes.
    pub fn scrape(self) -> Duration {
        self.scrape
    }

    /// Between two pushes.
    pub fn push(self) -> Duration {
        self.push
    }

    /// A window of a range, long enough for the slowest way in.
    pub fn window(self, window: Duration) -> Duration {
        self.shortened(window)
            .max(self.scrape.max(self.push) * SAMPLES)
    }

    /// A time that no samples must fit into.
    pub fn time(self, time: Duration) -> Duration {
        self.shortened(time)
    }

    /// In whole milliseconds, the least that PromQL has.
    fn shortened(self, time: Duration) -> Duration {
        let milliseconds = (time.as_secs_f64() * 1_000.0 / self.shorten).ceil() / 1_000.0;
        if self.shorten > 1.0 {
            Duration::from_secs_f64(milliseconds)
        } else {
            time
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn windows_hold_four_samples_of_the_slowest_way_in() {
        let pace = Pace::new(seconds(15), seconds(60), 1.0);
        assert_eq!(pace.window(seconds(300)), seconds(300));
        assert_eq!(pace.window(seconds(60)), seconds(240));
        assert_eq!(pace.time(seconds(120)), seconds(120));
        assert_eq!(
            Pace::new(seconds(120), seconds(60), 1.0).window(seconds(300)),
            seconds(480)
        );
    }

    #[test]
    fn a_rehearsal_is_faster_but_still_sees_samples() {
        let pace = Pace::new(seconds(1), seconds(60), 60.0);
        assert_eq!(pace.push(), seconds(1));
        assert_eq!(pace.window(seconds(300)), seconds(5));
        assert_eq!(pace.window(seconds(60)), seconds(4));
        assert_eq!(pace.time(seconds(120)), seconds(2));
    }
}
