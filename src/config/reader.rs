//! Reads a document section by section. Nothing stops at the first mistake: each is noted, and what was not read is a mistake too.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_yaml::{Mapping, Value};

use super::knob::{Knob, Secret};
use super::problem::Problems;
use super::shown::{Shown, nearest, shown};

/// A mapping of the document.
pub(super) struct Section<'a> {
    path: String,
    map: Option<&'a Mapping>,
    read: Vec<&'static str>,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    pub(super) fn root(document: &'a Value, problems: &'a mut Problems) -> Self {
        Self {
            path: String::new(),
            map: document.as_mapping(),
            read: Vec::new(),
            problems,
        }
    }

    /// Reads a section below this one.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let path = self.path_of(key);
        let value = self.value(key);
        let map = value.and_then(Value::as_mapping);
        if let (Some(value), None) = (value, map) {
            self.problems.note(
                &path,
                Some(shown(value)),
                "allowed: a section with keys".to_owned(),
            );
        }
        let mut section = Section {
            path,
            map,
            read: Vec::new(),
            problems: self.problems,
        };
        let result = read(&mut section);
        section.finish();
        result
    }

    /// Any value of the kind.
    pub(super) fn get<T: Knob>(&mut self, key: &'static str) -> T {
        self.checked(key, |_| Ok(()))
    }

    /// A value in a range.
    pub(super) fn within<T: Knob + PartialOrd + Shown>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
    ) -> T {
        self.checked(key, |value| {
            if range.contains(value) {
                Ok(())
            } else {
                Err(format!(
                    "{} from {} to {}",
                    T::allowed(),
                    range.start().shown(),
                    range.end().shown()
                ))
            }
        })
    }

    /// A value that passes a check, which says what is allowed.
    pub(super) fn checked<T: Knob>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        let path = self.path_of(key);
        let Some(value) = self.value(key) else {
            return T::placeholder();
        };
        match T::parse(value)
            .ok_or_else(T::allowed)
            .and_then(|parsed| check(&parsed).map(|()| parsed))
        {
            Ok(parsed) => parsed,
            Err(allowed) => {
                self.problems
                    .note(&path, Some(shown(value)), format!("allowed: {allowed}"));
                T::placeholder()
            }
        }
    }

    /// A list of values, or a single one.
    pub(super) fn list<T: Knob>(&mut self, key: &'static str) -> Vec<T> {
        self.list_checked(key, |_| Ok(()))
    }

    /// A list of values that each pass a check, or a single one.
    pub(super) fn list_checked<T: Knob>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Vec<T> {
        let path = self.path_of(key);
        let values = match self.value(key) {
            Some(Value::Sequence(values)) => values.as_slice(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        };
        let mut parsed = Vec::new();
        for value in values {
            match T::parse(value)
                .ok_or_else(T::allowed)
                .and_then(|parsed| check(&parsed).map(|()| parsed))
            {
                Ok(value) => parsed.push(value),
                Err(allowed) => {
                    self.problems
                        .note(&path, Some(shown(value)), format!("allowed: {allowed}"))
                }
            }
        }
        parsed
    }

    /// A list of sections.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let path = self.path_of(key);
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(values) = value.as_sequence() else {
            let allowed = "allowed: a list of sections with keys".to_owned();
            self.problems.note(&path, Some(shown(value)), allowed);
            return Vec::new();
        };
        let mut parsed = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let Some(map) = value.as_mapping() else {
                let allowed = "allowed: a section with keys".to_owned();
                self.problems.note(&path, Some(shown(value)), allowed);
                continue;
            };
            let mut section = Section {
                path,
                map: Some(map),
                read: Vec::new(),
                problems: self.problems,
            };
            parsed.push(read(&mut section));
            section.finish();
        }
        parsed
    }

    /// A value that must be there and passes a check: in a list no profile stands behind it.
    pub(super) fn required<T: Knob>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        if self.map.is_none_or(|map| !map.contains_key(key)) {
            let path = self.path_of(key);
            let allowed = check(&T::placeholder()).err().unwrap_or_else(T::allowed);
            let detail = format!("missing; allowed: {allowed}");
            self.problems.note(&path, None, detail);
        }
        self.checked(key, check)
    }

    /// A list of at least one text, each of which passes a check and none of which is shown.
    pub(super) fn secrets(
        &mut self,
        key: &'static str,
        check: impl Fn(&Secret) -> Result<(), String>,
    ) -> Vec<Secret> {
        let values = match self.value(key) {
            Some(Value::Sequence(values)) => values.as_slice(),
            Some(single) => std::slice::from_ref(single),
            None => &[],
        };
        if values.is_empty() {
            let allowed = check(&Secret::placeholder()).err().unwrap_or_default();
            self.note_here(
                key,
                format!("missing; allowed: a list of at least one: {allowed}"),
            );
        }
        let mut parsed = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let secret = Secret::parse(value).ok_or_else(Secret::allowed);
            match secret.and_then(|secret| check(&secret).map(|()| secret)) {
                Ok(secret) => parsed.push(secret),
                Err(allowed) => {
                    self.note_here(&format!("{key}[{at}]"), format!("allowed: {allowed}"))
                }
            }
        }
        parsed
    }

    /// A value that need not be there, but passes a check if it is.
    pub(super) fn optional<T: Knob>(
        &mut self,
        key: &'static str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> Option<T> {
        let value = self.checked(key, check);
        self.map?.contains_key(key).then_some(value)
    }

    /// A text that need not be there and is never shown.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        check: impl Fn(&Secret) -> Result<(), String>,
    ) -> Option<Secret> {
        let value = self.value(key)?;
        let parsed = Secret::parse(value).ok_or_else(Secret::allowed);
        match parsed.and_then(|secret| check(&secret).map(|()| secret)) {
            Ok(secret) => Some(secret),
            Err(allowed) => {
                self.note_here(key, format!("allowed: {allowed}"));
                Some(Secret::placeholder())
            }
        }
    }

    /// A mapping of free keys. Values may be secrets and are not shown.
    pub(super) fn map<T: Knob>(
        &mut self,
        key: &'static str,
        check: impl Fn(&str, &T) -> Result<(), String>,
    ) -> BTreeMap<String, T> {
        let path = self.path_of(key);
        let mut parsed = BTreeMap::new();
        match self.value(key) {
            None | Some(Value::Null) => {}
            Some(Value::Mapping(map)) => {
                for (name, value) in map {
                    let name = String::parse(name).unwrap_or_default();
                    match T::parse(value)
                        .ok_or_else(T::allowed)
                        .and_then(|value| check(&name, &value).map(|()| value))
                    {
                        Ok(value) => {
                            parsed.insert(name, value);
                        }
                        Err(allowed) => {
                            self.problems.note(
                                &format!("{path}.{name}"),
                                None,
                                format!("allowed: {allowed}"),
                            );
                        }
                    }
                }
            }
            Some(other) => {
                let value = (!matches!(other, Value::String(_))).then(|| shown(other));
                self.problems
                    .note(&path, value, "allowed: keys with values".to_owned());
            }
        }
        parsed
    }

    /// Notes a mistake that only several values together make.
    pub(super) fn report(&mut self, key: &str, value: Option<String>, allowed: String) {
        self.problems
            .note(key, value, format!("allowed: {allowed}"));
    }

    /// Notes a mistake of a key of this section whose value is not shown.
    pub(super) fn note_here(&mut self, key: &str, detail: String) {
        let path = self.path_of(key);
        self.problems.note(&path, None, detail);
    }

    /// Whether a key is there, whatever its value.
    #[cfg(feature = "web-config")]
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.is_some_and(|map| map.contains_key(key))
    }

    /// How many mistakes were noted so far.
    pub(super) fn mistakes(&self) -> usize {
        self.problems.noted.len()
    }

    /// Leaves the other keys of this section alone: what they should be cannot be told.
    pub(super) fn leave(&mut self) {
        self.map = None;
    }

    /// Whether a mistake was noted for a key of this name: its value is a placeholder then.
    pub(super) fn is_noted(&self, name: &str) -> bool {
        self.problems
            .noted
            .iter()
            .any(|problem| problem.key.ends_with(name))
    }

    /// Notes the keys that nobody has read.
    pub(super) fn finish(&mut self) {
        for key in self.map.into_iter().flat_map(Mapping::keys) {
            let name = String::parse(key).unwrap_or_else(|| shown(key));
            if !self.read.contains(&name.as_str()) {
                let path = self.path_of(&name);
                let allowed = self.read.join(", ");
                let detail = match nearest(&name, &self.read) {
                    Some(near) => format!("unknown key, did you mean {near}? allowed: {allowed}"),
                    None => format!("unknown key, allowed: {allowed}"),
                };
                self.problems.note(&path, None, detail);
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.read.push(key);
        self.map.and_then(|map| map.get(key))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}
