//! OpenTelemetry's own SDK and exporter as the oracle: the same numbers, recorded there and read by us, arrive as equal messages.

use std::hint::black_box;

use memory_exporter::catalog::{ALLOCATION_COUNT, LIMIT_BYTES, OPERATIONS};
use memory_exporter::config::{Auto, Protocol, Temporality};
use memory_exporter::{Component, Exporter};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::{MetricExporter, WithExportConfig};
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality as SdkTemporality};

use crate::pushing::{self, PROTOCOLS};
use crate::receiver::Receiver;
use crate::receiver::points::{Point, points};

const LIMIT: u64 = 512 << 20;
/// Operations of each kind, in the order of [`OPERATIONS`].
const COUNTS: [u64; 3] = [11, 5, 0];
static OWN: Component = Component::new("oracle");

/// What both must have sent, without times.
fn wanted(receiver: &Receiver) -> Vec<Point> {
    let delivery = receiver.wait_for(1).remove(0);
    let is_wanted = |point: &Point| {
        point.name == LIMIT_BYTES.name
            || point.name == ALLOCATION_COUNT.name && point.has("component", OWN.name())
    };
    let points = points(&delivery.request).into_iter().filter(is_wanted);
    let mut points: Vec<Point> = points
        .map(|point| Point {
            start: 0,
            time: 0,
            ..point
        })
        .collect();
    points.sort_by_key(Point::id);
    points
}

fn theirs(temporality: SdkTemporality) -> Vec<Point> {
    let receiver = Receiver::start(Protocol::Grpc);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let _runtime = runtime.enter();
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(receiver.url())
        .with_temporality(temporality)
        .build()
        .expect("their exporter");
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter)
        .build();
    let meter = provider.meter("oracle");
    // Observed, as ours are, for an SDK sends differences of other kinds of counters in one more case.
    let _gauge = meter
        .u64_observable_gauge(LIMIT_BYTES.name)
        .with_unit(LIMIT_BYTES.unit.ucum())
        .with_description(LIMIT_BYTES.help)
        .with_callback(|observer| observer.observe(LIMIT, &[]))
        .build();
    let _counter = meter
        .u64_observable_counter(ALLOCATION_COUNT.name)
        .with_unit(ALLOCATION_COUNT.unit.ucum())
        .with_description(ALLOCATION_COUNT.help)
        .with_callback(|observer| {
            for (operation, count) in OPERATIONS.into_iter().zip(COUNTS) {
                let labels = [
                    KeyValue::new("component", OWN.name()),
                    KeyValue::new("operation", operation),
                ];
                observer.observe(count, &labels);
            }
        })
        .build();
    provider.force_flush().expect("their export");
    wanted(&receiver)
}

fn ours(protocol: Protocol, temporality: Temporality) -> Vec<Point> {
    let receiver = Receiver::start(protocol);
    let mut config = pushing::config(&receiver, "");
    config.limits.memory = Auto::Set(LIMIT);
    config.otlp.temporality = temporality;
    let _exporter = Exporter::start(config).expect("an exporter");
    wanted(&receiver)
}

#[test]
fn the_same_numbers_arrive_as_equal_messages() {
    {
        let _scope = OWN.enter();
        for _ in 0..COUNTS[0] {
            drop(black_box(Box::new(black_box(0_u64))));
        }
        for _ in 0..COUNTS[1] {
            drop(black_box(vec![0_u8; black_box(100)]));
        }
    }
    for (theirs_is, ours_is) in [
        (SdkTemporality::Cumulative, Temporality::Cumulative),
        (SdkTemporality::Delta, Temporality::Delta),
        (SdkTemporality::LowMemory, Temporality::LowMemory),
    ] {
        let theirs = theirs(theirs_is);
        assert_eq!(theirs.len(), 1 + COUNTS.len(), "{theirs:?}");
        for protocol in PROTOCOLS {
            assert_eq!(ours(protocol, ours_is), theirs, "{protocol:?}, {ours_is:?}");
        }
    }
}
