//! Sampling that is changed while the program runs, and exact counters that are split by what was sampled. The process is the test's own,
//! for both are the process's.
#![cfg(feature = "production")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use memory_exporter::catalog::OPERATIONS;
use memory_exporter::heap::{self, Counts, SizeCounts};
use memory_exporter::{Allocator, Config, Exporter, Peer};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

async fn send(exporter: &Exporter, method: &str, path: &str) -> Value {
    let answer = warp::test::request()
        .method(method)
        .path(path)
        .extension(Peer("127.0.0.1:9".parse().unwrap()))
        .reply(&exporter.routes())
        .await;
    assert_eq!(answer.status(), 200, "{path}");
    serde_json::from_slice(answer.body()).unwrap()
}

/// Both in one test, because both change what the process samples.
#[tokio::test]
async fn sampling() {
    let mut config = Config::production();
    config.allocations.sample_interval = 1;
    config.sampling.interval = Duration::from_secs(1);
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    sums_stay_exact(&exporter).await;
    the_interval_changes(&exporter).await;
}

/// Shares are estimated, sums are not: all operations and all bytes stand under some component, whatever the split.
async fn sums_stay_exact(exporter: &Exporter) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut split = 0;
    while split < 10 {
        assert!(Instant::now() < deadline, "nothing was split");
        black_box((0..100).map(|size| vec![1_u8; size]).collect::<Vec<_>>());
        black_box((0..100).map(|size| vec![0_u8; size]).collect::<Vec<_>>());
        let before = counted();
        let json = send(exporter, "GET", "/metrics/memory/snapshot").await;
        let after = counted();
        let metrics = &json["metrics"];
        let rows = |series: &str| metrics[series].as_array().unwrap().clone();
        for (at, operation) in OPERATIONS.iter().enumerate() {
            let of_operation = |row: &&Value| row["operation"] == *operation;
            let counts = rows("memory_allocation_count_total");
            let shown = sum(counts.iter().filter(of_operation), "value");
            let range = before[at].count()..=after[at].count();
            assert!(
                range.contains(&shown),
                "{operation}: {shown} not in {range:?}"
            );
            let sizes = rows("memory_allocation_size_bytes");
            let bytes = sum(sizes.iter().filter(of_operation), "sum");
            let range = before[at].bytes..=after[at].bytes;
            assert!(
                range.contains(&bytes),
                "{operation}: {bytes} not in {range:?}"
            );
            assert_eq!(sum(sizes.iter().filter(of_operation), "count"), shown);
        }
        let counts = rows("memory_allocation_count_total");
        let own = |row: &&Value| row["component"] == env!("CARGO_CRATE_NAME");
        if sum(counts.iter().filter(own), "value") > 0 {
            split += 1;
        }
    }
}

fn sum<'a>(rows: impl Iterator<Item = &'a Value>, key: &str) -> u64 {
    rows.map(|row| row[key].as_u64().unwrap()).sum()
}

/// By operation, over all components, as the allocator has counted.
fn counted() -> Vec<SizeCounts> {
    let mut counts = Counts::default();
    heap::read(&mut counts);
    let of = |at: usize| {
        let mut sum = SizeCounts::default();
        let components = counts.components.iter();
        components.for_each(|component| sum.merge(&component.operations[at]));
        sum
    };
    (0..OPERATIONS.len()).map(of).collect()
}

async fn the_interval_changes(exporter: &Exporter) {
    let samples = || -> u64 { heap::call_sites().map(|site| site.totals().samples).sum() };
    let allocate = || {
        let before = samples();
        black_box((0..1_000).map(|_| vec![1_u8; 100]).collect::<Vec<_>>());
        samples() - before
    };
    for (query, interval) in [
        ("?interval=0", 0),
        ("?interval=1B", 1),
        ("?interval=512KiB", 512 << 10),
        ("?interval=1TiB", 1 << 40),
        ("", 1 << 40),
        ("?interval=1", 1),
        ("?interval=0B", 0),
    ] {
        let json = send(exporter, "POST", &format!("/debug/sampling{query}")).await;
        assert_eq!(json["sample_interval_bytes"], interval, "{query}");
        assert_eq!(json["dropped_samples"], 0, "{query}");
        assert!(
            json["live_samples"].is_u64() && json["session_id"].is_string(),
            "{json}"
        );
        assert_eq!(heap::sample_interval(), interval, "{query}");
        let taken = allocate();
        match interval {
            0 => assert_eq!(taken, 0, "{query}"),
            1 => assert!(taken > 1_000, "{query}: {taken}"),
            _ => assert!(taken < 100, "{query}: {taken}"),
        }
    }
}
