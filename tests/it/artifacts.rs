//! The files that are shipped are those that the catalog and the profiles make, and `generate` says what it is asked.
//!
//! `UPDATE_ARTIFACTS=1 cargo test --test it artifacts` writes them anew.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use memory_exporter::Config;
use memory_exporter::catalog::{ALERTS, RUNBOOK, Threshold, alert_names};
use memory_exporter::config::Profile;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_memory-exporter"))
        .env_clear()
        .arg("generate")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Output of what must end well.
fn generated(arguments: &[&str]) -> String {
    let output = generate(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

/// Errors of what must end with a code.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = generate(arguments);
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    text(&output.stderr)
}

fn read(directory: &Path, path: &str) -> String {
    fs::read_to_string(directory.join(path)).unwrap()
}

/// Every file below a directory, relative to it.
fn tree(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files.sort();
    files
}

#[test]
fn what_is_shipped_is_what_is_generated() {
    let update = std::env::var_os("UPDATE_ARTIFACTS").is_some();
    for arguments in [
        &["all", "readme", "--profile=production", "--out", ROOT][..],
        &["rules", "--profile=development", "--out", ROOT],
    ] {
        let check: &[&str] = if update { &[] } else { &["--check"] };
        let output = generate(&[arguments, check].concat());
        assert!(
            output.status.success(),
            "{}\nUPDATE_ARTIFACTS=1 cargo test --test it artifacts writes them anew",
            text(&output.stderr)
        );
    }
    // And nothing is left of what is not generated any more.
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    generated(&["all", "--profile=production", "--out", out]);
    generated(&["rules", "--profile=development", "--out", out]);
    for part in ["alertmanager", "dashboards"] {
        let (shipped, wanted) = (Path::new(ROOT).join(part), directory.path().join(part));
        assert_eq!(tree(&shipped), tree(&wanted));
    }
}

#[test]
fn a_check_names_every_file_and_the_line_that_differs() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    let said = refused(&["alertmanager", "--out", out, "--check"], 1);
    assert!(
        said.contains("alertmanager/alertmanager.yml: missing"),
        "{said}"
    );
    generated(&["alertmanager", "--out", out]);
    let said = generated(&["alertmanager", "--out", out, "--check"]);
    assert_eq!(said, "3 files are as they should be\n");

    let path = "alertmanager/alertmanager.yml";
    let changed = read(directory.path(), path).replace("receiver: pager", "receiver: nobody");
    fs::write(directory.path().join(path), changed).unwrap();
    let said = refused(&["alertmanager", "--out", out, "--check"], 1);
    assert!(
        said.contains("alertmanager/alertmanager.yml:")
            && said.contains("-     receiver: nobody")
            && said.contains("+     receiver: pager")
            && said.contains("1 of 3 files"),
        "{said}"
    );
    // Another directory than the files were written for is not touched by a check.
    assert!(read(directory.path(), path).contains("nobody"));
}

