//! A run: the plan of a workload, lived through tick by tick.

use memory_exporter::analysis::leak::{Observation, SiteObservation};

use crate::background;
use crate::innocents;
use crate::kind::Kind;
use crate::leaks;
use crate::plan::Plan;
use crate::random::{Random, index, whole};
use crate::source::Tick;
use crate::truth::Truth;

/// How the process is watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// Seconds between two observations.
    pub tick_seconds: f64,
    /// Bytes between two samples on average.
    pub sample_interval: f64,
}

impl Profile {
    /// Half a minute, 2 MiB.
    pub const PRODUCTION: Self = Self {
        tick_seconds: 30.0,
        sample_interval: 2_097_152.0,
    };
    /// 5 seconds, 512 KiB.
    pub const DEVELOPMENT: Self = Self {
        tick_seconds: 5.0,
        sample_interval: 524_288.0,
    };
}

/// Hours that a run has unless said otherwise.
pub const HOURS: f64 = 4.0;

/// 2026-01-01, when the process of seed 0 starts.
const EPOCH: u64 = 1_767_225_600_000;

/// Simulates four hours of a service from its start. `rate` is that of the leak in megabytes (10^6 bytes) per hour; innocent kinds do
/// not look at it. The same arguments give the same run. The same seed gives every kind and rate the same background (sites, sizes and
/// rates, though not the same samples), and every rate of a kind the same onset.
#[must_use]
pub fn simulate(kind: Kind, seed: u64, rate: f64, profile: Profile) -> Simulation {
    simulate_for(kind, seed, rate, profile, HOURS)
}

/// Simulates so many hours; otherwise as [`simulate`].
#[must_use]
pub fn simulate_for(kind: Kind, seed: u64, rate: f64, profile: Profile, hours: f64) -> Simulation {
    let ticks = index((hours * 3600.0 / profile.tick_seconds).round());
    let end = ticks as f64 * profile.tick_seconds;
    let mut random = Random::new(seed, 1);
    // Processes start at any time of a second.
    let start = EPOCH + whole(random.between(0.0, 1e9));
    let mut plan = Plan::new(end, start, profile.sample_interval, &mut random);
    background::plan(&mut plan, &mut random);
    let mut random = Random::new(seed, 1000 + kind as u64);
    if kind.is_leak() {
        leaks::plan(&mut plan, kind, rate, &mut random);
    } else {
        innocents::plan(&mut plan, kind, &mut random);
    }
    random.shuffle(&mut plan.sites);
    Simulation {
        plan,
        profile,
        random,
        tick: 0,
        ticks,
    }
}

/// A run, as an iterator over its observations.
pub struct Simulation {
    plan: Plan,
    profile: Profile,
    random: Random,
    tick: usize,
    ticks: usize,
}

impl Simulation {
    /// What really leaks.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.plan.truth
    }

    /// Process start in milliseconds since 1970.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.plan.start
    }

    /// Lives through the next tick and writes down what is seen at its end, into an old observation to reuse its vectors. False when
    /// the run is over.
    pub fn observe(&mut self, observation: &mut Observation) -> bool {
        if self.tick == self.ticks {
            return false;
        }
        let length = self.profile.tick_seconds;
        let from = self.tick as f64 * length;
        let tick = Tick {
            index: self.tick,
            of: self.ticks,
            from,
            to: (self.tick + 1) as f64 * length,
        };
        self.tick += 1;
        observation.sites.clear();
        observation.cohorts.clear();
        let mut heap = 0.0;
        for site in &mut self.plan.sites {
            for source in &mut site.sources {
                heap += source.advance(tick, &mut self.random, &mut site.samples);
            }
            let first = observation.cohorts.len();
            heap += site
                .samples
                .settle(tick.to, self.plan.start, &mut observation.cohorts);
            if site.samples.samples > 0 {
                observation.sites.push(SiteObservation {
                    site: site.id,
                    place: u64::from(site.id),
                    component: site.component.clone(),
                    samples: site.samples.samples,
                    freed: site.samples.freed,
                    cohorts: first..observation.cohorts.len(),
                });
            }
        }
        observation.is_sampled = true;
        observation.time = self.plan.start + whole(tick.to * 1000.0);
        observation.heap_bytes = Some(whole(heap));
        observation.rss_bytes = Some(self.plan.resident.at(
            tick.to,
            length,
            heap,
            &mut self.random,
        ));
        true
    }
}

impl Iterator for Simulation {
    type Item = Observation;

    fn next(&mut self) -> Option<Observation> {
        let mut observation = Observation::default();
        self.observe(&mut observation).then_some(observation)
    }
}
