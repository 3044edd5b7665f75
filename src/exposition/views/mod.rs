//! What each JSON endpoint shows. Field names are API.

mod allocations;
mod growth;

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::catalog::{self, Kind, MetricDef};
use crate::collector::Released;
use crate::snapshot::{Sample, Snapshot, Value};

pub(super) use allocations::AllocationsView;
pub(super) use growth::{HealthView, TrendView};

use super::json::Session;

/// `GET /metrics/memory/snapshot`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Snapshot")]
pub(super) struct SnapshotView<'a> {
    /// Since the start of the exporter.
    uptime_seconds: f64,
    /// Whose memory it is; absent where the process cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// What was read.
    metrics: Metrics<'a>,
    /// How each source of readings did.
    collectors: Vec<CollectorView>,
}

/// How a source of readings did.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Collector")]
struct CollectorView {
    /// Its name.
    name: &'static str,
    /// Whether it had its readings.
    success: bool,
    /// How long it took.
    duration_seconds: f64,
    /// Why it had none, where it failed or has nothing to read in this process.
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

impl JsonSchema for Metrics<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Metrics".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // Facts about the target are labels of a scrape; here the session says whose numbers they are.
        let families = catalog::ALL.iter().filter(|def| def.kind != Kind::Info);
        let properties = families.map(|def| {
            let mut schema = match (def.kind, def.labels) {
                (Kind::Gauge | Kind::Counter, []) => json!({ "type": "number" }),
                _ => json!({ "type": "array", "items": sample_schema(def, generator) }),
            };
            schema["description"] = def.help.into();
            (def.series(""), schema)
        });
        json_schema!({
            "description": "Every family that has readings, under the name of its series: a number, or a list of labelled values.",
            "type": "object",
            "properties": properties.collect::<Map<_, _>>(),
        })
    }
}

/// What `SampleView` writes of a family.
fn sample_schema(def: &MetricDef, generator: &mut SchemaGenerator) -> Json {
    let labels = def.labels.iter().map(|label| {
        let mut schema = json!({ "type": "string" });
        if !label.values.is_empty() {
            schema["enum"] = label.values.into();
        }
        (label.name.to_owned(), schema)
    });
    let values = match def.kind {
        Kind::Histogram { .. } => vec![
            ("count", generator.subschema_for::<u64>()),
            ("sum", generator.subschema_for::<u64>()),
            ("buckets", generator.subschema_for::<Vec<BucketView>>()),
        ],
        _ => vec![("value", json_schema!({ "type": "number" }))],
    };
    let values = values
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema.into()));
    let properties: Map<_, _> = labels.chain(values).collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

struct SampleView<'a> {
    def: &'static MetricDef,
    sample: &'a Sample<'a>,
}

/// How many values lie below a bound.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Bucket")]
struct BucketView {
    /// The bound, inclusive, in the unit of the metric; `+Inf` for the last.
    le: String,
    /// Values up to the bound, those of lower buckets among them.
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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Release")]
pub(super) struct GcView {
    /// Before it.
    before: GcLevels,
    /// After it.
    after: GcLevels,
    /// Before minus after; negative where something else allocated more meanwhile.
    freed: GcFreed,
    /// How long it took, readings included.
    duration_seconds: f64,
    /// Threads that were asked to give back their caches.
    threads_asked: usize,
    /// Threads that did within the time they had.
    threads_answered: usize,
}

/// Levels in bytes at one moment.
#[derive(Serialize, JsonSchema, Clone, Copy)]
#[schemars(rename = "ReleaseLevels")]
struct GcLevels {
    /// Resident memory; null where it is not known.
    rss_bytes: Option<u64>,
    /// What jemalloc keeps in physical memory at most; null without jemalloc.
    allocator_resident_bytes: Option<u64>,
    /// What the program holds from jemalloc; null without jemalloc.
    allocator_allocated_bytes: Option<u64>,
}

/// Differences of levels in bytes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReleaseFreed")]
struct GcFreed {
    /// Resident memory; null where it is not known.
    rss_bytes: Option<i64>,
    /// What jemalloc keeps in physical memory at most; null without jemalloc.
    allocator_resident_bytes: Option<i64>,
    /// What the program holds from jemalloc; null without jemalloc.
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
