//! Where a notification leads to: the same places, whether a template of Prometheus fills in the labels or the process itself.

use std::time::Duration;

use crate::catalog::{AlertDef, Board, compact};
use crate::config;

/// How far back the flame graph of an alert shows what grew.
const GREW_WITHIN: Duration = Duration::from_secs(3600);
/// Browsers and receivers cut what is longer.
#[cfg(feature = "channels")]
const MOST_OF_LINK: usize = 2_000;

/// Where people find out more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Links {
    /// What to do; a file name where nobody has said where the runbook can be read.
    pub(crate) runbook: String,
    /// The dashboard in Grafana, where that is known.
    pub(crate) dashboard: Option<String>,
    /// The exporter's own flame graph; none for an alert on no single process.
    pub(crate) flamegraph: Option<String>,
}

impl Links {
    /// Those of an alert. `fill` gives the value of a label, for a URL's query or as it is.
    pub(crate) fn of(
        alert: &AlertDef,
        links: &config::Links,
        fill: impl Fn(&str, InUrl) -> String,
    ) -> Self {
        let labels = alert.labels();
        let variables = labels
            .iter()
            .filter(|label| ["job", "instance"].contains(label))
            .map(|label| format!("var-{label}={}", fill(label, InUrl::Query)));
        let variables = variables.collect::<Vec<_>>().join("&");
        Self {
            runbook: format!("{}#{}", links.runbook, alert.name.to_lowercase()),
            dashboard: links.dashboard.as_ref().map(|grafana| {
                let board = Board::of_alert(alert).uid();
                format!("{}/d/{board}?{variables}", grafana.trim_end_matches('/'))
            }),
            flamegraph: labels.contains(&"instance").then(|| {
                let exporter = exporter(links, &fill("instance", InUrl::Host));
                let query = match labels.contains(&"component") {
                    true => format!("component={}", fill("component", InUrl::Query)),
                    false => format!("since={}", compact(GREW_WITHIN)),
                };
                format!("{exporter}/debug/flamegraph?{query}")
            }),
        }
    }
}

#[cfg(feature = "channels")]
impl Links {
    /// Those that lead somewhere, by their names: a runbook that is only a file, and what is too long for a link, is left out.
    pub(crate) fn targets(&self) -> Vec<(&'static str, &str)> {
        let leads = |url: &&str| {
            let is_http = url.starts_with("http://") || url.starts_with("https://");
            is_http && url.len() <= MOST_OF_LINK
        };
        [
            ("Flame graph", self.flamegraph.as_deref()),
            ("Dashboard", self.dashboard.as_deref()),
            ("Runbook", Some(self.runbook.as_str())),
        ]
        .into_iter()
        .filter_map(|(name, url)| Some((name, url.filter(leads)?)))
        .collect()
    }
}

/// Where in a URL a label stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InUrl {
    /// Where nothing is escaped.
    Host,
    /// Where everything is.
    Query,
}

/// The exporter as people on call reach it, without a slash at the end.
pub(crate) fn exporter(links: &config::Links, instance: &str) -> String {
    let url = links.exporter.replace("{instance}", instance);
    url.trim_end_matches('/').to_owned()
}
