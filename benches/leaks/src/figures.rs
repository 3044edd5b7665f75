//! What many judged runs come to: recall, precision in its several senses, delays.

use crate::kind::Kind;
use crate::score::{LeakOutcome, Outcome};

/// Milliseconds of a minute.
const MINUTE: f64 = 60_000.0;

/// Sampled blocks that the median waiting time of the second sample is worth: the median of a gamma distribution of shape 2.
const MEDIAN_OF_TWO: f64 = 1.678;

/// A share of a number of things; `None` of nothing.
#[must_use]
pub fn share(count: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

/// The figures of some runs.
#[derive(Debug, Clone, Copy)]
pub struct Figures<'a> {
    outcomes: &'a [&'a Outcome],
}

impl<'a> Figures<'a> {
    /// Of these runs.
    #[must_use]
    pub fn new(outcomes: &'a [&'a Outcome]) -> Self {
        Self { outcomes }
    }

    /// Every leak of every run.
    pub fn leaks(&self) -> impl Iterator<Item = &'a LeakOutcome> {
        self.outcomes.iter().flat_map(|outcome| &outcome.leaks)
    }

    fn share_of_leaks(&self, is: impl Fn(&LeakOutcome) -> bool) -> Option<f64> {
        share(
            self.leaks().filter(|leak| is(leak)).count(),
            self.leaks().count(),
        )
    }

    /// Leaks that were named some time, of all leaks.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        self.share_of_leaks(|leak| leak.named)
    }

    /// Leaks whose first suspect after the onset named them, of all leaks.
    #[must_use]
    pub fn right_site(&self) -> Option<f64> {
        self.share_of_leaks(|leak| leak.right_site == Some(true))
    }

    /// Leaks that are named at the end of the run, of all leaks.
    #[must_use]
    pub fn at_end(&self) -> Option<f64> {
        self.share_of_leaks(|leak| leak.open_at_end)
    }

    /// Minutes from the onset, or from the end of the detector's warm-up if that is later, of the leaks that were named; sorted.
    #[must_use]
    pub fn delays(&self) -> Vec<f64> {
        let delays = self.leaks().filter_map(|leak| leak.delay_from_warm_up);
        let mut delays: Vec<f64> = delays.map(|delay| delay as f64 / MINUTE).collect();
        delays.sort_by(f64::total_cmp);
        delays
    }

    /// The sum of a count over the runs.
    #[must_use]
    pub fn sum(&self, count: fn(&Outcome) -> usize) -> usize {
        self.outcomes.iter().map(|outcome| count(outcome)).sum()
    }

    /// Runs in which a count is not 0.
    #[must_use]
    pub fn runs_with(&self, count: fn(&Outcome) -> usize) -> usize {
        let runs = self.outcomes.iter().filter(|outcome| count(outcome) > 0);
        runs.count()
    }

    /// True suspects of all suspects that were ever opened. Runs in which many leaks are named outweigh the others.
    #[must_use]
    pub fn precision_ever(&self) -> Option<f64> {
        let right = self.sum(|outcome| outcome.true_ever);
        share(right, right + self.sum(|outcome| outcome.false_ever))
    }

    /// True suspects of those that are open at the end of the run.
    #[must_use]
    pub fn precision_at_end(&self) -> Option<f64> {
        let right = self.sum(|outcome| outcome.true_at_end);
        share(right, right + self.sum(|outcome| outcome.false_at_end))
    }

    /// Balanced recall: the mean over the leaking kinds of the share of their leaks that were named, so that every kind weighs the same.
    #[must_use]
    pub fn balanced_recall(&self) -> Option<f64> {
        let shares = self.named_by_kind();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }

    /// Balanced precision: if a run of a kind drawn at random has a suspect that counts, how likely is it right? A leaking kind counts
    /// with the share of its leaks that were named, an innocent one with the share of its runs that ever had a suspect.
    #[must_use]
    pub fn balanced_precision(&self) -> Option<f64> {
        let named: f64 = self.named_by_kind().iter().sum();
        let blamed: f64 = self.blamed_by_kind().iter().map(|(_, share)| share).sum();
        (named + blamed > 0.0).then(|| named / (named + blamed))
    }

    fn named_by_kind(&self) -> Vec<f64> {
        let of_kind = |kind: Kind| {
            let outcomes = self.of_kind(kind);
            Figures::new(&outcomes).recall()
        };
        let leaking = Kind::ALL.into_iter().filter(|kind| kind.is_leak());
        leaking.filter_map(of_kind).collect()
    }

    /// For each innocent kind the share of its runs that ever had a suspect.
    #[must_use]
    pub fn blamed_by_kind(&self) -> Vec<(Kind, f64)> {
        let of_kind = |kind: Kind| {
            let outcomes = self.of_kind(kind);
            let blamed = Figures::new(&outcomes).runs_with(|outcome| outcome.false_ever);
            Some((kind, share(blamed, outcomes.len())?))
        };
        let innocent = Kind::ALL.into_iter().filter(|kind| !kind.is_leak());
        innocent.filter_map(of_kind).collect()
    }

    fn of_kind(&self, kind: Kind) -> Vec<&'a Outcome> {
        let all = self.outcomes.iter().copied();
        all.filter(|outcome| outcome.kind == kind).collect()
    }

    /// Minutes from the onset of all leaks of this true rate that began with the process, or of all that began later; one that was
    /// never named waits for ever. Sorted.
    #[must_use]
    pub fn waits(&self, megabytes_per_hour: f64, with_process: bool) -> Vec<f64> {
        let leaks = self.leaks().filter(|leak| {
            leak.megabytes_per_hour
                .total_cmp(&megabytes_per_hour)
                .is_eq()
                && leak.with_process == with_process
        });
        let wait = |leak: &LeakOutcome| {
            leak.delay
                .map_or(f64::INFINITY, |delay| delay as f64 / MINUTE)
        };
        let mut waits: Vec<f64> = leaks.map(wait).collect();
        waits.sort_by(f64::total_cmp);
        waits
    }
}

