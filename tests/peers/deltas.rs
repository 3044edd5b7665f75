//! Temporality: differences add up to the totals whatever the receiver did, totals keep one start.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::time::Duration;

use memory_exporter::catalog::SIZE_BOUNDS;
use memory_exporter::config::Protocol;
use memory_exporter::{Component, Config, Exporter};
use tonic::{Code, Status};

use crate::pushing::{PROTOCOLS, scrape, start};
use crate::receiver::points::{Point, Reading, Shape, points};
use crate::receiver::{Answer, Delivery, Receiver};
use crate::series::{Labels, Series};

const INTERVAL: Duration = Duration::from_millis(100);

/// What this test allocates by each way, and nothing else does.
static OF_GRPC: Component = Component::new("deltas-grpc");
static OF_HTTP: Component = Component::new("deltas-http");
/// One size for some of the buckets, up to the last one.
const SIZES: [usize; 4] = [10, 1_000, 70_000, 80_000_000];

/// One block of each size.
fn allocate(component: &'static Component) {
    let _scope = component.enter();
    for size in SIZES {
        drop(black_box(Vec::<u8>::with_capacity(black_box(size))));
    }
}

/// Sums by name and labels of what was taken; a histogram gives its buckets, its count and its sum.
pub(crate) fn sums<'a>(
    taken: impl Iterator<Item = &'a Delivery>,
) -> BTreeMap<(String, Labels), Vec<f64>> {
    let mut sums = BTreeMap::new();
    for point in taken.flat_map(|delivery| points(&delivery.request)) {
        if !point.shape.is_delta() {
            continue;
        }
        let values = values(&point.reading);
        let sum = sums
            .entry(point.id())
            .or_insert_with(|| vec![0.0; values.len()]);
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += value;
        }
    }
    sums
}

#[allow(clippy::cast_precision_loss, reason = "the totals of a test are small")]
fn values(reading: &Reading) -> Vec<f64> {
    match reading {
        Reading::Integer(value) => vec![*value as f64],
        Reading::Double(value) => vec![*value],
        Reading::Buckets {
            counts, count, sum, ..
        } => {
            let counts = counts.iter().chain([count]);
            counts.map(|count| *count as f64).chain([*sum]).collect()
        }
    }
}

/// What a scrape says of a series that a push names so, in the same form as [`values`].
fn scraped(series: &Series, name: &str, labels: &Labels) -> Vec<f64> {
    let of = |name: String, more: Option<f64>| {
        let more = more.map(|bound| ("le".to_owned(), bound.to_string()));
        let labels = labels.clone().into_iter().chain(more);
        let id = crate::series::Id::new(&name, labels);
        // Another test may name a component at any time; before that it has allocated nothing.
        series.get(&id).copied().unwrap_or(0.0)
    };
    let bucket = format!("{name}_bucket");
    if !series.keys().any(|id| id.name == bucket) {
        return vec![of(name.to_owned(), None)];
    }
    #[allow(clippy::cast_precision_loss, reason = "bounds are small")]
    let bounds = SIZE_BOUNDS.iter().map(|bound| *bound as f64);
    let mut below = 0.0;
    let mut values: Vec<f64> = bounds
        .chain([f64::INFINITY])
        .map(|bound| {
            let up_to = of(bucket.clone(), Some(bound));
            let own = up_to - below;
            below = up_to;
            own
        })
        .collect();
    values.push(of(format!("{name}_count"), None));
    values.push(of(format!("{name}_sum"), None));
    values
}

fn refusal(protocol: Protocol) -> Answer {
    match protocol {
        Protocol::Grpc => Answer::Status(Status::new(Code::Unavailable, "away")),
        Protocol::HttpProtobuf => Answer::Code(503, None),
    }
}

/// Waits for so many more requests.
pub(crate) fn more(receiver: &Receiver, count: usize) {
    let before = receiver.deliveries().len();
    receiver.wait_for(before + count);
}