#[test]
fn bad_arguments_are_refused_with_what_is_allowed() {
    for (arguments, part) in [
        (
            &["everything"][..],
            "possible values: dashboards, rules, alertmanager, all, readme",
        ),
        (&["--profile", "test"], "one of production, development"),
        (
            &["--interval", "15"],
            "whole seconds from 1s to 1h, such as 15s",
        ),
        (&["--interval", "0s"], "whole seconds from 1s to 1h"),
        (&["--shorten", "0"], "a number from 1 to 1000"),
        (
            &["--receivers", "pigeon"],
            "one of webhook, slack, pagerduty",
        ),
        (&["--secrets-dir", "secrets"], "an absolute path"),
        (&["--webhook-url", "localhost"], "a URL such as"),
        (&["--config", "/nonexistent.yaml"], "/nonexistent.yaml"),
    ] {
        let said = refused(arguments, 64);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    let said = refused(&["rules", "--out", "/proc/nowhere"], 1);
    assert!(said.contains("/proc/nowhere/alertmanager/rules"), "{said}");
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    fs::write(directory.path().join("README.md"), "# Ours\n").unwrap();
    let said = refused(&["readme", "--out", out], 1);
    assert!(said.contains("<!-- begin generated: metrics -->"), "{said}");
    assert_eq!(read(directory.path(), "README.md"), "# Ours\n");
}

/// Thresholds, links, prefix and labels of a configuration reach everything that is made from it.
#[test]
fn a_configuration_reaches_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    let config = directory.path().join("config.yaml");
    fs::write(
        &config,
        "metrics: {namespace: shop, labels: {tier: gold}}\n\
         alerts:\n  thresholds: {usage_warning_mb: 111, usage_critical_mb: 222}\n  \
         links: {dashboard: 'https://grafana.example.org', runbook: 'https://wiki.example.org/memory', self: 'https://{instance}/own'}\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    generated(&["all", "--config", config, "--interval", "90s", "--out", out]);

    let rules = read(directory.path(), "alertmanager/rules/memory-alerts.yml");
    for part in [
        "shop_memory_rss_bytes{tier=\"gold\"} > 222 * 1024 * 1024",
        "above 111 MB.",
        "deriv(shop_memory_rss_bytes{tier=\"gold\"}[6m])",
        "https://wiki.example.org/memory#memoryleak",
        "https://grafana.example.org/d/memory-leaks?var-job={{ $labels.job | urlquery }}",
        "https://{{ $labels.instance }}/own/debug/flamegraph?since=1h",
    ] {
        assert!(rules.contains(part), "{part}: {rules}");
    }
    let runbook = read(directory.path(), "alertmanager/RUNBOOK.md");
    for part in [
        "> 222 * 1024 * 1024",
        "https://INSTANCE/own/metrics/memory/leaks",
        "https://grafana.example.org/d/memory-overview",
    ] {
        assert!(runbook.contains(part), "{part}: {runbook}");
    }
    let overview = read(directory.path(), "dashboards/memory-overview.json");
    for part in [
        "shop_memory_rss_bytes{job=~",
        "116391936",
        "232783872",
        "\"interval\": \"90s\"",
    ] {
        assert!(overview.contains(part), "{part}");
    }
    assert!(!overview.contains("\"memory_rss_bytes"));
    // The names of the flags of the binary mean the same here.
    let said = generated(&[
        "rules",
        "--config.file",
        config,
        "--config.profile",
        "production",
        "--interval",
        "90s",
        "--out",
        out,
        "--check",
    ]);
    assert_eq!(said, "4 files are as they should be\n");
}

#[test]
fn an_alert_has_a_severity_a_text_a_section_of_the_runbook_and_a_threshold_that_is_tested() {
    let sections: Vec<&str> = RUNBOOK.iter().map(|section| section.alert).collect();
    assert_eq!(sections, alert_names());
    let runbook = read(Path::new(ROOT), "alertmanager/RUNBOOK.md");
    let rules = read(Path::new(ROOT), "alertmanager/rules/memory-alerts.yml");
    for alert in ALERTS {
        assert!(runbook.contains(&format!("\n## {}\n", alert.name)));
        let anchor = format!("runbook_url: RUNBOOK.md#{}\n", alert.name.to_lowercase());
        assert!(rules.contains(&anchor), "{anchor}");
        assert!(alert.summary.ends_with('.') && !alert.summary.contains('{'));
        for way in ["scrape", "push"] {
            let path = format!("alertmanager/rules/tests/production-{way}.yml");
            let tests = read(Path::new(ROOT), &path);
            let own = tests.split("\n- name: ").filter(|test| {
                let named = format!("{} {}:", alert.name, alert.severity.as_str());
                test.trim_start_matches('\'').starts_with(&named)
            });
            let own: Vec<&str> = own.collect();
            // It fires in one at least, with all that it says, and keeps quiet all the time in another.
            assert!(
                own.iter().any(|test| test.contains("exp_annotations:")),
                "{alert:?}"
            );
            let severity = format!("severity=\"{}\"", alert.severity.as_str());
            let is_quiet = |test: &&&str| {
                let asked = test
                    .split("- expr: ")
                    .filter(|query| query.contains(&severity));
                asked.clone().count() > 0
                    && asked
                        .into_iter()
                        .all(|query| query.contains("exp_samples: []"))
            };
            assert!(own.iter().find(is_quiet).is_some(), "{alert:?}");
        }
    }
}

#[test]
fn rules_say_the_thresholds_of_their_profile() {
    for (profile, path) in [
        (Profile::Production, "alertmanager/rules/memory-alerts.yml"),
        (
            Profile::Development,
            "alertmanager/rules/development/memory-alerts.yml",
        ),
    ] {
        let rules = read(Path::new(ROOT), path);
        let thresholds = Config::profile(profile).alerts.thresholds;
        for threshold in [
            Threshold::UsageCriticalMb,
            Threshold::UsageWarningMb,
            Threshold::GrowthCriticalMbPerS,
            Threshold::GrowthWarningMbPerS,
            Threshold::LeakMbPerHour,
            Threshold::Efficiency,
            Threshold::ExhaustionWarning,
        ] {
            let said = threshold.quantity().threshold(thresholds.of(threshold));
            assert!(rules.contains(&said), "{path}: {said}");
        }
    }
}
