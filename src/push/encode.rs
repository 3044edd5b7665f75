//! Families become an export request.

use std::collections::HashMap;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as ResourceMessage;

use crate::catalog::{Kind, MetricDef, MetricNames};
use crate::config::Temporality;
use crate::snapshot::{Family, Labels, Sample, Snapshot, Value};

use super::Settings;

/// Makes requests.
pub(super) struct Encoder {
    temporality: Temporality,
    names: MetricNames,
    namespace: String,
    standard: bool,
    labels: Vec<KeyValue>,
    resource: ResourceMessage,
    /// Nanoseconds since 1970 at which every counter was 0.
    started: u64,
}

/// Samples of an earlier snapshot, for differences.
type Earlier<'a> = HashMap<(&'static str, Labels), Value<'a>>;

impl Encoder {
    pub(super) fn new(settings: &Settings, started: SystemTime) -> Self {
        let labels = settings
            .labels
            .iter()
            .map(|(name, value)| text(name, value))
            .collect();
        let attributes = settings
            .resource
            .attributes()
            .map(|(name, value)| text(name, value))
            .collect();
        Self {
            temporality: settings.temporality,
            names: settings.names,
            namespace: settings.namespace.clone(),
            standard: settings.standard,
            labels,
            resource: ResourceMessage {
                attributes,
                ..ResourceMessage::default()
            },
            started: nanoseconds(started),
        }
    }

    /// Whether requests depend on what was acknowledged before.
    pub(super) fn needs_baseline(&self) -> bool {
        self.temporality != Temporality::Cumulative
    }

    /// One request with everything in `snapshot`; differences count from `acknowledged`, else from the start.
    pub(super) fn request(
        &self,
        snapshot: &Snapshot,
        acknowledged: Option<&Snapshot>,
    ) -> ExportMetricsServiceRequest {
        let earlier_families = acknowledged
            .map(|snapshot| snapshot.families(self.standard))
            .unwrap_or_default();
        let mut earlier = Earlier::new();
        for family in &earlier_families {
            for sample in &family.samples {
                earlier.insert((family.def.name, sample.labels.clone()), sample.value);
            }
        }
        let times = Times {
            now: nanoseconds(snapshot.time),
            started: self.started,
            acknowledged: acknowledged.map_or(self.started, |snapshot| nanoseconds(snapshot.time)),
        };
        let families = snapshot.families(self.standard);
        let metrics = families
            .iter()
            .map(|family| self.metric(family, &earlier, &times))
            .collect();
        let scope = InstrumentationScope {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_metrics = vec![ScopeMetrics {
            scope: Some(scope),
            metrics,
            ..ScopeMetrics::default()
        }];
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics,
                ..ResourceMetrics::default()
            }],
        }
    }

    fn metric(&self, family: &Family<'_>, earlier: &Earlier<'_>, times: &Times) -> Metric {
        let def = family.def;
        let is_delta = self.is_delta(def);
        let start = if is_delta {
            times.acknowledged
        } else {
            times.started
        };
        let temporality = if is_delta {
            AggregationTemporality::Delta
        } else {
            AggregationTemporality::Cumulative
        } as i32;
        let before = |sample: &Sample<'_>| {
            let found = is_delta
                .then(|| earlier.get(&(def.name, sample.labels.clone())))
                .flatten();
            found.copied()
        };
        let numbers = |start: u64| {
            let point = |sample: &Sample<'_>| NumberDataPoint {
                attributes: self.attributes(sample),
                start_time_unix_nano: start,
                time_unix_nano: times.now,
                value: number(sample.value, before(sample)),
                ..NumberDataPoint::default()
            };
            family.samples.iter().map(point).collect()
        };
        let data = match def.kind {
            Kind::Gauge | Kind::Info => metric::Data::Gauge(Gauge {
                data_points: numbers(0),
            }),
            Kind::Counter => metric::Data::Sum(Sum {
                data_points: numbers(start),
                aggregation_temporality: temporality,
                is_monotonic: true,
            }),
            Kind::Histogram { bounds } => {
                let explicit_bounds: Vec<f64> =
                    bounds.iter().map(|bound| as_float(*bound)).collect();
                let point = |sample: &Sample<'_>| {
                    let (bucket_counts, sum) = histogram(sample.value, before(sample));
                    HistogramDataPoint {
                        attributes: self.attributes(sample),
                        start_time_unix_nano: start,
                        time_unix_nano: times.now,
                        count: bucket_counts.iter().sum(),
                        sum: Some(as_float(sum)),
                        bucket_counts,
                        explicit_bounds: explicit_bounds.clone(),
                        ..HistogramDataPoint::default()
                    }
                };
                metric::Data::Histogram(Histogram {
                    data_points: family.samples.iter().map(point).collect(),
                    aggregation_temporality: temporality,
                })
            }
        };
        Metric {
            name: def.pushed(&self.namespace, self.names),
            description: def.help.to_owned(),
            unit: def.unit.ucum(),
            data: Some(data),
            ..Metric::default()
        }
    }

    /// `lowmemory` means delta for what an SDK would hold in memory; our counters are observed, so only histograms count.
    fn is_delta(&self, def: &MetricDef) -> bool {
        match self.temporality {
            Temporality::Cumulative => false,
            Temporality::Delta => true,
            Temporality::LowMemory => matches!(def.kind, Kind::Histogram { .. }),
        }
    }

    fn attributes(&self, sample: &Sample<'_>) -> Vec<KeyValue> {
        let own = sample.labels.iter().map(|(name, value)| text(name, value));
        self.labels.iter().cloned().chain(own).collect()
    }
}

struct Times {
    now: u64,
    started: u64,
    acknowledged: u64,
}

/// A number, or its increase. One that is lower than before has started again from 0.
fn number(value: Value<'_>, before: Option<Value<'_>>) -> Option<number_data_point::Value> {
    match (value, before) {
        (Value::Integer(value), before) => {
            let before = match before {
                Some(Value::Integer(before)) if before <= value => before,
                _ => 0,
            };
            let value = i64::try_from(value - before).unwrap_or(i64::MAX);
            Some(number_data_point::Value::AsInt(value))
        }
        (Value::Float(value), before) => {
            let before = match before {
                Some(Value::Float(before)) if before <= value => before,
                _ => 0.0,
            };
            Some(number_data_point::Value::AsDouble(value - before))
        }
        (Value::Histogram { .. }, _) => None,
    }
}

/// Counts per bucket and sum, or their increases.
fn histogram(value: Value<'_>, before: Option<Value<'_>>) -> (Vec<u64>, u64) {
    let Value::Histogram { buckets, sum } = value else {
        return (Vec::new(), 0);
    };
    match before {
        Some(Value::Histogram {
            buckets: old,
            sum: old_sum,
        }) => {
            let increases = buckets
                .iter()
                .zip(old)
                .map(|(bucket, old)| bucket.saturating_sub(*old));
            (increases.collect(), sum.saturating_sub(old_sum))
        }
        _ => (buckets.to_vec(), sum),
    }
}

fn text(name: &str, value: &str) -> KeyValue {
    let value = AnyValue {
        value: Some(any_value::Value::StringValue(value.to_owned())),
    };
    KeyValue {
        key: name.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "OTLP carries bounds and sums as doubles"
)]
fn as_float(value: u64) -> f64 {
    value as f64
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
