//! Rules for Prometheus, and tests of them for `promtool test rules`.
//!
//! | file | holds |
//! |---|---|
//! | `alerting.rs` | alerts as rules: expressions, texts, links |
//! | `recording.rs` | sums and rates over a fleet, made in advance, and their tests |
//! | `track.rs` | series made up for a test |
//! | `scenes.rs` | what each kind of alert is tried with |
//! | `rehearsal.rs` | what a rule must do with such series: when it is pending, fires, stops |
//! | `unit_tests.rs` | the files for promtool |

mod alerting;
mod recording;
mod rehearsal;
mod scenes;
mod track;
mod unit_tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::catalog::compact;
use crate::config::Profile;

use super::{Artifact, Wanted, yaml};

pub(super) use alerting::expression_of;

/// A file of rules.
#[derive(Debug, Serialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Group {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Rule {
    Alerting(Alerting),
    Recording { record: String, expr: String },
}

#[derive(Debug, Serialize)]
struct Alerting {
    alert: &'static str,
    expr: String,
    #[serde(
        rename = "for",
        skip_serializing_if = "is_zero",
        serialize_with = "short"
    )]
    hold: Duration,
    #[serde(
        rename = "keep_firing_for",
        skip_serializing_if = "is_zero",
        serialize_with = "short"
    )]
    keep_firing: Duration,
    labels: BTreeMap<&'static str, String>,
    annotations: Annotations,
}

/// What a notification says, in the order in which people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flamegraph_url: Option<String>,
}

fn is_zero(duration: &Duration) -> bool {
    duration.is_zero()
}

fn short<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&compact(*duration))
}

/// Two files of rules and the tests of both, of one profile. Those of the development profile stand in a folder of their own, so that
/// `rules/*.yml` of a Prometheus is one profile.
pub(super) fn artifacts(wanted: &Wanted) -> Vec<Artifact> {
    let folder = match wanted.profile {
        Profile::Production => "",
        Profile::Development => "development/",
    };
    let up = if folder.is_empty() {
        "../"
    } else {
        "../development/"
    };
    let file = |name: &str, group: Group| Artifact {
        path: format!("alertmanager/rules/{folder}{name}.yml"),
        contents: yaml(&File {
            groups: vec![group],
        }),
    };
    let mut artifacts = vec![
        file("memory-alerts", alerting::group(wanted)),
        file("memory-recording", recording::group(wanted)),
    ];
    artifacts.extend(unit_tests::artifacts(wanted, up));
    artifacts
}
