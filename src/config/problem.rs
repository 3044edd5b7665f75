//! Mistakes in a configuration: each with its key, its value and what is allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

/// A configuration that cannot be used, with every mistake in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Path of the key, as `web.listen_address`; empty when the document as a whole is meant.
    pub key: String,
    /// The environment variable that it came from.
    pub variable: Option<String>,
    /// The value, unless it must not be shown.
    pub value: Option<String>,
    /// What is wrong, and what is allowed.
    pub detail: String,
}

impl ConfigError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    pub(super) fn unreadable(path: &Path, cause: &io::Error) -> Self {
        let detail = format!("cannot read {}: {cause}", path.display());
        Self::new(vec![Problem {
            key: String::new(),
            variable: None,
            value: None,
            detail,
        }])
    }

    /// All mistakes, in the order of the document.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl std::error::Error for ConfigError {}

/// One line per mistake.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Problem {
    /// A mistake in a variable that belongs to no key and so stands in its place.
    #[cfg(feature = "otlp")]
    pub(crate) fn of_variable(variable: &str, value: Option<String>, detail: String) -> Self {
        Self {
            key: variable.to_owned(),
            variable: None,
            value,
            detail,
        }
    }

    /// A mistake of a key whose value need not be shown.
    pub(crate) fn of_key(key: &str, detail: String) -> Self {
        Self {
            key: key.to_owned(),
            variable: None,
            value: None,
            detail,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(variable) = &self.variable {
            write!(f, " (from {variable})")?;
        }
        if !self.key.is_empty() || self.variable.is_some() {
            f.write_str(": ")?;
        }
        if let Some(value) = &self.value {
            write!(f, "{value}: ")?;
        }
        f.write_str(&self.detail)
    }
}

/// Where mistakes are noted, and which keys came from which variable.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) noted: Vec<Problem>,
    pub(super) variables: BTreeMap<String, String>,
}

impl Problems {
    pub(super) fn note(&mut self, key: &str, value: Option<String>, detail: String) {
        let variable = self.variables.get(key).cloned();
        // A key of the document may hold anything, and a mistake is one line.
        let key = match key.contains(char::is_control) {
            true => key.escape_debug().to_string(),
            false => key.to_owned(),
        };
        self.noted.push(Problem {
            key,
            variable,
            value,
            detail,
        });
    }
}
