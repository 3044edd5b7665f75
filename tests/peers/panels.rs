//! The panels of the dashboards, asked of a real Prometheus as Grafana would ask.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memory_exporter::catalog::RSS_BYTES;
use serde_json::Value;

use crate::http;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How much of the past is shown.
const RANGE: Duration = Duration::from_secs(60);

fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970")
}

/// What services used a day ago, by job and instance, in OpenMetrics: there is a panel that compares with it.
pub(crate) fn yesterday(services: [(&str, &str); 2]) -> String {
    let name = RSS_BYTES.series("");
    let begin = now() - DAY - Duration::from_secs(300);
    let samples = services.into_iter().flat_map(|(job, instance)| {
        let name = &name;
        (0..60).map(move |step| {
            let time = (begin + step * Duration::from_secs(15)).as_secs();
            format!("{name}{{job={job:?},instance={instance:?}}} 1e8 {time}\n")
        })
    });
    let samples: String = samples.collect();
    format!("# TYPE {name} gauge\n{samples}# EOF\n")
}

/// Every query of every panel below `dashboards` gives something of `job`, and Prometheus has no remark on it.
pub(crate) fn have_data(dashboards: &Path, prometheus: &str, job: &str) {
    let entries = std::fs::read_dir(dashboards).expect("the dashboards");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    let mut queries = 0;
    let mut findings = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a dashboard");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        for panel in panels(&dashboard["panels"]) {
            for target in panel["targets"].as_array().into_iter().flatten() {
                queries += 1;
                if let Err(finding) = asked(prometheus, target, job) {
                    findings.push(format!(
                        "{} of {}: {finding}",
                        panel["title"], dashboard["title"]
                    ));
                }
            }
        }
    }
    assert!(queries > 50, "{queries} queries");
    assert!(findings.is_empty(), "{job}:\n{}", findings.join("\n"));
}

/// Panels, those in rows that are collapsed too.
fn panels(list: &Value) -> Vec<&Value> {
    let list = list.as_array().into_iter().flatten();
    list.flat_map(|panel| [vec![panel], panels(&panel["panels"])].concat())
        .collect()
}

fn asked(prometheus: &str, target: &Value, job: &str) -> Result<(), String> {
    let expression = target["expr"].as_str().ok_or("no expression")?;
    let query = [
        ("$__rate_interval", "5s"),
        ("$__interval", "1s"),
        ("$__range", "10m"),
        ("$job", job),
        ("$instance", ".+"),
        ("$component", ".+"),
    ]
    .iter()
    .fold(expression.to_owned(), |text, (variable, value)| {
        text.replace(variable, value)
    });
    let (start, end) = (
        (now() - RANGE).as_secs().to_string(),
        now().as_secs().to_string(),
    );
    let answer = if target["instant"] == true {
        http::json(&format!("{prometheus}/api/v1/query"), &[("query", &query)])
    } else {
        let parameters = [
            ("query", query.as_str()),
            ("start", &start),
            ("end", &end),
            ("step", "5"),
        ];
        http::json(&format!("{prometheus}/api/v1/query_range"), &parameters)
    };
    for remarks in ["warnings", "infos"] {
        if !answer[remarks].is_null() {
            return Err(format!("{query}: {}", answer[remarks]));
        }
    }
    let series = answer["data"]["result"].as_array().ok_or("no result")?;
    if series.is_empty() {
        return Err(format!("nothing: {query}"));
    }
    Ok(())
}
