//! Every endpoint without a socket: answers, errors, formats.

use std::io::Read;

use memory_exporter::Peer;
use memory_exporter::catalog;
use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter, Target};
use serde_json::Value;

use crate::openapi;

/// One in whose eyes this process, in which all tests run side by side, does not use too much.
pub(crate) fn exporter() -> Exporter {
    let thresholds = "alerts: {thresholds: {usage_warning_mb: 1e6, usage_critical_mb: 1e6}}";
    let mut config = Config::load(Profile::Production, thresholds, []).unwrap();
    config.web.enable_lifecycle = true;
    let source = config.clone();
    let builder = Exporter::builder(config).without_server();
    builder.source(move || Ok(source.clone())).start().unwrap()
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: warp::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// The answer, which the OpenAPI document has to have.
pub(crate) async fn send(
    exporter: &Exporter,
    method: &str,
    path: &str,
    peer: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let request = warp::test::request()
        .method(method)
        .path(path)
        .extension(Peer(peer.parse().unwrap()));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    let answer = request.reply(&exporter.routes()).await;
    let answer = Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body().to_vec(),
    };
    openapi::check(exporter, method, path, &answer).await;
    answer
}

pub(crate) async fn get(exporter: &Exporter, path: &str) -> Answer {
    send(exporter, "GET", path, "127.0.0.1:9", &[]).await
}

#[tokio::test]
async fn every_answer_carries_time_and_session() {
    let exporter = exporter();
    let mut sessions = std::collections::BTreeSet::new();
    for path in ["snapshot", "trend", "health", "leaks", "snapshot?x=1"] {
        let answer = get(&exporter, &format!("/metrics/memory/{path}"))
            .await
            .json();
        let timestamp = answer["timestamp"].as_str().unwrap();
        assert!(
            timestamp.ends_with('Z') && timestamp.contains('T') && timestamp.len() == 24,
            "{timestamp}"
        );
        let session = answer["session_id"].as_str().unwrap().to_owned();
        assert_eq!(
            session.split('-').map(str::len).collect::<Vec<_>>(),
            [8, 4, 4, 4, 12],
            "{session}"
        );
        sessions.insert(session);
    }
    assert_eq!(sessions.len(), 1, "one start is one session");
}

#[tokio::test]
async fn snapshot_shows_the_series_of_a_scrape() {
    let exporter = exporter();
    let answer = get(&exporter, "/metrics/memory/snapshot").await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    let metrics = json["metrics"].as_object().unwrap();
    let (text, _) = exporter.render("").unwrap();
    // A component may get the samples that a score needs between the two.
    let score = catalog::ALLOCATION_EFFICIENCY_SCORE.series("");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (series, _) = line.split_once(' ').unwrap();
        assert!(
            series == "target_info" || series == score || metrics.contains_key(series),
            "{series} is missing"
        );
    }
    assert!(metrics["memory_rss_bytes"].as_u64().unwrap() > 1 << 20);
    let counts = metrics["memory_allocation_count_total"].as_array().unwrap();
    assert!(
        counts
            .iter()
            .any(|count| count["component"] == "unattributed"
                && count["operation"] == "alloc"
                && count["value"].as_u64() > Some(0))
    );
    let sizes = &metrics["memory_allocation_size_bytes"][0];
    let buckets = sizes["buckets"].as_array().unwrap();
    assert_eq!(
        (buckets.len(), &buckets[12]["le"], &buckets[12]["count"]),
        (13, &"+Inf".into(), &sizes["count"])
    );
    assert_eq!(json["collectors"].as_array().unwrap().len(), 5);
    assert_eq!(json["pid"], std::process::id());
}

