//! Series with their values, from wherever they come, in one form: label sets are sorted, and `le` is compared as a number.

use std::collections::{BTreeMap, BTreeSet};

use memory_exporter::catalog::{ALL, Kind, MetricDef};
use serde_json::Value;

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) name: String,
    pub(crate) labels: Labels,
}

/// Values by series.
pub(crate) type Series = BTreeMap<Id, f64>;

impl Id {
    pub(crate) fn new(name: &str, labels: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut labels: Labels = labels.into_iter().collect();
        if let Some(le) = labels.get_mut("le") {
            let bound: f64 = le.parse().unwrap_or_else(|_| panic!("{le} is no bound"));
            *le = format!("{bound:?}");
        }
        Self {
            name: name.to_owned(),
            labels,
        }
    }

    /// From the labels of a JSON object, `__name__` among them.
    pub(crate) fn of_json(object: &Value) -> Self {
        let object = object.as_object().expect("an object of labels");
        let text = |value: &Value| value.as_str().expect("a label value").to_owned();
        let others = object.iter().filter(|(name, _)| *name != "__name__");
        Self::new(
            &text(&object["__name__"]),
            others.map(|(name, value)| (name.clone(), text(value))),
        )
    }

    /// The definition that the series is of, under a prefix.
    pub(crate) fn def(&self, namespace: &str) -> &'static MetricDef {
        let of = |def: &&&MetricDef| {
            let series = def.series(namespace);
            match def.kind {
                Kind::Histogram { .. } => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| self.name == format!("{series}{suffix}")),
                _ => self.name == series,
            }
        };
        let found = ALL.iter().find(of);
        found.unwrap_or_else(|| panic!("the catalog has no {}", self.name))
    }
}

/// Reads an exposition. Whether it is a valid one is judged by others.
pub(crate) fn of_text(exposition: &str) -> Series {
    let samples = exposition
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut series = Series::new();
    for line in samples {
        let (id, value) = sample(line);
        let value = value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}"));
        let twice = series.insert(id, value);
        assert_eq!(twice, None, "the series stands there twice: {line}");
    }
    series
}

fn sample(line: &str) -> (Id, &str) {
    let Some((name, mut rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        return (Id::new(name, []), value);
    };
    let mut labels = Vec::new();
    while let Some((label, text)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = text.chars();
        loop {
            match characters.next().expect("the end of the value") {
                '"' => break,
                '\\' => value.push(match characters.next() {
                    Some('n') => '\n',
                    other => other.expect("the escaped character"),
                }),
                other => value.push(other),
            }
        }
        labels.push((label.trim_start_matches(',').to_owned(), value));
        rest = characters.as_str();
        if rest.starts_with('}') {
            break;
        }
    }
    (Id::new(name, labels), rest.trim_start_matches('}').trim())
}

/// The value of one series.
pub(crate) fn value(series: &Series, name: &str, labels: &[(&str, &str)]) -> f64 {
    let own = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let id = Id::new(name, own);
    *series
        .get(&id)
        .unwrap_or_else(|| panic!("there is no {id:?}"))
}

/// Which series there are.
pub(crate) fn ids(series: &Series) -> BTreeSet<&Id> {
    series.keys().collect()
}
