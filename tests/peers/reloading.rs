//! The push while the configuration is read anew: nothing is counted twice or lost, and another receiver goes on where the one before was.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use memory_exporter::config::{Auto, Protocol, Temporality};
use memory_exporter::{Component, Config, Exporter};

use crate::deltas::{more, sums};
use crate::pushing;
use crate::receiver::Receiver;

static OWN: Component = Component::new("reloading");
const SIZE: usize = 1_000_000;

fn allocate(blocks: usize) {
    let _scope = OWN.enter();
    for _ in 0..blocks {
        drop(black_box(Vec::<u8>::with_capacity(black_box(SIZE))));
    }
}

/// What was allocated by this test, as a receiver has it.
fn bytes(receiver: &Receiver) -> f64 {
    let deliveries = receiver.deliveries().clone();
    let sums = sums(deliveries.iter().filter(|delivery| delivery.taken));
    let labels = [("component".to_owned(), OWN.name().to_owned())];
    let id = (
        "memory_allocation_bytes_total".to_owned(),
        labels.into_iter().collect(),
    );
    sums.get(&id).map_or(0.0, |sum| sum[0])
}

#[test]
fn differences_add_up_across_reloads_and_receivers() {
    let (one, other) = (
        Receiver::start(Protocol::Grpc),
        Receiver::start(Protocol::HttpProtobuf),
    );
    let mut config = pushing::config(&one, "otlp: {metric_names: prometheus}");
    config.otlp.temporality = Temporality::Delta;
    config.otlp.interval = Duration::from_millis(100);
    let config = Arc::new(Mutex::new(config));
    let read = Arc::clone(&config);
    let exporter = Exporter::builder(config.lock().expect("a configuration").clone())
        .source(move || Ok(read.lock().expect("a configuration").clone()))
        .start()
        .expect("an exporter");
    let reload = |change: &dyn Fn(&mut Config)| {
        change(&mut config.lock().expect("a configuration"));
        assert_eq!(exporter.reload().expect("a reload").changed, ["otlp"]);
    };
    allocate(3);
    more(&one, 2);
    for interval in [50, 80, 110] {
        allocate(2);
        reload(&|config| config.otlp.interval = Duration::from_millis(interval));
        allocate(2);
        more(&one, 2);
    }
    // Switched off, then to another receiver: it gets what nobody got meanwhile.
    reload(&|config| config.otlp.enabled = false);
    allocate(4);
    reload(&|config| {
        config.otlp.enabled = true;
        config.otlp.endpoint = Auto::Set(other.url());
        config.otlp.protocol = other.protocol;
    });
    more(&other, 3);
    allocate(5);
    exporter.stop();
    assert!(bytes(&other) >= 5e6, "{} for the second", bytes(&other));
    // 3 + 3 * (2 + 2) + 4 + 5 blocks.
    assert_eq!(bytes(&one) + bytes(&other), 24e6);
}
