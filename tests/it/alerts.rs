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
            "allowed: state, severity, name, component",
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
            "a name of 1 to 100 characters",
        ),
        ("POST", "", 405, "allowed: GET, HEAD"),
    ] {
        let answer = request(&exporter, method, path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let said = answer.json()["help"].to_string();
        assert!(said.contains(help), "{method} {path}: {said}");
    }
    for (method, path) in [("GET", ""), ("POST", "/1/acknowledge")] {
        let path = format!("/metrics/memory/alerts{path}");
        let answer = send(&exporter, method, &path, "10.0.0.1:9", &[]).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn who_wants_no_alerts_has_none() {
    let exporter = exporter("alerts: {enabled: false}");
    for (method, path) in [("GET", ""), ("POST", "/1/acknowledge")] {
        let answer = request(&exporter, method, path).await;
        assert_eq!(answer.status, 501);
        assert!(answer.json()["help"].to_string().contains("alerts.enabled"));
    }
}
