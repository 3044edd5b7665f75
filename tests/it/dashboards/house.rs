//! Our own rules: only names of the catalog, panels beside and not upon one another, links that lead somewhere, nothing left out.

use std::collections::{BTreeSet, HashMap};

use memory_exporter::catalog;
use serde_json::Value;

use super::linter::of_selectors;
use super::promql::Query;
use super::{Rule, TARGET_LABELS, definition, list, panels, queries, targets};

pub(super) const RULES: &[Rule] = &[
    ("names", names),
    ("grid", grid),
    ("ids", ids),
    ("kinds", kinds),
    ("thresholds", thresholds),
    ("intervals", intervals),
    ("links", links),
];

/// The one series that is Prometheus' own, and the labels that its rules give it.
pub(super) const ALERTS: &str = "ALERTS";
pub(super) const ALERT_LABELS: [&str; 4] = ["alertname", "alertstate", "severity", "component"];

/// Panels that every Grafana has.
const KINDS: [&str; 7] = [
    "row",
    "stat",
    "timeseries",
    "bargauge",
    "table",
    "heatmap",
    "state-timeline",
];

/// What an override can change, in the panels that we have.
const PROPERTIES: [&str; 8] = [
    "unit",
    "decimals",
    "color",
    "thresholds",
    "mappings",
    "links",
    "custom.cellOptions",
    "custom.lineStyle",
];

const TRANSFORMATIONS: [&str; 2] = ["merge", "organize"];

const COLUMNS: u64 = 24;

fn names(dashboard: &Value) -> Vec<String> {
    let mut violations = of_selectors(dashboard, |selected| {
        let labels = match selected.name() {
            ALERTS => ALERT_LABELS.to_vec(),
            name => match definition(name) {
                Some((_, labels)) => labels,
                None => return Some("not in the catalog".to_owned()),
            },
        };
        selected.matchers().iter().find_map(|matcher| {
            let label = matcher.name.as_str();
            if !labels.contains(&label) && !TARGET_LABELS.contains(&label) {
                return Some(format!("has no label {label}"));
            }
            let (def, _) = definition(selected.name())?;
            let known = def.labels.iter().find(|def| def.name == label)?.values;
            let mut values = matcher.value.split('|');
            let unknown = values.find(|value| !known.is_empty() && !known.contains(value))?;
            Some(format!("{label} is never {unknown}"))
        })
    });
    let all: BTreeSet<&str> = (catalog::ALL.iter())
        .flat_map(|def| def.labels.iter().map(|label| label.name))
        .chain(TARGET_LABELS)
        .chain(ALERT_LABELS)
        .chain(["le"])
        .collect();
    for (title, query) in queries(dashboard) {
        let unknown = query
            .groupings()
            .into_iter()
            .filter(|label| !all.contains(label));
        violations.extend(unknown.map(|label| format!("{title}: no metric has a label {label}")));
    }
    for (panel, target) in targets(dashboard) {
        let legend = target["legendFormat"].as_str().unwrap_or_default();
        let Ok(query) = Query::parse(target["expr"].as_str().unwrap_or_default()) else {
            continue;
        };
        let named = between(legend, "{{", "}}");
        let lost = named.into_iter().filter(|label| !query.keeps(label));
        violations.extend(lost.map(|label| {
            format!(
                "{}: the legend names {label}, which no series has",
                panel["title"]
            )
        }));
    }
    violations
}

/// Every text between `start` and `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    text.split(start)
        .skip(1)
        .filter_map(|rest| rest.split(end).next())
        .collect()
}

/// Left, top, right, bottom.
fn corners(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or(0));
    [x, y, x + w, y + h]
}

fn grid(dashboard: &Value) -> Vec<String> {
    let open: Vec<&Value> = list(dashboard, "panels").iter().collect();
    let closed = open.iter().map(|row| list(row, "panels").iter().collect());
    let groups: Vec<Vec<&Value>> = closed.chain([open.clone()]).collect();
    let mut violations = Vec::new();
    for group in groups {
        for (at, panel) in group.iter().enumerate() {
            let [left, top, right, bottom] = corners(panel);
            if left >= right || top >= bottom || right > COLUMNS {
                violations.push(format!("{} does not fit", panel["title"]));
            }
            let upon = group[..at].iter().filter(|other| {
                let [l, t, r, b] = corners(other);
                left < r && l < right && top < b && t < bottom
            });
            violations.extend(
                upon.map(|other| format!("{} lies upon {}", panel["title"], other["title"])),
            );
        }
    }
    violations
}

fn ids(dashboard: &Value) -> Vec<String> {
    let rows = list(dashboard, "panels").iter();
    let rows = rows.filter(|panel| panel["type"] == "row");
    let mut seen = BTreeSet::new();
    rows.chain(panels(dashboard))
        .filter(|panel| !panel["id"].as_u64().is_some_and(|id| seen.insert(id)))
        .map(|panel| format!("{} has the id of another, or none", panel["title"]))
        .collect()
}

