//! Configuration and the standard variables become one set of settings. The variables win; of two that say the same, the one for
//! metrics wins. An empty variable is none.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_otlp as otel;

use crate::catalog::MetricNames;
use crate::client::{Certificates, TlsFile, TlsFiles, shown};
use crate::config::{
    Auto, Compression, Config, ConfigError, Problem, Protocol, Resource, Secret, Temporality,
    is_url, pairs,
};

use super::transport::check_header;

const METRICS_PATH: &str = "v1/metrics";
const DEFAULT_GRPC: &str = "http://localhost:4317";
const DEFAULT_HTTP: &str = "http://localhost:4318";
/// OpenTelemetry's default of `OTEL_METRIC_EXPORT_TIMEOUT`.
const DEFAULT_EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a pusher needs to know.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(super) protocol: Protocol,
    pub(super) endpoint: String,
    pub(super) interval: Duration,
    /// Most time for one attempt.
    pub(super) timeout: Duration,
    /// After this time an export makes no further attempt.
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
            is_insecure: false,
        };
        variables.is_insecure = variables.flag([
            otel::OTEL_EXPORTER_OTLP_METRICS_INSECURE,
            otel::OTEL_EXPORTER_OTLP_INSECURE,
        ]);
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
        let timeout = variables
            .milliseconds([
                otel::OTEL_EXPORTER_OTLP_METRICS_TIMEOUT,
                otel::OTEL_EXPORTER_OTLP_TIMEOUT,
            ])
            .unwrap_or(otlp.timeout);
        let export_timeout = variables
            .milliseconds(["OTEL_METRIC_EXPORT_TIMEOUT"])
            .unwrap_or(DEFAULT_EXPORT_TIMEOUT.max(timeout));
        let mut headers = otlp.headers.clone();
        for (name, value) in &headers {
            if let Err(allowed) = check_header(protocol, name, value) {
                let detail = format!("allowed: {allowed}");
                variables
                    .problems
                    .push(Problem::of_key(&format!("otlp.headers.{name}"), detail));
            }
        }
        for name in [
            otel::OTEL_EXPORTER_OTLP_HEADERS,
            otel::OTEL_EXPORTER_OTLP_METRICS_HEADERS,
        ] {
            headers.extend(variables.headers(name, protocol));
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
        if let Some(Aggregation::Exponential) =
            variables.parsed(["OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"])
        {
            tracing::warn!(
                "only explicit_bucket_histogram is sent: the buckets are counted before the export"
            );
        }
        let file = |name: &str, key: &str, configured: &Option<PathBuf>| {
            let variable = |prefix: &str| {
                let origin = format!("{prefix}{name}");
                let path = variables.get(&origin)?.into();
                Some(TlsFile { origin, path })
            };
            let specific = variable("OTEL_EXPORTER_OTLP_METRICS_");
            let found = specific.or_else(|| variable("OTEL_EXPORTER_OTLP_"));
            found.or_else(|| {
                Some(TlsFile {
                    origin: key.to_owned(),
                    path: configured.clone()?,
                })
            })
        };
        let files = TlsFiles {
            ca: file("CERTIFICATE", "otlp.ca_file", &otlp.ca_file),
            cert: file("CLIENT_CERTIFICATE", "otlp.cert_file", &otlp.cert_file),
            key: file("CLIENT_KEY", "otlp.key_file", &otlp.key_file),
        };
        let certificates = Certificates::read(&files, &mut variables.problems);
        if !variables.problems.is_empty() {
            return Err(ConfigError::new(variables.problems));
        }
        Ok(Some(Self {
            protocol,
            endpoint,
            interval,
            timeout: timeout.min(export_timeout),
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
    if variables.flag(["OTEL_SDK_DISABLED"]) || exporters.clone().any(|exporter| exporter == "none")
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

/// What `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION` may ask for.
enum Aggregation {
    Explicit,
    Exponential,
}

impl FromStr for Aggregation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "explicit_bucket_histogram" => Ok(Self::Explicit),
            "base2_exponential_bucket_histogram" => Ok(Self::Exponential),
            _ => Err(
                "one of explicit_bucket_histogram, base2_exponential_bucket_histogram".to_owned(),
            ),
        }
    }
}

/// Environment variables, and what is wrong with them.
struct Variables<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
    /// Whether `host:port` means plain text.
    is_insecure: bool,
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
        // The standard leaves upper and lower case to the user.
        match text.to_ascii_lowercase().parse() {
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

    /// False when not set.
    fn flag(&mut self, names: impl IntoIterator<Item = &'static str>) -> bool {
        struct Flag(bool);
        impl FromStr for Flag {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                text.parse()
                    .map(Self)
                    .map_err(|_| "true or false".to_owned())
            }
        }
        self.parsed(names).is_some_and(|Flag(flag)| flag)
    }

    /// Headers under names in lower case. Their values are secrets, so no message shows them.
    fn headers(&mut self, variable: &'static str, protocol: Protocol) -> Vec<(String, Secret)> {
        let text = self.get(variable).unwrap_or_default();
        let headers: Vec<_> = pairs(&text)
            .map(|(name, value)| (name.to_ascii_lowercase(), Secret::new(value)))
            .collect();
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        let problem = if parts.count() == headers.len() {
            let mut checked = headers.iter();
            checked.find_map(|(name, value)| check_header(protocol, name, value).err())
        } else {
            Some("name=value pairs with commas between them".to_owned())
        };
        if let Some(allowed) = problem {
            let detail = format!("allowed: {allowed}");
            self.problems
                .push(Problem::of_variable(variable, None, detail));
        }
        headers
    }

    /// A URL. gRPC also takes `host:port`, which is TLS unless a variable says that it is not.
    fn url(&mut self, name: &'static str, is_http: bool) -> Option<String> {
        let given = self.get(name)?;
        let url = if is_http || given.contains("://") {
            given.clone()
        } else if self.is_insecure {
            format!("http://{given}")
        } else {
            format!("https://{given}")
        };
        match is_url(&url) {
            Ok(()) => Some(url),
            Err(allowed) => {
                self.note(name, shown(&given), allowed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Profile;

    /// Settings of a document and of variables.
    fn resolve(yaml: &str, variables: &[(&str, &str)]) -> Result<Option<Settings>, ConfigError> {
        let config = Config::load(Profile::Production, yaml, [])?;
        Settings::resolve(&config, Resource::default(), |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    /// As [`resolve`], where something is pushed.
    fn settings(yaml: &str, variables: &[(&str, &str)]) -> Settings {
        let with_push = [variables, &[("OTEL_METRICS_EXPORTER", "otlp")]].concat();
        resolve(yaml, &with_push)
            .expect("settings")
            .expect("a push")
    }

    #[test]
    fn what_switches_the_push_on_and_off() {
        const ON: &str = "otlp: {enabled: true}";
        for (yaml, variables, is_on) in [
            ("", &[] as &[(&str, &str)], false),
            (ON, &[], true),
            ("", &[("OTEL_METRICS_EXPORTER", "otlp")], true),
            ("", &[("OTEL_METRICS_EXPORTER", "prometheus, otlp")], true),
            ("", &[("OTEL_METRICS_EXPORTER", "prometheus")], false),
            ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a")], true),
            (
                "",
                &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a")],
                true,
            ),
            ("", &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], false),
            (ON, &[("OTEL_METRICS_EXPORTER", "none")], false),
            (ON, &[("OTEL_SDK_DISABLED", "True")], false),
            (ON, &[("OTEL_SDK_DISABLED", "false")], true),
            // What is wrong does not matter to who pushes nothing.
            ("", &[("OTEL_METRIC_EXPORT_INTERVAL", "soon")], false),
        ] {
            let found = resolve(yaml, variables).expect("settings");
            assert_eq!(found.is_some(), is_on, "{yaml}, {variables:?}");
        }
    }

    #[test]
    fn endpoints() {
        const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const AS_IS: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
        const INSECURE: &str = "OTEL_EXPORTER_OTLP_INSECURE";
        const HTTP: &str = "otlp: {protocol: http/protobuf}";
        const CONFIGURED: &str = "otlp: {protocol: http/protobuf, endpoint: 'https://c/x/'}";
        for (yaml, variables, endpoint) in [
            ("", &[] as &[(&str, &str)], "http://localhost:4317"),
            (HTTP, &[], "http://localhost:4318/v1/metrics"),
            (CONFIGURED, &[], "https://c/x/v1/metrics"),
            (CONFIGURED, &[(BASE, "http://v")], "http://v/v1/metrics"),
            (CONFIGURED, &[(BASE, "http://v/")], "http://v/v1/metrics"),
            (CONFIGURED, &[(AS_IS, "http://m")], "http://m"),
            (CONFIGURED, &[(AS_IS, "http://m/y/")], "http://m/y/"),
            (HTTP, &[(BASE, "http://v"), (AS_IS, "http://m")], "http://m"),
            ("", &[(BASE, "http://v:1")], "http://v:1"),
            ("", &[(BASE, "v:1")], "https://v:1"),
            ("", &[(BASE, "v:1"), (INSECURE, "false")], "https://v:1"),
            ("", &[(BASE, "v:1"), (INSECURE, "TRUE")], "http://v:1"),
            ("", &[(BASE, "https://v"), (INSECURE, "true")], "https://v"),
        ] {
            assert_eq!(
                settings(yaml, variables).endpoint,
                endpoint,
                "{variables:?}"
            );
        }
    }

    #[test]
    fn the_variable_for_metrics_wins_over_the_general_one_and_that_over_the_file() {
        let yaml = "otlp: {protocol: grpc, timeout: 1s, compression: gzip, interval: 20s}";
        let both = |general, metrics| settings(yaml, &[general, metrics]);
        let protocols = both(
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "HTTP/protobuf"),
        );
        assert_eq!(protocols.protocol, Protocol::HttpProtobuf);
        let timeouts = both(
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "3000"),
        );
        assert_eq!(timeouts.timeout, Duration::from_secs(3));
        let compressions = both(
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
        );
        assert_eq!(compressions.compression, Compression::None);
        let general = settings(yaml, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")]);
        assert_eq!(general.timeout, Duration::from_secs(2));
        let file = settings(yaml, &[]);
        assert_eq!(file.timeout, Duration::from_secs(1));
        assert_eq!(file.interval, Duration::from_secs(20));
    }

    #[test]
    fn headers_are_merged_name_by_name() {
        let headers = settings(
            "otlp: {headers: {a: file, B: file, c: file}}",
            &[
                ("OTEL_EXPORTER_OTLP_HEADERS", "b=general, c = g%20%2C ,"),
                ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "C=metrics,d=x=y"),
            ],
        )
        .headers;
        let expected = [
            // Of two that differ in case only, the transport keeps the second.
            ("B", "file"),
            ("a", "file"),
            ("b", "general"),
            ("c", "metrics"),
            ("d", "x=y"),
        ];
        let found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn times() {
        const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";
        const EXPORT: &str = "OTEL_METRIC_EXPORT_TIMEOUT";
        const ATTEMPT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
        let seconds = |variables: &[(&str, &str)]| {
            let found = settings("", variables);
            [found.interval, found.export_timeout, found.timeout].map(|time| time.as_secs())
        };
        assert_eq!(seconds(&[]), [60, 30, 10]);
        // No attempt begins after the next interval has.
        assert_eq!(seconds(&[(INTERVAL, "5000")]), [5, 5, 10]);
        assert_eq!(seconds(&[(EXPORT, "3000")]), [60, 3, 3]);
        assert_eq!(seconds(&[(ATTEMPT, "45000")]), [60, 45, 45]);
        assert_eq!(
            seconds(&[(EXPORT, "50000"), (ATTEMPT, "9000")]),
            [60, 50, 9]
        );
        let most = u64::MAX.to_string();
        settings("", &[(INTERVAL, &most), (EXPORT, &most), (ATTEMPT, &most)]);
    }

    #[test]
    fn names_of_choices_have_no_case() {
        for (name, temporality) in [
            ("Cumulative", Temporality::Cumulative),
            ("DELTA", Temporality::Delta),
            ("LowMemory", Temporality::LowMemory),
        ] {
            let variable = otel::OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE;
            assert_eq!(settings("", &[(variable, name)]).temporality, temporality);
        }
    }

    #[test]
    fn every_mistake_is_reported_with_the_variable_and_what_is_allowed() {
        let variables = [
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "1"),
            ("OTEL_SDK_DISABLED", "no"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "udp"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:s3cret@a"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "-5"),
            ("OTEL_METRIC_EXPORT_TIMEOUT", "1s"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "key-bin=s3cret"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
            (
                "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
                "none",
            ),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none/ca"),
            ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/none/key"),
        ];
        let error = resolve("", &variables).expect_err("mistakes");
        let problems = error.problems();
        let said: Vec<&str> = problems.iter().map(|problem| &*problem.key).collect();
        let mut expected: Vec<&str> = variables[1..].iter().map(|(name, _)| *name).collect();
        // A key without its certificate.
        expected.push("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY");
        assert_eq!(said, expected);
        for problem in problems {
            let is_told = problem.detail.starts_with("allowed: ");
            assert!(
                is_told || problem.detail.contains("cannot read /none/"),
                "{problem}"
            );
        }
        let values: Vec<Option<&str>> = problems[..4]
            .iter()
            .map(|problem| problem.value.as_deref())
            .collect();
        let shown = [Some("1"), Some("no"), Some("udp"), Some("ftp://a/")];
        assert_eq!(values, shown);
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }

    #[test]
    fn a_header_that_grpc_cannot_send_is_a_mistake_of_the_file() {
        let yaml = "otlp: {enabled: true, headers: {key-bin: s3cret}}";
        let error = resolve(yaml, &[]).expect_err("a mistake").to_string();
        assert!(
            error.starts_with("otlp.headers.key-bin: allowed: "),
            "{error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        settings(yaml, &[http]);
    }
}
