//! Advice on allocations: what a piece of it carries, and in which order it stands.
//!
//! Every piece rests on numbers that it shows. The rules stand in `rules/`; here is who they are asked about. Nobody is advised
//! about the exporter's own memory, nor about a place without a readable stack.

use std::fmt;
use std::sync::Arc;

use crate::config::RecommendationThresholds;
use crate::heap::OWN_COMPONENT;

use super::allocation::{AllocatorLevels, Frame, Window};
use super::place::Place;
use super::rules;

/// Most recommendations in a report.
pub(crate) const MOST_RECOMMENDATIONS: usize = 20;

/// From which benefit on a priority is high.
const HIGH: f64 = 0.5;
/// From which benefit on a priority is medium.
const MEDIUM: f64 = 0.2;

/// What is recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Give a cache or a queue a bound.
    BoundCache,
    /// Work through huge blocks in pieces.
    Stream,
    /// Let jemalloc return unused pages sooner.
    Purge,
    /// Keep long-lived and short-lived blocks apart.
    ReduceFragmentation,
    /// Start with the capacity that will be needed.
    ReserveCapacity,
    /// Do not ask for zeros that are overwritten.
    AvoidZeroing,
    /// Use one buffer again and again.
    ReuseBuffer,
    /// Keep small objects instead of making new ones.
    ObjectPool,
}

/// How much it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// When somebody is at it anyway: below a fifth.
    Low,
    /// Worth a ticket: from a fifth of what it is about.
    Medium,
    /// Worth doing soon: from half of it.
    High,
}

/// A number that advice rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Evidence {
    /// Its name, which ends in its unit.
    pub(crate) name: &'static str,
    /// Its value; always finite.
    pub(crate) value: f64,
}

impl Evidence {
    /// A number.
    pub(crate) fn of(name: &'static str, value: f64) -> Self {
        Self { name, value }
    }
}

/// One piece of advice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recommendation {
    /// What is recommended.
    pub(crate) kind: Kind,
    /// Expected benefit, 0 to 1: the share of all allocator work, of the heap, or of resident memory that could be saved. Advice
    /// that saves work counts in full only from ten times its minimum rate on: little work saved is little gained, however
    /// large its share.
    pub(crate) benefit: f64,
    /// Where; absent for advice about the allocator as a whole.
    pub(crate) place: Option<Arc<Place>>,
    /// The stack that contributes most, innermost frame first; empty for advice about the allocator as a whole.
    pub(crate) stack: Arc<[Frame]>,
    /// What it is about, in a few words.
    pub(crate) title: String,
    /// What was seen, and what to do about it.
    pub(crate) advice: String,
    /// The numbers.
    pub(crate) evidence: Vec<Evidence>,
}

/// All advice there is evidence for, the most beneficial first; at most [`MOST_RECOMMENDATIONS`].
///
/// A place gets at most one piece about how it allocates and one about what it holds: the first rule that applies names the
/// cause, and the next ones would name its consequences.
pub(crate) fn recommend(
    places: &[Arc<Place>],
    jemalloc: Option<AllocatorLevels>,
    window: Option<&Window<'_>>,
    thresholds: &RecommendationThresholds,
) -> Vec<Recommendation> {
    let mut all = Vec::new();
    if let Some(levels) = jemalloc {
        all.extend(rules::purge(levels, thresholds));
        all.extend(rules::reduce_fragmentation(levels, thresholds));
    }
    let window = window.filter(|window| window.duration >= thresholds.minimum_window);
    for place in places {
        if &*place.component == OWN_COMPONENT || place.frame.is_none() {
            continue;
        }
        let allocating = window.and_then(|window| rules::on_allocating(place, window, thresholds));
        let holding = rules::on_holding(place, window, thresholds);
        // Huge blocks that are held and made anew all the time need the same advice once.
        let is_new = |advice: &Recommendation| {
            allocating
                .as_ref()
                .is_none_or(|other| other.kind != advice.kind)
        };
        all.extend(holding.filter(is_new));
        all.extend(allocating);
    }
    all.sort_by(|one, other| {
        let by_benefit = other.benefit.total_cmp(&one.benefit);
        by_benefit.then(one.kind.cmp(&other.kind))
    });
    all.truncate(MOST_RECOMMENDATIONS);
    all
}