fn kinds(dashboard: &Value) -> Vec<String> {
    let is_of =
        |known: &[&str], name: &Value| name.as_str().is_some_and(|name| known.contains(&name));
    let mut violations = Vec::new();
    for panel in list(dashboard, "panels").iter().chain(panels(dashboard)) {
        let overrides = list(&panel["fieldConfig"], "overrides").iter();
        let properties = overrides.flat_map(|except| list(except, "properties"));
        let ids = [&panel["type"]].into_iter().map(|kind| (&KINDS[..], kind));
        let ids = ids
            .chain(properties.map(|property| (&PROPERTIES[..], &property["id"])))
            .chain(
                list(panel, "transformations")
                    .iter()
                    .map(|change| (&TRANSFORMATIONS[..], &change["id"])),
            );
        let unknown = ids.filter(|(known, name)| !is_of(known, name));
        violations
            .extend(unknown.map(|(_, name)| format!("{}: {name} is not known", panel["title"])));
    }
    violations
}

fn thresholds(dashboard: &Value) -> Vec<String> {
    panels(dashboard)
        .into_iter()
        .filter(|panel| {
            let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"], "steps");
            let values: Vec<Option<f64>> =
                steps.iter().map(|step| step["value"].as_f64()).collect();
            // The first is null, which is less than every number.
            values.first().is_some_and(Option::is_some)
                || values.windows(2).any(|pair| pair[0] >= pair[1])
        })
        .map(|panel| format!("those of {} do not rise", panel["title"]))
        .collect()
}

fn intervals(dashboard: &Value) -> Vec<String> {
    targets(dashboard)
        .into_iter()
        .filter(|(panel, target)| {
            let interval = &panel["interval"];
            interval.as_str().is_none_or(str::is_empty) || *interval != target["interval"]
        })
        .map(|(panel, _)| format!("{} asks more or less often than its panel", panel["title"]))
        .collect()
}

fn urls<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("url").and_then(Value::as_str));
            object.values().for_each(|value| urls(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| urls(value, found)),
        _ => {}
    }
}

/// That what a link says of labels is known where it is clicked; and that a link by tags finds its own dashboard.
fn links(dashboard: &Value) -> Vec<String> {
    let tags = list(dashboard, "tags");
    let lost = list(dashboard, "links")
        .iter()
        .flat_map(|link| list(link, "tags"))
        .filter(|tag| !tags.contains(tag));
    let mut violations: Vec<String> = lost
        .map(|tag| format!("none bears the tag {tag}"))
        .collect();
    for panel in panels(dashboard) {
        let mut found = Vec::new();
        urls(panel, &mut found);
        for url in found {
            let labels = between(url, "${__field.labels.", "}").into_iter();
            let labels = labels.chain(between(url, "${__data.fields.", "}"));
            for label in labels {
                let knows = |target: &&Value| {
                    let expr = target["expr"].as_str().unwrap_or_default();
                    Query::parse(expr).is_ok_and(|query| query.keeps(label))
                };
                if !list(panel, "targets").iter().all(|target| knows(&target)) {
                    violations.push(format!("{}: {url}: no {label} is known", panel["title"]));
                }
            }
        }
    }
    violations
}

/// What is wrong with all of them together.
pub(super) fn together(dashboards: &[Value]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut uids: HashMap<&str, usize> = HashMap::new();
    for dashboard in dashboards {
        *uids
            .entry(dashboard["uid"].as_str().unwrap_or_default())
            .or_default() += 1;
    }
    let twins = uids.iter().filter(|(_, count)| **count > 1);
    violations.extend(twins.map(|(uid, _)| format!("two have the uid {uid}")));

    let mut found = Vec::new();
    dashboards
        .iter()
        .for_each(|dashboard| urls(dashboard, &mut found));
    let leads = found.into_iter().filter_map(|url| url.strip_prefix("/d/"));
    let leads: BTreeSet<&str> = leads
        .filter_map(|url| url.split(['?', '/']).next())
        .collect();
    let nowhere = leads.into_iter().filter(|uid| !uids.contains_key(uid));
    violations.extend(nowhere.map(|uid| format!("/d/{uid} leads nowhere")));

    let all: Vec<_> = dashboards.iter().flat_map(queries).collect();
    let shown: BTreeSet<&str> = all
        .iter()
        .flat_map(|(_, query)| query.selected())
        .filter_map(|selected| definition(selected.name()).map(|(def, _)| def.name))
        .collect();
    for def in &catalog::ALL[..catalog::FIXED] {
        if !shown.contains(def.name) {
            violations.push(format!("no panel shows {}", def.series("")));
        }
    }
    for def in catalog::ALL {
        let mut group = catalog::ALL.iter().filter(|other| other.group == def.group);
        let violation = format!("no panel shows the group {:?}", def.group);
        if !group.any(|def| shown.contains(def.name)) && !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    violations
}
