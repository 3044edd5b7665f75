//! Tables of metrics and alerts for the README, between markers in it.

use std::fmt::Write as _;

use crate::catalog::{ALERTS, ALL, AlertDef, FIXED, Group, Kind, MetricDef, MetricNames, compact};
use crate::config::FixedKey;

use super::{Wanted, rules};

/// A text with every table between its markers as it should be.
///
/// # Errors
/// Which marker is missing.
pub(crate) fn fill_in(text: &str, wanted: &Wanted) -> Result<String, String> {
    let tables = [
        ("metrics", metrics(&ALL[..FIXED])),
        ("companions", companions()),
        ("alerts", alerts(wanted)),
        ("fixed", fixed()),
    ];
    let mut text = text.to_owned();
    for (name, table) in tables {
        let [begin, end] = [
            format!("<!-- begin generated: {name} -->\n"),
            format!("<!-- end generated: {name} -->\n"),
        ];
        let from = text.find(&begin).ok_or_else(|| begin.trim().to_owned())? + begin.len();
        let length = text[from..]
            .find(&end)
            .ok_or_else(|| end.trim().to_owned())?;
        text.replace_range(from..from + length, &table);
    }
    Ok(text)
}

fn metrics(defs: &[&MetricDef]) -> String {
    let mut table = "| Series | OpenTelemetry | Labels | Meaning |\n|---|---|---|---|\n".to_owned();
    for def in defs {
        let labels: Vec<&str> = def.labels.iter().map(|label| label.name).collect();
        let kind = match def.kind {
            Kind::Histogram { .. } => " (histogram)",
            Kind::Gauge | Kind::Counter | Kind::Info => "",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "| `{}`{kind} | `{}` | {} | {} |",
            def.series(""),
            def.pushed("", MetricNames::Otel),
            labels.join(", "),
            sentence(def.help)
        );
    }
    table
}

fn companions() -> String {
    let mut table = "| Series | Labels | Meaning |\n|---|---|---|\n".to_owned();
    let own = ALL[FIXED..]
        .iter()
        .filter(|def| def.group != Group::Standard);
    for def in own {
        let labels: Vec<&str> = def.labels.iter().map(|label| label.name).collect();
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            def.series(""),
            labels.join(", "),
            sentence(def.help)
        );
    }
    table
}

fn fixed() -> String {
    let mut table = "| Key | Because |\n|---|---|\n".to_owned();
    for key in FixedKey::ALL {
        let _ = writeln!(table, "| `{}` | {} |", key.key, key.why);
    }
    table
}

fn alerts(wanted: &Wanted) -> String {
    let mut table = "| Alert | Severity | Fires when | for |\n|---|---|---|---|\n".to_owned();
    for alert in ALERTS {
        let _ = writeln!(
            table,
            "| [{}](alertmanager/RUNBOOK.md#{}) | {} | {} |",
            alert.name,
            alert.name.to_lowercase(),
            alert.severity.as_str(),
            condition(alert, wanted)
        );
    }
    table
}

/// Two cells: what must be so, and for how long.
pub(super) fn condition(alert: &AlertDef, wanted: &Wanted) -> String {
    // A bar would end the cell.
    let expression = rules::expression_of(alert, wanted)
        .replace('\n', " ")
        .replace('|', "\\|");
    let hold = match alert.hold.is_zero() {
        true => "at once".to_owned(),
        false => compact(wanted.pace().time(alert.hold)),
    };
    format!("`{expression}` | {hold}")
}

/// As it stands in a cell: a help begins like a sentence.
fn sentence(help: &str) -> String {
    let mut letters = help.chars();
    let second_is_lower = help.chars().nth(1).is_some_and(char::is_lowercase);
    match letters.next() {
        // OS and RSS stay as they are.
        Some(first) if second_is_lower => first.to_lowercase().chain(letters).collect(),
        _ => help.to_owned(),
    }
}
