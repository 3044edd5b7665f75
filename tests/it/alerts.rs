//! Alerts of the process itself, over HTTP: filters, errors, acknowledgement. When they fire is shown against Prometheus (`tests/peers/`).

use std::time::{Duration, Instant};

use memory_exporter::catalog::alert_names;
use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};
use serde_json::Value;

use crate::api::{Answer, send};

/// Everything that this process uses is too much.
const CONFIG: &str = "
sampling: {interval: 1s}
alerts: {thresholds: {usage_warning_mb: 1, usage_critical_mb: 1}}
otlp: {resource: {service.namespace: shop, service.name: checkout}}
";

/// One request for each route, below `/metrics/memory/alerts`.
const REQUESTS: [(&str, &str); 5] = [
    ("GET", ""),
    ("POST", "/1/acknowledge"),
    ("GET", "/silences"),
    ("POST", "/silences?matcher=a=b&duration=1h"),
    ("DELETE", "/silences/1"),
];

fn exporter(yaml: &str) -> Exporter {
    let config = Config::load(Profile::Production, yaml, []).unwrap();
    Exporter::builder(config).without_server().start().unwrap()
}

async fn request(exporter: &Exporter, method: &str, path: &str) -> Answer {
    let path = format!("/metrics/memory/alerts{path}");
    send(exporter, method, &path, "127.0.0.1:9", &[]).await
}

/// The alerts that a query gives, once there are any.
async fn alerts(exporter: &Exporter, query: &str) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = request(exporter, "GET", query).await;
        assert_eq!(answer.status, 200);
        let alerts = answer.json()["alerts"].as_array().unwrap().clone();
        if !alerts.is_empty() {
            return alerts;
        }
        assert!(Instant::now() < deadline, "no alert: {query}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_is_too_much_is_pending_and_can_be_taken_on() {
    let exporter = exporter(CONFIG);
    let critical = alerts(&exporter, "?severity=critical&name=MemoryUsageHigh").await;
    let [alert] = critical.as_slice() else {
        panic!("{critical:?}");
    };
    // It must hold for two minutes.
    assert_eq!(alert["state"], "pending");
    assert_eq!(alert["fired_at"], Value::Null);
    assert_eq!(alert["threshold"], "1 MB");
    let labels = &alert["labels"];
    for (name, value) in [
        ("alertname", "MemoryUsageHigh"),
        ("severity", "critical"),
        ("job", "shop/checkout"),
        ("origin", "embedded"),
    ] {
        assert_eq!(labels[name], value, "{alert}");
    }
    let description = alert["description"].as_str().unwrap();
    let instance = labels["instance"].as_str().unwrap();
    assert!(
        description.starts_with(&format!("{instance} (shop/checkout) uses "))
            && description.ends_with("MiB of resident memory, above 1 MB."),
        "{description}"
    );
    assert!(alert["value"].as_f64().unwrap() > 1_048_576.0);
    assert_eq!(alert["links"]["runbook"], "RUNBOOK.md#memoryusagehigh");
    let both = alerts(&exporter, "?state=pending&name=MemoryUsageHigh").await;
    assert_eq!(both.len(), 2);

    let path = format!("/{}/acknowledge", alert["id"]);
    let answer = request(&exporter, "POST", &format!("{path}?by=ada")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["acknowledged"]["by"], "ada");
    // Who was first stays.
    let again = request(&exporter, "POST", &format!("{path}?by=bob")).await;
    assert_eq!(again.json()["acknowledged"]["by"], "ada");
    let acknowledged = alerts(&exporter, "?severity=critical").await;
    assert_eq!(acknowledged[0]["acknowledged"]["by"], "ada");
    assert_eq!(request(&exporter, "GET", &path).await.status, 405);
}

#[tokio::test]
async fn a_silence_covers_what_matches_until_it_ends() {
    let exporter = exporter(CONFIG);
    let created = request(
        &exporter,
        "POST",
        "/silences?matcher=alertname=~Memory.*&matcher=severity%3D%22warning%22&duration=2h&by=ada&comment=new%20version",
    )
    .await;
    assert_eq!(created.status, 201);
    let silence = created.json();
    assert_eq!(
        silence["matchers"],
        serde_json::json!(["alertname=~\"Memory.*\"", "severity=\"warning\""])
    );
    assert_eq!(
        (&silence["by"], &silence["comment"]),
        (&"ada".into(), &"new version".into())
    );
    let time = |name: &str| humantime::parse_rfc3339(silence[name].as_str().unwrap()).unwrap();
    let lasts = time("ends_at").duration_since(time("starts_at")).unwrap();
    assert_eq!(lasts, Duration::from_secs(7_200));
    let silences = request(&exporter, "GET", "/silences").await.json();
    assert_eq!(silences["silences"][0]["id"], silence["id"]);

    let warning = alerts(
        &exporter,
        "?name=MemoryUsageHigh&matcher=severity!=critical",
    )
    .await;
    assert_eq!(warning.len(), 1);
    assert_eq!(
        warning[0]["silenced_by"],
        serde_json::json!([silence["id"]])
    );
    let critical = alerts(&exporter, "?name=MemoryUsageHigh&matcher=severity=critical").await;
    assert_eq!(critical[0]["silenced_by"], serde_json::json!([]));

    let path = format!("/silences/{}", silence["id"]);
    let ended = request(&exporter, "DELETE", &path).await;
    assert_eq!((ended.status, &ended.json()["id"]), (200, &silence["id"]));
    assert_eq!(request(&exporter, "DELETE", &path).await.status, 404);
    let warning = alerts(&exporter, "?name=MemoryUsageHigh&severity=warning").await;
    assert_eq!(warning[0]["silenced_by"], serde_json::json!([]));
}

