//! The verdict for people on call: how bad is it, why, and what to do.

use std::time::Duration;

use crate::config::Thresholds;
use crate::snapshot::{Point, Snapshot};

use super::tracker::{MOST_BLOCKS, blocks, series, slope};

/// Window of the growth and of the allocation rate.
pub(crate) const WINDOW: Duration = Duration::from_secs(300);
/// A slope over less time than this says nothing.
const SHORTEST: Duration = Duration::from_secs(60);
const MB: f64 = 1_048_576.0;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// Nothing to do.
    Healthy,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// One reason for a status.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) struct Finding {
    /// How bad this alone is.
    pub(crate) status: Status,
    /// What was seen, with the numbers.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) recommendation: &'static str,
}

/// The verdict.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) struct Health {
    /// The worst of the findings.
    pub(crate) status: Status,
    /// Used share of the limit, 0 to 1 and above; absent without a limit.
    pub(crate) used_ratio: Option<f64>,
    /// Growth of resident memory in bytes per second over the last five minutes; absent for want of history.
    pub(crate) growth_rate: Option<f64>,
    /// Bytes asked for per second over the last five minutes; absent without our allocator or for want of history.
    pub(crate) allocation_rate: Option<f64>,
    /// Allocator operations per second, likewise.
    pub(crate) operation_rate: Option<f64>,
    /// Everything that speaks against health, worst first.
    pub(crate) findings: Vec<Finding>,
}

/// Judges a snapshot and the points of the last [`WINDOW`].
#[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
pub(crate) fn assess(snapshot: &Snapshot, recent: &[Point], thresholds: &Thresholds) -> Health {
    let rss = snapshot.process.get().map(|process| process.rss as f64);
    let used_ratio = snapshot.limit().and_then(|limit| limit.used_ratio());
    let long_enough = match (recent.first(), recent.last()) {
        (Some(first), Some(last)) => last
            .time
            .duration_since(first.time)
            .is_ok_and(|time| time >= SHORTEST),
        _ => false,
    };
    let growth_rate = long_enough
        .then(|| {
            let levels = series(recent, |point| Some(point.rss?.mean));
            slope(&blocks(&levels, MOST_BLOCKS))
        })
        .flatten()
        .map(|slope| slope.per_second);

    let mut findings = Vec::new();
    if let Some(rss) = rss {
        let (rss, warning, critical) = (
            rss / MB,
            thresholds.usage_warning_mb,
            thresholds.usage_critical_mb,
        );
        if let Some((status, threshold)) = exceeded(rss, warning, critical) {
            findings.push(Finding {
                status,
                reason: format!("resident memory is {rss:.0} MB, above {threshold:.0} MB"),
                recommendation: "compare memory_heap_bytes with memory_rss_bytes: if the heap is as large, look for the holder among \
                                 the components; if it is much smaller, POST /metrics/memory/gc gives unused pages back",
            });
        }
    }
    if let Some(ratio) = used_ratio
        && let Some((status, threshold)) = exceeded(
            ratio,
            thresholds.limit_warning_ratio,
            thresholds.limit_critical_ratio,
        )
    {
        findings.push(Finding {
            status,
            reason: format!("{:.0} % of the memory limit is used, above {:.0} %", ratio * 100.0, threshold * 100.0),
            recommendation: "raise the limit or shed load before the kernel kills the process; POST /metrics/memory/gc gives unused pages back",
        });
    }
    if let Some(rate) = growth_rate.map(|rate| rate / MB)
        && let Some((_, threshold)) = exceeded(
            rate,
            thresholds.growth_warning_mb_per_s,
            thresholds.growth_critical_mb_per_s,
        )
    {
        findings.push(Finding {
            // Loading data at start grows as fast and is harmless: growth alone is never critical.
            status: Status::Warning,
            reason: format!("resident memory grows by {rate:.1} MB/s over 5 minutes, above {threshold:.1} MB/s"),
            recommendation: "watch GET /metrics/memory/trend: growth that does not level off is a leak or a queue without a bound",
        });
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.status));
    Health {
        status: findings
            .first()
            .map_or(Status::Healthy, |finding| finding.status),
        used_ratio,
        growth_rate,
        allocation_rate: rate(recent, |point| point.bytes),
        operation_rate: rate(recent, |point| point.operations),
        findings,
    }
}

fn exceeded(value: f64, warning: f64, critical: f64) -> Option<(Status, f64)> {
    if value > critical {
        Some((Status::Critical, critical))
    } else if value > warning {
        Some((Status::Warning, warning))
    } else {
        None
    }
}

/// Increase per second of a counter between the first and the last point.
#[allow(
    clippy::cast_precision_loss,
    reason = "a rate needs no more than 53 bits"
)]
fn rate(points: &[Point], counter: impl Fn(&Point) -> Option<u64>) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let seconds = last
        .time
        .duration_since(first.time)
        .ok()
        .filter(|time| !time.is_zero())?
        .as_secs_f64();
    Some(counter(last)?.saturating_sub(counter(first)?) as f64 / seconds)
}