/// Median minutes until two blocks of a leak have been sampled: nobody who wants two samples can be quicker.
#[must_use]
pub fn floor_minutes(megabytes_per_hour: f64, sample_interval: f64) -> f64 {
    MEDIAN_OF_TWO * sample_interval / (megabytes_per_hour * 1e6) * 60.0
}

/// First quartile, median and third quartile of sorted values.
#[must_use]
pub fn quartiles(sorted: &[f64]) -> Option<[f64; 3]> {
    let last = sorted.len().checked_sub(1)?;
    Some([1, 2, 3].map(|quarter| sorted[quarter * last / 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: Kind, named: bool, false_ever: usize) -> Outcome {
        let leak = LeakOutcome {
            megabytes_per_hour: 50.0,
            with_process: named,
            named,
            right_site: named.then_some(true),
            delay: named.then_some(600_000),
            delay_from_warm_up: named.then_some(300_000),
            open_at_end: false,
        };
        Outcome {
            kind,
            rate: 50.0,
            leaks: if kind.is_leak() { vec![leak] } else { vec![] },
            true_ever: usize::from(named),
            false_ever,
            true_at_end: 0,
            false_at_end: 0,
        }
    }

    #[test]
    fn every_kind_weighs_the_same() {
        let runs = [
            run(Kind::Steady, true, 0),
            run(Kind::Steady, false, 0),
            run(Kind::Bursty, true, 0),
            run(Kind::CacheFill, false, 3),
            run(Kind::Sawtooth, false, 0),
            run(Kind::Sawtooth, false, 1),
        ];
        let runs: Vec<&Outcome> = runs.iter().collect();
        let figures = Figures::new(&runs);
        assert_eq!(figures.recall(), Some(2.0 / 3.0));
        assert_eq!(figures.balanced_recall(), Some(0.75));
        assert_eq!(figures.precision_ever(), Some(2.0 / 6.0));
        // One and a half leaking kinds were named, one and a half innocent ones were blamed.
        assert_eq!(figures.balanced_precision(), Some(0.5));
        assert_eq!(figures.precision_at_end(), None);
    }

    #[test]
    fn who_was_never_named_waits_for_ever() {
        let runs = [run(Kind::Steady, true, 0), run(Kind::Steady, false, 0)];
        let runs: Vec<&Outcome> = runs.iter().collect();
        let figures = Figures::new(&runs);
        assert_eq!(figures.waits(50.0, true), [10.0]);
        assert_eq!(figures.waits(50.0, false), [f64::INFINITY]);
        assert_eq!(figures.delays(), [5.0]);
    }

    #[test]
    fn two_samples_of_a_slow_leak_take_minutes() {
        let minutes = floor_minutes(50.0, 2_097_152.0);
        assert!((minutes - 4.22).abs() < 0.01, "{minutes}");
    }
}
