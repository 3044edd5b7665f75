//! Floor 0: every knob, validated as a whole.
//!
//! The two profiles are the files `config/production.yaml` and `config/development.yaml`, compiled in; every default stands there
//! and nowhere else. A user's file and the environment are laid over a profile, then everything is read at once and *every*
//! mistake is reported.
//!
//! | file | holds |
//! |---|---|
//! | `document.rs` | profile, file and environment become one document |
//! | `knob.rs` | kinds of values: what is allowed, and how it is said |
//! | `checks.rs` | what a value must be beyond its kind |
//! | `reader.rs` | reads a document section by section and collects problems |
//! | `shown.rs` | how values and keys are shown to who has mistaken them |
//! | `problem.rs` | a mistake, with its key, its value and what is allowed |
//! | `sections.rs` | the keys, by section |
//! | `alerts.rs` | section `alerts` |
//! | `channels.rs` | list `alerts.channels` |
//! | `leaks.rs` | section `leaks` |
//! | `recommendations.rs` | section `allocations.recommendations` |
//! | `resource.rs` | who is speaking: resource attributes |
//! | `changes.rs` | what a running process can change, and what it cannot |
//! | `web_file.rs` | the web configuration file, which is a document of its own |
//!
//! # Every key
//!
//! `config/production.yaml`; [`Config`] has the same sections and keys as fields.
//!
#![doc = concat!("```yaml\n", include_str!("../../config/production.yaml"), "```")]

mod alerts;
mod changes;
mod channels;
mod checks;
mod document;
mod knob;
mod leaks;
mod problem;
mod reader;
mod recommendations;
mod resource;
mod sections;
mod shown;
#[cfg(feature = "web-config")]
mod web_file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use document::Document;
use reader::Section;

pub use alerts::{Alerts, Delivery, Links, Thresholds};
pub use changes::FixedKey;
pub use channels::{
    Authorization, ChannelConfig, ChannelKind, ChannelTarget, ChannelTls, GroupBy, LeastSeverity,
    SecretSource,
};
#[cfg(feature = "channels")]
pub(crate) use checks::is_channel_url;
#[cfg(feature = "otlp")]
pub(crate) use checks::is_url;
pub(crate) use knob::parse_size;
pub use knob::{Auto, Secret};
pub use leaks::{LeakThresholds, Leaks, RecordingConfig, SeverityThreshold};
pub use problem::{ConfigError, Problem};
pub use recommendations::RecommendationThresholds;
pub use resource::{Resource, SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE, pairs};
pub use sections::{
    Allocations, ComponentRule, Compression, EvidenceConfig, Flamegraphs, HistoryConfig, Limits,
    Log, LogFormat, LogLevel, Metrics, Otlp, Profile, Profiles, Protocol, Sampling, Temporality,
    Web,
};
#[cfg(feature = "web-config")]
pub(crate) use web_file::{ClientAuth, Pem, Rate, TlsSection, TlsVersion, WebFile};

/// Prefix of the environment variables that override a key.
pub const ENVIRONMENT_PREFIX: &str = "MEMORY_EXPORTER__";

/// Port that the profiles listen on.
pub const DEFAULT_PORT: u16 = 10_113;

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Everything that can be configured. Made by a profile, a file, or both; what each key means stands in `config/production.yaml`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The HTTP server.
    pub web: Web,
    /// How often a moment is added to the history, and how many are kept in memory.
    pub sampling: Sampling,
    /// How allocations are sampled, whose they are, and what is recommended.
    pub allocations: Allocations,
    /// When growth is called a leak, and how bad it is.
    pub leaks: Leaks,
    /// Which profiles are kept.
    pub profiles: Profiles,
    /// The memory limit, and the evidence that is kept near it.
    pub limits: Limits,
    /// The past on disk.
    pub history: HistoryConfig,
    /// The push by OTLP.
    pub otlp: Otlp,
    /// Alerts: thresholds, who is told, and how.
    pub alerts: Alerts,
    /// Names and labels of the metrics.
    pub metrics: Metrics,
    /// The log of the binary.
    pub log: Log,
}

impl Default for Profile {
    /// Production, or development where the cargo feature of that name is on.
    fn default() -> Self {
        if cfg!(feature = "development") {
            Self::Development
        } else {
            Self::Production
        }
    }
}

impl Default for Config {
    /// The default [`Profile`].
    fn default() -> Self {
        Self::profile(Profile::default())
    }
}

impl Config {
    /// The production profile, `config/production.yaml`. Variables that override keys are read by [`from_file`](Self::from_file) alone.
    pub fn production() -> Self {
        Self::profile(Profile::Production)
    }

    /// The development profile, `config/development.yaml`: finer sampling, shorter windows, lower thresholds.
    pub fn development() -> Self {
        Self::profile(Profile::Development)
    }

