//! The past on disk, over HTTP: it outlives the process, and what is wrong with it harms nobody.

use std::time::{Duration, Instant, SystemTime};

use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};

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
