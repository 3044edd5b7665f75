//! A process without our allocator, jemalloc linked but unused: heap metrics are absent, not zero, and the rest works.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use memory_exporter::{Config, Exporter};

#[test]
fn heap_metrics_are_absent() {
    let exporter = Exporter::builder(Config::production())
        .without_server()
        .start()
        .unwrap();
    let (text, _) = exporter.render("application/openmetrics-text").unwrap();
    for absent in [
        "memory_heap_bytes",
        "memory_allocation",
        "memory_deallocation",
        "memory_jemalloc",
        "process_heap_bytes",
    ] {
        assert!(!text.contains(absent), "{absent} must be absent:\n{text}");
    }
    assert!(text.contains("\nmemory_rss_bytes "), "{text}");
    assert!(text.contains("\nmemory_virtual_bytes "), "{text}");
    // The process as a whole can still be suspected.
    assert!(text.contains("\nmemory_leak_count_total 0\n"), "{text}");
    for collector in ["heap", "jemalloc"] {
        assert!(text.contains(&format!(
            "memory_exporter_collector_success{{collector=\"{collector}\"}} 0\n"
        )));
    }
    assert!(text.contains("memory_exporter_collector_success{collector=\"process\"} 1\n"));
    let reason = exporter.snapshot().heap.error().unwrap().to_string();
    assert_eq!(
        reason,
        "memory_exporter::Allocator is not the global allocator of this process"
    );

    // There is nothing to release either, and the answer says so.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let peer = memory_exporter::Peer("127.0.0.1:1".parse().unwrap());
    let request = warp::test::request()
        .method("POST")
        .path("/metrics/memory/gc")
        .extension(peer);
    let answer = runtime
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(10), request.reply(&exporter.routes())).await
        })
        .unwrap();
    assert_eq!(answer.status(), 501);
    let answer: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(answer["detail"], "jemalloc does not serve this process");
}
