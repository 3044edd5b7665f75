//! The live samples of one subject, added up by birth: how much of what was born until when is still there.

use super::observation::Cohort;

/// Samples, and what they stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) samples: f64,
    pub(super) objects: f64,
    pub(super) bytes: f64,
}

impl Sum {
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            samples: self.samples - other.samples,
            objects: (self.objects - other.objects).max(0.0),
            bytes: (self.bytes - other.bytes).max(0.0),
        }
    }
}

/// Births one after another without a long pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Run {
    pub(super) first: u64,
    pub(super) mean_gap: u64,
}

/// Sums over all cohorts up to each birth; its memory is used again for the next subject.
#[derive(Debug, Default)]
pub(super) struct Curve {
    births: Vec<u64>,
    /// One more than there are births: the sum before the first is nothing.
    sums: Vec<Sum>,
}

impl Curve {
    /// Takes the cohorts of a subject, oldest first.
    pub(super) fn fill<'a>(&mut self, cohorts: impl IntoIterator<Item = &'a Cohort>) {
        self.births.clear();
        self.sums.clear();
        let mut sum = Sum::default();
        self.sums.push(sum);
        for cohort in cohorts {
            sum.samples += f64::from(cohort.samples);
            sum.objects += f64::from(cohort.objects.max(0.0));
            sum.bytes += f64::from(cohort.bytes.max(0.0));
            self.births.push(cohort.birth);
            self.sums.push(sum);
        }
    }

    /// What was born at or after `from` and before `to`.
    pub(super) fn between(&self, from: u64, to: u64) -> Sum {
        if from >= to {
            return Sum::default();
        }
        let at = |time: u64| {
            let before = self.births.partition_point(|birth| *birth < time);
            self.sums.get(before).copied().unwrap_or_default()
        };
        at(to).minus(at(from))
    }

    /// Everything.
    pub(super) fn total(&self) -> Sum {
        self.sums.last().copied().unwrap_or_default()
    }

    /// The run that ends with the newest birth: going back until nothing was born for much longer than usual and than `pause`, or until
    /// `not_before`.
    pub(super) fn last_run(&self, pause: u64, not_before: u64) -> Option<Run> {
        let newest = *self.births.last()?;
        let (mut first, mut gaps) = (newest, 0_u64);
        let mean = |first: u64, gaps: u64| (newest - first) / gaps.max(1);
        for birth in self.births.iter().rev().skip(1) {
            let gap = first - birth;
            if *birth < not_before || (gap > pause && gap > mean(first, gaps) * 8) {
                break;
            }
            (first, gaps) = (*birth, gaps + 1);
        }
        let mean_gap = mean(first, gaps);
        Some(Run { first, mean_gap })
    }

    /// Calls `visit` with each birth from `from` on and how many samples were born then.
    pub(super) fn each_since(&self, from: u64, mut visit: impl FnMut(u64, f64)) {
        let first = self.births.partition_point(|birth| *birth < from);
        for (at, birth) in self.births.iter().enumerate().skip(first) {
            visit(*birth, self.sums[at + 1].samples - self.sums[at].samples);
        }
    }

    /// Births of cohorts, oldest first.
    pub(super) fn births(&self) -> &[u64] {
        &self.births
    }

    /// Bytes reserved.
    pub(super) fn bytes(&self) -> usize {
        self.births.capacity() * size_of::<u64>() + self.sums.capacity() * size_of::<Sum>()
    }

    /// The birth before which half of the live samples were born.
    pub(super) fn median_birth(&self) -> Option<u64> {
        let half = self.total().samples / 2.0;
        let at = self
            .sums
            .partition_point(|sum| sum.samples <= half)
            .saturating_sub(1);
        self.births.get(at).or(self.births.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_half_open_ranges() {
        let cohort = |birth: u64, samples: u32| Cohort {
            birth,
            samples,
            objects: samples as f32 * 2.0,
            bytes: samples as f32 * 100.0,
        };
        let mut curve = Curve::default();
        curve.fill(&[cohort(10, 1), cohort(20, 2), cohort(30, 4)]);
        assert_eq!(curve.between(10, 30).samples, 3.0);
        assert_eq!(curve.between(11, 31).bytes, 600.0);
        assert_eq!(curve.between(30, 30), Sum::default());
        assert_eq!(curve.total().objects, 14.0);
        assert_eq!(curve.median_birth(), Some(30));
        // What was born long before belongs to an earlier run.
        curve.fill(&[
            cohort(10, 9),
            cohort(1_000, 1),
            cohort(1_010, 1),
            cohort(1_030, 1),
        ]);
        let run = Run {
            first: 1_000,
            mean_gap: 15,
        };
        assert_eq!(curve.last_run(50, 0), Some(run));
        assert_eq!(curve.last_run(50, 1_005).map(|run| run.first), Some(1_010));
        assert_eq!(curve.last_run(2_000, 0).map(|run| run.first), Some(10));
        curve.fill([]);
        assert_eq!(
            (curve.total(), curve.median_birth()),
            (Sum::default(), None)
        );
    }
}