/// A call site can be named, and what to do, in a process that can be seen into; and people see how telling goes.
#[tokio::test]
async fn an_alert_says_where_to_look_and_who_was_told() {
    let exporter = exporter(
        "sampling: {interval: 1s}\n\
         alerts: {shorten: 600, labels: {team: shop, job: named}, thresholds: {usage_warning_mb: 1, usage_critical_mb: 1}}",
    );
    let held: Vec<Box<[u8]>> = (0..128)
        .map(|_| vec![1; 1 << 20].into_boxed_slice())
        .collect();
    let query = "?state=firing&name=MemoryUsageHigh&severity=critical";
    let deadline = Instant::now() + Duration::from_secs(30);
    // It fires a moment before people are told, and in between it is found out where to look.
    let alert = loop {
        let firing = alerts(&exporter, query).await;
        if firing[0]["told"] == true {
            break firing[0].clone();
        }
        assert!(Instant::now() < deadline, "nobody is told: {firing:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(
        (&alert["labels"]["team"], &alert["labels"]["job"]),
        (&"shop".into(), &"named".into())
    );
    let culprit = &alert["culprit"];
    let call_site = culprit["call_site"].as_str().unwrap();
    assert!(call_site.contains("an_alert_says_where_to_look"), "{alert}");
    assert!(
        culprit["bytes"].as_f64().unwrap() > 32.0 * 1_048_576.0,
        "{alert}"
    );
    assert_eq!(culprit["suspected"], false);
    assert!(!alert["recommendation"].as_str().unwrap().is_empty());
    drop(held);
    let answer = request(&exporter, "GET", "").await.json();
    let log = &answer["channels"][0];
    assert_eq!(
        (&log["name"], &log["kind"], &log["target"]),
        (&"log".into(), &"log".into(), &"the log".into())
    );
}

/// More matchers than a silence may have.
const MANY: &str = "/silences?duration=1h&matcher=a=1&matcher=a=2&matcher=a=3&matcher=a=4&matcher=a=5&matcher=a=6&matcher=a=7&matcher=a=8&matcher=a=9&matcher=a=10&matcher=a=11";

#[tokio::test]
async fn bad_requests_are_answered_with_what_is_allowed() {
    let exporter = exporter(CONFIG);
    let names = alert_names().join(", ");
    for (method, path, status, help) in [
        (
            "GET",
            "?state=on",
            400,
            "allowed: pending, firing, resolved",
        ),
        ("GET", "?severity=high", 400, "allowed: critical, warning"),
        ("GET", "?name=Leak", 400, names.as_str()),
        (
            "GET",
            "?id=1",
            400,
            "allowed: matcher, state, severity, name, component",
        ),
        (
            "POST",
            "/777/acknowledge",
            404,
            "GET /metrics/memory/alerts",
        ),
        ("POST", "/x/acknowledge", 404, "GET /metrics/memory/alerts"),
        (
            "POST",
            "/1/acknowledge?by=",
            400,
            "a text of 1 to 100 characters",
        ),
        ("POST", "", 405, "allowed: GET, HEAD"),
        ("GET", "?matcher=alertname", 400, "one of = != =~ !~"),
        ("GET", "?matcher=a=~(", 400, "a regular expression"),
        ("DELETE", "/silences", 405, "allowed: GET, HEAD, POST"),
        ("POST", "/silences/1", 405, "allowed: DELETE"),
        (
            "DELETE",
            "/silences/1",
            404,
            "GET /metrics/memory/alerts/silences",
        ),
        (
            "DELETE",
            "/silences/x",
            404,
            "GET /metrics/memory/alerts/silences",
        ),
        ("POST", "/silences", 400, "for example ?matcher="),
        (
            "POST",
            "/silences?duration=1h",
            400,
            "for example ?matcher=",
        ),
        (
            "POST",
            "/silences?matcher=a=b",
            400,
            "for example ?matcher=",
        ),
        (
            "POST",
            "/silences?matcher=a=b&duration=32d",
            400,
            "from 1s to 1month",
        ),
        ("POST", "/silences?matcher=a=b&duration=0s", 400, "from 1s"),
        (
            "POST",
            "/silences?matcher==b&duration=1h",
            400,
            "a label, one of",
        ),
        (
            "POST",
            "/silences?matcher=a=b&duration=1h&duration=2h",
            400,
            "give it once",
        ),
        (
            "POST",
            "/silences?matcher=a=b&duration=1h&who=x",
            400,
            "allowed: matcher, duration, by, comment",
        ),
        (
            "POST",
            "/silences?matcher=a=b&duration=1h&comment=a%0ab",
            400,
            "a text of 1 to 500 characters",
        ),
        ("POST", MANY, 400, "allowed: up to 10"),
    ] {
        let answer = request(&exporter, method, path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let said = answer.json()["help"].to_string();
        assert!(said.contains(help), "{method} {path}: {said}");
    }
    for (method, path) in REQUESTS {
        let path = format!("/metrics/memory/alerts{path}");
        let answer = send(&exporter, method, &path, "10.0.0.1:9", &[]).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn who_wants_no_alerts_has_none() {
    let exporter = exporter("alerts: {enabled: false}");
    for (method, path) in REQUESTS {
        let answer = request(&exporter, method, path).await;
        assert_eq!(answer.status, 501, "{method} {path}");
        assert!(answer.json()["help"].to_string().contains("alerts.enabled"));
    }
}
