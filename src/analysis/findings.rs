//! What speaks against health: each sign with its numbers, how bad it is, and what to do about it.

use std::fmt::Write;

use crate::catalog::{SEVERITIES, Verdict};
use crate::snapshot::{Growth, Parts, Point, Snapshot};

use super::advice::advice;
use super::health::{Finding, SHORTEST, Status, Vitals};
use super::recommendation::Evidence;

const MB: f64 = 1_048_576.0;

fn verdict(snapshot: &Snapshot) -> Option<Verdict> {
    snapshot.derived.growth.as_ref()?.verdict
}

#[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
pub(super) fn on_usage(vitals: Vitals<'_>) -> Option<Finding> {
    let Vitals {
        snapshot,
        thresholds,
        ..
    } = vitals;
    let rss = snapshot.process.get()?.rss as f64 / MB;
    let (status, threshold) = exceeded(
        rss,
        thresholds.usage_warning_mb,
        thresholds.usage_critical_mb,
    )?;
    Some(Finding {
        status,
        reason: format!("resident memory is {rss:.0} MB, above {threshold:.0} MB"),
        recommendation: advice(snapshot.derived.growth.as_ref()),
        evidence: vec![
            Evidence::of("rss_mb", rss),
            Evidence::of("threshold_mb", threshold),
        ],
    })
}

#[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
pub(super) fn on_limit(vitals: Vitals<'_>) -> Option<Finding> {
    let Vitals {
        snapshot,
        thresholds,
        ..
    } = vitals;
    let limit = snapshot.limit()?;
    let ratio = limit.used_ratio()?;
    let (status, threshold) = exceeded(
        ratio,
        thresholds.limit_warning_ratio,
        thresholds.limit_critical_ratio,
    )?;
    Some(Finding {
        status,
        reason: format!(
            "{:.0} % of {} is used, above {:.0} %",
            ratio * 100.0,
            limit.kind.describe(),
            threshold * 100.0
        ),
        recommendation: "raise the limit or shed load before the kernel kills the process; POST /metrics/memory/gc gives unused pages back",
        evidence: vec![
            Evidence::of("limit_mb", limit.bytes as f64 / MB),
            Evidence::of("headroom_mb", limit.headroom() as f64 / MB),
            Evidence::of("used_ratio", ratio),
            Evidence::of("threshold_ratio", threshold),
        ],
    })
}

/// A critical leak is to be looked at now, a high one today, the others when there is time.
#[allow(clippy::cast_precision_loss, reason = "a number of suspects")]
pub(super) fn on_leaks(vitals: Vitals<'_>) -> Option<Finding> {
    let leaks = vitals.snapshot.derived.leaks.as_ref()?;
    let worst = leaks.worst()?;
    let count: u64 = leaks.suspects.iter().sum();
    let suspects = match count {
        1 => "leak suspect",
        _ => "leak suspects, the worst of which",
    };
    let severity = SEVERITIES[worst];
    let of = leaks
        .worst_component
        .map(|component| format!(" and of {component}"));
    let growth = leaks.growth_mb_per_hour;
    Some(Finding {
        status: match severity {
            "critical" => Status::Critical,
            "high" => Status::Warning,
            _ => Status::Healthy,
        },
        reason: format!(
            "{count} {suspects} is {severity}{}: {growth:.1} MB/h in all",
            of.unwrap_or_default()
        ),
        recommendation: "GET /metrics/memory/leaks names the lines of code that hold the memory, GET /debug/flamegraph?since=10m shows what grew",
        evidence: vec![
            Evidence::of("suspects", count as f64),
            Evidence::of("growth_mb_per_hour", growth),
        ],
    })
}

#[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
pub(super) fn on_exhaustion(vitals: Vitals<'_>) -> Option<Finding> {
    let Vitals {
        snapshot,
        thresholds,
        ..
    } = vitals;
    let limit = snapshot.limit()?;
    let ratio = limit.used_ratio()?;
    let seconds = snapshot.derived.limit_exhaustion_seconds?;
    let status = if ratio <= thresholds.exhaustion_used_ratio {
        return None;
    } else if seconds <= thresholds.exhaustion_critical.as_secs_f64() {
        Status::Critical
    } else if seconds <= thresholds.exhaustion_warning.as_secs_f64() {
        Status::Warning
    } else {
        return None;
    };
    Some(Finding {
        status,
        reason: format!(
            "{} is reached in {} if memory goes on growing like this; {:.0} % of it is used",
            limit.kind.describe(),
            how_long(seconds),
            ratio * 100.0
        ),
        recommendation: match verdict(snapshot) {
            None | Some(Verdict::Stable) => {
                "raise the limit, shed load, or restart the process at a time of your choice before the kernel does"
            }
            _ => advice(snapshot.derived.growth.as_ref()),
        },
        evidence: vec![
            Evidence::of("limit_exhaustion_seconds", seconds),
            Evidence::of("headroom_mb", limit.headroom() as f64 / MB),
            Evidence::of("used_ratio", ratio),
        ],
    })
}

