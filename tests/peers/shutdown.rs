//! The last push: what happened since the one before it is not lost, and nobody is kept waiting for it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use memory_exporter::Component;
use memory_exporter::config::Protocol;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::programs::free_port;
use crate::pushing::{ONCE, PROTOCOLS, start};
use crate::receiver::points::{Point, Reading, points};
use crate::receiver::{Answer, Delivery, Receiver};

/// `web.shutdown_timeout` of these tests.
const GRACE: Duration = Duration::from_secs(1);
const YAML: &str = "web: {shutdown_timeout: 1s}";
/// More than a stop may take beyond that, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);

static OF_GRPC: Component = Component::new("shutdown-grpc");
static OF_HTTP: Component = Component::new("shutdown-http");

/// Operations of a component that a request shows.
fn operations(delivery: &Delivery, component: &Component) -> i64 {
    let points = points(&delivery.request).into_iter();
    let is_own = |point: &Point| {
        point.name == "memory.allocation.count" && point.has("component", component.name())
    };
    let numbers = points.filter(is_own).map(|point| match point.reading {
        Reading::Integer(number) => number,
        other => panic!("a count: {other:?}"),
    });
    numbers.sum()
}

fn allocate(component: &'static Component, blocks: u8) {
    let _scope = component.enter();
    for _ in 0..blocks {
        drop(black_box(Box::new(black_box(0_u64))));
    }
}

#[test]
fn what_happened_last_is_pushed_on_stop() {
    for (protocol, component) in PROTOCOLS.into_iter().zip([&OF_GRPC, &OF_HTTP]) {
        let receiver = Receiver::start(protocol);
        let exporter = start(&receiver, ONCE, YAML);
        receiver.wait_for(1);
        let before = receiver.deliveries()[0].clone();
        allocate(component, 7);
        exporter.stop();
        let deliveries = receiver.deliveries().clone();
        assert_eq!(deliveries.len(), 2, "{protocol:?}");
        let more = operations(&deliveries[1], component) - operations(&before, component);
        assert_eq!(more, 7, "{protocol:?}");
    }
}

static DURING_GRPC: Component = Component::new("during-grpc");
static DURING_HTTP: Component = Component::new("during-http");

#[test]
fn a_push_that_is_under_way_is_not_sent_twice() {
    for (protocol, component) in PROTOCOLS.into_iter().zip([&DURING_GRPC, &DURING_HTTP]) {
        allocate(component, 5);
        let receiver =
            Receiver::start(protocol).answering([Answer::Slow(Duration::from_millis(400))]);
        let yaml = "web: {shutdown_timeout: 5s}\notlp: {temporality: delta}";
        let exporter = start(&receiver, ONCE, yaml);
        receiver.wait_for(1);
        allocate(component, 7);
        exporter.stop();
        let deliveries = receiver.deliveries().clone();
        let operations: Vec<i64> = deliveries
            .iter()
            .map(|delivery| operations(delivery, component))
            .collect();
        assert_eq!(
            operations.iter().sum::<i64>(),
            12,
            "{protocol:?}: {operations:?}"
        );
    }
}

#[test]
fn a_receiver_that_hangs_keeps_nobody_waiting() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start(protocol);
        receiver.answer_all(Answer::Hang);
        let exporter = start(&receiver, ONCE, YAML);
        receiver.wait_for(1);
        let begin = Instant::now();
        exporter.stop();
        let took = begin.elapsed();
        assert!(
            (GRACE..GRACE + SLACK).contains(&took),
            "{protocol:?}: {took:?}"
        );
    }
}

#[test]
fn a_pause_that_the_receiver_asked_for_does_not_delay_the_end() {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(20)));
    let busy = Status::with_error_details(Code::Unavailable, "busy", details);
    let cases = [
        (Protocol::Grpc, Answer::Status(busy)),
        (
            Protocol::HttpProtobuf,
            Answer::Code(503, Some("20".to_owned())),
        ),
    ];
    for (protocol, answer) in cases {
        let receiver = Receiver::start(protocol).answering([answer]);
        let exporter = start(&receiver, ONCE, "");
        receiver.wait_for(1);
        let begin = Instant::now();
        exporter.stop();
        let took = begin.elapsed();
        assert!(took < SLACK, "{protocol:?}: {took:?}");
        let deliveries = receiver.deliveries();
        assert_eq!(deliveries.len(), 2, "{protocol:?}");
        assert!(deliveries[1].taken, "{protocol:?}");
    }
}

#[test]
fn a_receiver_that_is_not_there_keeps_nobody_waiting() {
    for protocol in PROTOCOLS {
        let mut config = crate::pushing::config(&Receiver::start(protocol), "");
        let nobody = format!("http://127.0.0.1:{}", free_port());
        config.otlp.endpoint = memory_exporter::config::Auto::Set(nobody);
        config.otlp.interval = Duration::from_millis(20);
        let exporter = memory_exporter::Exporter::start(config).expect("an exporter");
        crate::wait::eventually("an export fails", || {
            (crate::pushing::exports(&exporter, "failure") > 2.0).then_some(())
        });
        let begin = Instant::now();
        exporter.stop();
        assert!(
            begin.elapsed() < SLACK,
            "{protocol:?}: {:?}",
            begin.elapsed()
        );
    }
}
