//! What the components hold, and how well they use the pages that they pin: samples, counters and jemalloc's statistics put together.

use crate::collector::{Bin, Held, JemallocReading};
use crate::heap::UNATTRIBUTED;

use super::Snapshot;

impl Snapshot {
    /// Live bytes by component: estimated from samples, and scaled so that the sum is [`heap_bytes`](Self::heap_bytes).
    ///
    /// What was allocated before sampling began, and may still be live, has no samples: it stands under `unattributed`.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "estimates, never negative"
    )]
    pub fn held_bytes(&self) -> Vec<(&'static str, u64)> {
        let (Some(samples), Some(heap), Some(counted)) =
            (self.samples.get(), self.heap_bytes(), self.counted_bytes())
        else {
            return Vec::new();
        };
        let seen: f64 = samples.components.iter().map(|held| held.live.bytes).sum();
        let unseen = (counted as f64 - seen).clamp(0.0, samples.unsampled_bytes as f64);
        let total = seen + unseen;
        let mut reached = 0.0;
        let mut handed_out = 0;
        let parts = samples.components.iter().map(|held| {
            reached += held.live.bytes;
            if held.component == UNATTRIBUTED {
                reached += unseen;
            }
            // By running sums, so that the parts add up to the whole.
            let until = if total > 0.0 {
                (reached / total * heap as f64).round() as u64
            } else {
                heap
            };
            let part = until.min(heap).saturating_sub(handed_out);
            handed_out += part;
            (held.component, part)
        });
        parts.collect()
    }

    /// By component, the share from 0 to 1 of the memory which its live blocks pin that is live itself. A component with few live
    /// samples has none.
    pub fn efficiency(&self) -> Vec<(&'static str, f64)> {
        let (Some(samples), Some(jemalloc)) = (self.samples.get(), self.jemalloc.get()) else {
            return Vec::new();
        };
        let scores = samples
            .components
            .iter()
            .filter_map(|held| Some((held.component, score(held, jemalloc)?)));
        scores.collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "an estimate")]
fn score(held: &Held, jemalloc: &JemallocReading) -> Option<f64> {
    let utilisation = |bin: Option<&Bin>| match bin {
        Some(bin) if bin.blocks > 0 && bin.capacity > 0 => {
            (bin.blocks as f64 / bin.capacity as f64).min(1.0)
        }
        _ => 1.0,
    };
    let small = held.small_classes.iter().enumerate();
    let pinned = small.fold(held.large_classes, |pinned, (at, bytes)| {
        pinned + bytes / utilisation(jemalloc.bins.get(at))
    });
    if !held.are_enough || pinned <= 0.0 || jemalloc.resident == 0 {
        return None;
    }
    let resident = jemalloc.active as f64 / jemalloc.resident as f64;
    Some((held.live.bytes / pinned * resident).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::collector::{SMALL_CLASSES, SamplesReading};
    use crate::heap::{Amount, ComponentCounts, Counts, OTHER};
    use crate::snapshot::Reading;

    use super::*;

    fn held(component: &'static str, bytes: f64) -> Held {
        let mut reading = SamplesReading::default();
        reading.components.push(Held {
            component,
            samples: 10,
            are_enough: true,
            live: Amount {
                objects: 1.0,
                bytes,
            },
            small_classes: [0.0; SMALL_CLASSES],
            large_classes: 0.0,
        });
        reading.components[0]
    }

    fn snapshot(allocated: u64, counted: u64, unsampled: u64, held: Vec<Held>) -> Snapshot {
        let mut counts = Counts::default();
        let mut component = ComponentCounts::new(UNATTRIBUTED);
        component.operations[0].bytes = counted;
        counts.components.push(component);
        let jemalloc = JemallocReading {
            allocated,
            active: 80,
            resident: 100,
            ..Default::default()
        };
        let samples = SamplesReading {
            unsampled_bytes: unsampled,
            components: held,
            ..Default::default()
        };
        Snapshot {
            heap: Reading::of(counts, Duration::ZERO),
            jemalloc: Reading::of(jemalloc, Duration::ZERO),
            samples: Reading::of(samples, Duration::ZERO),
            ..Default::default()
        }
    }

    #[test]
    fn parts_add_up_to_the_heap() {
        let parts = || vec![held(UNATTRIBUTED, 0.0), held(OTHER, 1.0), held("a", 2.0)];
        let of = |snapshot: Snapshot| snapshot.held_bytes().into_iter().map(|part| part.1);
        assert!(of(snapshot(1_000, 3, 0, parts())).eq([0, 333, 667]));
        // 7 counted, 3 seen: 4 unseen, of which no more than 3 can be from before.
        assert!(of(snapshot(600, 7, 3, parts())).eq([300, 100, 200]));
        let nothing = vec![held(UNATTRIBUTED, 0.0), held("a", 0.0)];
        assert!(of(snapshot(600, 600, 0, nothing)).eq([600, 0]));
    }

    #[test]
    fn a_score_counts_rounding_gaps_in_slabs_and_idle_pages() {
        let mut component = held("a", 100.0);
        component.small_classes[8] = 128.0;
        let mut few = component;
        (few.component, few.are_enough) = ("few", false);
        let mut snapshot = snapshot(100, 100, 0, vec![component, held("b", 0.0), few]);
        assert_eq!(snapshot.efficiency(), [("a", 100.0 / 128.0 * 0.8)]);
        let mut jemalloc = snapshot.jemalloc.get().unwrap().clone();
        jemalloc.bins = vec![Bin::default(); 9];
        jemalloc.bins[8].blocks = 16;
        jemalloc.bins[8].capacity = 32;
        snapshot.jemalloc = Reading::of(jemalloc, Duration::ZERO);
        assert_eq!(snapshot.efficiency(), [("a", 100.0 / 256.0 * 0.8)]);
    }
}
