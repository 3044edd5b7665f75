//! A message that only shows that messages arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::analysis::Culprit;
use crate::catalog::{ALERTS, AlertSeverity};
use crate::config::{ChannelConfig, Config, LeastSeverity};

use super::channel::{Failure, Receipt, Retry};
use super::delivery::Outlets;
use super::message::{Event, Group, Message, Notice, Origin};
use super::state::Identity;

/// The name of the alert: none of the real ones, so that it mutes none.
const NAME: &str = "MemoryTest";

/// What became of it.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Where it went, without anything secret.
    pub(crate) target: String,
    /// What it said, in a line.
    pub(crate) title: String,
    /// What came back.
    pub(crate) answer: Result<String, String>,
}

/// Sends a test message through a channel, or the end of one, once; to each peer where it has several. `job` and `instance` say which
/// process it claims to be from.
pub(crate) async fn try_channel(
    config: &Config,
    channel: &ChannelConfig,
    outlets: &Outlets,
    (job, instance): (&str, &str),
    is_end: bool,
) -> Vec<Trial> {
    let identity = Identity::new(config, job, instance);
    let severity = match channel.severity {
        LeastSeverity::Warning => AlertSeverity::Warning,
        LeastSeverity::Critical => AlertSeverity::Critical,
    };
    let message = message(&identity, severity, is_end);
    let mut trials = Vec::new();
    for (target, sent) in outlets.try_once(&channel.name, &message).await {
        trials.push(Trial {
            target,
            title: message.title(),
            answer: sent.map(|Receipt { answer }| answer).map_err(in_words),
        });
    }
    trials
}

fn in_words(failure: Failure) -> String {
    let then = match failure.retry {
        Retry::Soon(None) => "a real message would be tried again soon",
        Retry::Soon(Some(_)) => "a real message would be tried again when the receiver asks for it",
        Retry::Late => {
            "a real message would be tried again every minute, until somebody has put this right"
        }
        Retry::Never => "a real message would be given up",
    };
    format!("{}\n{then}", failure.why)
}

fn message(identity: &Identity, severity: AlertSeverity, is_end: bool) -> Message {
    let now = SystemTime::now();
    // The alert whose links it carries.
    let def = &ALERTS[0];
    let mut labels = identity.labels_of(def, None);
    for (name, value) in [
        ("alertname", NAME),
        ("severity", severity.as_str()),
        ("test", "true"),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    let notice = Notice {
        severity,
        labels,
        summary: "[TEST] This is a test of memory-exporter: nothing is wrong.".to_owned(),
        description: format!(
            "Somebody wants to see whether alerts of {} ({}) arrive here. The values below are made up.",
            identity.label("instance"),
            identity.label("job")
        ),
        value: "60.0 MB/h".to_owned(),
        threshold: Some("50 MB/h".to_owned()),
        active_at: now,
        fired_at: now,
        resolved_at: is_end.then_some(now),
        culprit: Some(Culprit {
            component: "example".to_owned(),
            call_site: "example::cache::insert (src/cache.rs:42)".to_owned(),
            bytes: 128.0 * 1_048_576.0,
            growth_mb_per_hour: Some(60.0),
            is_suspect: true,
            advice: String::new(),
        }),
        recommendation: "nothing is to be done".to_owned(),
        acknowledged_by: None,
        links: identity.links_of(def, None),
    };
    let origin = Origin::of(identity);
    Message {
        id: uuid::Uuid::new_v4().to_string(),
        event: match is_end {
            true => Event::Resolved,
            false => Event::Firing,
        },
        group: Arc::new(Group {
            key: format!(
                "{{job={:?},instance={:?},alertname={NAME:?}}}",
                origin.job, origin.instance
            ),
            labels: BTreeMap::from([("alertname".to_owned(), NAME.to_owned())]),
        }),
        notices: vec![notice],
        made_at: now,
        origin: Arc::new(origin),
        is_test: true,
    }
}
