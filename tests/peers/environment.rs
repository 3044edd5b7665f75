//! The standard variables, each in a process of its own: this one's environment belongs to all tests.

use memory_exporter::config::Protocol;

use crate::receiver::pki::Pki;
use crate::receiver::points::{points, resource};
use crate::receiver::{Delivery, Receiver};
use crate::service::Service;

/// The first push of the binary with these variables.
fn pushed(receiver: &Receiver, config: &str, environment: &[(&str, &str)]) -> Delivery {
    let _service = Service::alone(config, environment);
    receiver.wait_for(1).remove(0)
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a str> {
    delivery.headers.get(name).map(String::as_str)
}

#[test]
fn a_general_endpoint_is_a_base_and_switches_the_push_on() {
    let receiver = Receiver::start(Protocol::HttpProtobuf);
    let endpoint = receiver.url() + "/base/";
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        // Nothing, as an empty variable is none.
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ""),
    ];
    let delivery = pushed(&receiver, "", &environment);
    assert_eq!(delivery.path, "/base/v1/metrics");
}

#[test]
fn the_variables_for_metrics_win_over_the_general_ones_and_those_over_the_file() {
    let receiver = Receiver::start(Protocol::HttpProtobuf);
    let endpoint = receiver.url() + "/as/is";
    let config = "
otlp:
  protocol: grpc
  compression: none
  temporality: cumulative
  endpoint: http://127.0.0.1:1
  headers: {X-File: file, X-Both: file, x-all: file}
  resource: {service.name: file, service.version: file, team: file}
";
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "x-both=general,X-All=general,x-general=a%20b%2Cc%3Dd+e",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "X-All=metrics"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=list,team=a%2Cb"),
        ("OTEL_SERVICE_NAME", "name"),
    ];
    let delivery = pushed(&receiver, config, &environment);
    assert_eq!(delivery.path, "/as/is");
    assert_eq!(header(&delivery, "content-encoding"), Some("gzip"));
    assert_eq!(header(&delivery, "x-file"), Some("file"));
    assert_eq!(header(&delivery, "x-both"), Some("general"));
    assert_eq!(header(&delivery, "x-all"), Some("metrics"));
    assert_eq!(header(&delivery, "x-general"), Some("a b,c=d+e"));
    let resource = resource(&delivery.request);
    let attribute = |name: &str| resource.get(name).map(String::as_str);
    assert_eq!(attribute("service.name"), Some("name"));
    assert_eq!(attribute("service.version"), Some("file"));
    assert_eq!(attribute("team"), Some("a,b"));
    let differences = points(&delivery.request);
    let differences = differences.iter().filter(|point| point.shape.is_delta());
    assert!(differences.count() > 10, "temporality is delta");
}

#[test]
fn an_address_without_a_scheme_is_plain_text_only_where_a_variable_says_so() {
    let receiver = Receiver::start(Protocol::Grpc);
    let address = receiver.address.to_string();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address),
        ("OTEL_EXPORTER_OTLP_INSECURE", "false"),
        ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", "True"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "api-key=s3cret"),
    ];
    let delivery = pushed(&receiver, "", &environment);
    assert_eq!(header(&delivery, "api-key"), Some("s3cret"));
}

#[test]
fn interval_and_timeout_come_from_variables() {
    let receiver = Receiver::start(Protocol::Grpc);
    let endpoint = receiver.url();
    let environment = [
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*endpoint),
        ("OTEL_METRIC_EXPORT_INTERVAL", "150"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "5000"),
    ];
    let _service = Service::alone("", &environment);
    let deliveries = receiver.wait_for(4);
    let pause = deliveries[3].at - deliveries[1].at;
    assert!(pause.as_millis() > 250, "{pause:?}");
    assert!(pause.as_millis() < 5_000, "{pause:?}");
}

#[test]
fn certificates_come_from_variables() {
    let (pki, other) = (Pki::new(), Pki::new());
    let receiver = Receiver::secure(Protocol::Grpc, &pki, true);
    let endpoint = receiver.url();
    let file = |pki: &Pki, name: &str| pki.file(name).display().to_string();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", file(&other, "ca.pem")),
        (
            "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
            file(&pki, "ca.pem"),
        ),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            file(&pki, "client.pem"),
        ),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", file(&other, "client.key")),
        (
            "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY",
            file(&pki, "client.key"),
        ),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, &**value));
    let delivery = pushed(&receiver, "", &environment);
    assert!(delivery.taken);
}

#[test]
fn whoever_says_none_gets_none() {
    for (variable, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ] {
        let receiver = Receiver::start(Protocol::Grpc);
        let endpoint = receiver.url();
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            (variable, value),
        ];
        let mut service = Service::alone("otlp: {enabled: true}", &environment);
        // The end brings a last push wherever there are pushes.
        assert!(service.program.terminate().success());
        assert_eq!(receiver.deliveries().len(), 0, "{variable}={value}");
    }
}

#[test]
fn a_signal_brings_the_last_push() {
    let receiver = Receiver::start(Protocol::HttpProtobuf);
    let endpoint = receiver.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let mut service = Service::alone("", &environment);
    receiver.wait_for(1);
    assert!(service.program.terminate().success());
    assert_eq!(receiver.deliveries().len(), 2);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let environment = [
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://here"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "10s"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "-1"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sum"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "perhaps"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api key=s3cret"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "api-key=s3%0Acret"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/none/ca.pem"),
    ];
    let mut program = Service::alone_unchecked("", &environment);
    let status = program.wait();
    let lines = program.stderr();
    assert_eq!(status.code(), Some(64), "{lines:?}");
    for (variable, value) in &environment[1..] {
        let found: Vec<&String> = lines
            .iter()
            .filter(|line| line.contains(&format!("{variable}: ")))
            .collect();
        assert_eq!(found.len(), 1, "{variable}: {lines:?}");
        let (is_shown, is_secret) = (found[0].contains(value), value.contains("s3"));
        assert_eq!(is_shown, !is_secret, "{}", found[0]);
        let says_what = ["allowed: ", "cannot read "].map(|text| found[0].contains(text));
        assert!(says_what.contains(&true), "{}", found[0]);
    }
    assert_eq!(lines.len(), environment.len() - 1, "{lines:?}");
    assert!(!lines.concat().contains("cret"), "a secret: {lines:?}");
}
