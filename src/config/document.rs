//! Profile, file and environment become one document.

use serde_yaml::{Mapping, Value};

use super::problem::{ConfigError, Problems};
use super::{ENVIRONMENT_PREFIX, Profile};

const PRODUCTION: &str = include_str!("../../config/production.yaml");
const DEVELOPMENT: &str = include_str!("../../config/development.yaml");

/// A document on its way to becoming a configuration.
#[derive(Debug)]
pub(super) struct Document {
    root: Value,
    problems: Problems,
}

impl Document {
    pub(super) fn profile(profile: Profile) -> Result<Self, ConfigError> {
        let text = match profile {
            Profile::Production => PRODUCTION,
            Profile::Development => DEVELOPMENT,
        };
        let mut document = Self {
            root: Value::Mapping(Mapping::new()),
            problems: Problems::default(),
        };
        document.overlay_yaml(text);
        match document.outcome() {
            Ok(()) => Ok(document),
            Err(error) => Err(error),
        }
    }

    /// Lays a YAML document over this one. An empty document changes nothing.
    pub(super) fn overlay_yaml(&mut self, yaml: &str) {
        match serde_yaml::from_str::<Value>(yaml) {
            Ok(Value::Null) => {}
            Ok(value @ Value::Mapping(_)) => merge(&mut self.root, value),
            Ok(_) => self.problems.note(
                "",
                None,
                "the document is not a mapping; allowed: sections with keys".to_owned(),
            ),
            Err(error) => self
                .problems
                .note("", None, format!("not valid YAML: {error}")),
        }
    }

    /// Lays the variables that start with [`ENVIRONMENT_PREFIX`] over this document.
    pub(super) fn overlay_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) {
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        variables.sort();
        for (name, text) in variables {
            let path: Vec<String> = name[ENVIRONMENT_PREFIX.len()..]
                .split("__")
                .map(str::to_ascii_lowercase)
                .collect();
            // What is not YAML is text, so that nobody must quote a URL for two languages.
            let value = match serde_yaml::from_str::<Value>(&text) {
                Ok(Value::Null) | Err(_) => Value::String(text),
                Ok(value) => value,
            };
            self.problems.variables.insert(path.join("."), name);
            let nested = path.into_iter().rev().fold(value, |inner, key| {
                Value::Mapping(Mapping::from_iter([(Value::String(key), inner)]))
            });
            merge(&mut self.root, nested);
        }
    }

    /// The document, and where to note what is wrong with it.
    pub(super) fn parts(&mut self) -> (&Value, &mut Problems) {
        (&self.root, &mut self.problems)
    }

    /// Every mistake noted so far.
    pub(super) fn outcome(&mut self) -> Result<(), ConfigError> {
        let noted = std::mem::take(&mut self.problems.noted);
        if noted.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::new(noted))
        }
    }
}

/// Lays `over` on `base`: mappings key by key, everything else as a whole. A section with nothing in it changes nothing.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Mapping(base), Value::Mapping(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(old) => merge(old, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (Value::Mapping(_), Value::Null) => {}
        (base, over) => *base = over,
    }
}
