//! Profiles, overlays, and every mistake at once.

use std::collections::BTreeMap;
use std::time::Duration;

use memory_exporter::Config;
use memory_exporter::config::{
    Auto, Compression, DEFAULT_PORT, LogLevel, Profile, Protocol, Temporality,
};

const PRODUCTION: &str = include_str!("../../config/production.yaml");
const DEVELOPMENT: &str = include_str!("../../config/development.yaml");

fn load(yaml: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Profile::Production, yaml, environment)
        .map_err(|error| error.problems().iter().map(ToString::to_string).collect())
}

/// The values that the users' documents fix for the two profiles.
#[test]
fn the_profiles_hold_what_was_promised() {
    let (production, development) = (Config::production(), Config::development());
    for (config, interval, samples, push, warning, critical, level) in [
        (&production, 30, 2_000, 60, 650.0, 700.0, LogLevel::Info),
        (&development, 5, 5_000, 10, 400.0, 500.0, LogLevel::Debug),
    ] {
        assert_eq!(config.sampling.interval, Duration::from_secs(interval));
        assert_eq!(config.sampling.max_samples, samples);
        assert_eq!(config.otlp.interval, Duration::from_secs(push));
        let thresholds = &config.alerts.thresholds;
        assert_eq!(
            (thresholds.usage_warning_mb, thresholds.usage_critical_mb),
            (warning, critical)
        );
        assert_eq!(
            (
                thresholds.growth_warning_mb_per_s,
                thresholds.growth_critical_mb_per_s
            ),
            (1.0, 5.0)
        );
        assert_eq!(config.log.level, level);
        assert_eq!(
            config.web.listen_address,
            [([127, 0, 0, 1], DEFAULT_PORT).into()]
        );
        assert_eq!(
            (config.otlp.enabled, config.otlp.protocol),
            (false, Protocol::Grpc)
        );
        assert_eq!(
            (config.otlp.compression, config.otlp.temporality),
            (Compression::Gzip, Temporality::Cumulative)
        );
        assert_eq!(
            (config.allocations.max_components, config.limits.memory),
            (20, Auto::Auto)
        );
        assert_eq!(config.history.retention, Duration::from_secs(7 * 24 * 3600));
    }
}

/// A user who copies a profile and edits it must find every key and its comment there.
#[test]
fn both_files_show_the_same_keys_each_with_a_comment() {
    let keys = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#') && line.contains(':'));
        lines
            .map(|line| line.split_once(':').unwrap().0.to_owned())
            .collect()
    };
    assert_eq!(keys(PRODUCTION), keys(DEVELOPMENT));
    let comments = |text: &str| text.matches("  # ").count();
    assert_eq!(comments(PRODUCTION), comments(DEVELOPMENT));
    for (profile, text) in [
        (Profile::Production, PRODUCTION),
        (Profile::Development, DEVELOPMENT),
    ] {
        assert_eq!(
            Config::load(profile, text, []),
            Ok(Config::profile(profile))
        );
    }
}

#[test]
fn an_empty_file_changes_nothing() {
    for yaml in ["", "# only a comment\n", "web:\nsampling:\n", "web: {}\n"] {
        assert_eq!(load(yaml, &[]), Ok(Config::production()), "{yaml:?}");
    }
}

#[test]
fn a_file_overrides_a_profile_and_the_environment_overrides_the_file() {
    let yaml = "sampling: {interval: 10s}\nlimits: {memory: 2GiB}\nweb: {listen_address: \"[::1]:0\"}\nmetrics: {labels: {env: prod}}\n";
    let config = load(
        yaml,
        &[
            ("MEMORY_EXPORTER__SAMPLING__INTERVAL", "20s"),
            (
                "MEMORY_EXPORTER__WEB__LISTEN_ADDRESS",
                "[127.0.0.1:1, 127.0.0.1:2]",
            ),
            ("MEMORY_EXPORTER__METRICS__LABELS__TEAM", "a: b"),
            ("MEMORY_EXPORTER__OTLP__ENABLED", "true"),
            (
                "MEMORY_EXPORTER__OTLP__ENDPOINT",
                "https://otlp.example.org:4317",
            ),
            ("MEMORY_EXPORTER_OTHER", "not ours"),
        ],
    );
    // A value that happens to be a YAML mapping is one, and labels are texts.
    let problems = config.unwrap_err();
    assert_eq!(
        problems,
        ["metrics.labels.team (from MEMORY_EXPORTER__METRICS__LABELS__TEAM): allowed: a text"]
    );
    let config = load(
        yaml,
        &[
            ("MEMORY_EXPORTER__SAMPLING__INTERVAL", "20s"),
            ("MEMORY_EXPORTER__METRICS__LABELS__TEAM", "core"),
        ],
    )
    .unwrap();
    assert_eq!(config.sampling.interval, Duration::from_secs(20));
    assert_eq!(config.limits.memory, Auto::Set(2 << 30));
    assert_eq!(config.web.listen_address, ["[::1]:0".parse().unwrap()]);
    let labels = BTreeMap::from([
        ("env".to_owned(), "prod".to_owned()),
        ("team".to_owned(), "core".to_owned()),
    ]);
    assert_eq!(config.metrics.labels, labels);
}

/// One run names every mistake: key path, value, what is allowed. The text is what an operator reads, so it is compared whole.
#[test]
fn every_mistake_is_reported_in_one_run() {
    let problems = load(
        include_str!("fixtures/config/every_mistake.bad.yaml"),
        &[
            ("MEMORY_EXPORTER__HISTORY__RETENTION", "forever"),
            ("MEMORY_EXPORTER__HISTORY__RETENTIONS", "7d"),
        ],
    )
    .unwrap_err();
    let expected: Vec<_> = include_str!("fixtures/config/every_mistake.expected")
        .lines()
        .collect();
    assert_eq!(problems, expected);
    assert!(
        !problems.concat().contains("secret-token"),
        "a header's value must not be shown"
    );
}

#[test]
fn what_is_not_a_configuration_is_said_to_be_none() {
    for (yaml, said) in [
        (
            "- a\n- b\n",
            "the document is not a mapping; allowed: sections with keys",
        ),
        ("web: [\n", "not valid YAML"),
        ("web: {}\nweb: {}\n", "not valid YAML"),
        ("\u{0}", "not valid YAML"),
    ] {
        let problems = load(yaml, &[]).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with(said),
            "{yaml:?}: {problems:?}"
        );
    }
}

#[test]
fn secrets_are_not_shown() {
    let config = load("otlp: {headers: {authorization: Bearer abc}}\n", &[]).unwrap();
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("Bearer") && shown.contains("<redacted>"),
        "{shown}"
    );
    assert_eq!(config.otlp.headers["authorization"].reveal(), "Bearer abc");
}
