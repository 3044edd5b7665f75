//! All call sites at one moment, as the leak detector wants them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::analysis::leak::{Cohort, Observation, SiteObservation};
use crate::heap::{self, CallSite};
use crate::profile::Build;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000;
/// Time between two looks at new sites in milliseconds: each costs the reading of symbols, and new sites are many at first and few later.
const SHORTEST_WAIT: u64 = SECOND;
const LONGEST_WAIT: u64 = 60 * SECOND;

/// Reads observations; what it reads into is used again.
#[derive(Debug)]
pub(super) struct Observer {
    /// What the monotonic clock must be put forward by to show milliseconds since 1970. Fixed at the start, so that a clock that is set
    /// moves no birth.
    offset: u64,
    /// The line of code of every site that was looked at.
    places: HashMap<u32, u64>,
    /// When new sites are looked at next, and how long after that.
    schedule: (u64, u64),
    names: HashMap<&'static str, Arc<str>>,
    samples: Vec<(u32, Cohort)>,
    observation: Observation,
}

impl Observer {
    pub(super) fn new() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let wall = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        Self {
            offset: wall.saturating_sub(heap::monotonic() / MILLISECOND),
            places: HashMap::new(),
            schedule: (0, SHORTEST_WAIT),
            names: HashMap::new(),
            samples: Vec::new(),
            observation: Observation::default(),
        }
    }

    /// All call sites now. `build` is asked for the lines of code of sites that are new and hold at least two samples; sites whose line
    /// is not known yet are left out.
    pub(super) fn observe(
        &mut self,
        heap_bytes: Option<u64>,
        rss_bytes: Option<u64>,
        build: impl FnOnce() -> Option<Build>,
    ) -> &Observation {
        let sites: Vec<CallSite> = heap::call_sites()
            // The exporter's own memory is bounded and shown as its footprint: what fills up there is no leak.
            .filter(|site| site.component() != heap::OWN_COMPONENT)
            .collect();
        self.learn(&sites, build);
        let time = self.offset + heap::monotonic() / MILLISECOND;
        self.read_samples();
        let observation = &mut self.observation;
        (observation.time, observation.heap_bytes) = (time, heap_bytes);
        observation.rss_bytes = rss_bytes;
        observation.is_sampled = true;
        observation.sites.clear();
        observation.cohorts.clear();
        for site in sites {
            let id = site.id();
            let Some(place) = self.places.get(&id) else {
                continue;
            };
            let totals = site.totals();
            let first = self.samples.partition_point(|(other, _)| *other < id);
            let live = self.samples[first..]
                .iter()
                .take_while(|(other, _)| *other == id);
            let begin = observation.cohorts.len();
            for (_, sample) in live {
                let of_this_site = observation.cohorts[begin..].last_mut();
                match of_this_site.filter(|last| last.birth == sample.birth) {
                    Some(last) => {
                        last.samples = last.samples.saturating_add(1);
                        last.objects += sample.objects;
                        last.bytes += sample.bytes;
                    }
                    None => observation.cohorts.push(*sample),
                }
            }
            let name = site.component();
            observation.sites.push(SiteObservation {
                site: id,
                place: *place,
                component: Arc::clone(self.names.entry(name).or_insert_with(|| name.into())),
                samples: totals.samples,
                freed: totals.freed_samples,
                cohorts: begin..observation.cohorts.len(),
            });
        }
        &self.observation
    }

    /// Bytes reserved.
    pub(super) fn bytes(&self) -> usize {
        self.samples.capacity() * size_of::<(u32, Cohort)>()
            + self.observation.cohorts.capacity() * size_of::<Cohort>()
            + self.observation.sites.capacity() * size_of::<SiteObservation>()
            + self.places.capacity() * size_of::<(u32, u64)>()
    }

    /// Live samples by site and birth.
    fn read_samples(&mut self) {
        let (offset, samples) = (self.offset, &mut self.samples);
        samples.clear();
        heap::each_live_sample(|sample| {
            let birth = offset + sample.birth / MILLISECOND;
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "an estimate: seven digits are enough"
            )]
            let cohort = Cohort {
                birth: birth - birth % SECOND,
                samples: 1,
                objects: sample.weight as f32,
                bytes: (sample.weight * sample.size as f64) as f32,
            };
            samples.push((sample.site.id(), cohort));
        });
        samples.sort_unstable_by_key(|(site, cohort)| (*site, cohort.birth));
    }

    fn learn(&mut self, sites: &[CallSite], build: impl FnOnce() -> Option<Build>) {
        const ENOUGH: u64 = 2;
        /// A single block of this size is worth it too.
        const LARGE: f64 = 4_194_304.0;
        let new: Vec<CallSite> = sites
            .iter()
            .filter(|site| !self.places.contains_key(&site.id()))
            .filter(|site| {
                let totals = site.totals();
                totals.live_samples >= ENOUGH || totals.live().bytes >= LARGE
            })
            .copied()
            .collect();
        let now = heap::monotonic() / MILLISECOND;
        if new.is_empty() || now < self.schedule.0 {
            return;
        }
        if let Some(build) = build() {
            let wait = self.schedule.1;
            self.schedule = (now + wait, (wait * 2).min(LONGEST_WAIT));
            let places = heap::apart(|| build.places(&new));
            self.places
                .extend(new.iter().map(|site| site.id()).zip(places));
        }
    }
}
