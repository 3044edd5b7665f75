//! The counters of our allocator wrapper.

use crate::heap::{self, ComponentCounts, Counts, OTHER};

use super::split::Split;
use super::{CollectError, Collector};

/// Reads what [`Allocator`](crate::Allocator) has counted in this process.
#[derive(Debug)]
pub struct HeapCollector {
    max_components: usize,
    installed: bool,
    split: Split,
}

impl HeapCollector {
    /// A collector that shows at most `max_components` named components; the rest counts as `other`.
    pub fn new(max_components: usize) -> Self {
        Self {
            max_components,
            installed: heap::is_installed(),
            split: Split::default(),
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
        heap::read(reading);
        self.split.apply(&mut reading.components);
        fold(&mut reading.components, self.max_components);
        Ok(())
    }
}

/// Moves what lies beyond the first `most` named components into `other`.
fn fold(components: &mut Vec<ComponentCounts>, most: usize) {
    let Some(other) = components
        .iter()
        .position(|component| component.name == OTHER)
    else {
        return;
    };
    while components.len() > other + 1 + most {
        let Some(last) = components.pop() else { return };
        for (sum, operation) in components[other]
            .operations
            .iter_mut()
            .zip(&last.operations)
        {
            sum.merge(operation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_beyond_the_limit_count_as_other() {
        let named = |name, count| {
            let mut component = ComponentCounts::new(name);
            component.operations[0].buckets[1] = count;
            component.operations[0].bytes = count * 64;
            component
        };
        let mut components = vec![
            named("unattributed", 1),
            named(OTHER, 10),
            named("a", 100),
            named("b", 1_000),
            named("c", 10_000),
        ];
        fold(&mut components, 1);
        let counts: Vec<_> = components
            .iter()
            .map(|c| (c.name, c.operations[0].count(), c.operations[0].bytes))
            .collect();
        assert_eq!(
            counts,
            [
                ("unattributed", 1, 64),
                (OTHER, 11_010, 704_640),
                ("a", 100, 6_400)
            ]
        );
    }
}
