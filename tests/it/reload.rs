//! The configuration is read anew: by the library, by POST /-/reload, by SIGHUP; all of it or nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};
use serde_json::{Value, json};

use crate::api;
use crate::client::{connect, get, request, send};

const LOOPBACK: &str = "127.0.0.1:9";
const LISTEN: &str = "web: {listen_address: ['127.0.0.1:0'], enable_lifecycle: true}\n";

/// Where the exporter reads its configuration, and what a test writes there.
#[derive(Clone)]
struct Document(Arc<Mutex<String>>);

impl Document {
    fn new(yaml: &str) -> Self {
        Self(Arc::new(Mutex::new(yaml.to_owned())))
    }

    fn write(&self, yaml: &str) {
        yaml.clone_into(&mut self.0.lock().unwrap());
    }

    fn start(&self) -> Exporter {
        let document = self.clone();
        let read = move || Config::load(Profile::Production, &document.0.lock().unwrap(), []);
        Exporter::builder(read().unwrap())
            .source(read)
            .start()
            .unwrap()
    }
}

fn value(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

const SUCCESSFUL: &str = "memory_exporter_config_last_reload_successful";
const TIMESTAMP: &str = "memory_exporter_config_last_reload_success_timestamp_seconds";

#[test]
fn what_a_running_process_can_change_is_changed_and_the_rest_is_named() {
    let document = Document::new(LISTEN);
    let exporter = document.start();
    let address = exporter.addresses()[0];
    let before = get(address, "/metrics");
    assert_eq!(value(&before, SUCCESSFUL), Some(1.0));
    let read = value(&before, TIMESTAMP).unwrap();

    document.write(
        "web: {listen_address: ['127.0.0.1:1'], telemetry_path: /m, cors_allowed_origins: ['https://a.example']}
sampling: {interval: 7s, max_samples: 100}
allocations: {max_components: 3}
limits: {memory: 123MiB}
otlp: {resource: {service.name: other}}
alerts: {thresholds: {usage_warning_mb: 1, usage_critical_mb: 2}, channels: [{name: hook, kind: webhook, url: 'http://127.0.0.1:1'}]}
metrics: {namespace: shop, process: false}
",
    );
    let reloaded = exporter.reload().unwrap();
    assert_eq!(
        reloaded.changed,
        ["web", "sampling", "limits", "alerts", "metrics"]
    );
    let keys: Vec<_> = reloaded
        .needs_restart
        .iter()
        .map(|fixed| fixed.key)
        .collect();
    assert_eq!(
        keys,
        [
            "web.listen_address",
            "allocations.max_components",
            "otlp.resource"
        ]
    );

    let text = get(address, "/m");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    for part in [
        "shop_memory_limit_bytes 128974848\n",
        "shop_memory_exporter_notifications_total{channel=\"hook\",outcome=\"sent\"} 0\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in ["channel=\"log\"", "\nprocess_", "service_name=\"other\""] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    assert!(value(&text, &format!("shop_{TIMESTAMP}")).unwrap() > read);
    assert!(get(address, "/metrics").starts_with("HTTP/1.1 404"));
    let health = get(address, "/metrics/memory/health");
    assert!(health.starts_with("HTTP/1.1 503"), "{health}");
    // The new one is that in force: the lifecycle is off in it, and what cannot change is named again.
    assert!(request(address, "POST", "/-/reload").starts_with("HTTP/1.1 403"));
    let again = exporter.reload().unwrap();
    assert!(again.changed.is_empty() && again.needs_restart.len() == 3);
    exporter.stop();
}

/// Whatever is wrong, and wherever: everything is named, and nothing has changed.
#[test]
fn a_wrong_configuration_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let document = Document::new(LISTEN);
    let exporter = document.start();
    let address = exporter.addresses()[0];
    let read = value(&get(address, "/metrics"), TIMESTAMP);
    let web = "web: {telemetry_path: /other, enable_lifecycle: true}\n";
    let other = &format!("{web}limits: {{memory: 1GiB}}\n");
    for (wrong, said) in [
        ("\u{0}\u{1}garbage: [", "not valid YAML"),
        (
            "web: {enable_lifecycle: 3, port: 1}",
            "web.enable_lifecycle: 3: allowed: true or false; web.port: unknown key",
        ),
        // What only opening shows.
        (
            &format!(
                "{web}limits: {{memory: 1GiB, evidence: {{directory: {}/below}}}}",
                file.display()
            ),
            "limits.evidence.directory: ",
        ),
        (
            &format!(
                "{other}alerts: {{channels: [{{name: a, kind: slack, url_file: {}}}]}}",
                folder.path().display()
            ),
            "alerts.channels[0].url_file: ",
        ),
        (
            &other.replace(
                "telemetry_path: /other",
                &format!(
                    "telemetry_path: /other, config_file: {}",
                    folder.path().display()
                ),
            ),
            "cannot be read",
        ),
        (
            &format!(
                "{other}otlp: {{enabled: true, ca_file: {}/none}}",
                folder.path().display()
            ),
            "otlp.ca_file: ",
        ),
    ] {
        document.write(wrong);
        let error = exporter.reload().unwrap_err().to_string();
        assert!(error.contains(said), "{wrong}: {error}");
        let answer = request(address, "POST", "/-/reload");
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["detail"], error);
        let text = get(address, "/metrics");
        assert_eq!(value(&text, SUCCESSFUL), Some(0.0), "{wrong}");
        assert_eq!(value(&text, TIMESTAMP), read, "{wrong}");
        assert!(!text.contains("memory_limit_bytes 1073741824"), "{wrong}");
    }
    document.write(other);
    let answer = request(address, "POST", "/-/reload");
    assert!(
        answer.contains("\"changed\": [\n    \"web\",\n    \"limits\"\n  ]"),
        "{answer}"
    );
    let text = get(address, "/other");
    assert_eq!(value(&text, SUCCESSFUL), Some(1.0));
    assert!(text.contains("memory_limit_bytes 1073741824\n"));
    exporter.stop();
}

