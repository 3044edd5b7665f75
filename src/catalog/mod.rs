//! Floor 0: every metric and every alert, defined once.
//!
//! A [`MetricDef`] is constant data. The Prometheus descriptor, the OTLP instrument, the JSON key, the dashboard panel, the rule's
//! expression and the README row are all derived from it; nothing else in the crate writes a metric's name. So is an [`AlertDef`]: what is
//! evaluated, written as a rule, tested and explained is one definition.
//!
//! | file | holds |
//! |---|---|
//! | `metrics.rs` | the table: the thirteen, then their companions |
//! | `typed.rs` | metrics by kind, for whoever may be handed one kind only |
//! | `alerts.rs` | the table of alerts |
//! | `board.rs` | which dashboards there are, and which one an alert leads to |
//! | `runbook.rs` | what people do about each |
//! | `text.rs` | what an alert says, and how numbers and durations are written |
//! | `naming.rs` | what a name and a unit become in each place |
//! | `verdict.rs` | the states of the growth verdict |

mod alerts;
mod board;
mod metrics;
mod naming;
mod runbook;
mod text;
mod typed;
mod verdict;

pub use alerts::*;
pub(crate) use board::Board;
pub use metrics::*;
pub use runbook::{Look, RUNBOOK, Runbook};
pub use text::compact;
pub(crate) use text::most_is_held;
pub use typed::{Counter, Gauge, Histogram};
pub use verdict::{VERDICTS, Verdict};

/// One metric, defined once.
///
/// Two definitions are the same when their names are; the table in [`ALL`] holds each name once (a test proves it).
#[derive(Debug)]
#[non_exhaustive]
pub struct MetricDef {
    /// Name in OpenTelemetry's form, dots and all, before any namespace: `memory.rss_bytes`.
    pub name: &'static str,
    /// What kind of series it is.
    pub kind: Kind,
    /// Unit of its values.
    pub unit: Unit,
    /// One plain sentence without a full stop, for `# HELP` and for the OTLP description.
    pub help: &'static str,
    /// Where the number is read, for people who doubt it.
    pub origin: &'static str,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [LabelDef],
    /// Its section in every document.
    pub group: Group,
    /// Which processes it can be read of.
    pub scope: Scope,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A total that only rises while the process lives.
    Counter,
    /// A distribution of sizes over fixed buckets.
    Histogram {
        /// Inclusive upper bounds, ascending, in the metric's unit; the bucket above the last one is implied.
        bounds: &'static [u64],
    },
    /// Facts about the target, carried by labels; OTLP has resource attributes for it.
    Info,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes (UCUM `By`).
    Bytes,
    /// Seconds (UCUM `s`).
    Seconds,
    /// A number of things; the noun is the UCUM annotation, as in `{leak}`.
    Count(&'static str),
    /// None: a ratio, a state, or a number whose unit is part of its fixed name.
    None,
}

/// One label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelDef {
    /// The label's name.
    pub name: &'static str,
    /// Every value that it can take; empty where the values come from the program or its configuration.
    pub values: &'static [&'static str],
}

/// Where a metric stands in every document: dashboard row, README section, JSON group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// The process as the kernel sees it.
    Process,
    /// Leak suspects.
    Leaks,
    /// What the program asks of its allocator.
    Allocations,
    /// jemalloc's own book-keeping.
    Jemalloc,
    /// The control group and the limit.
    Limits,
    /// The process collector that every Prometheus client has.
    Standard,
    /// The exporter about itself.
    Exporter,
}

/// Which processes a metric can be read of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only the process that carries the exporter.
    InProcess,
    /// Any process that the exporter may look at.
    AnyProcess,
    /// The exporter itself.
    Exporter,
}

/// Which names a push sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricNames {
    /// OpenTelemetry names; the receiver translates them.
    #[default]
    Otel,
    /// The final Prometheus names, which every translation leaves as they are.
    Prometheus,
}

/// Number of size buckets: the bounds of `memory.allocation.size_bytes` and what lies above the last.
pub const BUCKETS: usize = SIZE_BOUNDS.len() + 1;

/// Amounts by size bucket summed up by size category; every edge of a category is a bound of the buckets, so nothing is split.
pub fn by_category<T: Copy + Default>(
    buckets: &[T; BUCKETS],
    add: impl Fn(T, T) -> T,
) -> [T; SIZE_CATEGORIES.len()] {
    let mut categories = [T::default(); SIZE_CATEGORIES.len()];
    let bounds = SIZE_BOUNDS.iter().copied().chain([u64::MAX]);
    for (bound, amount) in bounds.zip(buckets) {
        let category = SIZE_CATEGORIES
            .iter()
            .position(|(_, upper)| bound <= *upper);
        if let Some(sum) = category.and_then(|at| categories.get_mut(at)) {
            *sum = add(*sum, *amount);
        }
    }
    categories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bucket_is_lost_between_categories() {
        let mut buckets = [0.0; BUCKETS];
        for (at, bucket) in (0_u8..).zip(&mut buckets) {
            *bucket = 2_f64.powi(i32::from(at));
        }
        // Buckets end at 1 KiB (3), 64 KiB (6), 1 MiB (8), 16 MiB (10).
        assert_eq!(
            by_category(&buckets, |sum, amount| sum + amount),
            [15.0, 112.0, 384.0, 1_536.0, 6_144.0]
        );
    }
}
