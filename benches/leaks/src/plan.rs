//! The plan of a run: its sites with their sources, its resident set, its truth.

use std::sync::Arc;

use crate::random::{Random, whole};
use crate::resident::Resident;
use crate::samples::{Sampling, SiteSamples};
use crate::source::{Block, Blocks, Segment, Source, Stream};
use crate::truth::{Leak, Truth};

/// Bytes of a megabyte.
pub(crate) const MEGABYTE: f64 = 1e6;

/// A megabyte per hour in bytes per second.
pub(crate) const MEGABYTE_PER_HOUR: f64 = MEGABYTE / 3600.0;

/// Seconds of a minute.
pub(crate) const MINUTE: f64 = 60.0;

/// Whose memory a site can be.
const COMPONENTS: [&str; 10] = [
    "http",
    "cache",
    "database",
    "sessions",
    "search",
    "metrics",
    "queue",
    "templates",
    "auth",
    "storage",
];

/// A call site while the process runs.
pub(crate) struct Site {
    pub(crate) id: u32,
    pub(crate) component: Arc<str>,
    pub(crate) samples: SiteSamples,
    pub(crate) sources: Vec<Box<dyn Source>>,
}

/// Which of a plan's sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(usize);

/// The plan of a run.
pub(crate) struct Plan {
    /// Length of the run in seconds.
    pub(crate) end: f64,
    /// Process start in milliseconds since 1970.
    pub(crate) start: u64,
    /// Mean bytes between two samples.
    pub(crate) interval: f64,
    pub(crate) sites: Vec<Site>,
    pub(crate) resident: Resident,
    pub(crate) truth: Truth,
    /// Numbers of sites come in no order, so that no detector can learn anything from them.
    numbering: (u32, u32),
}

impl Plan {
    /// An empty plan.
    pub(crate) fn new(end: f64, start: u64, interval: f64, random: &mut Random) -> Self {
        let numbering = (random.word() | 1, random.word());
        Self {
            end,
            start,
            interval,
            sites: Vec::new(),
            resident: Resident::default(),
            truth: Truth::default(),
            numbering,
        }
    }

    /// A new site of any component.
    pub(crate) fn site(&mut self, random: &mut Random) -> At {
        self.site_of(random.index(COMPONENTS.len()))
    }

    /// A new site of one of the components, counted modulo their number.
    pub(crate) fn site_of(&mut self, component: usize) -> At {
        let (factor, offset) = self.numbering;
        // An odd factor keeps numbers apart modulo 2^20.
        let id = u32::try_from(self.sites.len())
            .unwrap_or(u32::MAX)
            .wrapping_mul(factor)
            .wrapping_add(offset)
            & 0xf_ffff;
        let component = COMPONENTS[component % COMPONENTS.len()].into();
        self.sites.push(Site {
            id,
            component,
            samples: SiteSamples::default(),
            sources: Vec::new(),
        });
        At(self.sites.len() - 1)
    }

    /// Adds a source to a site.
    pub(crate) fn source(&mut self, at: At, source: impl Source + 'static) {
        self.sites[at.0].sources.push(Box::new(source));
    }

    /// Blocks of one size that die as scheduled.
    pub(crate) fn scheduled(&mut self, at: At, size: f64, segments: Vec<Segment>) {
        self.source(
            at,
            Stream::scheduled(Sampling::new(size, self.interval), segments),
        );
    }

    /// Blocks of one size with exponential lives.
    pub(crate) fn exponential(
        &mut self,
        at: At,
        size: f64,
        mean_life: f64,
        segments: Vec<Segment>,
    ) {
        self.source(
            at,
            Stream::exponential(Sampling::new(size, self.interval), mean_life, segments),
        );
    }

    /// Blocks with exponential lives that come at one rate (bytes per second) for the whole run.
    pub(crate) fn steady(&mut self, at: At, size: f64, mean_life: f64, rate: f64) {
        self.exponential(
            at,
            size,
            mean_life,
            vec![Segment::kept(0.0, self.end, rate)],
        );
    }

    /// Planned blocks.
    pub(crate) fn blocks(&mut self, at: At, blocks: Vec<Block>) {
        self.source(at, Blocks::new(self.interval, blocks));
    }

    /// Notes a leak, if it begins within the run. `onset` is in seconds since the process start; the first site is the one that leaks
    /// the most.
    pub(crate) fn leak(&mut self, sites: &[At], onset: f64, megabytes_per_hour: f64) {
        if onset >= self.end {
            return;
        }
        let mut ids = sites.iter().map(|at| self.sites[at.0].id);
        if let Some(site) = ids.next() {
            let onset_ms = self.start + whole(onset * 1000.0);
            let also = ids.collect();
            self.truth.leaks.push(Leak {
                site,
                onset_ms,
                with_process: onset <= 0.0,
                megabytes_per_hour,
                also,
            });
        }
    }
}