#[tokio::test]
async fn trend_answers_with_points_and_analysis() {
    let mut config = Config::production();
    config.sampling.interval = std::time::Duration::from_millis(20);
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = get(&exporter, "/metrics/memory/trend?duration=1h&interval=1s").await;
        assert_eq!(answer.status, 200);
        let json = answer.json();
        assert_eq!(
            (&json["duration_seconds"], &json["interval_seconds"]),
            (&3600.0.into(), &1.0.into())
        );
        let points = json["points"].as_array().unwrap();
        if points.len() >= 3 {
            assert!(
                points
                    .windows(2)
                    .all(|pair| pair[0]["timestamp"].as_str() < pair[1]["timestamp"].as_str())
            );
            let rss = &json["analysis"]["memory_rss_bytes"];
            assert!(rss["growth_rate_bytes_per_second"].is_f64(), "{rss}");
            assert!(
                rss["peak"].as_u64() >= rss["min"].as_u64() && rss["average"].as_f64() > Some(0.0)
            );
            // Other tests of this process read symbols meanwhile, which makes it waver.
            let volatility = rss["volatility"].as_f64().unwrap();
            assert!((0.0..10.0).contains(&volatility), "{rss}");
            break;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "no history came about: {json}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        get(&exporter, "/metrics/memory/trend?duration=24h")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn bad_parameters_are_named_with_what_is_allowed() {
    let exporter = exporter();
    for (query, detail, help) in [
        (
            "duration=soon",
            "parameter duration is \"soon\"",
            "allowed: a duration such as 30s, 5m or 1h from 1s to 7days",
        ),
        (
            "duration=8d",
            "parameter duration is \"8d\"",
            "allowed: a duration such as 30s, 5m or 1h from 1s to 7days",
        ),
        (
            "duration=0s",
            "parameter duration is \"0s\"",
            "allowed: a duration such as 30s, 5m or 1h from 1s to 7days",
        ),
        (
            "interval=2h",
            "parameter interval is \"2h\"",
            "allowed: a duration such as 30s, 5m or 1h from 1s to 1h",
        ),
        (
            "duration=7d&interval=1s",
            "parameter interval is \"1s\"",
            "allowed: at least 55s for this duration",
        ),
        (
            "duration=1h&duration=2h",
            "parameter duration is given twice",
            "give it once",
        ),
        (
            "period=1h",
            "unknown parameter \"period\"",
            "allowed: duration, interval",
        ),
        (
            "duration=%F0%9F%92%A9",
            "parameter duration is \"💩\"",
            "allowed: a duration such as 30s, 5m or 1h from 1s to 7days",
        ),
    ] {
        let answer = get(&exporter, &format!("/metrics/memory/trend?{query}")).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["error"]),
            (400, &"bad request".into()),
            "{query}"
        );
        assert_eq!(
            (&json["detail"], &json["help"]),
            (&detail.into(), &help.into()),
            "{query}"
        );
    }
    for path in ["snapshot", "health"] {
        let answer = get(&exporter, &format!("/metrics/memory/{path}?pretty=1")).await;
        assert_eq!(
            (answer.status, &answer.json()["help"]),
            (400, &"this endpoint takes none".into())
        );
    }
}

