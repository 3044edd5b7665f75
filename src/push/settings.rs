//! Configuration and the standard variables become one set of settings. The variables win; of two that say the same, the one for
//! metrics wins. An empty variable is none.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_otlp as otel;

use crate::catalog::MetricNames;
use crate::config::{
    Auto, Compression, Config, ConfigError, Problem, Protocol, Resource, Secret, Temporality,
    is_url, pairs,
};

use super::tls::{Certificates, TlsFiles};

const METRICS_PATH: &str = "v1/metrics";
const DEFAULT_GRPC: &str = "http://localhost:4317";
const DEFAULT_HTTP: &str = "http://localhost:4318";
/// OpenTelemetry's default of `OTEL_METRIC_EXPORT_TIMEOUT`.
const DEFAULT_EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a pusher needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) protocol: Protocol,
    pub(super) endpoint: String,
    pub(super) interval: Duration,
    /// Most time for one attempt.
    pub(super) timeout: Duration,
    /// Most time for all attempts of one export.
    pub(super) export_timeout: Duration,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) compression: Compression,
    pub(super) temporality: Temporality,
    pub(super) certificates: Certificates,
    pub(super) names: MetricNames,
    pub(super) namespace: String,
    pub(super) standard: bool,
    pub(super) labels: Vec<(String, String)>,
    pub(super) resource: Resource,
}

impl Settings {
    /// The settings, or `None` when nothing is to be pushed.
    ///
    /// # Errors
    /// Every variable that makes no sense, and every certificate file that cannot be read.
    pub(crate) fn resolve(
        config: &Config,
        resource: Resource,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let mut variables = Variables {
            lookup: &environment,
            problems: Vec::new(),
        };
        if !is_enabled(config, &mut variables) {
            return Ok(None);
        }
        let otlp = &config.otlp;
        let protocol = variables
            .parsed([
                otel::OTEL_EXPORTER_OTLP_METRICS_PROTOCOL,
                otel::OTEL_EXPORTER_OTLP_PROTOCOL,
            ])
            .unwrap_or(otlp.protocol);
        let endpoint = endpoint(config, protocol, &mut variables);
        let interval = variables
            .milliseconds(["OTEL_METRIC_EXPORT_INTERVAL"])
            .unwrap_or(otlp.interval);
        let export_timeout = variables
            .milliseconds(["OTEL_METRIC_EXPORT_TIMEOUT"])
            .unwrap_or(DEFAULT_EXPORT_TIMEOUT);
        let timeout = variables
            .milliseconds([
                otel::OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
                otel::OTEL_EXPORTER_OTLP_TIMEOUT,
            ])
            .unwrap_or(otlp.timeout);
        let mut headers = otlp.headers.clone();
        for name in [
            otel::OTEL_EXPORTER_OTLP_HEADERS,
            otel::OTEL_EXPORTER_OTLP_METRICS_HEADERS,
        ] {
            let text = variables.get(name).unwrap_or_default();
            headers.extend(
                pairs(&text).map(|(name, value)| (name.to_ascii_lowercase(), Secret::new(value))),
            );
        }
        let compression = variables
            .parsed([
                otel::OTEL_EXPORTER_OTLP_METRICS_COMPRESSION,
                otel::OTEL_EXPORTER_OTLP_COMPRESSION,
            ])
            .unwrap_or(otlp.compression);
        let temporality = variables
            .parsed([otel::OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE])
            .unwrap_or(otlp.temporality);
        let aggregation = variables.get("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION");
        if aggregation.is_some_and(|aggregation| aggregation != "explicit_bucket_histogram") {
            tracing::warn!(
                "only explicit_bucket_histogram is sent: the buckets are counted before the export"
            );
        }
        let file = |variables: &Variables<'_>, name: &str, configured: &Option<PathBuf>| {
            let specific = variables.get(&format!("OTEL_EXPORTER_OTLP_METRICS_{name}"));
            let file = specific.or_else(|| variables.get(&format!("OTEL_EXPORTER_OTLP_{name}")));
            file.map(PathBuf::from).or_else(|| configured.clone())
        };
        let files = TlsFiles {
            ca: file(&variables, "CERTIFICATE", &otlp.ca_file),
            cert: file(&variables, "CLIENT_CERTIFICATE", &otlp.cert_file),
            key: file(&variables, "CLIENT_KEY", &otlp.key_file),
        };
        let certificates = Certificates::read(&files, &mut variables.problems);
        if !variables.problems.is_empty() {
            return Err(ConfigError::new(variables.problems));
        }
        Ok(Some(Self {
            protocol,
            endpoint,
            interval,
            timeout,
            export_timeout: export_timeout.min(interval),
            headers: headers.into_iter().collect(),
            compression,
            temporality,
            certificates,
            names: otlp.metric_names,
            namespace: config.metrics.namespace.clone(),
            standard: config.metrics.process,
            labels: config.metrics.labels.clone().into_iter().collect(),
            resource,
        }))
    }
}

