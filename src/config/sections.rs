//! The sections of a configuration. What each key means stands in `config/production.yaml`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::catalog::MetricNames;

use super::knob::{self, Auto, Secret};
use super::recommendations::RecommendationThresholds;

/// Section `web`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Web {
    pub listen_address: Vec<SocketAddr>,
    pub telemetry_path: String,
    pub config_file: Option<PathBuf>,
    pub auth_exempt_paths: Vec<String>,
    pub cors_allowed_origins: Vec<String>,
    pub enable_lifecycle: bool,
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub request_timeout: Duration,
    pub shutdown_timeout: Duration,
}

/// Section `sampling`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Sampling {
    pub interval: Duration,
    pub max_samples: usize,
}

/// Section `allocations`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Allocations {
    pub sample_interval: u64,
    pub max_live_samples: usize,
    pub max_components: usize,
    pub components: Vec<ComponentRule>,
    pub recommendations: RecommendationThresholds,
}

/// An entry of `allocations.components`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ComponentRule {
    /// The component.
    pub name: String,
    /// What matches the functions that belong to it: the start of their names, or a pattern with `*`.
    pub pattern: String,
}

impl ComponentRule {
    /// A rule.
    pub fn new(name: &str, pattern: &str) -> Self {
        Self {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
        }
    }
}

/// Section `profiles`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Profiles {
    pub flamegraphs: Flamegraphs,
    pub interval: Duration,
    pub keep: usize,
    pub max_bytes: u64,
}

/// Section `limits`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Limits {
    pub memory: Auto<u64>,
    pub evidence: EvidenceConfig,
}

/// Section `limits.evidence`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct EvidenceConfig {
    pub directory: Option<PathBuf>,
    pub above: f64,
    pub cooldown: Duration,
    pub max_bytes: u64,
}

/// Section `history`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct HistoryConfig {
    pub directory: Option<PathBuf>,
    pub retention: Duration,
    pub max_bytes: u64,
}

/// Section `otlp`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Otlp {
    pub enabled: bool,
    pub endpoint: Auto<String>,
    pub protocol: Protocol,
    pub interval: Duration,
    pub timeout: Duration,
    pub headers: BTreeMap<String, Secret>,
    pub compression: Compression,
    pub temporality: Temporality,
    pub metric_names: MetricNames,
    pub resource: BTreeMap<String, String>,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// Section `metrics`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Metrics {
    pub namespace: String,
    pub process: bool,
    pub labels: BTreeMap<String, String>,
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

knob::choices! {
    /// How OTLP travels.
    Protocol { "grpc" => Grpc, "http/protobuf" => HttpProtobuf }
    /// How an export is compressed.
    Compression { "none" => None, "gzip" => Gzip }
    /// What a counter in an export counts from.
    Temporality { "cumulative" => Cumulative, "delta" => Delta, "lowmemory" => LowMemory }
    /// When profiles are stored.
    Flamegraphs { "on_demand" => OnDemand, "continuous" => Continuous }
    /// How much is logged.
    LogLevel { "error" => Error, "warn" => Warn, "info" => Info, "debug" => Debug, "trace" => Trace }
    /// How a log line looks.
    LogFormat { "text" => Text, "json" => Json }
    /// The two sets of defaults.
    Profile { "production" => Production, "development" => Development }
}
