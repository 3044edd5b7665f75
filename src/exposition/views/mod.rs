//! What each JSON endpoint shows. Field names are API.

mod allocations;
mod growth;

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::catalog::{Kind, MetricDef};
use crate::collector::Released;
use crate::snapshot::{Sample, Snapshot, Value};

pub(super) use allocations::AllocationsView;
pub(super) use growth::{HealthView, TrendView};

use super::json::Session;

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