/// Loading data at start grows as fast as a leak and is harmless: growth alone is never critical.
pub(super) fn on_growth(vitals: Vitals<'_>, recent: Option<f64>) -> Option<Finding> {
    let Vitals {
        snapshot,
        thresholds,
        ..
    } = vitals;
    let growth = snapshot.derived.growth.as_ref();
    let grows = growth.filter(|growth| growth.verdict != Some(Verdict::Stable));
    let fast = recent.map(|rate| rate / MB).and_then(|rate| {
        let (_, threshold) = exceeded(
            rate,
            thresholds.growth_warning_mb_per_s,
            thresholds.growth_critical_mb_per_s,
        )?;
        Some((rate, threshold))
    });
    let mut evidence = Vec::new();
    let mut reason = match (fast, grows) {
        (Some((rate, threshold)), _) => {
            evidence.push(Evidence::of("growth_mb_per_second", rate));
            evidence.push(Evidence::of("threshold_mb_per_second", threshold));
            format!(
                "resident memory grows by {rate:.1} MB/s over 5 minutes, above {threshold:.1} MB/s"
            )
        }
        (None, Some(growth)) => {
            let per_hour = growth.bytes_per_second * 3_600.0 / MB;
            evidence.push(Evidence::of("growth_mb_per_hour", per_hour));
            evidence.push(Evidence::of(
                "lowest_growth_mb_per_hour",
                growth.lowest_bytes_per_second * 3_600.0 / MB,
            ));
            format!(
                "resident memory grows by {per_hour:.1} MB/h over {}",
                how_long(growth.window.as_secs_f64())
            )
        }
        (None, None) => return None,
    };
    if let Some((words, share)) = grows.and_then(largest_part) {
        // Writing to a text cannot fail.
        let _ = write!(reason, ", {:.0} % of it {words}", share * 100.0);
        evidence.push(Evidence::of("share_of_growth", share));
    }
    Some(Finding {
        status: if fast.is_some() {
            Status::Warning
        } else {
            Status::Healthy
        },
        reason,
        recommendation: advice(grows),
        evidence,
    })
}

/// The part that the verdict names, in words, and its share.
fn largest_part(growth: &Growth) -> Option<(&'static str, f64)> {
    let part = growth
        .parts
        .iter()
        .find(|part| part.verdict == growth.verdict)?;
    let words = match part.verdict {
        Some(Verdict::Leak) => "live heap (leak)",
        Some(Verdict::Fragmentation) => "room beside live blocks (fragmentation)",
        Some(Verdict::Retention) => "unused pages that the allocator keeps (retention)",
        Some(Verdict::PageCache) => "pages of files and shared memory (page_cache)",
        Some(Verdict::NonHeap) => "anonymous memory outside the heap (non_heap)",
        Some(Verdict::Stable) => return None,
        None => "anonymous memory, heap or not",
    };
    Some((words, part.share))
}

pub(super) fn on_pressure(vitals: Vitals<'_>, recent: &[Point]) -> Option<Finding> {
    let share = |seconds: fn(&Parts) -> Option<f64>| {
        let known = |point: &&Point| seconds(&point.parts).is_some();
        let first = recent.iter().find(known)?;
        let last = recent.iter().rev().find(known)?;
        let time = last.time.duration_since(first.time).ok()?;
        let waited = seconds(&last.parts)? - seconds(&first.parts)?;
        (time >= SHORTEST).then(|| (waited / time.as_secs_f64()).clamp(0.0, 1.0))
    };
    let some = share(Parts::pressure_some)?;
    let full = share(Parts::pressure_full).unwrap_or(0.0);
    let thresholds = vitals.thresholds;
    let (status, who, share, threshold) = if full > thresholds.pressure_critical_ratio {
        let threshold = thresholds.pressure_critical_ratio;
        (Status::Critical, "every task", full, threshold)
    } else if some > thresholds.pressure_warning_ratio {
        let threshold = thresholds.pressure_warning_ratio;
        (Status::Warning, "some task", some, threshold)
    } else {
        return None;
    };
    Some(Finding {
        status,
        reason: format!(
            "{who} of the control group waited for memory {:.0} % of the last 5 minutes, above {:.0} %",
            share * 100.0,
            threshold * 100.0
        ),
        recommendation: "the kernel reclaims memory that is needed again at once: raise the limit, shed load, or move other processes out of the control group",
        evidence: vec![
            Evidence::of("waiting_some_ratio", some),
            Evidence::of("waiting_full_ratio", full),
            Evidence::of("threshold_ratio", threshold),
        ],
    })
}

#[allow(clippy::cast_precision_loss, reason = "a handful")]
pub(super) fn on_kills(vitals: Vitals<'_>) -> Option<Finding> {
    let total = vitals
        .snapshot
        .cgroup
        .get()?
        .oom_kills
        .filter(|kills| *kills > 0)?;
    let known = vitals
        .past
        .iter()
        .find_map(|point| Some((point.time, point.parts.oom_kills()?)));
    let (time, before) = known.unwrap_or((vitals.snapshot.time, total));
    let lately = total.saturating_sub(before);
    let seconds = vitals
        .snapshot
        .time
        .duration_since(time)
        .ok()?
        .as_secs_f64();
    let (status, reason) = if lately > 0 {
        let reason = format!(
            "processes of the control group killed for want of memory in the last {}: {lately}",
            how_long(seconds)
        );
        (Status::Warning, reason)
    } else {
        let reason = format!(
            "processes of the control group killed for want of memory since it was made: {total}"
        );
        (Status::Healthy, reason)
    };
    Some(Finding {
        status,
        reason,
        recommendation: "the kernel log (dmesg) says which process it was and what it held; raise the limit or reduce what the processes of the group hold together",
        evidence: vec![
            Evidence::of("recent_oom_kills", lately as f64),
            Evidence::of("oom_kills", total as f64),
        ],
    })
}

/// A time in words.
fn how_long(seconds: f64) -> String {
    match seconds / 60.0 {
        minutes if minutes < 1.0 => format!("{seconds:.0} seconds"),
        minutes if minutes < 120.0 => format!("{minutes:.0} minutes"),
        minutes if minutes < 2_880.0 => format!("{:.1} hours", minutes / 60.0),
        minutes => format!("{:.1} days", minutes / 1_440.0),
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
