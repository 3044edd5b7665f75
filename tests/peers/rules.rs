//! The rules and Alertmanager's configuration as they are shipped, and as they are generated otherwise, before the judges of their readers.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{amtool, promtool};
use crate::service::binary;

const SHIPPED: &str = env!("CARGO_MANIFEST_DIR");

/// What a program says, if it ends well.
fn accepted(program: PathBuf, directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new(&program)
        .current_dir(directory)
        .args(arguments)
        .output()
        .expect("the judge starts");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{program:?} {arguments:?}: {said}");
    said
}

/// Writes everything into `directory`.
fn generate(directory: &Path, arguments: &[&str]) {
    let out = directory.display().to_string();
    let arguments = [&["generate", "all", "--out", &out], arguments].concat();
    accepted(binary(), directory, &arguments);
}

fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut files: Vec<String> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .map(|path| path.display().to_string())
        .collect();
    files.sort();
    files
}

/// Every rule file below `directory` is right to the linter, and does what its tests say.
fn rules_are_accepted(directory: &Path, tests: usize) {
    let rules = directory.join("alertmanager/rules");
    let mut written = files(&rules);
    if rules.join("development").exists() {
        written.extend(files(&rules.join("development")));
    }
    assert!(!written.is_empty(), "{rules:?}");
    for file in &written {
        let said = accepted(
            promtool(),
            directory,
            &["check", "rules", "--lint=all", "--lint-fatal", file],
        );
        assert!(said.contains("SUCCESS"), "{said}");
    }
    let written = files(&rules.join("tests"));
    assert_eq!(written.len(), tests, "{written:?}");
    // Each in a program of its own: one takes some seconds.
    std::thread::scope(|scope| {
        for file in &written {
            scope.spawn(move || {
                let said = accepted(promtool(), directory, &["test", "rules", file]);
                assert!(said.contains("SUCCESS"), "{said}");
            });
        }
    });
}

#[test]
fn the_shipped_rules_are_right_and_do_what_their_tests_say() {
    rules_are_accepted(Path::new(SHIPPED), 4);
}

