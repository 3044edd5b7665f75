//! Floor 4: derive. Pure functions over the history: no clock, no lock, no log; the time comes from the points.
//!
//! | file | holds |
//! |---|---|
//! | `leak/` | who leaks: the leak detector |
//! | `tracker.rs` | levels over a window: spread, slope and how sure it is |
//! | `trend.rs` | a window of the history at an interval |
//! | `curve.rs` | the course of a growing level, and when it reaches another |
//! | `exhaustion.rs` | when the limit is reached |
//! | `verdict.rs` | which part of resident memory grows |
//! | `health.rs` | the verdict for people on call |
//! | `findings.rs` | what speaks against health, each sign with its numbers |
//! | `advice.rs` | what to do about memory that grows, by the part that does |
//! | `culprit.rs` | the call site to look at first |
//! | `allocation.rs` | what is known of call sites, and the report on them |
//! | `place.rs` | call sites grouped by the line of code that a person can change |
//! | `estimate.rs` | what samples can and cannot say: intervals and medians |
//! | `recommendation.rs` | advice: what it carries, in which order it stands |
//! | `rules/` | when which advice is given, and its words |

mod advice;
mod allocation;
#[cfg_attr(
    not(feature = "channels"),
    allow(dead_code, reason = "the log says less than other channels do")
)]
mod culprit;
mod curve;
mod estimate;
mod exhaustion;
mod findings;
#[cfg(test)]
pub(crate) mod fixture;
mod health;
pub mod leak;
mod place;
mod recommendation;
mod rules;
mod tracker;
mod trend;
mod verdict;

pub(crate) use allocation::{
    AllocationInput, AllocationReport, AllocatorLevels, Coverage, Earlier, EarlierSite, Frame,
    SiteReading, analyse,
};
pub(crate) use culprit::Culprit;
pub(crate) use health::{Finding, Health, PAST, Status, Vitals, assess};
pub(crate) use place::{Place, Share};
pub(crate) use recommendation::{Evidence, Recommendation};
pub(crate) use tracker::{Slope, Statistics};
pub(crate) use trend::{Slots, Trend};
pub(crate) use verdict::{REACH, growth};

use crate::snapshot::{Derived, History, Snapshot};

/// Everything that the history says of a snapshot.
pub(crate) fn derive(snapshot: &Snapshot, history: &History) -> Derived {
    Derived {
        limit_exhaustion_seconds: snapshot
            .limit()
            .and_then(|limit| exhaustion::exhaustion(history.points(), &limit, snapshot.time)),
        growth: growth(history.since(snapshot.time, REACH), snapshot.time),
        leaks: None,
    }
}
