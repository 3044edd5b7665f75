//! Kinds of values: what is allowed, and how it is said.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_yaml::Value;

use crate::catalog::MetricNames;

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

impl<T> Auto<T> {
    /// What is given, if it is.
    pub fn given(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Set(value) => Some(value),
        }
    }
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
        format!("auto, {}", u64::allowed())
    }

    fn parse(value: &Value) -> Option<Self> {
        if value.as_str() == Some("auto") {
            return Some(Self::Auto);
        }
        u64::parse(value).filter(|size| *size > 0).map(Self::Set)
    }

    fn placeholder() -> Self {
        Self::Auto
    }
}

/// A size in bytes.
impl Knob for u64 {
    fn allowed() -> String {
        "a size such as 512MiB or 2GiB, or a number of bytes".to_owned()
    }

    fn parse(value: &Value) -> Option<Self> {
        value.as_u64().or_else(|| parse_size(value.as_str()?))
    }

    fn placeholder() -> Self {
        0
    }
}

/// A size as it is configured: `2MiB`, or a number of bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    // 1MB is a million bytes to some and 1048576 to others: only the unmistakable units are taken.
    let unit = text
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')
        .trim();
    matches!(unit, "" | "B" | "KiB" | "MiB" | "GiB" | "TiB")
        .then(|| text.parse::<bytesize::ByteSize>().ok())
        .flatten()
        .map(|size| size.as_u64())
}
