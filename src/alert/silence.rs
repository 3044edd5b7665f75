//! Silences: of what matches nobody is told, for a time.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Most silences at once.
pub(crate) const MOST_SILENCES: usize = 100;
/// Longest matcher, in bytes.
const LONGEST_MATCHER: usize = 1_000;
/// Most memory that an expression may take.
const MOST_OF_REGEX: usize = 64 << 10;

/// A condition on one label, as Alertmanager writes it: `severity="warning"`, `component=~"cache.*"`.
#[derive(Debug, Clone)]
pub(crate) struct Matcher {
    label: String,
    operator: Operator,
    value: String,
    /// Of the operators that have one; matches the whole value.
    regex: Option<Regex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Matches,
    MatchesNot,
}

/// Nobody is told of alerts that all matchers hold for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Silence {
    pub(crate) id: u64,
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) starts_at: SystemTime,
    pub(crate) ends_at: SystemTime,
    /// Who, if they said so.
    pub(crate) by: Option<String>,
    /// Why, if they said so.
    pub(crate) comment: Option<String>,
}

impl Operator {
    /// The longer ones first, as they begin alike.
    const ALL: [(&'static str, Self); 4] = [
        ("=~", Self::Matches),
        ("!~", Self::MatchesNot),
        ("!=", Self::NotEqual),
        ("=", Self::Equal),
    ];
}

impl FromStr for Matcher {
    type Err = String;

    /// `label=value`, `label!=value`, `label=~expression`, `label!~expression`, each with or without quotes around what is on the right.
    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || {
            "a label, one of = != =~ !~, and a value or an expression, such as component=\"cache\" or alertname=~\"Memory.*\"".to_owned()
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let text = text.trim();
        if text.len() > LONGEST_MATCHER {
            return Err(format!("at most {LONGEST_MATCHER} bytes"));
        }
        let (label, rest) = text.split_at(text.find(|c| !is_name(c)).ok_or_else(allowed)?);
        if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(allowed());
        }
        let rest = rest.trim_start();
        let found = Operator::ALL
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?.trim_start())));
        let (operator, value) = found.ok_or_else(allowed)?;
        let value = match value.strip_prefix('"') {
            // A text in quotes is one of JSON's: the same escapes.
            Some(_) => serde_json::from_str(value).map_err(|_| allowed())?,
            None => value.to_owned(),
        };
        let has_regex = matches!(operator, Operator::Matches | Operator::MatchesNot);
        let regex = has_regex.then(|| {
            RegexBuilder::new(&format!("^(?:{value})$"))
                .dot_matches_new_line(true)
                .size_limit(MOST_OF_REGEX)
                .build()
                .map_err(|_| format!("a regular expression of moderate size behind {label}"))
        });
        Ok(Self {
            label: label.to_owned(),
            operator,
            regex: regex.transpose()?,
            value,
        })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operators = Operator::ALL.iter();
        let sign = operators.find(|(_, operator)| *operator == self.operator);
        let sign = sign.map_or("=", |(sign, _)| sign);
        let value = serde_json::Value::from(self.value.as_str());
        write!(f, "{}{sign}{value}", self.label)
    }
}

/// As it is written.
impl Serialize for Matcher {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Matcher {
    /// Whether it holds for these labels. One that is missing is empty.
    pub(crate) fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let is_match = || {
            let regex = self.regex.as_ref();
            regex.is_some_and(|regex| regex.is_match(value))
        };
        match self.operator {
            Operator::Equal => value == self.value,
            Operator::NotEqual => value != self.value,
            Operator::Matches => is_match(),
            Operator::MatchesNot => !is_match(),
        }
    }
}

impl Silence {
    /// Whether it keeps an alert of these labels quiet.
    pub(super) fn covers(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matchers.iter().all(|matcher| matcher.holds(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(matcher: &str) -> bool {
        let labels = [("alertname", "MemoryLeak"), ("component", "a \"b\"\nc")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        matcher.parse::<Matcher>().unwrap().holds(&labels.into())
    }

    #[test]
    fn matchers_hold_as_alertmanagers_do() {
        for matcher in [
            "alertname=MemoryLeak",
            " alertname = \"MemoryLeak\" ",
            "alertname=~Memory.*",
            "alertname=~\"Leak|MemoryLeak\"",
            "alertname!=Memory",
            "alertname!~Memory",
            "component=\"a \\\"b\\\"\\nc\"",
            "component=~a.+c",
            "team=",
            "team!=x",
            "team!~.+",
        ] {
            assert!(holds(matcher), "{matcher}");
        }
        for matcher in [
            "alertname=Memory",
            "alertname=~Memory",
            "alertname=~Leak",
            "alertname!=MemoryLeak",
            "alertname!~Memory.*",
            "team=x",
            "team=~.+",
        ] {
            assert!(!holds(matcher), "{matcher}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused_with_what_is_allowed() {
        let long = format!("a={}", "x".repeat(LONGEST_MATCHER));
        for (text, allowed) in [
            ("", "such as component="),
            ("alertname", "such as component="),
            ("=x", "such as component="),
            ("1a=x", "such as component="),
            ("a-b=x", "such as component="),
            ("a=\"x", "such as component="),
            ("a=~(", "a regular expression"),
            ("a=~(x{1000}){1000}", "a regular expression"),
            (long.as_str(), "at most 1000 bytes"),
        ] {
            let error = text.parse::<Matcher>().unwrap_err();
            assert!(error.contains(allowed), "{text}: {error}");
        }
    }

    #[test]
    fn a_matcher_is_read_as_it_is_written() {
        for text in [
            r#"a="x""#,
            r#"a!="x \"y\" \\""#,
            r#"a=~"x.*\\d""#,
            r#"a!~"""#,
        ] {
            let matcher: Matcher = text.parse().unwrap();
            assert_eq!(matcher.to_string(), text);
            let json = serde_json::to_string(&matcher).unwrap();
            let again: Matcher = serde_json::from_str(&json).unwrap();
            assert_eq!(again.to_string(), text);
        }
    }
}
