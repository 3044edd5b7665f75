//! What the real stores hold: Prometheus, filled by scrapes, and VictoriaMetrics, filled by pushes.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::http;
use crate::series::{Id, Labels, Series};
use crate::wait::eventually;

/// Labels that a scrape adds.
const OF_SCRAPE: [&str; 2] = ["job", "instance"];
/// Series that Prometheus adds to a scrape.
const ABOUT_SCRAPE: [&str; 2] = ["up", "scrape_"];

/// Milliseconds since 1970.
pub(crate) fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_millis()
}

/// The vector that a PromQL query gives.
pub(crate) fn query(prometheus: &str, query: &str) -> Series {
    let answer = http::json(&format!("{prometheus}/api/v1/query"), &[("query", query)]);
    let result = answer["data"]["result"].as_array().expect("a vector");
    let samples = result.iter().map(|sample| {
        let metric = &sample["metric"];
        let value = sample["value"][1].as_str().expect("a value");
        (of_metric(metric), value.parse().expect("a number"))
    });
    samples.collect()
}

/// A metric object; after an operation it has no name.
fn of_metric(metric: &Value) -> Id {
    let mut metric = metric.clone();
    metric
        .as_object_mut()
        .expect("an object")
        .entry("__name__")
        .or_insert_with(|| Value::from(""));
    Id::of_json(&metric)
}

/// What Prometheus holds of a job, without what it added itself.
pub(crate) fn scraped(prometheus: &str, job: &str) -> Series {
    let all = query(prometheus, &format!("{{job={job:?}}}"));
    let own = all.into_iter().filter(|(id, _)| {
        !ABOUT_SCRAPE
            .iter()
            .any(|prefix| id.name.starts_with(prefix))
    });
    own.map(|(mut id, value)| {
        id.labels
            .retain(|name, _| !OF_SCRAPE.contains(&name.as_str()));
        (id, value)
    })
    .collect()
}

/// One push, as it is stored.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) series: Series,
    /// What stands on every series beside its own labels: resource and scope, under names as Prometheus writes them.
    pub(crate) resource: Labels,
}

/// The first push after the moment `since` that `store` holds of a service. `own` are the labels that belong to the series.
pub(crate) fn pushed_after(store: &str, service: &str, since: u128, own: &[&str]) -> Pushed {
    eventually(&format!("a push of {service} arrives"), || {
        http::get(&format!("{store}/internal/force_flush"), "*/*");
        let selector = format!("{{\"service.name\"={service:?} or service_name={service:?}}}");
        let url = http::with_query(&format!("{store}/api/v1/export"), &[("match[]", &selector)]);
        let lines = http::get(&url, "*/*").body;
        let rows: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row"))
            .collect();
        let time = rows
            .iter()
            .flat_map(times)
            .filter(|time| *time > since)
            .min()?;
        // The store takes a push in several steps; a later one says that this one is whole.
        rows.iter().flat_map(times).find(|later| *later > time)?;
        let rows = rows.iter().filter_map(|row| {
            let at = times(row).position(|moment| moment == time)?;
            Some((Id::of_json(&row["metric"]), row["values"][at].as_f64()?))
        });
        Some(split(rows, own))
    })
}

fn times(row: &Value) -> impl Iterator<Item = u128> {
    let times = row["timestamps"].as_array().expect("timestamps");
    times
        .iter()
        .map(|time| time.as_u64().expect("milliseconds").into())
}

/// Takes the labels that are not the series' own to one side, where they must be the same for all.
fn split(rows: impl Iterator<Item = (Id, f64)>, own: &[&str]) -> Pushed {
    let mut resources = BTreeMap::new();
    let mut series = Series::new();
    for (id, value) in rows {
        let (labels, resource): (Labels, Labels) = id
            .labels
            .into_iter()
            .partition(|(name, _)| own.contains(&name.as_str()));
        let resource: Labels = resource
            .into_iter()
            .map(|(name, value)| (name.replace('.', "_"), value))
            .collect();
        resources.insert(resource, id.name.clone());
        series.insert(
            Id {
                name: id.name,
                labels,
            },
            value,
        );
    }
    assert_eq!(resources.len(), 1, "one resource: {resources:?}");
    let resource = resources.into_keys().next().expect("the resource");
    Pushed { series, resource }
}
