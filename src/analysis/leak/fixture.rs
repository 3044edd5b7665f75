//! Sites whose every sample is written down, for tests.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers of a test"
)]

use super::{Change, Cohort, LeakDetector, Observation, SiteObservation};
use crate::config::LeakThresholds;
use crate::heap::AGES;

pub(super) const START: u64 = 1_700_000_000_000;
pub(super) const MINUTE: u64 = 60_000;
pub(super) const MB: f64 = 1_048_576.0;
/// What a sample stands for.
pub(super) const SAMPLE: f64 = 2.0 * MB;

/// A call site: when its samples are born and when they die, in minutes.
pub(super) struct Site {
    pub(super) id: u32,
    place: u64,
    component: &'static str,
    /// Bytes of a block.
    size: f64,
    lives: Vec<(f64, f64)>,
}

impl Site {
    pub(super) fn new(id: u32, lives: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self {
            id,
            place: u64::from(id),
            component: "cache",
            size: 4_096.0,
            lives: lives.into_iter().collect(),
        }
    }

    /// A sample every so many minutes from one minute to another, each for `life` minutes.
    pub(super) fn steady(id: u32, every: f64, from: f64, to: f64, life: f64) -> Self {
        let births = (0..).map(|at| from + every * f64::from(at));
        let births = births.take_while(|birth| *birth < to);
        Self::new(id, births.map(|birth| (birth, birth + life)))
    }

    pub(super) fn at(mut self, place: u64) -> Self {
        self.place = place;
        self
    }

    pub(super) fn of(mut self, component: &'static str) -> Self {
        self.component = component;
        self
    }

    pub(super) fn by(mut self, size: f64) -> Self {
        self.size = size;
        self
    }
}

pub(super) fn observe(sites: &[Site], minute: f64) -> Observation {
    let mut observation = Observation {
        time: START + (minute * 60_000.0) as u64,
        is_sampled: true,
        ..Observation::default()
    };
    let mut heap = 100.0 * MB;
    for site in sites {
        let begin = observation.cohorts.len();
        let mut freed = [0; AGES];
        let mut samples = 0;
        for (birth, death) in site.lives.iter().filter(|(birth, _)| *birth <= minute) {
            samples += 1;
            if *death <= minute {
                let age = ((death - birth) * 60.0) as u64;
                freed[((64 - age.leading_zeros()) as usize).min(AGES - 1)] += 1;
                continue;
            }
            heap += SAMPLE;
            observation.cohorts.push(Cohort {
                birth: START + (birth * 60.0) as u64 * 1_000,
                samples: 1,
                objects: (SAMPLE / site.size) as f32,
                bytes: SAMPLE as f32,
            });
        }
        observation.sites.push(SiteObservation {
            site: site.id,
            place: site.place,
            component: site.component.into(),
            samples,
            freed,
            cohorts: begin..observation.cohorts.len(),
        });
    }
    observation.heap_bytes = Some(heap as u64);
    observation
}

/// What changed, by minute, and the detector, after so many minutes.
pub(super) fn run(sites: &[Site], minutes: u32) -> (Vec<(f64, Change)>, LeakDetector) {
    let mut detector = LeakDetector::new(LeakThresholds::default());
    let mut changes = Vec::new();
    for tick in 0..=minutes * 2 {
        let minute = f64::from(tick) / 2.0;
        let found = detector.observe(&observe(sites, minute));
        changes.extend(found.into_iter().map(|change| (minute, change)));
    }
    (changes, detector)
}

/// The life of what leaks, in minutes.
pub(super) const FOR_EVER: f64 = 1e9;
