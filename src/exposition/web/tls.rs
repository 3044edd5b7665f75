//! The server's side of TLS.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::crypto::ring as provider;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{NamedGroup, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use crate::config::{ClientAuth, Pem, Problem, TlsSection, TlsVersion};

use super::clients;
use super::watch::Files;

/// How TLS is spoken.
pub(super) struct Tls {
    config: Arc<ServerConfig>,
    verifies: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("verifies", &self.verifies)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the certificates and puts everything together. What is wrong is noted; where the section was not sound as it stands in the
    /// file, only what it names is looked at.
    pub(super) fn new(
        section: &TlsSection,
        files: &mut Files,
        is_sound: bool,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let before = problems.len();
        let provider = crypto(section, problems);
        let mut read = |pem: &Option<Pem>| certificates(pem.as_ref()?, files, problems);
        let chain = read(&section.cert);
        let authorities = read(&section.client_ca);
        let key = private_key(section.key.as_ref(), files, problems);
        if !is_sound || problems.len() > before {
            return None;
        }
        let verifier = match clients::verifier(section, authorities, &provider) {
            Ok(verifier) => verifier,
            Err(detail) => {
                note(problems, section.client_ca.as_ref(), detail);
                return None;
            }
        };
        match server(section, provider, verifier, (chain?, key?)) {
            Ok(config) => Some(Self {
                config: Arc::new(config),
                verifies: section.client_auth == ClientAuth::RequireAndVerify,
            }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                let detail = "does not belong to the certificate".to_owned();
                note(problems, section.key.as_ref(), detail);
                None
            }
            Err(error) => {
                problems.push(Problem::of_key("tls_server_config", error.to_string()));
                None
            }
        }
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether every client has a certificate that was verified.
    pub(super) fn verifies(&self) -> bool {
        self.verifies
    }
}

fn server(
    section: &TlsSection,
    provider: Arc<CryptoProvider>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
) -> Result<ServerConfig, rustls::Error> {
    let versions: Vec<&SupportedProtocolVersion> =
        [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)]
            .into_iter()
            .filter(|(version, _)| (section.min_version..=section.max_version).contains(version))
            .map(|(_, supported)| supported)
            .collect();
    // The provider is named, because rustls panics in a program that has two.
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions)?;
    let asks = verifier.is_some();
    let config = match verifier {
        Some(verifier) => config.with_client_cert_verifier(verifier),
        None => config.with_no_client_auth(),
    };
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = section.prefer_server_cipher_suites;
    if asks {
        // A session that is resumed would not be asked for its certificate again, however old that is by then.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// The suites and curves that are allowed, in the order in which they are preferred.
fn crypto(section: &TlsSection, problems: &mut Vec<Problem>) -> Arc<CryptoProvider> {
    let mut crypto = provider::default_provider();
    let suites: Vec<(String, SupportedCipherSuite)> = crypto
        .cipher_suites
        .iter()
        .map(|suite| (go_suite(*suite), *suite))
        .collect();
    let chosen = choose("cipher_suites", &section.cipher_suites, &suites, problems);
    if !section.cipher_suites.is_empty() {
        // Those of TLS 1.3 cannot be chosen, as in Go: naming them changes nothing.
        crypto.cipher_suites.retain(|suite| suite.tls13().is_some());
        let older = chosen.into_iter().filter(|suite| suite.tls13().is_none());
        crypto.cipher_suites.extend(older);
    }
    let groups: Vec<(String, &'static dyn SupportedKxGroup)> = crypto
        .kx_groups
        .iter()
        .map(|group| (go_curve(group.name()), *group))
        .collect();
    let chosen = choose(
        "curve_preferences",
        &section.curve_preferences,
        &groups,
        problems,
    );
    if !chosen.is_empty() {
        crypto.kx_groups = chosen;
    }
    Arc::new(crypto)
}

/// What the names of a list stand for. Others are noted, with those that there are.
fn choose<T: Copy>(
    key: &str,
    names: &[String],
    known: &[(String, T)],
    problems: &mut Vec<Problem>,
) -> Vec<T> {
    let mut chosen = Vec::new();
    for name in names {
        match known.iter().find(|(known, _)| known == name) {
            Some((_, found)) => chosen.push(*found),
            None => {
                let known: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
                problems.push(Problem {
                    value: Some(format!("{name:?}")),
                    ..Problem::of_key(
                        &format!("tls_server_config.{key}"),
                        format!("allowed: what rustls has of {}", known.join(", ")),
                    )
                });
            }
        }
    }
    chosen
}

/// The name that Go gives a suite.
fn go_suite(suite: SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

/// The name that Go gives a curve.
fn go_curve(group: NamedGroup) -> String {
    match group {
        NamedGroup::secp256r1 => "CurveP256".to_owned(),
        NamedGroup::secp384r1 => "CurveP384".to_owned(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn certificates(
    pem: &Pem,
    files: &mut Files,
    problems: &mut Vec<Problem>,
) -> Option<Vec<CertificateDer<'static>>> {
    let bytes = text(pem, files, problems)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Some(certificates),
        _ => {
            note(
                problems,
                Some(pem),
                "holds no PEM of certificates".to_owned(),
            );
            None
        }
    }
}

fn private_key(
    pem: Option<&Pem>,
    files: &mut Files,
    problems: &mut Vec<Problem>,
) -> Option<PrivateKeyDer<'static>> {
    let bytes = text(pem?, files, problems)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).ok();
    // An encrypted key is none that could be read.
    if key
        .as_ref()
        .is_none_or(|key| provider::sign::any_supported_type(key).is_err())
    {
        let detail = "holds no PEM of a private key: RSA, ECDSA or Ed25519, not encrypted";
        note(problems, pem, detail.to_owned());
        return None;
    }
    key
}

fn text(pem: &Pem, files: &mut Files, problems: &mut Vec<Problem>) -> Option<Vec<u8>> {
    match pem {
        Pem::Inline(_, text) => Some(text.reveal().as_bytes().to_vec()),
        Pem::File(_, path) => files
            .read(path)
            .map_err(|cause: io::Error| {
                note(problems, Some(pem), format!("cannot be read: {cause}"));
            })
            .ok(),
    }
}

/// Notes what is wrong with what a key gives; the file is shown, the text is not.
fn note(problems: &mut Vec<Problem>, pem: Option<&Pem>, detail: String) {
    let key = pem.map_or("tls_server_config".to_owned(), Pem::key);
    let value = match pem {
        Some(Pem::File(_, path)) => Some(path.display().to_string()),
        _ => None,
    };
    problems.push(Problem {
        value,
        ..Problem::of_key(&key, detail)
    });
}
