//! Trend and health: how memory grows, what that means, and what to do.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::analysis::{Finding, Health, Slope, Statistics, Trend};
use crate::catalog::{self, MetricDef, SEVERITIES, Verdict};
use crate::snapshot::{Growth, Point, Snapshot};

use super::super::json::timestamp;

/// `GET /metrics/memory/trend`
#[derive(Serialize)]
pub(in super::super) struct TrendView {
    duration_seconds: f64,
    interval_seconds: f64,
    points: Vec<PointView>,
    analysis: Levels<AnalysisView>,
    growth: Option<GrowthView>,
}

#[derive(Serialize)]
struct PointView {
    timestamp: String,
    #[serde(flatten)]
    levels: Levels<f64>,
}

/// One value per level, under the name of its series.
struct Levels<T>([(&'static MetricDef, Option<T>); 3]);

impl<T: Serialize> Serialize for Levels<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = self
            .0
            .iter()
            .filter_map(|(def, value)| Some((def.series(""), value.as_ref()?)));
        serializer.collect_map(known)
    }
}

#[derive(Serialize)]
struct AnalysisView {
    growth_rate_bytes_per_second: Option<f64>,
    growth_rate_lowest_bytes_per_second: Option<f64>,
    growth_rate_highest_bytes_per_second: Option<f64>,
    volatility: f64,
    peak: u64,
    min: u64,
    average: f64,
}

impl From<Statistics> for AnalysisView {
    fn from(statistics: Statistics) -> Self {
        let rate = |bound: fn(&Slope) -> f64| statistics.growth.as_ref().map(bound);
        Self {
            growth_rate_bytes_per_second: rate(|slope| slope.per_second),
            growth_rate_lowest_bytes_per_second: rate(|slope| slope.lowest),
            growth_rate_highest_bytes_per_second: rate(|slope| slope.highest),
            volatility: statistics.volatility,
            peak: statistics.peak,
            min: statistics.min,
            average: statistics.average,
        }
    }
}

impl TrendView {
    pub(in super::super) fn new(
        trend: &Trend,
        growth: Option<&Growth>,
        duration: Duration,
        interval: Duration,
    ) -> Self {
        let point = |point: &Point| PointView {
            timestamp: timestamp(point.time),
            levels: Levels([
                (&catalog::RSS_BYTES, point.rss.map(|level| level.mean)),
                (&catalog::HEAP_BYTES, point.heap.map(|level| level.mean)),
                (
                    &catalog::VIRTUAL_BYTES,
                    point.virtual_size.map(|level| level.mean),
                ),
            ]),
        };
        Self {
            duration_seconds: duration.as_secs_f64(),
            interval_seconds: interval.as_secs_f64(),
            points: trend.points.iter().map(point).collect(),
            analysis: Levels([
                (&catalog::RSS_BYTES, trend.rss.map(Into::into)),
                (&catalog::HEAP_BYTES, trend.heap.map(Into::into)),
                (&catalog::VIRTUAL_BYTES, trend.virtual_size.map(Into::into)),
            ]),
            growth: growth.map(GrowthView::new),
        }
    }
}

/// `GET /metrics/memory/health`
#[derive(Serialize)]
pub(in super::super) struct HealthView {
    status: &'static str,
    rss_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    limit_used_bytes: Option<u64>,
    limit_kind: Option<&'static str>,
    limit_exhaustion_seconds: Option<f64>,
    used_ratio: Option<f64>,
    growth_rate_bytes_per_second: Option<f64>,
    allocation_rate_bytes_per_second: Option<f64>,
    operations_per_second: Option<f64>,
    growth: Option<GrowthView>,
    leak_severity: Option<&'static str>,
    reasons: Vec<String>,
    recommendations: Vec<&'static str>,
    findings: Vec<FindingView>,
}

/// A reason by itself, with its numbers.
#[derive(Serialize)]
struct FindingView {
    status: &'static str,
    reason: String,
    recommendation: &'static str,
    evidence: BTreeMap<&'static str, f64>,
}

impl HealthView {
    pub(in super::super) fn new(health: Health, snapshot: &Snapshot) -> Self {
        let limit = snapshot.limit();
        let mut recommendations: Vec<_> = health
            .findings
            .iter()
            .map(|finding| finding.recommendation)
            .collect();
        recommendations.dedup();
        Self {
            status: health.status.as_str(),
            rss_bytes: snapshot.process.get().map(|process| process.rss),
            limit_bytes: limit.map(|limit| limit.bytes),
            limit_used_bytes: limit.and_then(|limit| limit.used),
            limit_kind: limit.map(|limit| limit.kind.as_str()),
            limit_exhaustion_seconds: snapshot.derived.limit_exhaustion_seconds,
            growth: snapshot.derived.growth.as_ref().map(GrowthView::new),
            leak_severity: snapshot
                .derived
                .leaks
                .as_ref()
                .and_then(|leaks| Some(SEVERITIES[leaks.worst()?])),
            used_ratio: health.used_ratio,
            growth_rate_bytes_per_second: health.growth_rate,
            allocation_rate_bytes_per_second: health.allocation_rate,
            operations_per_second: health.operation_rate,
            reasons: health
                .findings
                .iter()
                .map(|finding| finding.reason.clone())
                .collect(),
            recommendations,
            findings: health.findings.into_iter().map(FindingView::new).collect(),
        }
    }
}

impl FindingView {
    fn new(finding: Finding) -> Self {
        let evidence = finding.evidence.iter();
        Self {
            status: finding.status.as_str(),
            reason: finding.reason,
            recommendation: finding.recommendation,
            evidence: evidence.map(|number| (number.name, number.value)).collect(),
        }
    }
}

/// How resident memory grows, over the window that the verdict needs.
#[derive(Serialize)]
struct GrowthView {
    verdict: Option<&'static str>,
    window_seconds: f64,
    bytes_per_second: f64,
    lowest_bytes_per_second: f64,
    highest_bytes_per_second: f64,
    /// By part; anonymous memory that is not known to be heap or not is `anonymous`.
    parts: BTreeMap<&'static str, PartView>,
}

#[derive(Serialize)]
struct PartView {
    bytes_per_second: f64,
    share: f64,
}

impl GrowthView {
    fn new(growth: &Growth) -> Self {
        let parts = growth.parts.iter().map(|part| {
            let name = part.verdict.map_or("anonymous", Verdict::as_str);
            let view = PartView {
                bytes_per_second: part.bytes_per_second,
                share: part.share,
            };
            (name, view)
        });
        Self {
            verdict: growth.verdict.map(Verdict::as_str),
            window_seconds: growth.window.as_secs_f64(),
            bytes_per_second: growth.bytes_per_second,
            lowest_bytes_per_second: growth.lowest_bytes_per_second,
            highest_bytes_per_second: growth.highest_bytes_per_second,
            parts: parts.collect(),
        }
    }
}
