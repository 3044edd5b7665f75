//! Certificates for who is behind TLS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::Problem;

/// A PEM file, and the key or the variable that names it.
#[derive(Debug, Clone)]
pub(crate) struct TlsFile {
    pub(crate) origin: String,
    pub(crate) path: PathBuf,
}

/// PEM files.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<TlsFile>,
    pub(crate) cert: Option<TlsFile>,
    pub(crate) key: Option<TlsFile>,
}

/// What stood in the files.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Certificates {
    ca: Option<Vec<u8>>,
    /// Certificate and key.
    identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .finish()
    }
}

impl Certificates {
    /// Reads the files and notes what cannot be read or is not what it should be.
    pub(crate) fn read(files: &TlsFiles, problems: &mut Vec<Problem>) -> Self {
        let mut read = |file: &Option<TlsFile>, check: fn(&[u8]) -> bool, what: &str| {
            let file = file.as_ref()?;
            match read_pem(&file.path, check, what) {
                Ok(bytes) => Some(bytes),
                Err(detail) => {
                    problems.push(Problem::of_key(&file.origin, detail));
                    None
                }
            }
        };
        let ca = read(&files.ca, has_certificate, "a certificate");
        let cert = read(&files.cert, has_certificate, "a certificate");
        let key = read(&files.key, has_key, "a private key");
        if let (Some(alone), None) | (None, Some(alone)) = (&files.cert, &files.key) {
            problems.push(Problem::of_key(
                &alone.origin,
                "allowed: both a client certificate and its key, or neither".to_owned(),
            ));
        }
        Self {
            ca,
            identity: cert.zip(key),
        }
    }

    /// The authority that is trusted in place of the system's, as PEM.
    #[cfg(feature = "otlp")]
    pub(crate) fn ca(&self) -> Option<&[u8]> {
        self.ca.as_deref()
    }

    /// Certificate and key of this client, as PEM.
    #[cfg(feature = "otlp")]
    pub(crate) fn identity(&self) -> Option<(&[u8], &[u8])> {
        let identity = self.identity.as_ref()?;
        Some((&identity.0, &identity.1))
    }

    /// What they make of TLS. The provider is named, because rustls panics in a program that has two.
    pub(super) fn for_rustls(&self) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(ca) => {
                roots.add_parsable_certificates(
                    CertificateDer::pem_slice_iter(ca).filter_map(Result::ok),
                );
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some((cert, key)) => {
                let chain = CertificateDer::pem_slice_iter(cert)
                    .filter_map(Result::ok)
                    .collect();
                let key = PrivateKeyDer::from_pem_slice(key)
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
                config.with_client_auth_cert(chain, key)
            }
        }
    }
}

fn read_pem(path: &Path, check: fn(&[u8]) -> bool, what: &str) -> Result<Vec<u8>, String> {
    let bytes =
        std::fs::read(path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))?;
    if check(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("{} holds no PEM of {what}", path.display()))
    }
}

fn has_certificate(pem: &[u8]) -> bool {
    CertificateDer::pem_slice_iter(pem).any(|certificate| certificate.is_ok())
}

fn has_key(pem: &[u8]) -> bool {
    PrivateKeyDer::from_pem_slice(pem).is_ok()
}
