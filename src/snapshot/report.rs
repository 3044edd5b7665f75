//! How the collectors fared.

use std::time::Duration;

use crate::collector::{
    CgroupCollector, CollectError, Collector, HeapCollector, JemallocCollector, ProcessCollector,
    SamplesCollector,
};

use super::{Reading, Snapshot};

/// How one collector fared.
#[derive(Debug)]
#[non_exhaustive]
pub struct CollectorReport<'a> {
    /// Its name.
    pub name: &'static str,
    /// How long it took.
    pub duration: Duration,
    /// Why it has no reading.
    pub error: Option<&'a CollectError>,
}

impl<'a> CollectorReport<'a> {
    fn new<T>(name: &'static str, reading: &'a Reading<T>) -> Self {
        Self {
            name,
            duration: reading.duration(),
            error: reading.error(),
        }
    }
}

impl Snapshot {
    /// How each collector fared.
    pub fn collectors(&self) -> impl Iterator<Item = CollectorReport<'_>> {
        [
            CollectorReport::new(HeapCollector::NAME, &self.heap),
            CollectorReport::new(SamplesCollector::NAME, &self.samples),
            CollectorReport::new(JemallocCollector::NAME, &self.jemalloc),
            CollectorReport::new(ProcessCollector::NAME, &self.process),
            CollectorReport::new(CgroupCollector::NAME, &self.cgroup),
        ]
        .into_iter()
    }
}
