//! The forced release, in a process of its own: nobody else allocates or releases meanwhile.
#![allow(clippy::unwrap_used, reason = "a test")]

use memory_exporter::Peer;
use memory_exporter::{Allocator, Config, Exporter};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

/// Memory that was freed but kept by jemalloc goes back to the kernel, and the figures say so: they agree with each other and with
/// what the kernel says.
#[test]
fn release_gives_memory_back() {
    const KEPT: usize = 256 << 20;
    let exporter = Exporter::builder(Config::production())
        .without_server()
        .start()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let blocks: Vec<Vec<u8>> = (0..KEPT / 8_192).map(|_| vec![1; 8_192]).collect();
    drop(blocks);
    let request = warp::test::request()
        .method("POST")
        .path("/metrics/memory/gc")
        .extension(Peer("127.0.0.1:9".parse().unwrap()));
    let answer = runtime.block_on(async { request.reply(&exporter.routes()).await });
    assert_eq!(answer.status(), 200);
    let json: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    for level in ["rss_bytes", "allocator_resident_bytes"] {
        let freed = json["freed"][level].as_i64().unwrap();
        assert!(freed > 200 << 20, "{level}: {json}");
        let (before, after) = (
            json["before"][level].as_i64().unwrap(),
            json["after"][level].as_i64().unwrap(),
        );
        assert_eq!(before - after, freed, "{level}");
    }
    let now = exporter.snapshot().process.get().unwrap().rss;
    assert!(now.abs_diff(json["after"]["rss_bytes"].as_u64().unwrap()) < 8 << 20);
    assert!(json["duration_seconds"].as_f64().unwrap() > 0.0 && json["threads_asked"].is_u64());
}
