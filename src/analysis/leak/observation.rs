//! What the leak detector is fed: every call site at one moment, told from the sampled blocks.

use std::ops::Range;
use std::sync::Arc;

use crate::heap::AGES;

/// All call sites at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observation {
    /// When it was, in milliseconds since 1970.
    pub time: u64,
    /// Bytes that the program holds: exact; absent where its allocator is unknown.
    pub heap_bytes: Option<u64>,
    /// Resident set size in bytes; absent where it could not be read.
    pub rss_bytes: Option<u64>,
    /// Whether call sites can be seen at all.
    pub is_sampled: bool,
    /// Every call site with a sample.
    pub sites: Vec<SiteObservation>,
    /// The live samples of all sites, those of a site together and oldest first.
    pub cohorts: Vec<Cohort>,
}

/// A call site at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteObservation {
    /// Names the call site (component, operation and whole stack) for as long as the process lives.
    pub site: u32,
    /// The line of code: sites that differ only in how the line was reached have the same.
    pub place: u64,
    /// Whose memory it is.
    pub component: Arc<str>,
    /// Samples taken here since the start: a plain count.
    pub samples: u64,
    /// Of them freed, by [age](crate::heap::AGES) at their end: plain counts.
    pub freed: [u32; AGES],
    /// Which of the cohorts are its live samples.
    pub cohorts: Range<usize>,
}

/// Live samples of one site that were born in the same second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cohort {
    /// Their birth in milliseconds since 1970, rounded down to the second.
    pub birth: u64,
    /// How many samples: a plain count.
    pub samples: u32,
    /// Blocks that they stand for: an unbiased estimate.
    pub objects: f32,
    /// Bytes that they stand for: an unbiased estimate.
    pub bytes: f32,
}

impl Observation {
    /// The live samples of a site, oldest first; none where the range lies outside.
    pub fn live(&self, site: &SiteObservation) -> &[Cohort] {
        self.cohorts.get(site.cohorts.clone()).unwrap_or_default()
    }
}
