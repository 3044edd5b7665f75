//! The process as a whole, where its call sites cannot be seen: another process, or one without our allocator.
//!
//! All that is known is a level, so much more is asked of it: a window four times as long, growth in every third of it, and a new
//! height. What comes out says that something grows and not what, and with low confidence.

use crate::config::LeakThresholds;

use super::evidence::Evidence;
use super::exact::Levels;
use super::shape::{HOUR, float};
use super::suspect::{Closed, Part};
use super::window::Window;

/// Least growth of each third, as a share of an even one.
const EVEN: f64 = 0.5;

/// A process under suspicion.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    pub(super) part: Part,
    base: f64,
    window: u64,
    highest: (u64, f64),
}

impl Whole {
    /// Asks whether the level should be suspected.
    pub(super) fn find(
        levels: &Levels,
        windows: &[Window],
        thresholds: &LeakThresholds,
    ) -> Option<Self> {
        let (now, level) = levels.last()?;
        let is_growing = |window: &&Window| {
            let Some(growth) = window.heap else {
                return false;
            };
            float(window.length) >= thresholds.whole_windows * float(thresholds.window_ms())
                && growth.is_even(EVEN)
                && growth.low * float(window.length) >= float(thresholds.whole_bytes)
                && level >= levels.highest_before(window.from())
        };
        let window = windows.iter().find(is_growing)?;
        let mut whole = Self {
            part: Part::new(0, Evidence::Whole, window.from()),
            base: levels.at(window.from())?,
            window: window.length,
            highest: (now, level),
        };
        whole.measure(levels, now, level);
        Some(whole)
    }

    /// Takes in the last value, and says why this is no suspect any more.
    pub(super) fn update(
        &mut self,
        levels: &Levels,
        thresholds: &LeakThresholds,
    ) -> Option<Closed> {
        let (now, level) = levels.last()?;
        if level > self.highest.1 {
            self.highest = (now, level);
        }
        self.measure(levels, now, level);
        let gained = self.highest.1 - self.base;
        if level < self.base + gained / 2.0 {
            return Some(Closed::Freed);
        }
        let quiet = now.saturating_sub(self.highest.0);
        (quiet > thresholds.close_after_ms().max(self.window / 2)).then_some(Closed::Stopped)
    }

    fn measure(&mut self, levels: &Levels, now: u64, level: f64) {
        self.part.bytes = (level - self.base).max(0.0);
        let Some(growth) = levels.growth(now.saturating_sub(self.window)) else {
            return;
        };
        self.part.growth = (growth.rate * HOUR).max(0.0);
        self.part.growth_low = (growth.low * HOUR).max(0.0);
        self.part.growth_high = (growth.high * HOUR).max(0.0);
        self.part.fit = growth.fit;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, LeakDetector, Observation};
    use super::*;

    const MB: f64 = 1_048_576.0;

    /// Changes and the detector after so many half minutes of a level in MB.
    fn run(minutes: u64, level: impl Fn(f64) -> f64) -> (Vec<Change>, LeakDetector) {
        let mut detector = LeakDetector::new(LeakThresholds::default());
        let mut changes = Vec::new();
        for at in 0..minutes * 2 {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "small numbers of a test"
            )]
            let rss = (level(at as f64 / 2.0) * MB) as u64;
            let observation = Observation {
                time: 1_000_000_000 + at * 30_000,
                rss_bytes: Some(rss),
                ..Observation::default()
            };
            changes.extend(detector.observe(&observation));
        }
        (changes, detector)
    }

    #[test]
    fn a_process_that_grows_is_suspected_with_low_confidence() {
        let (changes, detector) = run(60, |minute| 100.0 + minute);
        assert!(
            matches!(changes[..], [Change::Opened(_), ..]),
            "{changes:?}"
        );
        let suspect = &detector.suspects()[0];
        assert_eq!(suspect.parts[0].evidence, Evidence::Whole);
        assert!(
            (suspect.growth() / MB - 60.0).abs() < 1.0,
            "{}",
            suspect.growth()
        );
        assert_eq!(suspect.severity.as_str(), "critical");
    }

    #[test]
    fn what_is_flat_falls_or_levels_off_is_not() {
        assert!(run(120, |_| 100.0).0.is_empty());
        assert!(run(120, |minute| 300.0 - minute).0.is_empty());
        assert!(
            run(120, |minute| 100.0 + minute.min(10.0) * 5.0)
                .0
                .is_empty()
        );
        assert!(
            run(240, |minute| 100.0 + 5.0 * (minute % 20.0))
                .0
                .is_empty()
        );
    }

    #[test]
    fn it_is_closed_when_the_growth_ends() {
        let (changes, detector) = run(120, |minute| 100.0 + minute.min(60.0));
        assert!(detector.suspects().is_empty());
        let Some(Change::Closed(suspect)) = changes.last() else {
            panic!("{changes:?}");
        };
        assert_eq!(suspect.closed.map(|(_, why)| why), Some(Closed::Stopped));
        let (changes, _) = run(
            80,
            |minute| if minute < 60.0 { 100.0 + minute } else { 100.0 },
        );
        let Some(Change::Closed(suspect)) = changes.last() else {
            panic!("{changes:?}");
        };
        assert_eq!(suspect.closed.map(|(_, why)| why), Some(Closed::Freed));
    }
}
