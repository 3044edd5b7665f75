//! Kinds of values: what is allowed, and how it is said.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_yaml::Value;

use crate::catalog::{ALL, MetricNames};

/// A kind of value.
pub(super) trait Knob: Sized {
    /// What is allowed, for the message about what is not.
    fn allowed() -> String;

    /// The value, or `None` when it is not one of the kind.
    fn parse(value: &Value) -> Option<Self>;

    /// Stands in for a value that was refused; never used, as the configuration as a whole is refused then.
    fn placeholder() -> Self;
}

/// A value that the exporter finds by itself unless it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auto<T> {
    /// Found by the exporter.
    Auto,
    /// Given.
    Set(T),
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Enumerations whose values have names of their own.
macro_rules! choices {
    ($( $(#[$doc:meta])* $name:ident { $($text:literal => $variant:ident),* } )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the names say it; config/production.yaml explains them")]
        pub enum $name { $($variant),* }

        impl $name {
            /// All names.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// Its name, as it is configured.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            /// The variant of that name; the error says which names there are.
            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(format!("one of {}", Self::NAMES.join(", "))),
                }
            }
        }

        impl $crate::config::knob::Knob for $name {
            fn allowed() -> String {
                format!("one of {}", Self::NAMES.join(", "))
            }

            fn parse(value: &serde_yaml::Value) -> Option<Self> {
                value.as_str()?.parse().ok()
            }

            fn placeholder() -> Self {
                [$(Self::$variant),*][0]
            }
        }
    )*};
}
pub(super) use choices;

impl Knob for MetricNames {
    fn allowed() -> String {
        "one of otel, prometheus".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "otel" => Some(Self::Otel),
            "prometheus" => Some(Self::Prometheus),
            _ => None,
        }
    }

    fn placeholder() -> Self {
        Self::default()
    }
}

impl Knob for bool {
    fn allowed() -> String {
        "true or false".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn placeholder() -> Self {
        false
    }
}

impl Knob for String {
    fn allowed() -> String {
        "a text".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text.clone()),
            // A version or a port, say, that the user did not put into quotes.
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    fn placeholder() -> Self {
        Self::new()
    }
}

impl Knob for Secret {
    fn allowed() -> String {
        String::allowed()
    }

    fn parse(value: &Value) -> Option<Self> {
        String::parse(value).map(Self)
    }

    fn placeholder() -> Self {
        Self(String::new())
    }
}

impl Knob for Option<PathBuf> {
    fn allowed() -> String {
        "a path, or empty".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        Some((!text.is_empty()).then(|| text.into()))
    }

    fn placeholder() -> Self {
        None
    }
}

impl Knob for usize {
    fn allowed() -> String {
        "a whole number".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        Self::try_from(value.as_u64()?).ok()
    }

    fn placeholder() -> Self {
        0
    }
}

impl Knob for f64 {
    fn allowed() -> String {
        "a number".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        value.as_f64().filter(|number| number.is_finite())
    }

    fn placeholder() -> Self {
        0.0
    }
}

impl Knob for Duration {
    fn allowed() -> String {
        "a duration such as 30s, 5m or 1h30m".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        humantime::parse_duration(value.as_str()?).ok()
    }

    fn placeholder() -> Self {
        Self::ZERO
    }
}

impl Knob for SocketAddr {
    fn allowed() -> String {
        "an address with a port, such as 127.0.0.1:10113 or [::1]:10113".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn placeholder() -> Self {
        Self::from(([127, 0, 0, 1], 0))
    }
}

impl Knob for Auto<String> {
    fn allowed() -> String {
        "auto, or a text".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        match value.as_str()? {
            "auto" => Some(Self::Auto),
            text => Some(Self::Set(text.to_owned())),
        }
    }

    fn placeholder() -> Self {
        Self::Auto
    }
}

/// A size in bytes.
impl Knob for Auto<u64> {
    fn allowed() -> String {
        "auto, a size such as 512MiB or 2GiB, or a number of bytes".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        if let Some(bytes) = value.as_u64() {
            return (bytes > 0).then_some(Self::Set(bytes));
        }
        let text = value.as_str()?;
        if text == "auto" {
            return Some(Self::Auto);
        }
        // 1MB is a million bytes to some and 1048576 to others: only the unmistakable units are taken.
        let unit = text
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
            .trim();
        let size = text.parse::<bytesize::ByteSize>().ok()?.as_u64();
        (size > 0 && matches!(unit, "" | "B" | "KiB" | "MiB" | "GiB" | "TiB"))
            .then_some(Self::Set(size))
    }

    fn placeholder() -> Self {
        Self::Auto
    }
}

/// An absolute path that is not taken by another endpoint.
pub(super) fn is_path(path: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    let taken = path == "/"
        || path.starts_with("/metrics/memory")
        || path.starts_with("/-/")
        || path.starts_with("/debug");
    if path.starts_with('/')
        && !path.ends_with('/')
        && !path.contains("//")
        && path.chars().all(plain)
        && !taken
    {
        Ok(())
    } else {
        Err("a path such as /metrics: letters, digits and - _ . ~ behind slashes, not below /metrics/memory, /debug or /-".to_owned())
    }
}

pub(super) fn is_origin(origin: &str) -> Result<(), String> {
    let is_plain =
        || url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
    if origin == "*" || is_plain() {
        Ok(())
    } else {
        Err("\"*\" or an origin such as https://dash.example.org, without a path".to_owned())
    }
}

pub(super) fn is_endpoint(endpoint: &Auto<String>) -> Result<(), String> {
    match endpoint {
        Auto::Auto => Ok(()),
        Auto::Set(endpoint) => is_url(endpoint),
    }
}

/// A URL that can be pushed to.
pub(crate) fn is_url(endpoint: &str) -> Result<(), String> {
    match url::Url::parse(endpoint) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(()),
        _ => Err("a URL such as http://localhost:4317 or https://otlp.example.org".to_owned()),
    }
}

/// A header name of HTTP; the value may hold anything visible.
pub(super) fn is_header(name: &str, value: &Secret) -> Result<(), String> {
    if hyper::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("a header name: letters, digits and -".to_owned());
    }
    hyper::header::HeaderValue::from_str(value.reveal())
        .map(|_| ())
        .map_err(|_| "a header value: visible characters only".to_owned())
}

pub(super) fn is_attribute(name: &str, _value: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("an attribute name such as service.name".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn is_namespace(namespace: &str) -> Result<(), String> {
    if namespace.is_empty()
        || (is_name(namespace) && !namespace.ends_with('_') && !namespace.contains("__"))
    {
        Ok(())
    } else {
        Err(
            "empty, or letters, digits and single _ between them, not starting with a digit"
                .to_owned(),
        )
    }
}

/// A label name that Prometheus takes and no metric of ours has.
pub(super) fn is_label(name: &str, _value: &str) -> Result<(), String> {
    let ours = ALL
        .iter()
        .flat_map(|def| def.labels)
        .any(|label| label.name == name);
    if is_name(name) && !name.starts_with("__") && !ours && name != "le" {
        Ok(())
    } else {
        Err("a label name: letters, digits and _, not starting with a digit or __, and none that a metric has already".to_owned())
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
