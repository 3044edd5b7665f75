//! Floor 4: derive. Pure functions over the history: no clock, no lock, no log; the time comes from the points.
//!
//! | file | holds |
//! |---|---|
//! | `trend.rs` | levels over a window, their slope and their spread |
//! | `leak/` | who leaks: the leak detector |
//! | `health.rs` | the verdict for people on call |
//! | `allocation.rs` | what is known of call sites, and the report on them |
//! | `place.rs` | call sites grouped by the line of code that a person can change |
//! | `estimate.rs` | what samples can and cannot say: intervals and medians |
//! | `recommendation.rs` | advice: what it carries, in which order it stands |
//! | `rules/` | when which advice is given, and its words |

mod allocation;
mod estimate;
#[cfg(test)]
pub(crate) mod fixture;
mod health;
pub mod leak;
mod place;
mod recommendation;
mod rules;
mod trend;

pub(crate) use allocation::{
    AllocationInput, AllocationReport, AllocatorLevels, Coverage, Earlier, EarlierSite, Frame,
    SiteReading, analyse,
};
pub(crate) use health::{Health, Status, WINDOW, assess};
pub(crate) use place::{Place, Share};
pub(crate) use recommendation::{Evidence, Recommendation};
pub(crate) use trend::{Statistics, Trend, trend};
