//! The rules of grafana/dashboard-linter that apply to dashboards on Prometheus, by its names; those on Loki are left out.

use serde_json::Value;

use super::promql::Query;
use super::{Rule, definition, list, panels, queries, targets};

pub(super) const RULES: &[Rule] = &[
    ("template-datasource", template_datasource),
    ("template-job", |dashboard| {
        template(dashboard, "job", "Job")
    }),
    ("template-instance", |dashboard| {
        template(dashboard, "instance", "Instance")
    }),
    ("template-label-promql", template_label_promql),
    ("template-on-time-change-reload", template_reload),
    ("panel-datasource", panel_datasource),
    ("panel-title-description", panel_title_description),
    ("panel-units", panel_units),
    ("panel-no-targets", panel_no_targets),
    ("target-promql", target_promql),
    ("target-rate-interval", target_rate_interval),
    ("target-job", |dashboard| target_follows(dashboard, "job")),
    ("target-instance", |dashboard| {
        target_follows(dashboard, "instance")
    }),
    ("target-counter-agg", target_counter_agg),
    ("uneditable", uneditable),
];

/// Those of Grafana's units that we need; the linter's list holds each of them.
const UNITS: [&str; 8] = [
    "short",
    "bytes",
    "mbytes",
    "binBps",
    "percentunit",
    "s",
    "ops",
    "none",
];

const DATASOURCE: &str = "${datasource}";

fn variables(dashboard: &Value) -> &[Value] {
    list(&dashboard["templating"], "list")
}

fn template_datasource(dashboard: &Value) -> Vec<String> {
    let is_it = |variable: &Value| {
        variable["type"] == "datasource"
            && variable["name"] == "datasource"
            && variable["label"] == "Data source"
            && variable["query"] == "prometheus"
    };
    if variables(dashboard).iter().any(is_it) {
        Vec::new()
    } else {
        vec!["no variable datasource labelled Data source".to_owned()]
    }
}

fn template(dashboard: &Value, name: &str, label: &str) -> Vec<String> {
    let Some(variable) = variables(dashboard)
        .iter()
        .find(|variable| variable["name"] == name)
    else {
        return vec![format!("no variable {name}")];
    };
    [
        (variable["type"] == "query", "is no query"),
        (
            variable["datasource"]["uid"] == DATASOURCE,
            "asks another data source",
        ),
        (variable["label"] == label, "has another label"),
        (variable["multi"] == true, "takes one value only"),
        (variable["allValue"] == ".+", "means something else by all"),
    ]
    .into_iter()
    .filter(|(is_so, _)| !is_so)
    .map(|(_, wrong)| format!("variable {name} {wrong}"))
    .collect()
}

fn template_label_promql(dashboard: &Value) -> Vec<String> {
    let queries = variables(dashboard)
        .iter()
        .filter(|variable| variable["type"] == "query");
    queries
        .filter_map(|variable| {
            let text = variable["query"]["query"].as_str().unwrap_or_default();
            let wrong = label_values(text).err()?;
            Some(format!("{text}: {wrong}"))
        })
        .collect()
}

/// `label_values(selector, label)`, where the selector's metric has the label.
fn label_values(text: &str) -> Result<(), String> {
    let inner = text
        .strip_prefix("label_values(")
        .and_then(|text| text.strip_suffix(')'))
        .ok_or("not label_values(...)")?;
    let (selector, label) = inner.rsplit_once(',').ok_or("no label")?;
    let query = Query::parse(selector)?;
    let selected = query.selected();
    let [selected] = selected.as_slice() else {
        return Err("not one selector".to_owned());
    };
    let (_, labels) = definition(selected.name()).ok_or("unknown metric")?;
    let label = label.trim();
    if labels.contains(&label) || super::TARGET_LABELS.contains(&label) {
        Ok(())
    } else {
        Err(format!("{} has no {label}", selected.name()))
    }
}

