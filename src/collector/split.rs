//! Exact counters without a scope, split among the components that the rules find in the samples: sums stay exact, shares are estimated.
//!
//! What was counted since the last reading is shared out in proportion to what was sampled meanwhile; where that is nothing, to what was
//! sampled so far. What has been given to a component stays with it, so no counter ever falls.

use std::sync::{Mutex, PoisonError};

use crate::catalog::{BUCKETS, OPERATIONS};
use crate::heap::{self, ComponentCounts, Counts, SizeCounts, UNATTRIBUTED};

/// Sampled objects by size bucket, and bytes, of each operation.
type Estimates = [[f64; BUCKETS + 1]; OPERATIONS.len()];
/// The same, counted.
type Cells = [[u64; BUCKETS + 1]; OPERATIONS.len()];

const BYTES: usize = BUCKETS;

/// What was shared out so far. There is one for the process, as there is one set of counters: whoever reads them reads the same.
static SPLIT: Mutex<Split> = Mutex::new(Split::new());

/// Reads all counters, and shares out what stands under [`UNATTRIBUTED`].
pub(super) fn read(counts: &mut Counts) {
    // Locked before the counters are read: who reads later also shares out later.
    let mut split = SPLIT.lock().unwrap_or_else(PoisonError::into_inner);
    heap::read(counts);
    split.apply(&mut counts.components);
}

#[derive(Debug)]
struct Split {
    /// By component, in the order of their names; the first is [`UNATTRIBUTED`].
    before: Vec<Estimates>,
    now: Vec<Estimates>,
    given: Vec<Cells>,
    /// Weights of one cell.
    weights: Vec<f64>,
}

impl Split {
    const fn new() -> Self {
        Self {
            before: Vec::new(),
            now: Vec::new(),
            given: Vec::new(),
            weights: Vec::new(),
        }
    }

    fn apply(&mut self, components: &mut [ComponentCounts]) {
        let Some(unattributed) = components
            .first()
            .filter(|first| first.name == UNATTRIBUTED)
        else {
            return;
        };
        let total = cells(&unattributed.operations);
        self.read(components.len());
        for operation in 0..OPERATIONS.len() {
            for cell in 0..=BUCKETS {
                self.weigh(operation, cell);
                let given = self.given.iter().map(|cells| cells[operation][cell]);
                let given = given.fold(0, u64::saturating_add);
                let rest = total[operation][cell].saturating_sub(given);
                share(rest, &self.weights, |component, part| {
                    let cell = &mut self.given[component][operation][cell];
                    *cell = cell.saturating_add(part);
                });
            }
        }
        if let Some(first) = components.first_mut() {
            first.operations = Default::default();
        }
        for (component, given) in components.iter_mut().zip(&self.given) {
            for (counts, cells) in component.operations.iter_mut().zip(given) {
                for (count, cell) in counts.buckets.iter_mut().zip(cells) {
                    *count = count.saturating_add(*cell);
                }
                counts.bytes = counts.bytes.saturating_add(cells[BYTES]);
            }
        }
    }

    /// Reads what was sampled so far at sites without a scope whose component is known.
    fn read(&mut self, components: usize) {
        std::mem::swap(&mut self.before, &mut self.now);
        self.now.clear();
        for estimates in [&mut self.before, &mut self.now] {
            estimates.resize(components, Default::default());
        }
        // A reading that began earlier may know of fewer components; what they were given stays.
        let known = self.given.len().max(components);
        self.given.resize(known, Default::default());
        for site in heap::call_sites() {
            if site.is_scoped() || site.is_unresolved() {
                continue;
            }
            let Some(estimates) = self.now.get_mut(site.component_index()) else {
                continue;
            };
            let (totals, cells) = (site.totals(), &mut estimates[site.operation()]);
            for (sum, objects) in cells.iter_mut().zip(&totals.sizes) {
                *sum += objects;
            }
            cells[BYTES] += totals.allocated.bytes;
        }
    }

    /// The weights of the components for one cell: by the first of these that knows any.
    fn weigh(&mut self, operation: usize, cell: usize) {
        let Self {
            before,
            now,
            weights,
            ..
        } = self;
        let recent = now
            .iter()
            .zip(before.iter())
            .map(|(now, before)| (now[operation][cell] - before[operation][cell]).max(0.0));
        let so_far = now.iter().map(|now| now[operation][cell]);
        let any_size = now.iter().map(|now| now[operation][BYTES]);
        let any = now
            .iter()
            .map(|now| now.iter().map(|cells| cells[BYTES]).sum());
        let is_known = |weights: &[f64]| weights.iter().any(|weight| *weight > 0.0);
        refill(weights, recent);
        if !is_known(weights) {
            refill(weights, so_far);
        }
        if !is_known(weights) {
            refill(weights, any_size);
        }
        if !is_known(weights) {
            refill(weights, any);
        }
    }
}

fn refill(weights: &mut Vec<f64>, values: impl Iterator<Item = f64>) {
    weights.clear();
    weights.extend(values);
}

/// Hands out `amount` in whole numbers in proportion to `weights`, all of it; to the first if there are no weights.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares are estimates; what they miss goes to the heaviest"
)]
fn share(amount: u64, weights: &[f64], mut give: impl FnMut(usize, u64)) {
    if amount == 0 {
        return;
    }
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return give(0, amount);
    }
    let mut heaviest = 0;
    let (mut reached, mut handed_out) = (0.0, 0);
    for (component, weight) in weights.iter().enumerate() {
        if *weight > weights[heaviest] {
            heaviest = component;
        }
        if *weight > 0.0 {
            reached += weight;
            let until = ((reached / total * amount as f64).round() as u64).min(amount);
            let part = until.saturating_sub(handed_out);
            give(component, part);
            handed_out += part;
        }
    }
    give(heaviest, amount - handed_out);
}

fn cells(operations: &[SizeCounts; OPERATIONS.len()]) -> Cells {
    std::array::from_fn(|operation| {
        let counts = &operations[operation];
        std::array::from_fn(|cell| *counts.buckets.get(cell).unwrap_or(&counts.bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(amount: u64, weights: &[f64]) -> Vec<u64> {
        let mut shares = vec![0; weights.len()];
        share(amount, weights, |component, part| shares[component] += part);
        shares
    }

    #[test]
    fn shares_add_up_and_follow_the_weights() {
        assert_eq!(shared(10, &[0.0, 3.0, 1.0]), [0, 8, 2]);
        assert_eq!(shared(100, &[0.0, 1.0, 1.0, 2.0]), [0, 25, 25, 50]);
        assert_eq!(shared(7, &[0.0, 0.0]), [7, 0]);
        assert_eq!(shared(1, &[1e-9, 1e9, 1e-9]), [0, 1, 0]);
        for amount in [1, 2, 3, 999, u64::MAX] {
            let shares = shared(amount, &[0.3, 0.3, 0.3, 0.1]);
            assert_eq!(shares.iter().sum::<u64>(), amount);
        }
    }
}
