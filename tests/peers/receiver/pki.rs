//! Certificates, made for one test: an authority, a server for 127.0.0.1, and a client; all as PEM files too.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use memory_exporter::config::Protocol;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::pki::Authority;

/// An authority and what it signed.
pub(crate) struct Pki {
    directory: TempDir,
    authority: CertificateDer<'static>,
    server: (CertificateDer<'static>, Vec<u8>),
}

impl Pki {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, pem: String| {
            std::fs::write(directory.path().join(name), pem).expect("a PEM file");
        };
        let authority = Authority::new();
        write("ca.pem", authority.certificate.pem());
        let client = authority.sign("client");
        write("client.pem", client.certificate.pem());
        write("client.key", client.key.serialize_pem());
        let server = authority.sign("127.0.0.1");
        Self {
            authority: authority.certificate.der().clone(),
            server: (server.certificate.der().clone(), server.key.serialize_der()),
            directory,
        }
    }

    /// The path of `ca.pem`, `client.pem` or `client.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn server(&self, protocol: Protocol, mutual: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        let config = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.clone()).expect("the authority");
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            config.with_no_client_auth()
        };
        let (certificate, key) = &self.server;
        let key = PrivateKeyDer::try_from(key.clone()).expect("a key");
        let mut config = config
            .with_single_cert(vec![certificate.clone()], key)
            .expect("a certificate with its key");
        if protocol == Protocol::Grpc {
            config.alpn_protocols.push(b"h2".to_vec());
        }
        Arc::new(config)
    }
}

/// Shakes hands. Whom it refuses it gives the time to read why, for a socket that is closed at once may lose that.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
) -> Option<TlsStream<TcpStream>> {
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Some(stream),
        Err((_refusal, stream)) => {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(2)).await;
                drop(stream);
            });
            None
        }
    }
}