fn template_reload(dashboard: &Value) -> Vec<String> {
    let stale = variables(dashboard)
        .iter()
        .filter(|variable| variable["type"] == "query" && variable["refresh"] != 2);
    stale
        .map(|variable| format!("{} is not reloaded when the time changes", variable["name"]))
        .collect()
}

fn panel_datasource(dashboard: &Value) -> Vec<String> {
    let of_targets = targets(dashboard).into_iter();
    let asked = panels(dashboard)
        .into_iter()
        .map(|panel| (panel, panel))
        .chain(of_targets);
    asked
        .filter(|(_, asks)| asks["datasource"]["uid"] != DATASOURCE)
        .map(|(panel, _)| format!("{} asks another data source", panel["title"]))
        .collect()
}

fn panel_title_description(dashboard: &Value) -> Vec<String> {
    let is_empty = |text: &Value| text.as_str().is_none_or(|text| text.trim().is_empty());
    panels(dashboard)
        .into_iter()
        .filter(|panel| is_empty(&panel["title"]) || is_empty(&panel["description"]))
        .map(|panel| format!("panel {} has no title or no description", panel["id"]))
        .collect()
}

fn panel_units(dashboard: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    for panel in panels(dashboard) {
        let config = &panel["fieldConfig"];
        let own = match panel["type"].as_str() {
            Some("heatmap") => &panel["options"]["yAxis"]["unit"],
            _ => &config["defaults"]["unit"],
        };
        let properties = list(config, "overrides")
            .iter()
            .flat_map(|except| list(except, "properties"));
        let others = properties
            .filter(|property| property["id"] == "unit")
            .map(|property| &property["value"]);
        for unit in others.chain([own]) {
            if unit.as_str().is_none_or(|unit| !UNITS.contains(&unit)) {
                violations.push(format!("{} has the unit {unit}", panel["title"]));
            }
        }
    }
    violations
}

fn panel_no_targets(dashboard: &Value) -> Vec<String> {
    panels(dashboard)
        .into_iter()
        .filter(|panel| list(panel, "targets").is_empty())
        .map(|panel| format!("{} asks nothing", panel["title"]))
        .collect()
}

fn target_promql(dashboard: &Value) -> Vec<String> {
    targets(dashboard)
        .into_iter()
        .filter_map(|(panel, target)| {
            let wrong = Query::parse(target["expr"].as_str().unwrap_or_default()).err()?;
            Some(format!("{}: {wrong}", panel["title"]))
        })
        .collect()
}

fn target_rate_interval(dashboard: &Value) -> Vec<String> {
    of_selectors(dashboard, |selected| {
        let is_rate = matches!(selected.function, Some("rate" | "irate"));
        (is_rate && !selected.is_over_rate_interval())
            .then(|| "not over $__rate_interval".to_owned())
    })
}

fn target_follows(dashboard: &Value, label: &str) -> Vec<String> {
    of_selectors(dashboard, |selected| {
        (!selected.follows(label)).then(|| format!("does not follow ${label}"))
    })
}

fn target_counter_agg(dashboard: &Value) -> Vec<String> {
    of_selectors(dashboard, |selected| {
        let is_counter = selected.name().ends_with("_total");
        let is_rate = matches!(selected.function, Some("rate" | "irate" | "increase"));
        (is_counter && !is_rate).then(|| "a counter as it is says nothing".to_owned())
    })
}

fn uneditable(dashboard: &Value) -> Vec<String> {
    if dashboard["editable"] == false {
        Vec::new()
    } else {
        vec!["can be edited, and is lost when it is generated again".to_owned()]
    }
}

/// What is wrong with selectors, with the panel and the metric.
pub(super) fn of_selectors(
    dashboard: &Value,
    wrong: impl Fn(&super::promql::Selected<'_>) -> Option<String>,
) -> Vec<String> {
    let mut violations = Vec::new();
    for (title, query) in queries(dashboard) {
        for selected in query.selected() {
            if let Some(wrong) = wrong(&selected) {
                violations.push(format!("{title}: {}: {wrong}", selected.name()));
            }
        }
    }
    violations
}
