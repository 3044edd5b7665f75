//! Authorities and client certificates, on both ways.

use memory_exporter::{Config, Exporter};

use crate::log;
use crate::pushing::{self, ONCE, PROTOCOLS, exports};
use crate::receiver::Receiver;
use crate::receiver::pki::Pki;
use crate::wait::eventually;

/// What the exporter logged about its receiver.
fn complaint(receiver: &Receiver) -> String {
    let lines = eventually("the exporter complains", || {
        let lines = log::lines_with(&receiver.url());
        (!lines.is_empty()).then_some(lines)
    });
    assert_eq!(lines.len(), 1, "told once: {lines:?}");
    lines[0].clone()
}

/// Pushes with `adjust`ed certificates, often, as a failure must stay one.
fn start(receiver: &Receiver, adjust: impl FnOnce(&mut Config)) -> Exporter {
    let mut config = pushing::config(receiver, "web: {shutdown_timeout: 1s}");
    config.otlp.interval = std::time::Duration::from_millis(50);
    adjust(&mut config);
    Exporter::start(config).expect("an exporter")
}

fn succeeds(exporter: &Exporter) {
    eventually("a push succeeds", || {
        (exports(exporter, "success") > 0.0).then_some(())
    });
    assert_eq!(exports(exporter, "failure"), 0.0);
}

fn fails(exporter: &Exporter) {
    eventually("pushes fail", || {
        (exports(exporter, "failure") > 2.0).then_some(())
    });
    assert_eq!(exports(exporter, "success"), 0.0);
}

#[test]
fn an_authority_of_ones_own() {
    let pki = Pki::new();
    for protocol in PROTOCOLS {
        let receiver = Receiver::secure(protocol, &pki, false);
        let exporter = start(&receiver, |config| {
            config.otlp.ca_file = Some(pki.file("ca.pem"));
        });
        succeeds(&exporter);
    }
}

#[test]
fn another_authority_is_refused_with_the_reason() {
    let (pki, other) = (Pki::new(), Pki::new());
    for protocol in PROTOCOLS {
        let receiver = Receiver::secure(protocol, &pki, false);
        for ca in [Some(other.file("ca.pem")), None] {
            let exporter = start(&receiver, |config| config.otlp.ca_file.clone_from(&ca));
            fails(&exporter);
            exporter.stop();
        }
        assert_eq!(receiver.deliveries().len(), 0, "{protocol:?}");
        let lines = log::lines_with(&receiver.url());
        assert_eq!(lines.len(), 2, "once for each exporter: {lines:?}");
        for line in lines {
            assert!(
                line.contains("invalid peer certificate"),
                "{protocol:?}: {line}"
            );
        }
    }
}

#[test]
fn a_client_certificate() {
    let pki = Pki::new();
    for protocol in PROTOCOLS {
        let receiver = Receiver::secure(protocol, &pki, true);
        let exporter = start(&receiver, |config| {
            config.otlp.ca_file = Some(pki.file("ca.pem"));
            config.otlp.cert_file = Some(pki.file("client.pem"));
            config.otlp.key_file = Some(pki.file("client.key"));
        });
        succeeds(&exporter);
    }
}

#[test]
fn a_missing_client_certificate_is_the_reason() {
    let pki = Pki::new();
    for protocol in PROTOCOLS {
        let receiver = Receiver::secure(protocol, &pki, true);
        let exporter = start(&receiver, |config| {
            config.otlp.ca_file = Some(pki.file("ca.pem"));
        });
        fails(&exporter);
        let line = complaint(&receiver);
        assert!(line.contains("CertificateRequired"), "{protocol:?}: {line}");
        drop(exporter);
        assert_eq!(receiver.deliveries().len(), 0, "{protocol:?}");
    }
}

#[test]
fn every_file_that_is_wrong_is_named() {
    let pki = Pki::new();
    let receiver = Receiver::start(PROTOCOLS[0]);
    let mut config = pushing::config(&receiver, "");
    config.otlp.interval = ONCE;
    config.otlp.ca_file = Some(pki.file("client.key"));
    config.otlp.cert_file = Some(pki.file("none.pem"));
    config.otlp.key_file = Some(pki.file("ca.pem"));
    let error = Exporter::start(config).expect_err("wrong files");
    assert!(error.is_config());
    let message = error.to_string();
    let lines: Vec<&str> = message.lines().collect();
    let expected = [
        ("otlp.ca_file: ", "client.key holds no PEM of a certificate"),
        ("otlp.cert_file: ", "none.pem: No such file"),
        ("otlp.key_file: ", "ca.pem holds no PEM of a private key"),
    ];
    assert_eq!(lines.len(), expected.len(), "{message}");
    for (line, (key, detail)) in lines.iter().zip(expected) {
        assert!(line.starts_with(key) && line.contains(detail), "{line}");
    }
}
