//! Evidence of an earlier session: listed and served by the next. How it comes about stands in `tests/limit.rs`.

use std::path::Path;
use std::time::{Duration, SystemTime};

use memory_exporter::profile::evidence::{Evidence, EvidenceStore, Usage};
use memory_exporter::{Config, Exporter};

use crate::api::{Answer, exporter, send};

const OLD: &str = "11111111-2222-4333-8444-555555555555";

async fn get(exporter: &Exporter, path: &str) -> Answer {
    loop {
        let answer = send(exporter, "GET", path, "127.0.0.1:9", &[]).await;
        // While something else is being built.
        if answer.status != 429 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn after(directory: &Path) -> Result<Exporter, memory_exporter::Error> {
    let yaml = format!("limits: {{evidence: {{directory: {directory:?}}}}}");
    let config = Config::load(memory_exporter::config::Profile::Production, &yaml, []).unwrap();
    Exporter::builder(config).without_server().start()
}

#[tokio::test]
async fn what_a_dead_process_left_is_listed_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let profile = get(&exporter(), "/debug/pprof/heap").await.body;
    let store = EvidenceStore::open(folder.path(), 1 << 20, OLD).unwrap();
    let evidence = Evidence {
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        trigger: "limit",
        usage: Some(Usage {
            used_bytes: 90,
            limit_bytes: 100,
        }),
        live_bytes: 80,
        sample_interval: 512,
        has_symbols: true,
        profile: &profile,
        leaks: Some(br#"{"as_of": "2026-11-25T22:23:00Z", "observed_since": "2026-11-25T22:00:00Z", "first_verdict_at": "2026-11-25T22:10:00Z",
                "opened": 1, "growth_mb_per_hour": 0, "suspects": [], "closed": []}"#),
    };
    let id = store.keep(&evidence).unwrap();
    let bare = Evidence {
        time: evidence.time - Duration::from_secs(60),
        leaks: None,
        ..evidence
    };
    let bare = store.keep(&bare).unwrap();

    let exporter = after(folder.path()).unwrap();
    let list = get(&exporter, "/metrics/memory/profiles").await.json();
    assert_ne!(list["session_id"], OLD);
    let [first, second] = &list["profiles"].as_array().unwrap()[..] else {
        panic!("{list:#}");
    };
    assert_eq!(
        (&first["id"], &second["id"]),
        (&id.as_str().into(), &bare.as_str().into())
    );
    for (key, value) in [
        ("session_id", OLD.into()),
        ("trigger", "limit".into()),
        ("timestamp", "2023-11-14T22:13:20.000Z".into()),
        ("sample_interval_bytes", 512.into()),
        ("live_bytes", 80.into()),
        ("size_bytes", profile.len().into()),
        (
            "limit",
            serde_json::json!({"used_bytes": 90, "limit_bytes": 100}),
        ),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert_eq!(second.get("leaks"), None, "{second:#}");

    let path = first["pprof"].as_str().unwrap();
    assert_eq!(get(&exporter, path).await.body, profile);
    let graph = get(&exporter, first["flamegraph"].as_str().unwrap()).await;
    assert_eq!(graph.headers["content-type"], "image/svg+xml");
    let leaks = get(&exporter, first["leaks"].as_str().unwrap()).await;
    assert_eq!(leaks.json()["opened"], 1);
    for path in [
        format!("/metrics/memory/profiles/{}?format=leaks", bare.as_str()),
        "/metrics/memory/profiles/..%2F..%2Fetc".to_owned(),
        "/metrics/memory/profiles/2023-11-14T221320Z-00000000".to_owned(),
    ] {
        let answer = get(&exporter, &path).await;
        assert_eq!(answer.status, 404, "{path}");
        let help = answer.json()["help"].as_str().unwrap().to_owned();
        assert!(
            help.starts_with("GET /metrics/memory/profiles "),
            "{path}: {help}"
        );
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_of_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = after(&file.join("evidence")).unwrap_err().to_string();
    assert!(error.starts_with("limits.evidence.directory: "), "{error}");
    assert!(error.contains("file/evidence"), "{error}");
}
