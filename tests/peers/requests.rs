//! What a request carries besides points: headers, compression, path, resource.

use std::time::Duration;

use memory_exporter::Exporter;
use memory_exporter::config::{Compression, Protocol};

use crate::log;
use crate::programs::free_port;
use crate::pushing::{self, ONCE, PROTOCOLS, start};
use crate::receiver::points::resource;
use crate::receiver::{Delivery, Receiver};
use crate::wait::eventually;

const AGENT: &str = concat!("memory-exporter/", env!("CARGO_PKG_VERSION"));

fn first(receiver: &Receiver) -> Delivery {
    receiver.wait_for(1).remove(0)
}

#[test]
fn headers_arrive_as_headers_or_as_metadata() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start(protocol);
        let yaml = "otlp: {headers: {Authorization: Bearer s3cret, x-tenant: 'a, b=c%20d'}}";
        let _exporter = start(&receiver, ONCE, yaml);
        let delivery = first(&receiver);
        let header = |name: &str| delivery.headers.get(name).map(String::as_str);
        assert_eq!(
            header("authorization"),
            Some("Bearer s3cret"),
            "{protocol:?}"
        );
        assert_eq!(header("x-tenant"), Some("a, b=c%20d"), "{protocol:?}");
        let agent = header("user-agent").expect("a user agent");
        assert!(agent.starts_with(AGENT), "{protocol:?}: {agent}");
        let content = match protocol {
            Protocol::Grpc => "application/grpc",
            Protocol::HttpProtobuf => "application/x-protobuf",
        };
        assert_eq!(header("content-type"), Some(content));
    }
}

#[test]
fn compression_is_as_configured() {
    for (protocol, header) in PROTOCOLS
        .into_iter()
        .zip(["grpc-encoding", "content-encoding"])
    {
        for (compression, expected) in
            [(Compression::Gzip, Some("gzip")), (Compression::None, None)]
        {
            let receiver = Receiver::start(protocol);
            let mut config = pushing::config(&receiver, "");
            config.otlp.compression = compression;
            let _exporter = Exporter::start(config).expect("an exporter");
            let delivery = first(&receiver);
            let encoding = delivery.headers.get(header).map(String::as_str);
            assert_eq!(encoding, expected, "{protocol:?}, {compression:?}");
        }
    }
}

#[test]
fn the_path_for_metrics_is_appended_to_a_base() {
    for (base, path) in [
        ("", "/v1/metrics"),
        ("/", "/v1/metrics"),
        ("/otlp", "/otlp/v1/metrics"),
        ("/otlp/", "/otlp/v1/metrics"),
    ] {
        let receiver = Receiver::start(Protocol::HttpProtobuf);
        let mut config = pushing::config(&receiver, "");
        config.otlp.endpoint = memory_exporter::config::Auto::Set(receiver.url() + base);
        let _exporter = Exporter::start(config).expect("an exporter");
        assert_eq!(first(&receiver).path, path, "{base}");
    }
}

#[test]
fn the_resource_says_who_speaks() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start(protocol);
        let yaml = "otlp: {resource: {service.name: shop, service.namespace: '', deployment.environment.name: test}}";
        let exporter = start(&receiver, ONCE, yaml);
        let resource = resource(&first(&receiver).request);
        let attribute = |name: &str| resource.get(name).map(String::as_str);
        assert_eq!(attribute("service.name"), Some("shop"));
        assert_eq!(attribute("deployment.environment.name"), Some("test"));
        // An empty one would make the job "/shop".
        assert_eq!(attribute("service.namespace"), None);
        let port = exporter.addresses()[0].port().to_string();
        let instance = attribute("service.instance.id").expect("an instance");
        assert_eq!(
            instance.rsplit_once(':').map(|(_, port)| port),
            Some(&*port)
        );
    }
}

#[test]
fn a_password_in_the_url_is_not_logged() {
    for protocol in PROTOCOLS {
        let address = format!("127.0.0.1:{}", free_port());
        let mut config = pushing::config(&Receiver::start(protocol), "");
        let endpoint = format!("http://user:s3cret@{address}");
        config.otlp.endpoint = memory_exporter::config::Auto::Set(endpoint);
        config.otlp.interval = Duration::from_millis(50);
        let _exporter = Exporter::start(config).expect("an exporter");
        let lines = eventually("the exporter complains", || {
            let lines = log::lines_with(&address);
            (!lines.is_empty()).then_some(lines)
        });
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    }
}
