//! The counters of our allocator wrapper.

use crate::heap::{self, ComponentCounts, Counts};

use super::fold::fold;
use super::{CollectError, Collector, split};

/// Reads what [`Allocator`](crate::Allocator) has counted in this process.
#[derive(Debug)]
pub struct HeapCollector {
    max_components: usize,
    installed: bool,
}

impl HeapCollector {
    /// A collector that shows at most `max_components` named components; the rest counts as `other`.
    pub fn new(max_components: usize) -> Self {
        Self {
            max_components,
            installed: heap::is_installed(),
        }
    }
}

impl Collector for HeapCollector {
    type Reading = Counts;

    const NAME: &'static str = "heap";

    fn collect(&mut self, reading: &mut Counts) -> Result<(), CollectError> {
        if !self.installed {
            return Err(CollectError::NoData(
                "memory_exporter::Allocator is not the global allocator of this process",
            ));
        }
        split::read(reading);
        fold(&mut reading.components, self.max_components, merge);
        Ok(())
    }
}

fn merge(other: &mut ComponentCounts, dropped: &ComponentCounts) {
    for (sum, operation) in other.operations.iter_mut().zip(&dropped.operations) {
        sum.merge(operation);
    }
}