#[tokio::test]
async fn who_may_ask_for_it() {
    let exporter = api::exporter();
    for method in ["POST", "PUT"] {
        let answer = api::send(&exporter, method, "/-/reload", LOOPBACK, &[]).await;
        assert_eq!(answer.status, 200);
        let body = answer.json();
        assert_eq!(
            (&body["changed"], &body["needs_restart"]),
            (&json!([]), &json!([]))
        );
    }
    for (method, path, peer, origin, status) in [
        ("POST", "/-/reload", "10.0.0.1:9", "", 403),
        ("POST", "/-/reload", LOOPBACK, "https://evil.example", 403),
        ("POST", "/-/reload?now=1", LOOPBACK, "", 400),
        ("GET", "/-/reload", LOOPBACK, "", 405),
    ] {
        let origin: &[(&str, &str)] = if origin.is_empty() {
            &[]
        } else {
            &[("origin", origin)]
        };
        let answer = api::send(&exporter, method, path, peer, origin).await;
        assert_eq!(answer.status, status, "{method} {path} {peer}");
    }
    // Without a source there is nothing to read; without leave, nobody may.
    let mut config = Config::production();
    for (is_enabled, status) in [(true, 501), (false, 403)] {
        config.web.enable_lifecycle = is_enabled;
        let other = Exporter::builder(config.clone())
            .without_server()
            .start()
            .unwrap();
        let answer = api::send(&other, "POST", "/-/reload", LOOPBACK, &[]).await;
        assert_eq!(answer.status, status);
        let error = tokio::task::spawn_blocking(move || other.reload().unwrap_err());
        assert!(error.await.unwrap().to_string().contains("not known where"));
    }
}

/// A connection that is kept open, and new ones, are answered all the time.
#[test]
fn no_scrape_fails_while_the_configuration_changes() {
    let document = Document::new(LISTEN);
    let exporter = document.start();
    let address = exporter.addresses()[0];
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let kept = scope.spawn(|| {
            let mut stream = BufReader::new(connect(address));
            let mut answers = 0;
            while !is_over.load(Ordering::Relaxed) {
                let asked = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n");
                stream.get_mut().write_all(asked.as_bytes()).unwrap();
                assert!(answer(&mut stream).contains("memory_rss_bytes "));
                answers += 1;
            }
            answers
        });
        let fresh = scope.spawn(|| {
            let mut answers = 0;
            while !is_over.load(Ordering::Relaxed) {
                let text = get(address, "/metrics");
                assert!(text.starts_with("HTTP/1.1 200"), "{text}");
                answers += 1;
            }
            answers
        });
        for turn in 0..40 {
            let (interval, memory) = (1 + turn % 2, 100 + turn);
            document.write(&format!(
                "web: {{request_timeout: {}s}}\nsampling: {{interval: {interval}s}}\nlimits: {{memory: {memory}MiB}}\nalerts: {{cooldown: {turn}s, delivery: {{most_waiting: {}}}}}",
                20 + turn, 10 + turn,
            ));
            let reloaded = exporter.reload().unwrap();
            assert!(reloaded.changed.len() >= 3, "{reloaded:?}");
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(kept.join().unwrap() > 10 && fresh.join().unwrap() > 10);
    });
    let text = get(address, "/metrics");
    assert!(text.contains("memory_limit_bytes 145752064\n"), "{text}");
    exporter.stop();
}

