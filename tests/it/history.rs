//! The past on disk, over HTTP: it outlives the process, and what is wrong with it harms nobody.

use std::time::{Duration, Instant, SystemTime};

use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};
use serde_json::Value;

use crate::api::{get, send};

fn exporter(directory: &std::path::Path) -> Exporter {
    let yaml = format!("sampling: {{interval: 1s}}\nhistory: {{directory: {directory:?}}}");
    let config = Config::load(Profile::Production, &yaml, []).unwrap();
    Exporter::builder(config).without_server().start().unwrap()
}

/// Times of the points of the last hour.
async fn times(exporter: &Exporter) -> Vec<SystemTime> {
    let path = "/metrics/memory/trend?duration=1h&interval=1s";
    let json = get(exporter, path).await.json();
    let points = json["points"].as_array().unwrap().iter();
    points
        .map(|point| {
            assert!(point["memory_rss_bytes"].as_f64().unwrap() > 0.0, "{point}");
            humantime::parse_rfc3339(point["timestamp"].as_str().unwrap()).unwrap()
        })
        .collect()
}

/// Waits until there are so many points.
async fn wait_for(exporter: &Exporter, points: usize) -> Vec<SystemTime> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let times = times(exporter).await;
        if times.len() >= points {
            return times;
        }
        assert!(Instant::now() < deadline, "{} points", times.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn failures(exporter: &Exporter) -> String {
    let body = send(exporter, "GET", "/metrics", "127.0.0.1:9", &[])
        .await
        .body;
    let text = String::from_utf8(body).unwrap();
    let mut lines = text.lines();
    let line = lines.find(|line| line.starts_with("memory_exporter_history_failures_total "));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn the_past_outlives_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let first = exporter(directory.path());
    let before = wait_for(&first, 3).await;
    // What is on disk is not shown twice.
    assert!(
        before.windows(2).all(|pair| pair[1] > pair[0]),
        "{before:?}"
    );
    first.stop();
    let restart = SystemTime::now();
    let second = exporter(directory.path());
    let after = wait_for(&second, before.len() + 1).await;
    let old: Vec<_> = after.into_iter().filter(|time| *time < restart).collect();
    // Two moments may share a second of the answer.
    let second_long = Duration::from_secs(1);
    let (first, last) = (before[0], before[before.len() - 1]);
    assert!(old[0] <= first + second_long, "{old:?} {before:?}");
    assert!(
        old[old.len() - 1] + second_long >= last,
        "{old:?} {before:?}"
    );
    assert!(failures(&second).await.ends_with(" 0"));
}

#[tokio::test]
async fn who_finds_no_place_keeps_the_past_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let homeless = exporter(&file);
    let first = exporter(directory.path());
    // Its place is taken by the first.
    let second = exporter(directory.path());
    for exporter in [&homeless, &first, &second] {
        wait_for(exporter, 2).await;
    }
    // The place goes away: what is open stays open.
    std::fs::remove_dir_all(directory.path()).unwrap();
    let points = times(&first).await.len();
    wait_for(&first, points + 2).await;
}

/// As [`exporter`], which stores a profile every second.
fn profiling(directory: &std::path::Path) -> Exporter {
    let yaml = format!(
        "sampling: {{interval: 1s}}\nprofiles: {{flamegraphs: continuous, interval: 1s, keep: 5}}\nhistory: {{directory: {directory:?}}}"
    );
    let config = Config::load(Profile::Production, &yaml, []).unwrap();
    Exporter::builder(config).without_server().start().unwrap()
}

