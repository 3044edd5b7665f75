//! The OpenAPI document before judges that know nothing of us: a validator says whether it is one, and schemathesis makes requests from it and
//! says whether the answers are those that it promises.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::programs::python;
use crate::service::Service;

/// Answers that are no failure of the server: what cannot be done in this process.
const JUDGE: &str =
    "[checks.not_a_server_error]\nexpected-statuses = [\"2xx\", \"3xx\", \"4xx\", 501]\n";
/// Nothing of the example is too much, so that its health is no 503.
const CONFIG: &str = "alerts: {thresholds: {usage_warning_mb: 1e6, usage_critical_mb: 1e6}}\nprofiles: {flamegraphs: on_demand}";

fn document(service: &Service) -> Value {
    let answer = http::get(&format!("http://{}/openapi.json", service.address), "*/*");
    assert_eq!(answer.status, 200);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// A directory with the document in it.
fn directory(document: &Value) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name| directory.path().join(name);
    std::fs::write(file("openapi.json"), document.to_string()).expect("the document");
    std::fs::write(file("judge.toml"), JUDGE).expect("what the judge is told");
    directory
}

/// What a module of Python says, and whether it is content.
fn judged(directory: &Path, module: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(python())
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .env("COLUMNS", "160")
        .args(["-m", module])
        .args(arguments)
        .output()
        .expect("Python starts");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    (output.status.success(), said.concat())
}

#[test]
fn the_document_is_openapi() {
    let service = Service::alone("{}", &[]);
    let mut document = document(&service);
    let is_fine = |document: &Value| {
        let directory = directory(document);
        judged(
            directory.path(),
            "openapi_spec_validator",
            &["openapi.json"],
        )
    };
    let (fine, said) = is_fine(&document);
    assert!(fine, "{said}");
    document["paths"]["/-/ready"]["get"]["responses"]["200"] = "ready".into();
    let (fine, said) = is_fine(&document);
    assert!(!fine, "what is wrong is seen: {said}");
}

#[test]
fn every_answer_is_one_that_the_document_promises() {
    let service = Service::leaky(CONFIG, &[], &[]);
    let mut document = document(&service);
    for profile in ["heap", "allocs"] {
        let get = &mut document["paths"][format!("/debug/pprof/{profile}")]["get"];
        // A difference is waited for, up to an hour.
        let parameters = get["parameters"].as_array_mut().expect("parameters");
        parameters.retain(|parameter| parameter["name"] != "seconds");
    }
    let url = format!("http://{}", service.address);
    let judge = |document: &Value| {
        let directory = directory(document);
        let arguments = [
            "--config-file=judge.toml",
            "run",
            "openapi.json",
            "--url",
            &url,
            "--phases=examples,coverage,fuzzing",
            // What may be asked for depends on the program: its components, its alerts, how far back its history reaches.
            "--exclude-checks=positive_data_acceptance",
            "--max-examples=15",
            "--seed=1",
            "--generation-database=none",
            "--continue-on-failure",
            "--no-color",
        ];
        judged(directory.path(), "schemathesis.cli", &arguments)
    };
    let (fine, said) = judge(&document);
    assert!(fine, "{said}");
    // One that promises something else is seen.
    let health = document["paths"]["/metrics/memory/health"].take();
    document["paths"] = serde_json::json!({ "/metrics/memory/health": health });
    document["components"]["schemas"]["HealthAnswer"]["properties"]["status"] =
        serde_json::json!({ "type": "integer" });
    let (fine, said) = judge(&document);
    assert!(
        !fine && said.contains("is not of type \"integer\""),
        "{said}"
    );
}