/// The body of an answer with a length.
fn answer(stream: &mut BufReader<std::net::TcpStream>) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if let Some(given) = line.strip_prefix("content-length: ") {
            length = given.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// What fires goes on under its number, taken on by whom it was, and what keeps quiet does so.
#[tokio::test]
async fn alerts_live_on() {
    let thresholds = "alerts: {cooldown: 1s, thresholds: {usage_warning_mb: 1, usage_critical_mb: 2}, shorten: 3600}\nsampling: {interval: 1s}\n";
    let document = Document::new(&format!("{LISTEN}{thresholds}"));
    let exporter = document.start();
    let deadline = Instant::now() + Duration::from_secs(30);
    let firing = loop {
        let answer = api::get(&exporter, "/metrics/memory/alerts").await.json();
        let alerts = answer["alerts"].as_array().unwrap().clone();
        let firing = alerts
            .iter()
            .find(|alert| alert["state"] == "firing" && alert["labels"]["severity"] == "critical");
        if let Some(firing) = firing {
            break firing.clone();
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let id = &firing["id"];
    for path in [
        format!("/metrics/memory/alerts/{id}/acknowledge?by=ada"),
        "/metrics/memory/alerts/silences?matcher=alertname=Other&duration=2h".to_owned(),
    ] {
        assert!(
            api::send(&exporter, "POST", &path, LOOPBACK, &[])
                .await
                .status
                < 300
        );
    }
    document.write(
        "web: {max_connections: 9}
sampling: {interval: 1s}
alerts: {cooldown: 2s, thresholds: {usage_warning_mb: 1.5, usage_critical_mb: 2}, shorten: 3600, channels: [{name: other, kind: log}]}
",
    );
    let exporter = tokio::task::spawn_blocking(move || {
        assert_eq!(exporter.reload().unwrap().changed, ["web", "alerts"]);
        exporter
    });
    let exporter = exporter.await.unwrap();
    let answer = api::get(&exporter, "/metrics/memory/alerts").await.json();
    let same = answer["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|alert| alert["id"] == *id);
    let same = same.unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(same["state"], "firing");
    assert_eq!(same["active_at"], firing["active_at"]);
    assert_eq!(same["acknowledged"]["by"], "ada");
    assert_eq!(answer["channels"][0]["name"], "other");
    let silences = api::get(&exporter, "/metrics/memory/alerts/silences")
        .await
        .json();
    assert_eq!(silences["silences"].as_array().unwrap().len(), 1);
}

/// A process that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// SIGHUP reads the file anew; flags still win; garbage is said in the log and changes nothing; and the log's level is that of now.
#[test]
fn a_signal_has_the_file_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "web: {telemetry_path: /file}").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_memory-exporter"))
        .args([
            "--web.listen-address",
            "127.0.0.1:0",
            "--web.telemetry-path",
            "/flag",
            "--config.file",
        ])
        .arg(&file)
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let (line, lines) = mpsc::channel();
    let log = BufReader::new(child.0.stderr.take().unwrap());
    std::thread::spawn(move || {
        log.lines()
            .map_while(Result::ok)
            .try_for_each(|text| line.send(text))
    });
    let wait = |part: &str| loop {
        let line = lines.recv_timeout(Duration::from_secs(20));
        let line = line.unwrap_or_else(|_| panic!("the log never says {part}"));
        if line.contains(part) {
            return line;
        }
    };
    let line = wait("listening");
    let address = line[line.find("127.0.0.1:").unwrap()..].trim();
    let address: SocketAddr = address.parse().unwrap();
    let pid = child.0.id().to_string();
    let hang_up = || {
        assert!(
            Command::new("kill")
                .args(["-HUP", &pid])
                .status()
                .unwrap()
                .success()
        )
    };

    std::fs::write(
        &file,
        "web: {telemetry_path: /file}\nlimits: {memory: 77MiB}\nlog: {level: debug}",
    )
    .unwrap();
    hang_up();
    let line = wait("configuration reloaded");
    assert!(line.contains(r#"changed=["limits", "log"]"#), "{line}");
    assert!(get(address, "/flag").contains("memory_limit_bytes 80740352\n"));
    // A debug line, which was none before.
    send(address, b"no request\r\n\r\n");
    wait("DEBUG");

    std::fs::write(&file, "web: {telemetry_path: [}").unwrap();
    hang_up();
    let line = wait("configuration not reloaded");
    assert!(
        line.contains("ERROR") && line.contains("not valid YAML"),
        "{line}"
    );
    std::fs::remove_file(&file).unwrap();
    hang_up();
    wait("cannot read ");
    let text = get(address, "/flag");
    assert!(
        text.contains("memory_limit_bytes 80740352\n") && value(&text, SUCCESSFUL) == Some(0.0)
    );
    Command::new("kill").arg(&pid).status().unwrap();
    assert!(child.0.wait().unwrap().success());
}

/// Certificates are read anew, although the configuration names the files of before.
#[cfg(feature = "web-config")]
#[test]
fn certificates_that_have_changed_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let authority = |file: &std::path::Path| {
        let authority = crate::pki::Authority::new();
        std::fs::write(file, authority.certificate.pem()).unwrap();
    };
    authority(&file);
    for (yaml, key) in [
        (
            format!(
                "alerts: {{channels: [{{name: a, kind: webhook, url: 'https://127.0.0.1:1', ca_file: {file:?}}}]}}"
            ),
            "alerts.channels[0].ca_file: ",
        ),
        (
            format!("otlp: {{enabled: true, endpoint: 'https://127.0.0.1:1', ca_file: {file:?}}}"),
            "otlp.ca_file: ",
        ),
    ] {
        let exporter = Document::new(&format!("{LISTEN}{yaml}")).start();
        assert!(exporter.reload().unwrap().changed.is_empty());
        std::fs::write(&file, "no certificate").unwrap();
        let error = exporter.reload().unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
        authority(&file);
        exporter.reload().unwrap();
        exporter.stop();
    }
}
