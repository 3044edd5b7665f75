//! What each JSON endpoint shows. Field names are API.

mod allocations;

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::analysis::{Health, Statistics, Status, Trend};
use crate::catalog::{self, Kind, MetricDef};
use crate::collector::Released;
use crate::snapshot::{Point, Sample, Snapshot, Value};

pub(super) use allocations::AllocationsView;

use super::json::{Session, timestamp};

/// `GET /metrics/memory/snapshot`
#[derive(Serialize)]
pub(super) struct SnapshotView<'a> {
    uptime_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    metrics: Metrics<'a>,
    collectors: Vec<CollectorView>,
}

#[derive(Serialize)]
struct CollectorView {
    name: &'static str,
    success: bool,
    duration_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> SnapshotView<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, session: &Session) -> Self {
        let collectors = snapshot.collectors().map(|report| CollectorView {
            name: report.name,
            success: report.error.is_none(),
            duration_seconds: report.duration.as_secs_f64(),
            error: report.error.map(ToString::to_string),
        });
        Self {
            uptime_seconds: snapshot
                .time
                .duration_since(session.started)
                .unwrap_or_default()
                .as_secs_f64(),
            pid: snapshot.process.get().map(|process| process.pid),
            metrics: Metrics(snapshot),
            collectors: collectors.collect(),
        }
    }
}

/// Every family under the name of its series: a number, or a list of labelled values.
struct Metrics<'a>(&'a Snapshot);

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let families = self.0.families(true);
        let mut map = serializer.serialize_map(Some(families.len()))?;
        for family in &families {
            let key = family.def.series("");
            match family.samples.as_slice() {
                [
                    Sample {
                        labels,
                        value: Value::Integer(value),
                        ..
                    },
                ] if labels.is_empty() => map.serialize_entry(&key, value)?,
                [
                    Sample {
                        labels,
                        value: Value::Float(value),
                        ..
                    },
                ] if labels.is_empty() => map.serialize_entry(&key, value)?,
                samples => {
                    let samples: Vec<_> = samples
                        .iter()
                        .map(|sample| SampleView {
                            def: family.def,
                            sample,
                        })
                        .collect();
                    map.serialize_entry(&key, &samples)?;
                }
            }
        }
        map.end()
    }
}

struct SampleView<'a> {
    def: &'static MetricDef,
    sample: &'a Sample<'a>,
}

#[derive(Serialize)]
struct BucketView {
    le: String,
    count: u64,
}

impl Serialize for SampleView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in &self.sample.labels {
            map.serialize_entry(name, value)?;
        }
        match self.sample.value {
            Value::Integer(value) => map.serialize_entry("value", &value)?,
            Value::Float(value) => map.serialize_entry("value", &value)?,
            Value::Histogram { buckets, sum } => {
                let bounds = match self.def.kind {
                    Kind::Histogram { bounds } => bounds,
                    _ => &[],
                };
                let bounds = bounds
                    .iter()
                    .map(ToString::to_string)
                    .chain(["+Inf".to_owned()]);
                let mut count: u64 = 0;
                let cumulative: Vec<_> = bounds
                    .zip(buckets)
                    .map(|(le, bucket)| {
                        count = count.saturating_add(*bucket);
                        BucketView { le, count }
                    })
                    .collect();
                map.serialize_entry("count", &count)?;
                map.serialize_entry("sum", &sum)?;
                map.serialize_entry("buckets", &cumulative)?;
            }
        }
        map.end()
    }
}

/// `GET /metrics/memory/trend`
#[derive(Serialize)]
pub(super) struct TrendView {
    duration_seconds: f64,
    interval_seconds: f64,
    points: Vec<PointView>,
    analysis: Levels<AnalysisView>,
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
    volatility: f64,
    peak: u64,
    min: u64,
    average: f64,
}

impl From<Statistics> for AnalysisView {
    fn from(statistics: Statistics) -> Self {
        Self {
            growth_rate_bytes_per_second: statistics.growth.map(|slope| slope.per_second),
            volatility: statistics.volatility,
            peak: statistics.peak,
            min: statistics.min,
            average: statistics.average,
        }
    }
}

impl TrendView {
    pub(super) fn new(trend: &Trend, duration: Duration, interval: Duration) -> Self {
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
        }
    }
}

/// `GET /metrics/memory/health`
#[derive(Serialize)]
pub(super) struct HealthView {
    status: &'static str,
    rss_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    used_ratio: Option<f64>,
    growth_rate_bytes_per_second: Option<f64>,
    allocation_rate_bytes_per_second: Option<f64>,
    operations_per_second: Option<f64>,
    reasons: Vec<String>,
    recommendations: Vec<&'static str>,
}

impl HealthView {
    pub(super) fn new(health: Health, snapshot: &Snapshot) -> Self {
        let mut recommendations: Vec<_> = health
            .findings
            .iter()
            .map(|finding| finding.recommendation)
            .collect();
        recommendations.dedup();
        Self {
            status: match health.status {
                Status::Healthy => "healthy",
                Status::Warning => "warning",
                Status::Critical => "critical",
            },
            rss_bytes: snapshot.process.get().map(|process| process.rss),
            limit_bytes: snapshot.limit().map(|limit| limit.bytes),
            used_ratio: health.used_ratio,
            growth_rate_bytes_per_second: health.growth_rate,
            allocation_rate_bytes_per_second: health.allocation_rate,
            operations_per_second: health.operation_rate,
            reasons: health
                .findings
                .into_iter()
                .map(|finding| finding.reason)
                .collect(),
            recommendations,
        }
    }
}

/// `POST /metrics/memory/gc`
#[derive(Serialize)]
pub(super) struct GcView {
    before: GcLevels,
    after: GcLevels,
    /// Before minus after; negative where something else allocated more meanwhile.
    freed: GcFreed,
    duration_seconds: f64,
    threads_asked: usize,
    threads_answered: usize,
}

#[derive(Serialize, Clone, Copy)]
struct GcLevels {
    rss_bytes: Option<u64>,
    allocator_resident_bytes: Option<u64>,
    allocator_allocated_bytes: Option<u64>,
}

#[derive(Serialize)]
struct GcFreed {
    rss_bytes: Option<i64>,
    allocator_resident_bytes: Option<i64>,
    allocator_allocated_bytes: Option<i64>,
}

impl GcView {
    pub(super) fn new(
        before: &Snapshot,
        after: &Snapshot,
        duration: Duration,
        released: Released,
    ) -> Self {
        let levels = |snapshot: &Snapshot| GcLevels {
            rss_bytes: snapshot.process.get().map(|process| process.rss),
            allocator_resident_bytes: snapshot.jemalloc.get().map(|jemalloc| jemalloc.resident),
            allocator_allocated_bytes: snapshot.jemalloc.get().map(|jemalloc| jemalloc.allocated),
        };
        let freed = |before: Option<u64>, after: Option<u64>| {
            let (before, after) = (i64::try_from(before?).ok()?, i64::try_from(after?).ok()?);
            Some(before.saturating_sub(after))
        };
        let (before, after) = (levels(before), levels(after));
        Self {
            before,
            after,
            freed: GcFreed {
                rss_bytes: freed(before.rss_bytes, after.rss_bytes),
                allocator_resident_bytes: freed(
                    before.allocator_resident_bytes,
                    after.allocator_resident_bytes,
                ),
                allocator_allocated_bytes: freed(
                    before.allocator_allocated_bytes,
                    after.allocator_allocated_bytes,
                ),
            },
            duration_seconds: duration.as_secs_f64(),
            threads_asked: released.threads_asked,
            threads_answered: released.threads_answered,
        }
    }
}
