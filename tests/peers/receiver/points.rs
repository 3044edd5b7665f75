//! Requests, taken apart into points.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, metric, number_data_point,
};

use crate::series::Labels;

/// What a point says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    Integer(i64),
    Double(f64),
    Buckets {
        bounds: Vec<f64>,
        counts: Vec<u64>,
        count: u64,
        sum: f64,
    },
}

/// What kind of point it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Gauge,
    Sum { monotonic: bool, delta: bool },
    Histogram { delta: bool },
}

impl Shape {
    pub(crate) fn is_delta(self) -> bool {
        match self {
            Self::Gauge => false,
            Self::Sum { delta, .. } | Self::Histogram { delta } => delta,
        }
    }
}

/// One point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) help: String,
    pub(crate) shape: Shape,
    pub(crate) labels: Labels,
    pub(crate) reading: Reading,
    pub(crate) start: u64,
    pub(crate) time: u64,
}

impl Point {
    /// Name and labels.
    pub(crate) fn id(&self) -> (String, Labels) {
        (self.name.clone(), self.labels.clone())
    }

    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.labels.get(name).is_some_and(|own| own == value)
    }
}

/// All points of a request.
pub(crate) fn points(request: &ExportMetricsServiceRequest) -> Vec<Point> {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    scopes
        .flat_map(|scope| &scope.metrics)
        .flat_map(points_of)
        .collect()
}

/// The attributes of the one resource of a request.
pub(crate) fn resource(request: &ExportMetricsServiceRequest) -> Labels {
    let [resource] = &request.resource_metrics[..] else {
        panic!("one resource: {request:?}");
    };
    labels(&resource.resource.as_ref().expect("a resource").attributes)
}

fn points_of(metric: &Metric) -> Vec<Point> {
    let delta = |temporality| match AggregationTemporality::try_from(temporality) {
        Ok(AggregationTemporality::Delta) => true,
        Ok(AggregationTemporality::Cumulative) => false,
        other => panic!("{}: a temporality: {other:?}", metric.name),
    };
    let point = |shape, attributes: &[KeyValue], reading, start, time| Point {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        help: metric.description.clone(),
        shape,
        labels: labels(attributes),
        reading,
        start,
        time,
    };
    let (shape, numbers) = match metric.data.as_ref().expect("data") {
        metric::Data::Gauge(gauge) => (Shape::Gauge, &gauge.data_points),
        metric::Data::Sum(sum) => {
            let shape = Shape::Sum {
                monotonic: sum.is_monotonic,
                delta: delta(sum.aggregation_temporality),
            };
            (shape, &sum.data_points)
        }
        metric::Data::Histogram(histogram) => {
            let shape = Shape::Histogram {
                delta: delta(histogram.aggregation_temporality),
            };
            let points = histogram.data_points.iter().map(|own| {
                let reading = Reading::Buckets {
                    bounds: own.explicit_bounds.clone(),
                    counts: own.bucket_counts.clone(),
                    count: own.count,
                    sum: own.sum.expect("a sum"),
                };
                let (start, time) = (own.start_time_unix_nano, own.time_unix_nano);
                point(shape, &own.attributes, reading, start, time)
            });
            return points.collect();
        }
        other => panic!("{}: a kind that is never sent: {other:?}", metric.name),
    };
    let points = numbers.iter().map(|own| {
        let reading = match own.value.expect("a value") {
            number_data_point::Value::AsInt(value) => Reading::Integer(value),
            number_data_point::Value::AsDouble(value) => Reading::Double(value),
        };
        let (start, time) = (own.start_time_unix_nano, own.time_unix_nano);
        point(shape, &own.attributes, reading, start, time)
    });
    points.collect()
}

fn labels(attributes: &[KeyValue]) -> Labels {
    let label = |attribute: &KeyValue| {
        let value = attribute
            .value
            .as_ref()
            .and_then(|value| value.value.as_ref());
        let Some(any_value::Value::StringValue(text)) = value else {
            panic!("{} is no text: {value:?}", attribute.key);
        };
        (attribute.key.clone(), text.clone())
    };
    let labels: Labels = attributes.iter().map(label).collect();
    assert_eq!(
        labels.len(),
        attributes.len(),
        "an attribute twice: {attributes:?}"
    );
    labels
}