/// Waits until there are so many profiles of a session, or of this one.
async fn profiles(exporter: &Exporter, session: Option<&str>, least: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let json = get(exporter, "/metrics/memory/profiles").await.json();
        let session = session.map_or(json["session_id"].clone(), Value::from);
        let all = json["profiles"].as_array().unwrap().iter();
        let own: Vec<_> = all
            .filter(|profile| profile["session_id"] == session)
            .cloned()
            .collect();
        if own.len() >= least {
            return own;
        }
        assert!(Instant::now() < deadline, "{json:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn bytes_of(exporter: &Exporter, profile: &Value) -> (u16, Vec<u8>) {
    let answer = get(exporter, profile["pprof"].as_str().unwrap()).await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn stored_profiles_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let first = profiling(directory.path());
    let kept = profiles(&first, None, 2).await;
    let session = kept[0]["session_id"].as_str().unwrap().to_owned();
    let (status, pprof) = bytes_of(&first, &kept[0]).await;
    assert_eq!(
        (status, pprof.len() as u64),
        (200, kept[0]["size_bytes"].as_u64().unwrap())
    );
    // A second process keeps out, and keeps its own in memory.
    let homeless = profiling(directory.path());
    profiles(&homeless, None, 1).await;
    // It is counted a moment after the profile is there.
    let deadline = Instant::now() + Duration::from_secs(30);
    while failures(&homeless).await.ends_with(" 0") {
        assert!(Instant::now() < deadline, "no failure is counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(profiles(&homeless, Some(&session), 0).await.is_empty());
    homeless.stop();
    first.stop();

    // In the same process again, as after a reload.
    let second = exporter(directory.path());
    let old = profiles(&second, Some(&session), 2).await;
    assert!(old.contains(&kept[0]), "{old:#?}");
    assert_eq!(bytes_of(&second, &kept[0]).await, (200, pprof));
    let graph = kept[0]["flamegraph"].as_str().unwrap();
    let graph = loop {
        let graph = get(&second, graph).await;
        if graph.status != 429 {
            break graph;
        }
    };
    assert_eq!((graph.status, &graph.body[..1]), (200, &b"<"[..]));
    // What was removed meanwhile is not there, and no error.
    std::fs::remove_dir_all(directory.path().join("profiles")).unwrap();
    assert_eq!(bytes_of(&second, &kept[0]).await.0, 404);
}

/// What an earlier process has left, as it wrote it.
const LEFT: &str = r#"{"session_id": "11111111-2222-4333-8444-555555555555", "last_written": "TIME", "observed_since": "TIME", "opened": 1,
    "suspects": [{"id": 1, "severity": "high", "worst_severity": "high", "confidence": "high", "component": "shop",
        "function": "shop::insert", "file": "src/cache.rs", "line": 41, "summary": "it grows", "advice": "bound it", "pattern": "steady",
        "since": "TIME", "age_seconds": 60.5, "opened": "TIME", "bytes": 1048576.5, "objects": 3.0, "growth_mb_per_hour": 1.5,
        "growth_mb_per_hour_low": 1.0, "growth_mb_per_hour_high": 2.0, "parts": [{"function": "shop::insert", "file": "src/cache.rs",
            "line": 41, "evidence": "survivors", "pattern": "steady", "since": "TIME", "samples": 100, "bytes": 1048576.5, "objects": 3.0,
            "mean_size_bytes": null, "growth_mb_per_hour": 1.5, "growth_mb_per_hour_low": 1.0, "growth_mb_per_hour_high": 2.0, "fit": 1.0,
            "acceleration": 1.0, "generations": 9, "freed_ratio": 0.1, "stacks": [{"site": 7, "frames": ["main (src/main.rs:3)"]}]}]}],
    "closed": [{"id": 0, "worst_severity": "low", "component": "shop", "function": "unknown", "file": null, "line": null,
        "opened": "TIME", "closed": "TIME", "reason": "it stopped", "bytes": 10.5}]}"#;

#[tokio::test]
async fn suspects_of_earlier_sessions_are_shown() {
    let directory = tempfile::tempdir().unwrap();
    let leaks = directory.path().join("leaks");
    std::fs::create_dir(&leaks).unwrap();
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let left = LEFT.replace("TIME", &now);
    std::fs::write(leaks.join("2026-11-25T222300Z-11111111.json"), &left).unwrap();
    std::fs::write(leaks.join("2026-11-25T222301Z-22222222.json"), &left[..300]).unwrap();
    let exporter = exporter(directory.path());
    let json = get(&exporter, "/metrics/memory/leaks").await.json();
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(json["earlier_sessions"], Value::Array(vec![left]));
    std::fs::remove_dir_all(directory.path()).unwrap();
    let json = get(&exporter, "/metrics/memory/leaks").await.json();
    assert_eq!(json["earlier_sessions"], Value::Array(Vec::new()));
}
