//! The sampled blocks that are live, by component.

use crate::catalog::MAX_COMPONENTS;
use crate::heap::{self, Amount};

use super::fold::fold;
use super::{CollectError, Collector};

/// Size classes of small blocks on a machine with pages of 4 KiB: 8, then 16 to 128 by 16, then four to each doubling up to 14 KiB.
pub const SMALL_CLASSES: usize = 36;
const LARGEST_SMALL: u64 = 14 << 10;

/// Live samples of a component from which on its blocks are judged: a few say more of chance than of the component.
pub const ENOUGH: u64 = 10;

/// What is known of the samples.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SamplesReading {
    /// Upper bound of the bytes that were allocated while sampling was off and may be live: no sample stands for them.
    pub unsampled_bytes: u64,
    /// What the components hold, in the order in which they were first named.
    pub components: Vec<Held>,
}

/// Live blocks of a component, estimated without bias.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Held {
    /// The component.
    pub component: &'static str,
    /// Samples of its live blocks.
    pub samples: u64,
    /// Whether they are enough to judge its blocks by: [`ENOUGH`], and then half of it, so that this does not waver.
    pub are_enough: bool,
    /// Its live blocks.
    pub live: Amount,
    /// Of them the small ones by size class: bytes of the class, not those asked for.
    pub small_classes: [f64; SMALL_CLASSES],
    /// Of them the large ones: bytes of their size classes.
    pub large_classes: f64,
}

impl Held {
    fn new(component: &'static str) -> Self {
        Self {
            component,
            samples: 0,
            are_enough: false,
            live: Amount::default(),
            small_classes: [0.0; SMALL_CLASSES],
            large_classes: 0.0,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn add(&mut self, size: u64, weight: f64) {
        self.samples += 1;
        self.live.objects += weight;
        self.live.bytes += weight * size as f64;
        let class = class_size(size);
        match small_class(class) {
            Some(at) => self.small_classes[at] += weight * class as f64,
            None => self.large_classes += weight * class as f64,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.are_enough = self.samples >= ENOUGH;
        self.live = self.live.plus(other.live);
        for (sum, bytes) in self.small_classes.iter_mut().zip(&other.small_classes) {
            *sum += bytes;
        }
        self.large_classes += other.large_classes;
    }
}

/// The size that jemalloc takes for a block of this size.
pub(super) fn class_size(size: u64) -> u64 {
    let step = match size {
        0..=8 => 8,
        9..=128 => 16,
        // Four steps to each doubling.
        _ => 1 << ((size - 1).ilog2() - 2),
    };
    size.max(1).next_multiple_of(step)
}

/// The place of a small size class among all of them.
pub(super) fn small_class(class: u64) -> Option<usize> {
    let at = match class {
        8 => 0,
        16..=128 => class / 16,
        129..=LARGEST_SMALL => {
            let doubling = (class - 1).ilog2();
            let step = 1 << (doubling - 2);
            // Behind 8 and the eight up to 128: four to each doubling.
            8 + 4 * u64::from(doubling - 7) + (class - (1 << doubling)) / step
        }
        _ => return None,
    };
    usize::try_from(at).ok()
}

/// Reads the sampled blocks of this process.
#[derive(Debug)]
pub struct SamplesCollector {
    max_components: usize,
    /// By component, whether its samples were enough last time.
    were_enough: [bool; MAX_COMPONENTS + 2],
}

impl SamplesCollector {
    /// A collector that shows at most `max_components` named components; the rest counts as `other`.
    pub fn new(max_components: usize) -> Self {
        Self {
            max_components,
            were_enough: [false; MAX_COMPONENTS + 2],
        }
    }
}

impl Collector for SamplesCollector {
    type Reading = SamplesReading;

    const NAME: &'static str = "samples";

    fn collect(&mut self, reading: &mut SamplesReading) -> Result<(), CollectError> {
        if heap::sample_interval() == 0 {
            return Err(CollectError::NoData("sampling is off"));
        }
        reading.unsampled_bytes = heap::unsampled_bytes();
        reading.components.clear();
        reading
            .components
            .extend(heap::component_names().map(Held::new));
        let components = &mut reading.components;
        heap::each_live_sample(|sample| {
            // A component that was named a moment ago is seen next time.
            if let Some(held) = components.get_mut(sample.site.component_index()) {
                held.add(sample.size as u64, sample.weight);
            }
        });
        for (held, were_enough) in components.iter_mut().zip(&mut self.were_enough) {
            let least = if *were_enough { ENOUGH / 2 } else { ENOUGH };
            held.are_enough = held.samples >= least;
            *were_enough = held.are_enough;
        }
        fold(components, self.max_components, Held::merge);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_those_of_jemalloc() {
        for (size, class) in [
            (1, 8),
            (8, 8),
            (9, 16),
            (16, 16),
            (100, 112),
            (128, 128),
            (129, 160),
            (1_000, 1_024),
            (1_025, 1_280),
            (14_336, 14_336),
            (14_337, 16_384),
            (1 << 20, 1 << 20),
            ((1 << 20) + 1, 5 << 18),
        ] {
            assert_eq!(class_size(size), class, "size {size}");
        }
        let classes: Vec<u64> = (1..=LARGEST_SMALL).map(class_size).collect();
        let mut distinct = classes.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), SMALL_CLASSES);
        for (at, class) in distinct.iter().enumerate() {
            assert_eq!(small_class(*class), Some(at), "class {class}");
        }
        assert_eq!(small_class(16_384), None);
    }

    #[test]
    fn merging_loses_nothing() {
        let mut held = ["a", "b"].map(Held::new);
        for held in &mut held {
            held.add(100, 2.0);
            held.add(20_000, 1.0);
        }
        let [mut sum, other] = held;
        sum.merge(&other);
        assert_eq!((sum.live.objects, sum.live.bytes), (6.0, 40_400.0));
        assert_eq!(sum.large_classes, 2.0 * 20_480.0);
        assert_eq!(sum.small_classes[small_class(112).unwrap()], 448.0);
    }
}
