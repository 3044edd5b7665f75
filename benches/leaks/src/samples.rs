//! The sampled blocks of one call site, from birth to death: what a site's part of an observation is made of.

use memory_exporter::analysis::leak::Cohort;
use memory_exporter::heap::AGES;

use crate::random::{index, single, whole};

/// How blocks of one size are sampled, and what one sample stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    /// Size of a block in bytes.
    pub(crate) size: f64,
    /// Probability that a block is sampled.
    pub(crate) probability: f64,
}

impl Sampling {
    /// Sampling of blocks of this size at one sample per `interval` bytes on average.
    pub(crate) fn new(size: f64, interval: f64) -> Self {
        // exp_m1 keeps the digits that `1 - exp` loses where blocks are small.
        Self {
            size,
            probability: -(-size / interval).exp_m1(),
        }
    }
}

/// A live sampled block. Times are seconds since the process start.
#[derive(Debug, Clone, Copy)]
struct Sample {
    birth: f64,
    death: f64,
    objects: f32,
    bytes: f32,
    /// What it adds to the exact heap; 0 where its source counts the block itself.
    held: f32,
}

/// Who counts a sampled block towards the exact heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The samples: the source counts only the blocks that were not sampled.
    Here,
    /// The source, together with the blocks that were not sampled.
    BySource,
}

/// All samples of a site.
#[derive(Debug, Clone, Default)]
pub(crate) struct SiteSamples {
    live: Vec<Sample>,
    /// How many of `live` are from earlier ticks, and thus in order.
    settled: usize,
    /// Samples since the start.
    pub(crate) samples: u64,
    /// Of them freed, by class of age.
    pub(crate) freed: [u32; AGES],
}

impl SiteSamples {
    /// Takes a sample. A block that dies up to `now` leaves its trace in the counts alone.
    pub(crate) fn add(
        &mut self,
        birth: f64,
        death: f64,
        now: f64,
        sampling: Sampling,
        counted: Counted,
    ) {
        self.samples += 1;
        if death <= now {
            self.freed[age_class(death - birth)] += 1;
            return;
        }
        let held = if counted == Counted::Here {
            single(sampling.size)
        } else {
            0.0
        };
        let objects = single(1.0 / sampling.probability);
        let bytes = single(sampling.size / sampling.probability);
        self.live.push(Sample {
            birth,
            death,
            objects,
            bytes,
            held,
        });
    }

    /// Ends a tick: drops who died, and appends the rest as cohorts. `start` is the process start in milliseconds since 1970. Returns
    /// the bytes that the live samples themselves hold.
    pub(crate) fn settle(&mut self, now: f64, start: u64, cohorts: &mut Vec<Cohort>) -> f64 {
        // Several sources may feed one site, each in its own order.
        self.live[self.settled..].sort_unstable_by(|a, b| a.birth.total_cmp(&b.birth));
        let first = cohorts.len();
        let freed = &mut self.freed;
        let mut held = 0.0;
        self.live.retain(|sample| {
            if sample.death <= now {
                freed[age_class(sample.death - sample.birth)] += 1;
                return false;
            }
            held += f64::from(sample.held);
            let birth = (start + whole(sample.birth * 1000.0)) / 1000 * 1000;
            match cohorts[first..].last_mut() {
                Some(cohort) if cohort.birth == birth => {
                    cohort.samples += 1;
                    cohort.objects += sample.objects;
                    cohort.bytes += sample.bytes;
                }
                _ => cohorts.push(Cohort {
                    birth,
                    samples: 1,
                    objects: sample.objects,
                    bytes: sample.bytes,
                }),
            }
            true
        });
        self.settled = self.live.len();
        held
    }
}

/// The class of an age in seconds: 0 below one second, `k` from `2^(k-1)` to below `2^k`, the last is open.
fn age_class(age: f64) -> usize {
    if age < 1.0 {
        0
    } else {
        (index(age).ilog2() as usize + 1).min(AGES - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_double() {
        let cases = [
            (0.0, 0),
            (0.999, 0),
            (1.0, 1),
            (1.99, 1),
            (2.0, 2),
            (3.99, 2),
            (4.0, 3),
            (16_383.0, 14),
            (16_384.0, 15),
            (1e6, 15),
        ];
        for (age, class) in cases {
            assert_eq!(age_class(age), class, "{age} s");
        }
    }

    #[test]
    fn a_sample_is_live_until_its_death_and_then_counts_as_freed() {
        let sampling = Sampling::new(1024.0, 2_097_152.0);
        let mut site = SiteSamples::default();
        let mut cohorts = Vec::new();
        site.add(29.5, 100.0, 30.0, sampling, Counted::Here);
        site.add(10.2, 35.0, 30.0, sampling, Counted::Here);
        site.add(10.9, 35.0, 30.0, sampling, Counted::Here);
        site.add(1.0, 1.4, 30.0, sampling, Counted::Here);
        assert_eq!(site.settle(30.0, 7_000, &mut cohorts), 3.0 * 1024.0);
        let births: Vec<_> = cohorts
            .iter()
            .map(|cohort| (cohort.birth, cohort.samples))
            .collect();
        assert_eq!(
            births,
            [(17_000, 2), (36_000, 1)],
            "oldest first, one cohort a second"
        );
        assert_eq!(
            (site.samples, site.freed[0]),
            (4, 1),
            "born and died within the tick"
        );

        cohorts.clear();
        site.settle(60.0, 7_000, &mut cohorts);
        assert_eq!(cohorts.len(), 1);
        assert_eq!(site.freed[5], 2, "24.1 s and 24.8 s lie between 16 and 32");
        assert_eq!(site.samples, u64::from(site.freed.iter().sum::<u32>()) + 1);
    }

    #[test]
    fn a_sample_stands_for_the_inverse_of_its_probability() {
        let mut site = SiteSamples::default();
        let mut cohorts = Vec::new();
        site.add(
            0.0,
            f64::INFINITY,
            1.0,
            Sampling::new(1_048_576.0, 1_048_576.0),
            Counted::Here,
        );
        site.settle(1.0, 0, &mut cohorts);
        assert!((cohorts[0].objects - 1.582).abs() < 1e-3);
        assert!((cohorts[0].bytes - 1.582 * 1_048_576.0).abs() < 1e3);
    }
}
