//! Exporters in this process that push to a receiver in this process.

use std::time::Duration;

use memory_exporter::config::{Compression, Profile, Protocol};
use memory_exporter::{Config, Exporter};

use crate::log;
use crate::receiver::Receiver;
use crate::series::{self, Series};

/// Both ways.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

/// Longer than any test: the first push, and then only what a failure or the end brings.
pub(crate) const ONCE: Duration = Duration::from_secs(3600);

/// A configuration that pushes once to `receiver`, overridden by a YAML document.
pub(crate) fn config(receiver: &Receiver, yaml: &str) -> Config {
    log::listen();
    // One component for what has no scope: others would appear while a test compares.
    let rule = (
        "MEMORY_EXPORTER__ALLOCATIONS__COMPONENTS",
        "[{name: tests, match: '*'}]",
    );
    let environment = [(rule.0.to_owned(), rule.1.to_owned())];
    let mut config = Config::load(Profile::Production, yaml, environment).expect("a configuration");
    config.web.listen_address = vec!["127.0.0.1:0".parse().expect("an address")];
    config.otlp.enabled = true;
    config.otlp.endpoint = memory_exporter::config::Auto::Set(receiver.url());
    config.otlp.protocol = receiver.protocol;
    config.otlp.interval = ONCE;
    config.otlp.compression = Compression::None;
    config
}

/// An exporter that pushes to `receiver` at an interval, which may be shorter than a document allows.
pub(crate) fn start(receiver: &Receiver, interval: Duration, yaml: &str) -> Exporter {
    let mut config = config(receiver, yaml);
    config.otlp.interval = interval;
    Exporter::start(config).expect("an exporter")
}

/// A scrape of an exporter in this process.
pub(crate) fn scrape(exporter: &Exporter) -> Series {
    let (text, _) = exporter.render("").expect("a scrape");
    series::of_text(&text)
}

/// How many exports had an outcome, `success` or `failure`.
pub(crate) fn exports(exporter: &Exporter, outcome: &str) -> f64 {
    series::value(
        &scrape(exporter),
        "memory_exporter_otlp_exports_total",
        &[("outcome", outcome)],
    )
}