    /// One of the two.
    #[allow(
        clippy::expect_used,
        reason = "the profiles are compiled in; a test reads both"
    )]
    pub fn profile(profile: Profile) -> Self {
        let mut document = Document::profile(profile).expect("the profile is valid YAML");
        Self::read(&mut document).expect("the profile is a valid configuration")
    }

    /// A profile, overridden by a YAML document, overridden by environment variables.
    ///
    /// # Errors
    /// Every mistake of the document and of the variables at once.
    pub fn load(
        profile: Profile,
        yaml: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut document = Document::profile(profile)?;
        document.overlay_yaml(yaml);
        document.overlay_environment(environment);
        Self::read(&mut document)
    }

    /// A profile, overridden by a YAML file if there is one, overridden by the environment of this process.
    ///
    /// # Errors
    /// The file cannot be read, or every mistake of the file and of the environment at once.
    pub fn from_file(profile: Profile, file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_file_and_flags(profile, file, [])
    }

    /// As [`from_file`](Self::from_file), overridden by flags: names of variables without their prefix, and values.
    pub(crate) fn from_file_and_flags(
        profile: Profile,
        file: Option<&Path>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Result<Self, ConfigError> {
        let yaml = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|cause| ConfigError::unreadable(path, &cause))?,
        };
        let mut environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        environment.extend(
            flags
                .into_iter()
                .map(|(name, value)| (format!("{ENVIRONMENT_PREFIX}{name}"), value)),
        );
        Self::load(profile, &yaml, environment)
    }

    fn read(document: &mut Document) -> Result<Self, ConfigError> {
        let (root, problems) = document.parts();
        let mut root = Section::root(root, problems);
        let config = Self {
            web: root.section("web", |web| Web {
                listen_address: web.list("listen_address"),
                telemetry_path: web
                    .checked("telemetry_path", |text: &String| checks::is_path(text)),
                config_file: web.get("config_file"),
                auth_exempt_paths: web.list_checked("auth_exempt_paths", |text: &String| {
                    checks::is_request_path(text)
                }),
                cors_allowed_origins: web.list_checked("cors_allowed_origins", |text: &String| {
                    checks::is_origin(text)
                }),
                enable_lifecycle: web.get("enable_lifecycle"),
                max_connections: web.within("max_connections", 1..=100_000),
                header_timeout: web.within("header_timeout", SECOND..=HOUR),
                request_timeout: web.within("request_timeout", SECOND..=HOUR),
                shutdown_timeout: web.within("shutdown_timeout", Duration::ZERO..=HOUR),
            }),
            sampling: root.section("sampling", |sampling| Sampling {
                interval: sampling.within("interval", SECOND..=HOUR),
                max_samples: sampling.within("max_samples", 100..=100_000),
            }),
            allocations: root.section("allocations", |allocations| Allocations {
                sample_interval: allocations.within("sample_interval", 0..=1 << 40),
                max_live_samples: allocations.within("max_live_samples", 0..=150_000),
                max_components: allocations
                    .within("max_components", 0..=crate::catalog::MAX_COMPONENTS),
                components: allocations.sections("components", |rule| ComponentRule {
                    name: rule.required("name", |name: &String| checks::is_component(name)),
                    pattern: rule.required("match", |text: &String| checks::is_pattern(text)),
                }),
                recommendations: allocations
                    .section("recommendations", RecommendationThresholds::read),
            }),
            leaks: root.section("leaks", Leaks::read),
            profiles: root.section("profiles", |profiles| Profiles {
                flamegraphs: profiles.get("flamegraphs"),
                interval: profiles.within("interval", SECOND..=DAY),
                keep: profiles.within("keep", 1..=1000),
                max_bytes: profiles.within("max_bytes", 1 << 20..=1 << 40),
            }),
            limits: root.section("limits", |limits| Limits {
                memory: limits.get("memory"),
                evidence: limits.section("evidence", |evidence| EvidenceConfig {
                    directory: evidence.get("directory"),
                    above: evidence.within("above", 0.1..=0.99),
                    cooldown: evidence.within("cooldown", SECOND..=DAY),
                    max_bytes: evidence.within("max_bytes", 1 << 20..=1 << 40),
                }),
            }),
            history: root.section("history", |history| HistoryConfig {
                directory: history.get("directory"),
                retention: history.within("retention", HOUR..=DAY * 366),
                max_bytes: history.within("max_bytes", 4 << 20..=1 << 40),
            }),
            otlp: root.section("otlp", |otlp| Otlp {
                enabled: otlp.get("enabled"),
                endpoint: otlp.checked("endpoint", checks::is_endpoint),
                protocol: otlp.get("protocol"),
                interval: otlp.within("interval", SECOND..=DAY),
                timeout: otlp.within("timeout", Duration::from_millis(1)..=HOUR),
                headers: otlp.map("headers", checks::is_header),
                compression: otlp.get("compression"),
                temporality: otlp.get("temporality"),
                metric_names: otlp.get("metric_names"),
                resource: otlp.map("resource", |name, value: &String| {
                    checks::is_attribute(name, value)
                }),
                ca_file: otlp.get("ca_file"),
                cert_file: otlp.get("cert_file"),
                key_file: otlp.get("key_file"),
            }),
            alerts: root.section("alerts", Alerts::read),
            metrics: root.section("metrics", |metrics| Metrics {
                namespace: metrics.checked("namespace", |text: &String| checks::is_namespace(text)),
                process: metrics.get("process"),
                labels: metrics.map("labels", |name, value: &String| {
                    checks::is_label(name, value)
                }),
            }),
            log: root.section("log", |log| Log {
                level: log.get("level"),
                format: log.get("format"),
            }),
        };
        config.alerts.thresholds.check(&mut root);
        config.leaks.thresholds.check(&mut root);
        if config.otlp.cert_file.is_some() != config.otlp.key_file.is_some() {
            root.report(
                "otlp.cert_file",
                None,
                "both cert_file and key_file, or neither".to_owned(),
            );
        }
        root.finish();
        document.outcome().map(|()| config)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