impl Recommendation {
    /// How much it is worth.
    pub(crate) fn priority(&self) -> Priority {
        if self.benefit >= HIGH {
            Priority::High
        } else if self.benefit >= MEDIUM {
            Priority::Medium
        } else {
            Priority::Low
        }
    }
}

impl Kind {
    /// Its name in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BoundCache => "bound_cache",
            Self::Stream => "stream",
            Self::Purge => "purge",
            Self::ReduceFragmentation => "reduce_fragmentation",
            Self::ReserveCapacity => "reserve_capacity",
            Self::AvoidZeroing => "avoid_zeroing",
            Self::ReuseBuffer => "reuse_buffer",
            Self::ObjectPool => "object_pool",
        }
    }
}

impl Priority {
    /// Its name in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl fmt::Display for Place {
    /// The line as a person would look for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.frame {
            Some(frame) => frame.fmt(f),
            None => f.write_str("an unknown line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::allocation::{AllocationInput, analyse};
    use super::super::fixture::{MB, amount, churning, input, site};
    use super::*;

    fn advice(input: &AllocationInput) -> Vec<Recommendation> {
        analyse(input, &RecommendationThresholds::default()).recommendations
    }

    #[test]
    fn nothing_gets_no_advice() {
        assert_eq!(advice(&input(Vec::new())), []);
    }

    #[test]
    fn what_saves_the_most_comes_first() {
        let parse = |id, name, objects| churning(site(id, name, objects, 64.0, 90), 1.0);
        let mut input = input(vec![
            parse(1, "app::some", 3e8),
            parse(2, "app::most", 6e8),
            parse(3, "app::few", 1e8),
        ]);
        input.jemalloc = Some(AllocatorLevels {
            allocated: 600 << 20,
            active: 600 << 20,
            resident: 1 << 30,
            retained: 0,
        });
        let all: Vec<_> = advice(&input)
            .iter()
            .map(|advice| {
                let place = advice.place.as_ref().and_then(|place| place.frame.clone());
                let function = place.map(|frame| frame.function.to_string());
                (advice.kind.as_str(), advice.priority(), function)
            })
            .collect();
        let pool = |priority, function: &str| ("object_pool", priority, Some(function.to_owned()));
        assert_eq!(
            all,
            [
                pool(Priority::High, "app::most"),
                ("purge", Priority::Medium, None),
                pool(Priority::Medium, "app::some"),
                pool(Priority::Low, "app::few"),
            ]
        );
    }

    #[test]
    fn priorities_begin_where_they_say() {
        let mut advice = advice(&input(vec![site(1, "app::load", 1.0, 64.0 * MB, 1)])).remove(0);
        for (benefit, priority) in [
            (0.5, Priority::High),
            (0.499, Priority::Medium),
            (0.2, Priority::Medium),
            (0.199, Priority::Low),
        ] {
            advice.benefit = benefit;
            assert_eq!(advice.priority(), priority, "{benefit}");
        }
    }

    #[test]
    fn there_is_an_end_to_advice() {
        // 24 places of a 24th each would be below the minimum share of the rules on work; what is held has its own.
        let sites = (0..24).map(|id| site(id, &format!("f{id}"), 1.0, 64.0 * MB, 1));
        let thresholds = RecommendationThresholds {
            huge_live_ratio: 0.0,
            ..RecommendationThresholds::default()
        };
        let report = analyse(&input(sites.collect()), &thresholds);
        assert_eq!(report.recommendations.len(), MOST_RECOMMENDATIONS);
    }

    #[test]
    fn huge_blocks_held_and_made_anew_are_advised_on_once() {
        let mut site = site(1, "app::load", 200.0, 64.0 * MB, 200);
        site.freed = amount(100.0, 6_400.0 * MB);
        site.live = site.freed;
        let all = advice(&input(vec![site]));
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].kind, Kind::Stream);
    }
}
