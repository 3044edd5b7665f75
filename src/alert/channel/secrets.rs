//! The secrets of one attempt: read for it, because files are rotated, and taken out of whatever comes back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use url::Url;

use crate::config::{Authorization, Secret, SecretSource, is_channel_url};

/// What stands in place of a secret.
const REDACTED: &str = "<redacted>";
/// Parts of a URL that are shorter are words, such as `services`, rather than secrets.
const LEAST_OF_SEGMENT: usize = 9;
/// The same of what its query says.
const LEAST_OF_VALUE: usize = 4;

/// Secrets that were read, in every form in which a receiver might repeat them.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    /// Reads a secret.
    ///
    /// # Errors
    /// It is not there; says why.
    pub(super) fn read(&mut self, source: &SecretSource) -> Result<Secret, String> {
        let secret = source.read()?;
        self.add(secret.reveal());
        Ok(secret)
    }

    /// Reads a URL which, or part of which, is secret.
    ///
    /// # Errors
    /// It is not there, or is no URL; says why, without any of it.
    pub(super) fn url(&mut self, source: &SecretSource) -> Result<Url, String> {
        let text = self.read(source)?;
        let no_url = |allowed: String| format!("{source} cannot be used: allowed: {allowed}");
        is_channel_url(text.reveal()).map_err(no_url)?;
        let url = Url::parse(text.reveal()).map_err(|cause| no_url(cause.to_string()))?;
        self.add(url.as_str());
        let segments = url.path_segments().into_iter().flatten();
        let segments = segments.filter(|segment| segment.len() >= LEAST_OF_SEGMENT);
        segments.for_each(|segment| self.add(segment));
        if url.path().len() >= LEAST_OF_SEGMENT {
            self.add(url.path());
        }
        let values = url.query_pairs().map(|(_, value)| value);
        let whole = url.query().into_iter().chain(url.fragment());
        let values = values.chain(whole.map(Into::into));
        let values = values.filter(|value| value.len() >= LEAST_OF_VALUE);
        values.for_each(|value| self.add(&value));
        Ok(url)
    }

    /// The header `Authorization`, where there is one.
    ///
    /// # Errors
    /// What is needed for it is not there, or cannot stand in a header; says why.
    pub(super) fn authorization(
        &mut self,
        config: &Authorization,
    ) -> Result<Option<HeaderValue>, String> {
        let (text, source) = match config {
            Authorization::None => return Ok(None),
            Authorization::Bearer(source) => {
                let token = self.read(source)?;
                (format!("Bearer {}", token.reveal()), source)
            }
            Authorization::Basic { username, password } => {
                let secret = self.read(password)?;
                let both = STANDARD.encode(format!("{username}:{}", secret.reveal()));
                self.add(&both);
                (format!("Basic {both}"), password)
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| {
            format!("{source} cannot be used: allowed: a token of visible characters only")
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Notes something that must not be seen.
    pub(super) fn add(&mut self, text: &str) {
        let quoted = serde_json::Value::from(text).to_string();
        // As it stands in JSON, where that is not how it is.
        let in_json = quoted.trim_matches('"');
        for form in [text, in_json] {
            let is_known = |known: &Secret| known.reveal() == form;
            if !form.is_empty() && !self.0.iter().any(is_known) {
                self.0.push(Secret::new(form.to_owned()));
            }
        }
    }

    /// A text in which none of the secrets stands.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut redacted = String::with_capacity(text.len());
        let mut rest = text;
        // In one pass, and the longest first: what replaces a secret is not looked at again.
        while let Some(next) = rest.chars().next() {
            let secrets = self.0.iter().map(Secret::reveal);
            let here = secrets.filter(|secret| rest.starts_with(secret));
            let taken = match here.map(str::len).max() {
                Some(length) => {
                    redacted.push_str(REDACTED);
                    length
                }
                None => {
                    redacted.push(next);
                    next.len_utf8()
                }
            };
            rest = &rest[taken..];
        }
        redacted
    }
}

/// What can be shown of a URL whose path may be what keeps others out.
pub(super) fn origin(source: &SecretSource) -> String {
    match Secrets::default().url(source) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => format!("the URL of {source}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretSource {
        SecretSource::Value(Secret::new(text.to_owned()))
    }

    #[test]
    fn a_url_is_not_seen_nor_what_matters_of_it() {
        let mut secrets = Secrets::default();
        let text = "https://hooks.example.org/services/T0000000/B00/abcdefghijkl?key=s3cret&v=1";
        secrets.url(&value(text)).unwrap();
        for (echo, shown) in [
            (format!("no route {text}"), "no route <redacted>"),
            (
                "POST /services/T0000000/B00/abcdefghijkl: 404".to_owned(),
                "POST <redacted>: 404",
            ),
            ("unknown abcdefghijkl".to_owned(), "unknown <redacted>"),
            (
                r"https:\/\/hooks.example.org\/services\/x\/abcdefghijkl".to_owned(),
                r"https:\/\/hooks.example.org\/services\/x\/<redacted>",
            ),
            ("key s3cret is gone".to_owned(), "key <redacted> is gone"),
            ("services are down".to_owned(), "services are down"),
        ] {
            assert_eq!(secrets.redact(&echo), shown);
        }
        assert!(!format!("{secrets:?}").contains("s3cret"));
    }

    #[test]
    fn the_longest_secret_is_taken_out_and_nothing_of_what_replaces_it() {
        let mut secrets = Secrets::default();
        for text in ["abc", "abcdef", "e", "q\"q"] {
            secrets.add(text);
        }
        assert_eq!(secrets.redact("abcdef"), "<redacted>");
        assert_eq!(secrets.redact("abcd"), "<redacted>d");
        assert_eq!(
            secrets.redact(r#"ünd q"q q\"q"#),
            "ünd <redacted> <redacted>"
        );
        assert_eq!(Secrets::default().redact("abc"), "abc");
    }

    #[test]
    fn a_header_says_who_we_are() {
        let mut secrets = Secrets::default();
        let bearer = Authorization::Bearer(value("t0ken"));
        let header = secrets.authorization(&bearer).unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer t0ken");
        assert!(header.is_sensitive());
        // RFC 7617, section 2.
        let basic = Authorization::Basic {
            username: "Aladdin".to_owned(),
            password: value("open sesame"),
        };
        let header = secrets.authorization(&basic).unwrap().unwrap();
        assert_eq!(
            header.to_str().unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        for echo in ["t0ken", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="] {
            assert_eq!(secrets.redact(echo), REDACTED);
        }
        assert_eq!(secrets.authorization(&Authorization::None), Ok(None));
        let broken = Authorization::Bearer(value("to\nken"));
        assert_eq!(
            secrets.authorization(&broken),
            Err("the value cannot be used: allowed: a token of visible characters only".to_owned())
        );
    }

    #[test]
    fn a_url_that_is_none_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "hooks.example.org/secret\n").unwrap();
        let source = SecretSource::File(path.clone());
        let why = Secrets::default().url(&source).unwrap_err();
        assert_eq!(
            why,
            format!(
                "the file {} cannot be used: allowed: a URL such as https://hooks.example.org/alerts, without user and password",
                path.display()
            )
        );
        std::fs::write(&path, " https://hooks.example.org/x\n").unwrap();
        let url = Secrets::default().url(&source).unwrap();
        assert_eq!(url.as_str(), "https://hooks.example.org/x");
    }
}
