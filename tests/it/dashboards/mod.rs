//! What the committed dashboards must be: the rules of Grafana's dashboard linter that apply, and ours. No Grafana is needed. Each rule
//! is a pure function over the parsed JSON, so that a test can plant a violation and see it found.
//!
//! | file | holds |
//! |---|---|
//! | `linter.rs` | the rules of the linter, by its names |
//! | `house.rs` | ours: names of the catalog, the grid, ids, links, thresholds |
//! | `promql.rs` | what an expression asks for |

mod house;
mod linter;
mod promql;

use std::fs;
use std::path::Path;

use memory_exporter::catalog;
use serde_json::{Value, json};

/// A rule, by its name: what it finds wrong with a dashboard.
type Rule = (&'static str, fn(&Value) -> Vec<String>);

#[test]
fn the_committed_dashboards_are_sound() {
    let dashboards = dashboards();
    let mut found = Vec::new();
    for dashboard in &dashboards {
        found.extend(check(dashboard));
    }
    found.extend(house::together(&dashboards));
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_rule_can_fail() {
    let sound = &dashboards()[1];
    assert_eq!(check(sound), Vec::<String>::new());
    let mut unseen: Vec<&str> = rules().map(|(name, _)| name).collect();
    for (rule, at, planted) in violations() {
        let mut broken = sound.clone();
        *place(&mut broken, at).unwrap_or_else(|| panic!("{at:?} does not exist")) = planted;
        let found = check(&broken);
        assert!(
            found.iter().any(|violation| violation.contains(rule)),
            "{rule} at {at:?}: found {found:?}"
        );
        unseen.retain(|name| *name != rule);
    }
    assert_eq!(unseen, Vec::<&str>::new(), "no violation is planted");
}

#[test]
fn what_is_missing_from_all_of_them_is_found() {
    let dashboards = dashboards();
    let twins = [dashboards[0].clone(), dashboards[0].clone()];
    let found = house::together(&twins);
    for said in [
        "two have the uid memory-overview",
        "no panel shows memory_allocation_size_bytes",
        "no panel shows the group Exporter",
        "/d/memory-leaks leads nowhere",
    ] {
        assert!(
            found.iter().any(|violation| violation.contains(said)),
            "{said}: found {found:?}"
        );
    }
}

/// What to put where in the dashboard of leaks, and which rule must find it. A place is the title of a panel, or nothing for the
/// dashboard itself, and what follows from there.
fn violations() -> Vec<(&'static str, (&'static str, &'static str), Value)> {
    const STAT: &str = "Main suspect";
    const ASKED: (&str, &str) = (STAT, "/targets/0/expr");
    const LINK: &str = "/fieldConfig/defaults/links/0/url";
    let asked = |text: &str| json!(text.replace('@', r#"job=~"$job", instance=~"$instance""#));
    let head = |key| ("", key);
    vec![
        (
            "template-datasource",
            head("/templating/list/0/label"),
            json!("Source"),
        ),
        (
            "template-job",
            head("/templating/list/1/allValue"),
            json!(".*"),
        ),
        (
            "template-job",
            head("/templating/list/1/label"),
            json!("Jobs"),
        ),
        (
            "template-instance",
            head("/templating/list/2/multi"),
            json!(false),
        ),
        (
            "template-label-promql",
            head("/templating/list/1/query/query"),
            json!("label_values(memory_rss_bytes{, job)"),
        ),
        (
            "template-label-promql",
            head("/templating/list/1/query/query"),
            json!("label_values(memory_rss_bytes, pod)"),
        ),
        (
            "template-on-time-change-reload",
            head("/templating/list/2/refresh"),
            json!(1),
        ),
        (
            "panel-datasource",
            (STAT, "/datasource/uid"),
            json!("prometheus"),
        ),
        (
            "panel-datasource",
            (STAT, "/targets/0/datasource/uid"),
            json!("prometheus"),
        ),
        ("panel-title-description", (STAT, "/title"), json!("")),
        (
            "panel-title-description",
            ("Suspects opened", "/description"),
            json!(" "),
        ),
        (
            "panel-units",
            (STAT, "/fieldConfig/defaults/unit"),
            json!("suffix: MB/h"),
        ),
        ("panel-no-targets", (STAT, "/targets"), json!([])),
        (
            "target-promql",
            ASKED,
            asked("max by (job (memory_rss_bytes{@})"),
        ),
        (
            "target-promql",
            ASKED,
            asked("limitk(1, memory_rss_bytes{@})"),
        ),
        ("target-promql", ASKED, asked("info(memory_rss_bytes{@})")),
        (
            "target-rate-interval",
            ASKED,
            asked("rate(memory_leak_count_total{@}[5m])"),
        ),
        (
            "target-job",
            ASKED,
            json!(r#"memory_rss_bytes{instance=~"$instance"}"#),
        ),
        (
            "target-instance",
            ASKED,
            json!(r#"memory_rss_bytes{job=~"$job", instance=~"$instance|"}"#),
        ),
        (
            "target-counter-agg",
            ASKED,
            asked("memory_leak_count_total{@} > 0"),
        ),
        (
            "target-counter-agg",
            ASKED,
            asked("max_over_time(memory_leak_count_total{@}[5m])"),
        ),
        ("uneditable", head("/editable"), json!(true)),
        ("names", ASKED, asked("memory_rss{@}")),
        ("names", ASKED, asked("sum by (pod) (memory_rss_bytes{@})")),
        (
            "names",
            ASKED,
            asked("memory_rss_bytes{@, severity=\"high\"}"),
        ),
        (
            "names",
            ASKED,
            asked("memory_leak_suspects{@, severity=\"fatal\"}"),
        ),
        ("names", (STAT, "/targets/0/legendFormat"), json!("{{pod}}")),
        ("grid", (STAT, "/gridPos/w"), json!(8)),
        ("grid", ("Suspects opened", "/gridPos/x"), json!(13)),
        ("grid", (STAT, "/gridPos/h"), json!(0)),
        ("ids", (STAT, "/id"), json!(1)),
        ("kinds", (STAT, "/type"), json!("stats")),
        (
            "kinds",
            (
                "Resident memory, heap and limit",
                "/fieldConfig/overrides/0/properties/1/id",
            ),
            json!("custom.lineStile"),
        ),
        (
            "kinds",
            ("Suspects in the time shown", "/transformations/0/id"),
            json!("join"),
        ),
        (
            "thresholds",
            (
                "Leak growth, MB per hour",
                "/fieldConfig/defaults/thresholds/steps/1/value",
            ),
            json!(1000),
        ),
        ("intervals", (STAT, "/targets/0/interval"), json!("1m")),
        (
            "links",
            (STAT, LINK),
            json!("/d/memory-leaks?var-pod=${__field.labels.pod}"),
        ),
        (
            "links",
            ("Time to the limit", LINK),
            json!("/d/memory-leaks?var-component=${__field.labels.component}"),
        ),
        ("links", head("/links/0/tags/0"), json!("storage")),
    ]
}

/// A value of a dashboard, to be broken.
fn place<'a>(dashboard: &'a mut Value, (title, key): (&str, &str)) -> Option<&'a mut Value> {
    if title.is_empty() {
        return dashboard.pointer_mut(key);
    }
    let all = dashboard["panels"].as_array_mut()?.iter_mut();
    let mut panels = all.flat_map(|panel| match panel["panels"].is_array() {
        true => panel["panels"]
            .as_array_mut()
            .map_or(Vec::new(), |all| all.iter_mut().collect()),
        false => vec![panel],
    });
    panels
        .find(|panel| panel["title"] == title)?
        .pointer_mut(key)
}

fn rules() -> impl Iterator<Item = Rule> {
    linter::RULES.iter().chain(house::RULES).copied()
}

fn check(dashboard: &Value) -> Vec<String> {
    let title = &dashboard["title"];
    rules()
        .flat_map(|(name, rule)| {
            let found = rule(dashboard).into_iter();
            found.map(move |violation| format!("{name}: {title}: {violation}"))
        })
        .collect()
}

/// The committed ones, in the order of their files' names turned round: overview, leaks, allocator.
fn dashboards() -> [Value; 3] {
    ["overview", "leaks", "allocator"].map(|name| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join(format!("dashboards/memory-{name}.json"));
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    })
}

/// The elements of a list, none where there is none.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// All panels but the headings of rows; those of collapsed rows too.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let all = list(dashboard, "panels").iter();
    all.flat_map(|panel| match panel["type"].as_str() {
        Some("row") => list(panel, "panels").iter().collect(),
        _ => vec![panel],
    })
    .collect()
}

/// Every query, with the panel that it belongs to.
fn targets(dashboard: &Value) -> Vec<(&Value, &Value)> {
    let panels = panels(dashboard).into_iter();
    panels
        .flat_map(|panel| {
            list(panel, "targets")
                .iter()
                .map(move |target| (panel, target))
        })
        .collect()
}

/// Every query that can be parsed, with the title of its panel; that the others cannot is a rule of its own.
fn queries(dashboard: &Value) -> Vec<(String, promql::Query)> {
    let targets = targets(dashboard).into_iter();
    targets
        .filter_map(|(panel, target)| {
            let query = promql::Query::parse(target["expr"].as_str()?).ok()?;
            Some((panel["title"].to_string(), query))
        })
        .collect()
}

/// The labels that every series from a scrape or a push has.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// The definition behind a series, and the labels that the series has beside those of its target.
fn definition(series: &str) -> Option<(&'static catalog::MetricDef, Vec<&'static str>)> {
    catalog::ALL.iter().find_map(|def| {
        let mut labels: Vec<_> = def.labels.iter().map(|label| label.name).collect();
        let part = series.strip_prefix(&def.series(""))?;
        match (part, def.kind) {
            ("", catalog::Kind::Gauge | catalog::Kind::Counter | catalog::Kind::Info) => {}
            ("_sum" | "_count", catalog::Kind::Histogram { .. }) => {}
            ("_bucket", catalog::Kind::Histogram { .. }) => labels.push("le"),
            _ => return None,
        }
        Some((*def, labels))
    })
}
