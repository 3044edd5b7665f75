//! The rules: when which advice is given, and its words.
//!
//! A rule returns nothing unless every number that it needs is known and reaches its threshold; what a threshold does stands at
//! its field of [`RecommendationThresholds`](crate::config::RecommendationThresholds). Rates and churn are compared as
//! estimated, behind a minimum of samples. What a place holds is compared at the lower end of its confidence interval, which
//! contains the uncertainty of few samples.
//!
//! | file | holds |
//! |---|---|
//! | `allocating.rs` | how a place allocates: too often, too much, step by step |
//! | `holding.rs` | what a place holds: without a bound, in huge blocks |
//! | `allocator.rs` | what jemalloc keeps beside what the program holds |

mod allocating;
mod allocator;
mod holding;

use bytesize::ByteSize;

use super::recommendation::Evidence;

pub(super) use allocating::on_allocating;
pub(super) use allocator::{purge, reduce_fragmentation};
pub(super) use holding::on_holding;

fn evidence(name: &'static str, value: f64) -> Evidence {
    Evidence { name, value }
}

/// A ratio for people.
fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}

/// Bytes for people.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates, and sizes are not negative"
)]
fn size(bytes: f64) -> impl std::fmt::Display {
    ByteSize(bytes.round() as u64).display().iec()
}
