//! The growth verdict as a number, so that one line can show it: a state set is a series for each state.

use crate::artifacts::promql::{Expr, gauge};
use crate::catalog::Verdict;

use super::colour::Colour;
use super::field::Mapping;
use super::frame::Frame;

/// The states from harmless to bad: the worst of some instances is the highest.
const STATES: [(Verdict, &str, Colour); Verdict::ALL.len()] = [
    (Verdict::Stable, "stable", Colour::Green),
    (Verdict::PageCache, "page cache", Colour::Blue),
    (Verdict::Retention, "retention", Colour::Yellow),
    (Verdict::NonHeap, "outside the heap", Colour::Orange),
    (Verdict::Fragmentation, "fragmentation", Colour::Orange),
    (Verdict::Leak, "leak", Colour::Red),
];

/// What the states mean, for descriptions.
pub(super) const MEANING: &str = "leak: live heap; fragmentation: room beside live blocks; outside the heap: stacks and own mappings; \
                                  retention: free pages that jemalloc keeps; page cache: mapped files and shared memory.";

impl Frame<'_> {
    /// The state of each instance, by its place in [`STATES`].
    pub(super) fn verdict(&self) -> Expr {
        let mut states = (0_u8..).zip(STATES).map(|(number, (verdict, ..))| {
            let state = self.instances.gauge(gauge!(GROWTH_VERDICT));
            let state = state.matching("verdict", verdict.as_str()).now();
            state.times(Expr::number(f64::from(number)))
        });
        let first = states.next().unwrap_or_else(|| Expr::vector(0.0));
        states.fold(first, Expr::or).sum_by(&["job", "instance"])
    }
}

/// Their names and colours.
pub(super) fn names() -> Mapping {
    Mapping::numbered(STATES.map(|(_, name, colour)| (name, Some(colour))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_number() {
        for verdict in Verdict::ALL {
            assert!(STATES.iter().any(|(state, ..)| *state == verdict));
        }
    }
}
