//! Families become OpenMetrics. The door of `prometheus_client`: nothing else in the crate uses it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::catalog::{Kind, TARGET_INFO};
use crate::config::{Config, Resource};
use crate::snapshot::{Family, Recorder, Value};

/// Names and labels of a scrape.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub(crate) struct TextOptions {
    /// Prefix of all names.
    pub(crate) namespace: String,
    /// Whether the standard `process_*` metrics are shown.
    pub(crate) standard: bool,
    /// Labels on every series.
    pub(crate) labels: Vec<(String, String)>,
    /// Labels of `target_info`.
    pub(crate) target: Vec<(String, String)>,
}

impl TextOptions {
    /// As the configuration says.
    pub(crate) fn new(config: &Config, resource: &Resource) -> Self {
        Self {
            namespace: config.metrics.namespace.clone(),
            standard: config.metrics.process,
            labels: config.metrics.labels.clone().into_iter().collect(),
            target: resource.target_labels(),
        }
    }
}

/// The memory metrics as a collector of `prometheus_client`, for a registry of the host application. Each encoding takes a fresh
/// snapshot.
#[derive(Debug, Clone)]
pub struct MemoryCollector {
    recorder: Arc<Recorder>,
    namespace: String,
    standard: bool,
}

impl MemoryCollector {
    /// A collector of what `recorder` reads.
    pub(crate) fn new(recorder: Arc<Recorder>, options: &TextOptions) -> Self {
        Self {
            recorder,
            namespace: options.namespace.clone(),
            standard: options.standard,
        }
    }
}

impl Collector for MemoryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.recorder.snapshot();
        for family in snapshot.families(self.standard) {
            encode(&mut encoder, &family, &self.namespace)?;
        }
        Ok(())
    }
}

/// `target_info`, which must come first and carries no prefix.
#[derive(Debug)]
struct TargetInfo {
    labels: Vec<(String, String)>,
}

impl Collector for TargetInfo {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if self.labels.is_empty() {
            return Ok(());
        }
        encoder
            .encode_descriptor(
                &TARGET_INFO.family(""),
                TARGET_INFO.help,
                None,
                MetricType::Info,
            )?
            .encode_info(&self.labels)
    }
}

/// A whole scrape.
#[derive(Debug)]
pub(super) struct Scrape {
    registry: Registry,
}

impl Scrape {
    pub(super) fn new(recorder: Arc<Recorder>, options: &TextOptions) -> Self {
        let labels = options
            .labels
            .iter()
            .map(|(name, value)| (name.clone().into(), value.clone().into()));
        let mut registry = Registry::with_labels(labels);
        registry.register_collector(Box::new(TargetInfo {
            labels: options.target.clone(),
        }));
        registry.register_collector(Box::new(MemoryCollector::new(recorder, options)));
        Self { registry }
    }

    /// OpenMetrics text, complete with `# EOF`.
    pub(super) fn render(&self) -> Result<String, fmt::Error> {
        const TYPICAL: usize = 32 << 10;
        let mut body = String::with_capacity(TYPICAL);
        text::encode(&mut body, &self.registry)?;
        Ok(body)
    }
}

fn encode(
    encoder: &mut DescriptorEncoder<'_>,
    family: &Family<'_>,
    namespace: &str,
) -> fmt::Result {
    let def = family.def;
    let (base, unit) = def.base_and_unit(namespace);
    let unit = unit.map(|unit| Unit::Other(unit.to_owned()));
    let (metric_type, bounds): (_, &[u64]) = match def.kind {
        Kind::Gauge => (MetricType::Gauge, &[]),
        Kind::Counter => (MetricType::Counter, &[]),
        Kind::Histogram { bounds } => (MetricType::Histogram, bounds),
        Kind::Info => (MetricType::Info, &[]),
    };
    let mut metric = encoder.encode_descriptor(&base, def.help, unit.as_ref(), metric_type)?;
    for sample in &family.samples {
        // An empty label set would print as an empty pair of braces.
        if sample.labels.is_empty() {
            encode_value(&mut metric, def.kind, bounds, sample.value)?;
        } else {
            encode_value(
                &mut metric.encode_family(&sample.labels)?,
                def.kind,
                bounds,
                sample.value,
            )?;
        }
    }
    Ok(())
}

#[allow(clippy::cast_precision_loss, reason = "OpenMetrics numbers are floats")]
fn encode_value(
    metric: &mut MetricEncoder<'_>,
    kind: Kind,
    bounds: &[u64],
    value: Value<'_>,
) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Integer(value)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
        }
        (Kind::Counter, Value::Float(value)) => {
            metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
        }
        (_, Value::Integer(value)) => metric.encode_gauge(&value),
        (_, Value::Float(value)) => metric.encode_gauge(&value),
        (_, Value::Histogram { buckets, sum }) => {
            let upper = bounds
                .iter()
                .map(|bound| *bound as f64)
                .chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = upper.zip(buckets.iter().copied()).collect();
            let count = buckets
                .iter()
                .fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
            metric.encode_histogram::<NoLabelSet>(sum as f64, count, &buckets, None)
        }
    }
}