#[test]
fn differences_add_up_to_the_totals_across_an_outage() {
    let components = [&OF_GRPC, &OF_HTTP];
    for (protocol, component) in PROTOCOLS.into_iter().zip(components) {
        // Pushes nothing; shows the totals of this process.
        let witness = Exporter::builder(Config::production())
            .without_server()
            .start()
            .expect("an exporter");
        let receiver = Receiver::start(protocol);
        let names = "otlp: {temporality: delta, metric_names: prometheus}";
        let exporter = start(&receiver, INTERVAL, names);
        let mut rounds = 0_u32;
        let mut allocate_during = |requests: usize| {
            for _ in 0..3 {
                allocate(component);
                rounds += 1;
            }
            more(&receiver, requests);
        };
        allocate_during(2);
        receiver.answer_all(refusal(protocol));
        allocate_during(2);
        allocate_during(2);
        receiver.answer_all(Answer::Accept);
        allocate_during(2);
        // Here the end is near, and only the last push can tell.
        allocate_during(0);
        let before = scrape(&witness);
        exporter.stop();
        let after = scrape(&witness);

        let deliveries = receiver.deliveries().clone();
        let refused = deliveries.iter().filter(|delivery| !delivery.taken).count();
        assert!(refused >= 3, "{protocol:?}: {refused} intervals of outage");
        let taken = || deliveries.iter().filter(|delivery| delivery.taken);
        without_a_gap(taken());

        let sums = sums(taken());
        let mut compared = 0;
        for ((name, labels), sum) in &sums {
            // The exporters count themselves each for its own.
            if name.starts_with("memory_exporter_") {
                continue;
            }
            let low = scraped(&before, name, labels);
            let high = scraped(&after, name, labels);
            for ((low, sum), high) in low.iter().zip(sum).zip(&high) {
                let rounding = 1e-9 * high.abs();
                assert!(
                    (low - rounding..=high + rounding).contains(sum),
                    "{protocol:?}: {name} {labels:?}: {low} <= {sum} <= {high}"
                );
                compared += 1;
            }
        }
        assert!(compared > 100, "{compared} numbers compared");

        // And of what only this test allocates, to the last block.
        let rounds = f64::from(rounds);
        let own = |name: &str, operation: Option<&str>| {
            let labels = [
                ("component", Some(component.name())),
                ("operation", operation),
            ];
            let labels = labels
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
            sums[&(name.to_owned(), labels.collect())].clone()
        };
        let bytes: usize = SIZES.iter().sum();
        #[allow(clippy::cast_precision_loss, reason = "the totals of a test are small")]
        let bytes = bytes as f64 * rounds;
        assert_eq!(
            own("memory_allocation_count_total", Some("alloc")),
            [4.0 * rounds]
        );
        assert_eq!(own("memory_allocation_count_total", Some("realloc")), [0.0]);
        assert_eq!(own("memory_allocation_bytes_total", None), [bytes]);
        let mut buckets = [0.0; SIZE_BOUNDS.len() + 1];
        for size in SIZES {
            let bucket = SIZE_BOUNDS.iter().position(|bound| size as u64 <= *bound);
            buckets[bucket.unwrap_or(SIZE_BOUNDS.len())] += rounds;
        }
        let histogram = [&buckets[..], &[4.0 * rounds, bytes]].concat();
        assert_eq!(
            own("memory_allocation_size_bytes", Some("alloc")),
            histogram
        );
    }
}

/// Each push starts where the one before it ended.
fn without_a_gap<'a>(taken: impl Iterator<Item = &'a Delivery>) {
    let mut end = None;
    for delivery in taken {
        let points = points(&delivery.request).into_iter();
        let differences = points.filter(|point| point.shape.is_delta());
        let spans: BTreeSet<_> = differences.map(|point| (point.start, point.time)).collect();
        assert_eq!(spans.len(), 1, "one span for all: {spans:?}");
        let (start, time) = spans.into_iter().next().expect("the span");
        assert!(start < time, "{start} to {time}");
        assert!(
            end.is_none_or(|end| end == start),
            "{start} follows {end:?}"
        );
        end = Some(time);
    }
    assert!(end.is_some(), "there are differences");
}

#[test]
fn lowmemory_means_differences_for_histograms_only() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start(protocol);
        let _exporter = start(&receiver, INTERVAL, "otlp: {temporality: lowmemory}");
        let deliveries = receiver.wait_for(3);
        for point in points(&deliveries[2].request) {
            let is_histogram = matches!(point.shape, Shape::Histogram { .. });
            assert_eq!(point.shape.is_delta(), is_histogram, "{point:?}");
        }
        let mut parts = [0, 0];
        for point in points(&deliveries[2].request) {
            let start = parts_of_start(&deliveries, &point);
            parts[usize::from(point.shape.is_delta())] += start;
        }
        assert!(parts[0] > 10 && parts[1] > 2, "{protocol:?}: {parts:?}");
    }
}

/// 1 when the start of a point is what it must be: that of all for a total, the end of the last push for a difference.
fn parts_of_start(deliveries: &[Delivery], point: &Point) -> u32 {
    let before = |at: usize| {
        let mut points = points(&deliveries[at].request).into_iter();
        points.find(|before| before.id() == point.id())
    };
    let (Some(first), Some(last)) = (before(0), before(1)) else {
        return 0;
    };
    let expected = match point.shape {
        Shape::Gauge => 0,
        shape if shape.is_delta() => last.time,
        _ => first.start,
    };
    assert_eq!(point.start, expected, "{point:?}");
    1
}

#[test]
fn totals_keep_one_start_and_never_fall() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start(protocol);
        let _exporter = start(&receiver, INTERVAL, "");
        let deliveries = receiver.wait_for(4);
        let mut starts = BTreeMap::new();
        let mut totals: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for point in deliveries
            .iter()
            .flat_map(|delivery| points(&delivery.request))
        {
            assert!(!point.shape.is_delta(), "{point:?}");
            if point.shape == Shape::Gauge {
                assert_eq!(point.start, 0, "{point:?}");
                continue;
            }
            starts.insert(point.start, point.name.clone());
            let values = values(&point.reading);
            let before = totals
                .insert(point.id(), values.clone())
                .unwrap_or_default();
            for (before, value) in before.iter().zip(&values) {
                assert!(before <= value, "{point:?} fell from {before}");
            }
        }
        assert_eq!(starts.len(), 1, "{protocol:?}: {starts:?}");
        assert!(totals.len() > 10, "{protocol:?}");
    }
}
