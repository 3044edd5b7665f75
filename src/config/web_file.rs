//! The web configuration file: its keys, as they stand in it.
//!
//! The format is that of Prometheus' exporter-toolkit, so that an operator secures this exporter as every other. Whatever needs more than the
//! document (files, certificates, hashes) is checked by who uses it, and its mistakes are reported together with those found here.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_yaml::{Mapping, Value};

use super::checks;
use super::knob::{Knob, Secret};
use super::problem::{Problem, Problems};
use super::reader::Section;

/// Headers that may be added to answers, and their values where they are fixed.
const HEADERS: &[(&str, &[&str])] = &[
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// Names of `client_auth_type`. The last one is an older name, which the toolkit takes too.
const CLIENT_AUTH: &[(&str, ClientAuth)] = &[
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
    ("RequireClientCert", ClientAuth::RequireAny),
];

/// What stands in the file.
#[derive(Debug, Default)]
pub(crate) struct WebFile {
    pub(crate) tls: Option<TlsSection>,
    pub(crate) headers: BTreeMap<String, String>,
    /// Names and what bcrypt made of their passwords.
    pub(crate) users: BTreeMap<String, Secret>,
    pub(crate) rate: Option<Rate>,
    /// Nothing stands in the file.
    pub(crate) is_blank: bool,
}

/// Section `tls_server_config`.
#[derive(Debug)]
pub(crate) struct TlsSection {
    pub(crate) cert: Option<Pem>,
    pub(crate) key: Option<Pem>,
    pub(crate) client_ca: Option<Pem>,
    pub(crate) client_auth: ClientAuth,
    pub(crate) client_allowed_sans: Vec<String>,
    pub(crate) min_version: TlsVersion,
    pub(crate) max_version: TlsVersion,
    pub(crate) cipher_suites: Vec<String>,
    pub(crate) prefer_server_cipher_suites: bool,
    pub(crate) curve_preferences: Vec<String>,
}

/// Text in PEM, or the file that holds it, and the key that gives it.
#[derive(Debug)]
pub(crate) enum Pem {
    Inline(&'static str, Secret),
    File(&'static str, PathBuf),
}

/// What is asked of clients' certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    None,
    Request,
    RequireAny,
    VerifyIfGiven,
    RequireAndVerify,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

/// Section `rate_limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// One request more is allowed after each.
    pub(crate) interval: Duration,
    /// Most requests at once.
    pub(crate) burst: u32,
}

impl WebFile {
    /// Reads the document, and notes every mistake. Paths are relative to `directory`.
    pub(crate) fn read(yaml: &str, directory: &Path, noted: &mut Vec<Problem>) -> Self {
        let mut problems = Problems::default();
        let mut file = Self::default();
        match serde_yaml::from_str::<Value>(yaml) {
            Ok(Value::Null) => file.is_blank = true,
            Ok(Value::Mapping(mut map)) => {
                file.is_blank = map.is_empty();
                take_out_texts(&mut map, &mut problems);
                let document = Value::Mapping(map);
                let mut root = Section::root(&document, &mut problems);
                file.read_sections(&mut root, directory);
                root.finish();
            }
            Ok(_) => {
                let detail = "the document is not a mapping; allowed: sections with keys";
                problems.note("", None, detail.to_owned());
            }
            Err(error) => problems.note("", None, format!("not valid YAML: {error}")),
        }
        noted.append(&mut problems.noted);
        file
    }

    fn read_sections(&mut self, root: &mut Section<'_>, directory: &Path) {
        self.tls = root.section("tls_server_config", |tls| TlsSection::read(tls, directory));
        self.headers = root.section("http_server_config", |http| {
            // Only HTTP/1.1 is spoken here, so there is nothing to switch off.
            let _ = http.optional::<bool>("http2", |_| Ok(()));
            http.map("headers", |name, value: &String| is_header(name, value))
        });
        self.headers.retain(|_, value| !value.is_empty());
        self.users = root.map("basic_auth_users", |name, _: &Secret| {
            checks::is_username(name)
        });
        self.rate = root.section("rate_limit", Rate::read);
    }
}

/// Takes out what is no section. Nothing at all is none, as in the toolkit; what stands there instead may be a key and is not shown.
fn take_out_texts(map: &mut Mapping, problems: &mut Problems) {
    for name in ["tls_server_config", "http_server_config", "rate_limit"] {
        if map.get(name).is_some_and(|value| !value.is_mapping())
            && let Some(value) = map.remove(name)
            && !value.is_null()
        {
            problems.note(name, None, "allowed: a section with keys".to_owned());
        }
    }
}

impl TlsSection {
    fn read(tls: &mut Section<'_>, directory: &Path) -> Option<Self> {
        let is_there = [
            "cert",
            "cert_file",
            "key",
            "key_file",
            "client_ca",
            "client_ca_file",
        ]
        .iter()
        .chain(&["client_auth_type", "client_allowed_sans", "min_version"])
        .chain(&["max_version", "cipher_suites", "curve_preferences"])
        .chain(&["prefer_server_cipher_suites"])
        .any(|key| tls.has(key));
        let section = Self {
            cert: pem(tls, "cert", "cert_file", directory),
            key: pem(tls, "key", "key_file", directory),
            client_ca: pem(tls, "client_ca", "client_ca_file", directory),
            client_auth: tls
                .optional("client_auth_type", |name: &String| {
                    client_auth(name).map(drop)
                })
                .and_then(|name| client_auth(&name).ok())
                .unwrap_or(ClientAuth::None),
            client_allowed_sans: tls.list_checked("client_allowed_sans", |name: &String| {
                if name.is_empty() {
                    Err("a DNS name, an address, an e-mail address or a URI".to_owned())
                } else {
                    Ok(())
                }
            }),
            min_version: version(tls, "min_version").unwrap_or(TlsVersion::Tls12),
            max_version: version(tls, "max_version").unwrap_or(TlsVersion::Tls13),
            cipher_suites: tls.list("cipher_suites"),
            prefer_server_cipher_suites: tls
                .optional("prefer_server_cipher_suites", |_| Ok(()))
                .unwrap_or(true),
            curve_preferences: tls.list("curve_preferences"),
        };
        if is_there {
            section.check(tls);
        }
        is_there.then_some(section)
    }

    /// Notes what only several keys together have wrong.
    fn check(&self, tls: &mut Section<'_>) {
        for (text, file) in [("cert", "cert_file"), ("key", "key_file")] {
            if !tls.has(text) && !tls.has(file) {
                let detail = format!("missing; allowed: a path, or {text} with the text in PEM");
                tls.note_here(file, detail);
            }
        }
        let has_ca = tls.has("client_ca") || tls.has("client_ca_file");
        let auth_is_known = !tls.is_noted("client_auth_type");
        let verifies = matches!(
            self.client_auth,
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify
        );
        if has_ca && auth_is_known && self.client_auth == ClientAuth::None {
            let detail = "missing; with an authority for clients, allowed: one of RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert";
            tls.note_here("client_auth_type", detail.to_owned());
        }
        // Go would take the authorities of the system: whoever owns any web site would be let in.
        if verifies && !has_ca {
            let detail = "missing; allowed: the authority that signs clients' certificates, as a path, or client_ca with the text in PEM";
            tls.note_here("client_ca_file", detail.to_owned());
        }
        if tls.has("client_allowed_sans") {
            let requires = matches!(
                self.client_auth,
                ClientAuth::RequireAny | ClientAuth::RequireAndVerify
            );
            if auth_is_known && !requires {
                let detail = "allowed: only with client_auth_type RequireAnyClientCert or RequireAndVerifyClientCert";
                tls.note_here("client_allowed_sans", detail.to_owned());
            } else if self.client_allowed_sans.is_empty() && !tls.is_noted("client_allowed_sans") {
                let detail = "an empty list lets nobody in; allowed: at least one name";
                tls.note_here("client_allowed_sans", detail.to_owned());
            }
        }
        if self.min_version.cmp(&self.max_version) == Ordering::Greater {
            let detail = "TLS12 is below min_version; allowed: TLS13";
            tls.note_here("max_version", detail.to_owned());
        }
    }
}

impl Pem {
    /// The key that gives it, with its section.
    pub(crate) fn key(&self) -> String {
        let (Self::Inline(key, _) | Self::File(key, _)) = self;
        format!("tls_server_config.{key}")
    }
}

/// Text or file. What is given is never shown: whoever mistakes one for the other has a private key in the wrong place.
fn pem(
    tls: &mut Section<'_>,
    text: &'static str,
    file: &'static str,
    directory: &Path,
) -> Option<Pem> {
    let inline = tls.secret(text, |_| Ok(()));
    let path = tls.secret(file, |path| {
        if path.reveal().contains(['\n', '\0']) {
            Err(format!("a path; the text in PEM belongs to {text}"))
        } else {
            Ok(())
        }
    });
    let inline = inline.filter(|text| !text.reveal().is_empty());
    let path = path.filter(|path| !path.reveal().is_empty());
    match (inline, path) {
        (Some(_), Some(_)) => {
            tls.note_here(text, format!("allowed: {text} or {file}, not both"));
            None
        }
        (Some(secret), None) => Some(Pem::Inline(text, secret)),
        (None, Some(path)) => Some(Pem::File(file, directory.join(path.reveal()))),
        (None, None) => None,
    }
}

fn client_auth(name: &str) -> Result<ClientAuth, String> {
    let found = CLIENT_AUTH.iter().find(|(known, _)| *known == name);
    found.map(|(_, auth)| *auth).ok_or_else(|| {
        let names: Vec<&str> = CLIENT_AUTH[..5].iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn version(tls: &mut Section<'_>, key: &'static str) -> Option<TlsVersion> {
    let parse = |name: &str| match name {
        "TLS12" => Ok(TlsVersion::Tls12),
        "TLS13" => Ok(TlsVersion::Tls13),
        "TLS10" | "TLS11" => {
            Err("TLS12 or TLS13; rustls has no older version, none of which is safe".to_owned())
        }
        _ => Err("TLS12 or TLS13".to_owned()),
    };
    let name = tls.optional(key, |name: &String| parse(name).map(drop))?;
    parse(&name).ok()
}

/// A header of the list, with a value that it may have. Blank leaves it out.
fn is_header(name: &str, value: &str) -> Result<(), String> {
    let Some((_, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = HEADERS.iter().map(|(name, _)| *name).collect();
        return Err(format!("one of the headers {}", names.join(", ")));
    };
    if !value.is_empty() && !values.is_empty() && !values.contains(&value) {
        return Err(format!("one of {}", values.join(", ")));
    }
    hyper::header::HeaderValue::from_str(value)
        .map(|_| ())
        .map_err(|_| "a header value: visible characters only".to_owned())
}

impl Rate {
    fn read(rate: &mut Section<'_>) -> Option<Self> {
        let interval = rate.optional("interval", |interval: &Interval| {
            if interval.0 <= LONGEST_INTERVAL {
                Ok(())
            } else {
                Err(Interval::allowed())
            }
        });
        let burst = rate.optional("burst", |burst: &usize| {
            if u32::try_from(*burst).is_ok() {
                Ok(())
            } else {
                Err("a whole number of requests".to_owned())
            }
        });
        let interval = interval?.0;
        if interval.is_zero() {
            return None;
        }
        // The toolkit would refuse every request.
        if burst.unwrap_or(0) == 0 && !rate.is_noted("rate_limit.burst") {
            let detail = "with an interval, allowed: a whole number of requests from 1";
            rate.note_here("burst", detail.to_owned());
        }
        Some(Self {
            interval,
            burst: u32::try_from(burst.unwrap_or(0)).unwrap_or(u32::MAX),
        })
    }
}

/// A duration, or 0.
#[derive(Clone, Copy)]
struct Interval(Duration);

impl Knob for Interval {
    fn allowed() -> String {
        "a duration such as 1s or 100ms, up to a day, or 0 for no limit".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        if value.as_u64() == Some(0) || value.as_str() == Some("0") {
            return Some(Self(Duration::ZERO));
        }
        Duration::parse(value).map(Self)
    }

    fn placeholder() -> Self {
        Self(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> (WebFile, Vec<String>) {
        let mut problems = Vec::new();
        let file = WebFile::read(yaml, Path::new("/etc/web"), &mut problems);
        (file, problems.iter().map(ToString::to_string).collect())
    }

    /// The toolkit's own description of the format, with a value for each key.
    #[test]
    fn every_key_is_read() {
        let (file, problems) = read(
            "
tls_server_config:
  cert_file: server.crt
  key_file: /keys/server.key
  client_ca: |
    -----BEGIN CERTIFICATE-----
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example.org, 10.0.0.1]
  min_version: TLS13
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256, X25519]
http_server_config:
  http2: false
  headers:
    Content-Security-Policy: default-src 'self'
    X-Frame-Options: deny
    X-Content-Type-Options: nosniff
    X-XSS-Protection: ''
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  ada: $2y$10$DrnR/cS9LiwJzT5Hb73aE.QG4iEkCR3XA5cpRklNOErJ3PJYNlXby
rate_limit:
  interval: 100ms
  burst: 20
",
        );
        assert_eq!(problems, [""; 0]);
        let tls = file.tls.unwrap();
        assert!(
            matches!(&tls.cert, Some(Pem::File("cert_file", path)) if path == Path::new("/etc/web/server.crt"))
        );
        assert!(
            matches!(&tls.key, Some(Pem::File("key_file", path)) if path == Path::new("/keys/server.key"))
        );
        assert!(
            matches!(&tls.client_ca, Some(Pem::Inline("client_ca", text)) if text.reveal().starts_with("-----BEGIN"))
        );
        assert_eq!(tls.client_auth, ClientAuth::RequireAndVerify);
        assert_eq!(
            tls.client_allowed_sans,
            ["prometheus.example.org", "10.0.0.1"]
        );
        assert_eq!(
            (tls.min_version, tls.max_version),
            (TlsVersion::Tls13, TlsVersion::Tls13)
        );
        assert_eq!(tls.cipher_suites, ["TLS_AES_128_GCM_SHA256"]);
        assert!(!tls.prefer_server_cipher_suites);
        assert_eq!(tls.curve_preferences, ["CurveP256", "X25519"]);
        // Blank leaves a header out.
        let names: Vec<&str> = file.headers.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "Content-Security-Policy",
                "Strict-Transport-Security",
                "X-Content-Type-Options",
                "X-Frame-Options"
            ]
        );
        assert!(file.users["ada"].reveal().starts_with("$2y$10$"));
        let rate = Rate {
            interval: Duration::from_millis(100),
            burst: 20,
        };
        assert_eq!(file.rate, Some(rate));
        assert!(!file.is_blank);
    }

    #[test]
    fn what_is_left_out_is_as_in_the_toolkit() {
        for blank in ["", "# nothing\n", "{}"] {
            let (file, problems) = read(blank);
            assert!(file.is_blank && problems.is_empty(), "{blank:?}");
        }
        for none in [
            "basic_auth_users: {}",
            "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
            "rate_limit: {interval: 0}",
            "rate_limit: {interval: 0s, burst: 0}",
        ] {
            let (file, problems) = read(none);
            assert_eq!(problems, [""; 0], "{none}");
            assert!(
                !file.is_blank
                    && file.tls.is_none()
                    && file.users.is_empty()
                    && file.rate.is_none(),
                "{none}"
            );
        }
        let (file, problems) = read("tls_server_config: {cert: a, key: b}");
        assert_eq!(problems, [""; 0]);
        let tls = file.tls.unwrap();
        assert_eq!(
            (tls.min_version, tls.max_version),
            (TlsVersion::Tls12, TlsVersion::Tls13)
        );
        assert!(tls.prefer_server_cipher_suites && tls.client_auth == ClientAuth::None);
        for (name, expected) in CLIENT_AUTH {
            assert_eq!(client_auth(name), Ok(*expected));
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once_and_no_secret_is_shown() {
        let (_, problems) = read(
            r#"
tls_server_config:
  cert: text
  cert_file: server.crt
  key_file: "-----BEGIN PRIVATE KEY-----\nhunter2\n"
  client_ca_file: ca.pem
  client_auth_type: Always
  client_allowed_sans: ['']
  min_version: TLS10
  max_version: SSL3
  cipher_suites: {}
  prefer_server_cipher_suites: perhaps
  curve: X25519
http_server_config:
  http2: h2
  headers: {Server: none, X-Frame-Options: never, Content-Security-Policy: "a\nb"}
basic_auth_users: {"a:b": hunter2, bob: [hunter2]}
rate_limit: {interval: 1, burst: -1}
basic_auth: {ada: hunter2}
"#,
        );
        let expected = "
tls_server_config.cert: allowed: cert or cert_file, not both
tls_server_config.key_file: allowed: a path; the text in PEM belongs to key
tls_server_config.client_auth_type: \"Always\": allowed: one of NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven, RequireAndVerifyClientCert
tls_server_config.client_allowed_sans: \"\": allowed: a DNS name, an address, an e-mail address or a URI
tls_server_config.min_version: \"TLS10\": allowed: TLS12 or TLS13; rustls has no older version, none of which is safe
tls_server_config.max_version: \"SSL3\": allowed: TLS12 or TLS13
tls_server_config.cipher_suites: a section: allowed: a text
tls_server_config.prefer_server_cipher_suites: \"perhaps\": allowed: true or false
tls_server_config.curve: unknown key, allowed: cert, cert_file, key, key_file, client_ca, client_ca_file, client_auth_type, client_allowed_sans, min_version, max_version, cipher_suites, prefer_server_cipher_suites, curve_preferences
http_server_config.http2: \"h2\": allowed: true or false
http_server_config.headers.Server: allowed: one of the headers Content-Security-Policy, Strict-Transport-Security, X-Content-Type-Options, X-Frame-Options, X-XSS-Protection
http_server_config.headers.X-Frame-Options: allowed: one of deny, sameorigin
http_server_config.headers.Content-Security-Policy: allowed: a header value: visible characters only
basic_auth_users.a:b: allowed: a name without a colon
basic_auth_users.bob: allowed: a text
rate_limit.interval: 1: allowed: a duration such as 1s or 100ms, up to a day, or 0 for no limit
rate_limit.burst: -1: allowed: a whole number
basic_auth: unknown key, allowed: tls_server_config, http_server_config, basic_auth_users, rate_limit
";
        assert_eq!(problems, expected.trim().lines().collect::<Vec<_>>());
        assert!(!problems.concat().contains("hunter2"));
    }

    #[test]
    fn keys_that_do_not_go_together_are_mistakes() {
        const PAIR: &str = "cert_file: a, key_file: b";
        for (section, expected) in [
            ("min_version: TLS13".to_owned(), "cert_file: missing"),
            ("cert_file: a".to_owned(), "key_file: missing"),
            (
                format!("{PAIR}, client_ca_file: c"),
                "client_auth_type: missing; with an authority for clients",
            ),
            (
                format!("{PAIR}, client_auth_type: RequireAndVerifyClientCert"),
                "client_ca_file: missing",
            ),
            (
                format!("{PAIR}, client_auth_type: VerifyClientCertIfGiven"),
                "client_ca_file: missing",
            ),
            (
                format!("{PAIR}, client_auth_type: RequestClientCert, client_allowed_sans: [x]"),
                "client_allowed_sans: allowed: only with",
            ),
            (
                format!("{PAIR}, client_allowed_sans: [x]"),
                "client_allowed_sans: allowed: only with",
            ),
            (
                format!("{PAIR}, client_auth_type: RequireAnyClientCert, client_allowed_sans: []"),
                "client_allowed_sans: an empty list",
            ),
            (
                format!("{PAIR}, min_version: TLS13, max_version: TLS12"),
                "max_version: TLS12 is below",
            ),
        ] {
            let (_, problems) = read(&format!("tls_server_config: {{{section}}}"));
            let found = problems.first().map(String::as_str).unwrap_or_default();
            assert!(
                found.starts_with(&format!("tls_server_config.{expected}")),
                "{section}: {problems:?}"
            );
        }
        let (_, problems) = read("rate_limit: {interval: 2days, burst: 1}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        let (_, problems) = read("rate_limit: {interval: 1s}");
        assert_eq!(
            problems,
            ["rate_limit.burst: with an interval, allowed: a whole number of requests from 1"]
        );
    }

    #[test]
    fn the_example_of_the_readme_is_right() {
        let readme = include_str!("../../README.md");
        let example = readme
            .split("```")
            .find(|block| block.starts_with("yaml\n# web.yml"));
        let example = example.unwrap().trim_start_matches("yaml");
        let (file, problems) = read(&example.replace("  # client", "  client"));
        assert_eq!(problems, [""; 0]);
        let tls = file.tls.unwrap();
        assert_eq!(tls.client_auth, ClientAuth::RequireAndVerify);
        assert!(file.rate.is_some() && file.users.contains_key("prometheus"));
    }
}