#[tokio::test]
async fn methods_are_answered_with_allow_and_head_without_a_body() {
    let exporter = exporter();
    for path in [
        "/",
        "/metrics",
        "/metrics/memory/snapshot",
        "/metrics/memory/trend",
        "/metrics/memory/health",
        "/-/healthy",
        "/-/ready",
    ] {
        assert_eq!(get(&exporter, path).await.status, 200, "{path}");
        assert_eq!(
            send(&exporter, "HEAD", path, "127.0.0.1:9", &[])
                .await
                .status,
            200,
            "{path}"
        );
        let answer = send(&exporter, "DELETE", path, "127.0.0.1:9", &[]).await;
        assert_eq!(
            (answer.status, &answer.headers["allow"]),
            (405, &"GET, HEAD".parse().unwrap()),
            "{path}"
        );
        assert_eq!(answer.json()["help"], "allowed: GET, HEAD");
    }
    let answer = get(&exporter, "/metrics/memory/gc").await;
    assert_eq!(
        (answer.status, &answer.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
}

/// A host that mounts the filter keeps its own routes and its own 404.
#[tokio::test]
async fn other_paths_are_left_to_other_routes() {
    use warp::Filter;
    let exporter = exporter();
    let all = exporter
        .routes()
        .map(warp::Reply::into_response)
        .or(warp::path!("metrics" / "x").map(|| "the host's own"));
    let answer = warp::test::request().path("/metrics/x").reply(&all).await;
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_ref()),
        (200, b"the host's own".as_slice())
    );
    for path in [
        "/nope",
        "/metrics/",
        "/metrics/memory",
        "/metrics/memory/snapshot/x",
    ] {
        let answer = warp::test::request().path(path).reply(&all).await;
        assert_eq!(answer.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn release_is_for_loopback_and_for_no_foreign_page() {
    let exporter = exporter();
    let gc = "/metrics/memory/gc";
    for peer in ["10.0.0.1:9", "[2001:db8::1]:9", "[::ffff:10.0.0.1]:9"] {
        let answer = send(&exporter, "POST", gc, peer, &[]).await;
        assert_eq!(
            (answer.status, &answer.json()["detail"]),
            (403, &"only loopback may do this".into()),
            "{peer}"
        );
    }
    let unknown = warp::test::request()
        .method("POST")
        .path(gc)
        .reply(&exporter.routes())
        .await;
    assert_eq!(unknown.status(), 403, "who is not known is not let in");
    for (origin, host, status) in [
        ("http://evil.example", "localhost:10113", 403),
        ("http://rebound.example:10113", "rebound.example:10113", 403),
        ("null", "localhost:10113", 403),
        ("http://localhost:10113", "localhost:10113", 200),
        ("http://[::1]:10113", "[::1]:10113", 200),
    ] {
        let headers = [("origin", origin), ("host", host)];
        let answer = send(&exporter, "POST", gc, "127.0.0.1:9", &headers).await;
        assert_eq!(
            answer.status,
            status,
            "{origin}: {:?}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    for peer in [
        "127.0.0.1:9",
        "127.8.8.8:9",
        "[::1]:9",
        "[::ffff:127.0.0.1]:9",
    ] {
        let answer = send(&exporter, "POST", gc, peer, &[]).await;
        assert_eq!(answer.status, 200, "{peer}");
    }
}

/// Releases do not pile up: while one runs, the next is told to come back.
#[tokio::test]
async fn a_second_release_at_the_same_time_is_told_to_wait() {
    let exporter = exporter();
    let release = || send(&exporter, "POST", "/metrics/memory/gc", "127.0.0.1:9", &[]);
    let (first, second) = tokio::join!(release(), release());
    assert_eq!((first.status, second.status), (200, 429));
    assert_eq!(second.headers["retry-after"], "1");
    assert_eq!(second.json()["error"], "too many requests");
    assert_eq!(release().await.status, 200, "and may come back");
}

/// A thread that runs gives back its cache at its next allocator call; one that sleeps does when it wakes.
#[tokio::test]
async fn release_reaches_the_caches_of_other_threads() {
    let exporter = exporter();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopping = std::sync::Arc::clone(&stop);
    let busy = std::thread::spawn(move || {
        while !stopping.load(std::sync::atomic::Ordering::Relaxed) {
            std::hint::black_box(vec![1_u8; 100]);
        }
    });
    let json = send(&exporter, "POST", "/metrics/memory/gc", "127.0.0.1:9", &[])
        .await
        .json();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.join().unwrap();
    assert!(json["threads_answered"].as_u64().unwrap() >= 1, "{json}");
}

#[tokio::test]
async fn metrics_speak_the_format_that_is_asked_for() {
    let exporter = exporter();
    let plain = get(&exporter, "/metrics").await;
    assert_eq!(
        plain.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert_eq!(plain.headers["vary"], "accept, accept-encoding");
    assert!(!String::from_utf8(plain.body).unwrap().contains("# EOF"));
    let accept = [
        (
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        ),
        ("accept-encoding", "gzip"),
    ];
    let zipped = send(&exporter, "GET", "/metrics", "127.0.0.1:9", &accept).await;
    assert_eq!(
        zipped.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(zipped.body.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    assert!(
        text.ends_with("# EOF\n") && text.contains("# UNIT memory_rss_bytes bytes"),
        "{text}"
    );
}

#[tokio::test]
async fn health_is_judged_by_the_thresholds() {
    for (warning, critical, status, code) in [
        (1e6, 1e6, "healthy", 200),
        (1.0, 1e6, "warning", 200),
        (1.0, 1.0, "critical", 503),
    ] {
        let mut config = Config::production();
        config.alerts.thresholds.usage_warning_mb = warning;
        config.alerts.thresholds.usage_critical_mb = critical;
        let exporter = Exporter::builder(config).without_server().start().unwrap();
        let answer = get(&exporter, "/metrics/memory/health").await;
        let json = answer.json();
        assert_eq!((answer.status, &json["status"]), (code, &status.into()));
        let reasons = json["reasons"].as_array().unwrap();
        assert_eq!(reasons.len(), usize::from(status != "healthy"));
        assert_eq!(
            json["recommendations"].as_array().unwrap().len(),
            reasons.len()
        );
    }
    let mut config = Config::production();
    // Only the limit is too small for this process, in which all tests run side by side.
    config.alerts.thresholds.usage_warning_mb = 1e6;
    config.alerts.thresholds.usage_critical_mb = 1e6;
    config.limits.memory = memory_exporter::config::Auto::Set(1 << 20);
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    let json = get(&exporter, "/metrics/memory/health").await.json();
    assert_eq!(
        (&json["status"], &json["limit_bytes"]),
        (&"critical".into(), &(1_u64 << 20).into())
    );
    assert!(
        json["reasons"][0]
            .as_str()
            .unwrap()
            .contains("% of the configured memory limit is used"),
        "{json}"
    );
    assert!(json["used_ratio"].as_f64().unwrap() > 1.0);
    assert_eq!(
        (&json["limit_kind"], &json["limit_used_bytes"]),
        (&"configured".into(), &json["rss_bytes"])
    );
    let finding = &json["findings"][0];
    assert_eq!(
        (&finding["status"], &finding["evidence"]["limit_mb"]),
        (&"critical".into(), &1.0.into())
    );
    assert_eq!(finding["reason"], json["reasons"][0]);
}

/// Another process: what its kernel says is there, what only its allocator knows is absent, and nothing of it can be released.
#[tokio::test]
async fn a_foreign_process_has_no_heap() {
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let exporter = Exporter::builder(Config::production())
        .target(Target::Pid(child.id()))
        .without_server()
        .start()
        .unwrap();
    let json = get(&exporter, "/metrics/memory/snapshot").await.json();
    let gc = send(&exporter, "POST", "/metrics/memory/gc", "127.0.0.1:9", &[]).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(json["pid"], child.id());
    let metrics = json["metrics"].as_object().unwrap();
    assert!(metrics["memory_rss_bytes"].as_u64().unwrap() > 0);
    assert!(!metrics.keys().any(|series| series.contains("heap")
        || series.contains("memory_allocation")
        || series.contains("jemalloc")));
    assert_eq!(
        (gc.status, &gc.json()["detail"]),
        (
            501,
            &"the memory of another process cannot be released".into()
        )
    );
    let (text, _) = exporter.render("").unwrap();
    assert!(
        !text.contains("memory_rss_bytes"),
        "a process that ended has no memory"
    );
}
