//! How values and keys are shown to who has mistaken them.

use std::time::Duration;

use serde_yaml::Value;

/// How the end of a range is shown.
pub(super) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for u64 {
    fn shown(&self) -> String {
        bytesize::ByteSize(*self).to_string().replace(' ', "")
    }
}

impl Shown for f64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// A value in one short line.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Mapping(_) => "a section".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        // What has a tag may have lines.
        other => {
            let text = serde_yaml::to_string(other).unwrap_or_default();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    };
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// The known key that is a few edits away.
pub(super) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let most = (name.len() / 2).clamp(1, 3);
    let (distance, key) = known.iter().map(|key| (edits(name, key), *key)).min()?;
    (distance <= most).then_some(key)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