/// Other thresholds, a prefix, labels, longer intervals: rules and tests change together.
#[test]
fn so_do_rules_for_other_configurations() {
    let slow = "
otlp: {interval: 2m}
metrics: {namespace: shop, labels: {environment: \"pro\\\"d\"}}
alerts:
  thresholds: {usage_warning_mb: 1000.5, usage_critical_mb: 1000.5, growth_warning_mb_per_s: 0.3, leak_mb_per_hour: 7.5, efficiency: 0.9, exhaustion_warning: 1h}
  links: {dashboard: https://grafana.example.org/, runbook: https://wiki.example.org/memory, self: \"https://{instance}/exporter\"}
";
    for (config, arguments) in [
        (slow, ["--interval", "60s", "--shorten", "1"]),
        ("", ["--interval", "1s", "--shorten", "60"]),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("config.yaml");
        std::fs::write(&file, config).expect("its configuration");
        let file = file.display().to_string();
        generate(
            directory.path(),
            &[&["--config", &file], arguments.as_slice()].concat(),
        );
        rules_are_accepted(directory.path(), 2);
    }
}

#[test]
fn alertmanager_takes_the_shipped_configuration_and_sends_alerts_where_it_says() {
    let file = "alertmanager/alertmanager.yml";
    let said = accepted(amtool(), Path::new(SHIPPED), &["check-config", file]);
    for part in ["2 inhibit rules", "2 receivers", "1 templates"] {
        assert!(said.contains(part), "{said}");
    }
    for (alert, severity, receiver) in [
        ("MemoryLeak", "critical", "pager"),
        ("MemoryUsageHigh", "critical", "pager"),
        ("MemoryLeak", "warning", "team"),
        ("MemoryMetricsAbsent", "warning", "team"),
        // What is not ours wakes nobody, and does not get lost.
        ("DiskFull", "critical", "team"),
    ] {
        let arguments = [
            "config",
            "routes",
            "test",
            &format!("--config.file={file}"),
            &format!("--verify.receivers={receiver}"),
            &format!("alertname={alert}"),
            &format!("severity={severity}"),
        ];
        accepted(amtool(), Path::new(SHIPPED), &arguments);
    }
}

#[test]
fn alertmanager_takes_every_choice_of_receivers() {
    for receivers in ["webhook", "slack", "pagerduty", "slack,pagerduty"] {
        let directory = tempfile::tempdir().expect("a directory");
        generate(directory.path(), &["--receivers", receivers]);
        let file = "alertmanager/alertmanager.yml";
        accepted(amtool(), directory.path(), &["check-config", file]);
        let written = std::fs::read_to_string(directory.path().join(file)).expect("the file");
        for outlet in ["webhook", "slack", "pagerduty"] {
            assert_eq!(
                written.contains(&format!("{outlet}_configs")),
                receivers.contains(outlet),
                "{receivers}: {written}"
            );
        }
    }
}

/// What people see in Slack, rendered by amtool from an alert as Alertmanager has it.
#[test]
fn prometheus_takes_the_configurations_that_are_shown() {
    let deploy = Path::new(SHIPPED).join("examples/deploy/prometheus");
    let files = std::fs::read_dir(&deploy).expect("the examples");
    let files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let file = file.display().to_string();
        // Only their syntax: certificates and passwords lie where they are used.
        accepted(
            promtool(),
            &deploy,
            &["check", "config", "--syntax-only", &file],
        );
    }
}

#[test]
fn the_templates_say_what_is_wrong_and_where_to_look() {
    let data = r##"{
        "status": "firing",
        "commonLabels": {"alertname": "MemoryLeak", "severity": "critical", "job": "shop"},
        "alerts": [{
            "status": "firing",
            "labels": {"alertname": "MemoryLeak", "severity": "critical", "job": "shop", "instance": "a:1"},
            "annotations": {
                "summary": "Memory is leaking fast.",
                "description": "a:1 (shop) leaks 60.0 MB/h, most in Vec<u8> & co.",
                "runbook_url": "RUNBOOK.md#memoryleak",
                "dashboard_url": "https://grafana/d/memory-leaks"
            },
            "generatorURL": "https://prometheus/graph"
        }, {
            "status": "resolved",
            "labels": {"alertname": "MemoryLeak", "severity": "warning", "origin": "embedded"},
            "annotations": {
                "summary": "A memory leak is suspected.",
                "description": "a:1 (shop) opened 1 leak suspect(s).",
                "top_call_site": "shop::Cart<T>::add",
                "top_call_site_growth": "60.0 MB/h",
                "recommendation": "bound it"
            }
        }]
    }"##;
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("data.json"), data).expect("the data");
    let template = format!("{SHIPPED}/alertmanager/templates/memory.tmpl");
    let render = |text: &str| {
        let arguments = [
            "template",
            "render",
            &format!("--template.glob={template}"),
            &format!("--template.text={{{{ template {text:?} . }}}}"),
            "--template.data=data.json",
        ];
        accepted(amtool(), directory.path(), &arguments)
    };
    assert_eq!(
        render("memory.title").trim(),
        "[FIRING:1] MemoryLeak critical shop"
    );
    assert_eq!(render("memory.color").trim(), "danger");
    // The runbook is a file, to which no message can lead.
    let links = "<https://grafana/d/memory-leaks|Dashboard> <https://prometheus/graph|Query>";
    for (name, what, call_site) in [
        ("memory.text", "Vec<u8> & co.", "shop::Cart<T>::add"),
        // To Slack, what stands in angle brackets is a link.
        (
            "memory.slack",
            "Vec&lt;u8&gt; &amp; co.",
            "shop::Cart&lt;T&gt;::add",
        ),
    ] {
        let expected = format!(
            "*Memory is leaking fast.* `critical`\na:1 (shop) leaks 60.0 MB/h, most in {what}\n{links}\n\
             *A memory leak is suspected.* `warning` resolved\na:1 (shop) opened 1 leak suspect(s).\n\
             Look at {call_site}, which grows by 60.0 MB/h.\nTo do: bound it."
        );
        assert_eq!(render(name).trim(), expected, "{name}");
    }
}