/// The configuration switches the push on; so does naming OTLP or a receiver in the environment. Nothing overrides "none".
fn is_enabled(config: &Config, variables: &mut Variables<'_>) -> bool {
    let exporters = variables.get("OTEL_METRICS_EXPORTER").unwrap_or_default();
    let mut exporters = exporters.split(',').map(str::trim);
    if variables
        .get("OTEL_SDK_DISABLED")
        .is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || exporters.clone().any(|exporter| exporter == "none")
    {
        return false;
    }
    let has_endpoint = [
        otel::OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
        otel::OTEL_EXPORTER_OTLP_ENDPOINT,
    ]
    .iter()
    .any(|name| variables.get(name).is_some());
    config.otlp.enabled || has_endpoint || exporters.any(|exporter| exporter == "otlp")
}

/// The endpoint for metrics is used as it is. The general one is a base: for HTTP the path of the metrics is appended.
fn endpoint(config: &Config, protocol: Protocol, variables: &mut Variables<'_>) -> String {
    let is_http = protocol == Protocol::HttpProtobuf;
    if let Some(endpoint) = variables.url(otel::OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, is_http) {
        return endpoint;
    }
    let base = variables
        .url(otel::OTEL_EXPORTER_OTLP_ENDPOINT, is_http)
        .unwrap_or_else(|| match &config.otlp.endpoint {
            Auto::Set(endpoint) => endpoint.clone(),
            Auto::Auto if is_http => DEFAULT_HTTP.to_owned(),
            Auto::Auto => DEFAULT_GRPC.to_owned(),
        });
    if is_http {
        format!("{}/{METRICS_PATH}", base.trim_end_matches('/'))
    } else {
        base
    }
}

/// Environment variables, and what is wrong with them.
struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }

    /// The first of these variables that is set.
    fn parsed<T: FromStr<Err = String>>(
        &mut self,
        names: impl IntoIterator<Item = &'static str>,
    ) -> Option<T> {
        let (name, text) = names
            .into_iter()
            .find_map(|name| Some((name, self.get(name)?)))?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(allowed) => {
                self.note(name, text, allowed);
                None
            }
        }
    }

    fn milliseconds(&mut self, names: impl IntoIterator<Item = &'static str>) -> Option<Duration> {
        struct Milliseconds(Duration);
        impl FromStr for Milliseconds {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.parse() {
                    Ok(number) if number > 0 => Ok(Self(Duration::from_millis(number))),
                    _ => Err("a number of milliseconds above 0".to_owned()),
                }
            }
        }
        self.parsed(names).map(|Milliseconds(duration)| duration)
    }

    /// A URL. gRPC also takes `host:port`, which is TLS unless a variable says that it is not.
    fn url(&mut self, name: &'static str, is_http: bool) -> Option<String> {
        let mut text = self.get(name)?;
        if !is_http && !text.contains("://") {
            let insecure = [
                otel::OTEL_EXPORTER_OTLP_METRICS_INSECURE,
                otel::OTEL_EXPORTER_OTLP_INSECURE,
            ]
            .iter()
            .find_map(|name| self.get(name));
            let scheme = if insecure.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
                "http"
            } else {
                "https"
            };
            text = format!("{scheme}://{text}");
        }
        match is_url(&text) {
            Ok(()) => Some(text),
            Err(allowed) => {
                self.note(name, text, allowed);
                None
            }
        }
    }

    fn note(&mut self, name: &'static str, value: String, allowed: String) {
        self.problems.push(Problem::of_variable(
            name,
            Some(value),
            format!("allowed: {allowed}"),
        ));
    }
}
