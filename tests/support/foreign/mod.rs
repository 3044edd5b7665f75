//! Foreign input, parser by parser: bytes in, everything that must hold whatever they are. The fuzzers of `fuzz/` and the tests that
//! replay their corpus (`tests/it/corpus.rs`) run the same functions.
//!
//! Text is fed as text, so that people can read the corpus: a tree of files is written as `== path` and what stands in the file below it;
//! `====` alone begins the next state of the same tree.

#![allow(
    unreachable_pub,
    reason = "private to the tests, public to the fuzzers"
)]

mod files;
mod requests;

use std::fs;
use std::time::Duration;

use memory_exporter::config::{Auto, ENVIRONMENT_PREFIX, Problem, Profile, Resource, pairs};
use memory_exporter::{Config, ConfigError, Exporter};

pub use files::{cgroup, evidence, pprof, proc, recording};
pub use requests::{accept, alerts, request};

/// A parser, by the name of its fuzzer, and what feeds it.
pub type Feed = fn(&[u8]);

/// All of them.
pub const TARGETS: &[(&str, Feed)] = &[
    ("accept", accept),
    ("alerts", alerts),
    ("cgroup", cgroup),
    ("config", config),
    ("environment", environment),
    ("evidence", evidence),
    ("pprof", pprof),
    ("proc", proc),
    ("recording", recording),
    ("request", request),
    ("values", values),
    ("web_file", web_file),
];

/// A configuration file and, below a line `# environment`, variables.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let (yaml, variables) = text.split_once("\n# environment\n").unwrap_or((text, ""));
    let variables = || {
        let named = variables.lines().filter_map(|line| line.split_once('='));
        named.map(|(name, value)| (format!("{ENVIRONMENT_PREFIX}{name}"), value.to_owned()))
    };
    for profile in [Profile::Production, Profile::Development] {
        match Config::load(profile, yaml, variables()) {
            Ok(config) => {
                let again = Config::load(profile, yaml, variables());
                assert_eq!(again.as_ref(), Ok(&config), "read twice");
            }
            Err(error) => check(&error),
        }
    }
}

/// What a configuration error has to say: what is meant, and what is allowed.
fn check(error: &ConfigError) {
    assert!(!error.problems().is_empty());
    error.problems().iter().for_each(check_problem);
    let lines = error.to_string().lines().count();
    assert_eq!(lines, error.problems().len(), "one line each: {error}");
}

fn check_problem(problem: &Problem) {
    let is_of_all =
        problem.detail.starts_with("not valid YAML: ") || problem.detail.starts_with("cannot ");
    assert!(
        is_of_all || problem.detail.contains("allowed"),
        "{problem:?}"
    );
    if let Some(value) = &problem.value {
        assert!(value.chars().count() <= 63, "{problem:?}");
    }
}

/// How what was read of a knob is written.
type Write = fn(&Config) -> String;

/// Knobs of every kind.
const KNOBS: &[(&str, Write)] = &[
    ("SAMPLING__INTERVAL", |c| written(c.sampling.interval)),
    ("OTLP__TIMEOUT", |c| written(c.otlp.timeout)),
    ("HISTORY__RETENTION", |c| written(c.history.retention)),
    ("WEB__SHUTDOWN_TIMEOUT", |c| written(c.web.shutdown_timeout)),
    ("HISTORY__MAX_BYTES", |c| c.history.max_bytes.to_string()),
    ("ALLOCATIONS__SAMPLE_INTERVAL", |c| {
        c.allocations.sample_interval.to_string()
    }),
    ("LIMITS__MEMORY", |c| match c.limits.memory {
        Auto::Auto => "auto".to_owned(),
        Auto::Set(bytes) => bytes.to_string(),
    }),
    ("LIMITS__EVIDENCE__ABOVE", |c| {
        c.limits.evidence.above.to_string()
    }),
    ("SAMPLING__MAX_SAMPLES", |c| {
        c.sampling.max_samples.to_string()
    }),
    ("OTLP__ENABLED", |c| c.otlp.enabled.to_string()),
    ("OTLP__PROTOCOL", |c| c.otlp.protocol.as_str().to_owned()),
    ("WEB__LISTEN_ADDRESS", |c| {
        let addresses = c.web.listen_address.iter();
        json(&addresses.map(ToString::to_string).collect::<Vec<_>>())
    }),
    ("WEB__TELEMETRY_PATH", |c| json(&c.web.telemetry_path)),
    ("WEB__CORS_ALLOWED_ORIGINS", |c| {
        json(&c.web.cors_allowed_origins)
    }),
    ("METRICS__NAMESPACE", |c| json(&c.metrics.namespace)),
    ("METRICS__LABELS", |c| json(&c.metrics.labels)),
];

/// JSON is YAML.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn written(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// One text as the value of a knob of every kind: what is refused says why, and what is taken is the same when it is written and read again.
pub fn values(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let variable = |name: &str| format!("{ENVIRONMENT_PREFIX}{name}");
    let load = |variables: Vec<(String, String)>| Config::load(Profile::Production, "", variables);
    let all = KNOBS
        .iter()
        .map(|(name, _)| (variable(name), text.to_owned()));
    let refused = load(all.collect()).err();
    refused.iter().for_each(check);
    let problems = refused.as_ref().map_or(&[][..], ConfigError::problems);
    let is_refused = |name: &str| {
        let name = variable(name);
        // What stands below a key comes from the same variable.
        let key = name[ENVIRONMENT_PREFIX.len()..]
            .replace("__", ".")
            .to_lowercase();
        let below = format!("{key}.");
        let mut problems = problems.iter();
        problems.any(|problem| problem.key == key || problem.key.starts_with(&below))
    };
    let taken: Vec<_> = KNOBS.iter().filter(|(name, _)| !is_refused(name)).collect();
    let of_taken = |value: &dyn Fn(Write) -> String| {
        let variables = taken
            .iter()
            .map(|(name, write)| (variable(name), value(*write)));
        variables.collect::<Vec<_>>()
    };
    let config = load(of_taken(&|_| text.to_owned())).expect("what was not refused is taken");
    let again = load(of_taken(&|write| write(&config))).expect("what was taken is taken again");
    for (name, write) in taken {
        assert_eq!(write(&config), write(&again), "{name}");
    }
}

/// The standard variables of OTLP that are lists of pairs.
pub fn environment(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    for (name, _) in pairs(text) {
        assert!(!name.is_empty() || text.contains('%'), "{text:?}");
    }
    let otlp = Config::production().otlp;
    let resource = Resource::resolve(&otlp, "host:1".to_owned(), |_| Some(text.to_owned()));
    assert!(resource.attributes().all(|(_, value)| !value.is_empty()));
    for (label, _) in resource.target_labels() {
        assert!(!label.starts_with(|first: char| first.is_ascii_digit()));
        let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
        assert!(label.chars().all(is_fine), "{label:?}");
    }
}

/// The web configuration file. It is read before the port is opened, and the address is one that no machine has: so nothing else starts.
pub fn web_file(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    fs::write(&path, bytes).unwrap();
    let mut config = Config::production();
    config.web.config_file = Some(path.clone());
    config.web.listen_address = vec!["192.0.2.1:9".parse().unwrap()];
    let error = Exporter::start(config).unwrap_err();
    if error.is_listen() {
        return;
    }
    assert!(error.is_config(), "{error}");
    let all = error.to_string();
    let shown = path.display().to_string();
    assert!(all.lines().all(|line| line.starts_with(&shown)), "{all}");
}
