//! What people are told: the alerts of one group at one moment, and all that a channel may say of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::analysis::Culprit;
use crate::catalog::{AlertSeverity, compact};

use super::links::{Links, exporter};
use super::state::Identity;

/// One message; every channel writes it in its own way.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Of this message alone, and the same at each attempt to deliver it.
    pub(crate) id: String,
    pub(crate) event: Event,
    pub(crate) group: Arc<Group>,
    /// Its alerts: first those that fire, then those that ended. Never empty.
    pub(crate) notices: Vec<Notice>,
    pub(crate) made_at: SystemTime,
    pub(crate) origin: Arc<Origin>,
    /// Whether it only shows that messages arrive.
    pub(crate) is_test: bool,
}

/// Why a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Alerts of the group fire that nobody was told of.
    Firing,
    /// They still do.
    StillFiring,
    /// Somebody has taken on all that fire.
    Acknowledged,
    /// None fires any more.
    Resolved,
}

/// Alerts that are told of together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// The same for each message on the group, after a restart too, and for no other group of any process.
    pub(crate) key: String,
    /// What its alerts have in common by which they are grouped.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) job: String,
    pub(crate) instance: String,
    /// The exporter, as people on call reach it, without a slash at the end.
    pub(crate) url: String,
}

/// What is said of one alert.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) severity: AlertSeverity,
    /// All labels, `alertname` and `severity` among them.
    pub(crate) labels: BTreeMap<String, String>,
    /// What is wrong, in a sentence without values.
    pub(crate) summary: String,
    /// What is wrong, with values.
    pub(crate) description: String,
    /// The value as people read it.
    pub(crate) value: String,
    /// What it is held against, where there is that.
    pub(crate) threshold: Option<String>,
    /// Since when what it is about was so.
    pub(crate) active_at: SystemTime,
    /// When it fired first.
    pub(crate) fired_at: SystemTime,
    /// When it ended.
    pub(crate) resolved_at: Option<SystemTime>,
    /// Who is to blame, where that can be told.
    pub(crate) culprit: Option<Culprit>,
    /// What to do.
    pub(crate) recommendation: String,
    pub(crate) acknowledged_by: Option<String>,
    pub(crate) links: Links,
}

impl Origin {
    /// A process.
    pub(super) fn of(identity: &Identity) -> Self {
        let (job, instance) = (identity.label("job"), identity.label("instance"));
        Self {
            job: job.to_owned(),
            instance: instance.to_owned(),
            url: exporter(&identity.links, instance),
        }
    }
}

impl Message {
    /// Whether nothing of it fires any more.
    pub(crate) fn is_resolved(&self) -> bool {
        self.event == Event::Resolved
    }

    /// The worst of its alerts.
    pub(crate) fn severity(&self) -> AlertSeverity {
        let is_critical = |notice: &Notice| notice.severity == AlertSeverity::Critical;
        match self.notices.iter().any(is_critical) {
            true => AlertSeverity::Critical,
            false => AlertSeverity::Warning,
        }
    }

    /// The alerts that fire.
    pub(crate) fn firing(&self) -> impl Iterator<Item = &Notice> {
        let notices = self.notices.iter();
        notices.filter(|notice| notice.resolved_at.is_none())
    }

    /// Whether it says of all alerts what the other says.
    pub(crate) fn stands_as(&self, other: &Self) -> bool {
        let stand = |message: &Self| -> Vec<_> {
            let notices = message.notices.iter();
            notices
                .map(|notice| (notice.labels.clone(), notice.resolved_at))
                .collect()
        };
        stand(self) == stand(other)
    }

    /// One line: `[FIRING:2] MemoryLeak critical shop at host:1`, as the shipped template of Alertmanager writes it.
    pub(crate) fn title(&self) -> String {
        let status = match self.event {
            Event::Firing => format!("FIRING:{}", self.firing().count()),
            Event::StillFiring => format!("STILL FIRING:{}", self.firing().count()),
            Event::Acknowledged => "ACKNOWLEDGED".to_owned(),
            Event::Resolved => "RESOLVED".to_owned(),
        };
        let test = if self.is_test { "[TEST] " } else { "" };
        let names = ["alertname", "severity", "component"].map(|label| self.common(label));
        let names: Vec<&str> = names.into_iter().flatten().collect();
        let Origin { job, instance, .. } = &*self.origin;
        format!("{test}[{status}] {} {job} at {instance}", names.join(" "))
    }

    /// The value of a label that all alerts have in common.
    pub(crate) fn common(&self, label: &str) -> Option<&str> {
        let mut values = self.notices.iter().map(|notice| notice.labels.get(label));
        let first = values.next()??;
        values
            .all(|value| value == Some(first))
            .then_some(first.as_str())
    }
}

impl Notice {
    /// What is known of it beside its summary and description: names and values, for people.
    pub(crate) fn facts(&self, now: SystemTime) -> Vec<(&'static str, String)> {
        let mut facts = vec![("value", self.value.clone())];
        let threshold = self.threshold.clone();
        facts.extend(threshold.map(|threshold| ("threshold", threshold)));
        let since = format!("{} ({})", rfc3339(self.active_at), self.lasted(now));
        facts.push(("since", since));
        let resolved = self.resolved_at.map(rfc3339);
        facts.extend(resolved.map(|time| ("resolved at", time)));
        if let Some(culprit) = &self.culprit {
            facts.push(("component", culprit.component.clone()));
            facts.push(("top call site", culprit.call_site.clone()));
            facts.extend(culprit.growth().map(|growth| ("it grows by", growth)));
            facts.push(("it holds", culprit.holds()));
        }
        let by = self.acknowledged_by.clone();
        facts.extend(by.map(|by| ("acknowledged by", by)));
        facts.push(("recommendation", self.recommendation.clone()));
        facts
    }

    /// How long it lasted, or has lasted until now.
    pub(crate) fn lasted(&self, now: SystemTime) -> String {
        let until = self.resolved_at.unwrap_or(now);
        let lasted = until.duration_since(self.active_at).unwrap_or_default();
        compact(Duration::from_secs(lasted.as_secs()))
    }

    /// Its annotations, as a rule of Prometheus would have them and then some.
    pub(crate) fn annotations(&self) -> BTreeMap<&'static str, String> {
        let mut annotations = BTreeMap::from([
            ("summary", self.summary.clone()),
            ("description", self.description.clone()),
            ("value", self.value.clone()),
            ("recommendation", self.recommendation.clone()),
            ("runbook_url", self.links.runbook.clone()),
        ]);
        let Links {
            dashboard,
            flamegraph,
            ..
        } = &self.links;
        let culprit = self.culprit.as_ref();
        annotations.extend(
            [
                ("threshold", self.threshold.clone()),
                ("dashboard_url", dashboard.clone()),
                ("flamegraph_url", flamegraph.clone()),
                (
                    "culprit_component",
                    culprit.map(|culprit| culprit.component.clone()),
                ),
                (
                    "top_call_site",
                    culprit.map(|culprit| culprit.call_site.clone()),
                ),
                ("top_call_site_growth", culprit.and_then(Culprit::growth)),
                ("top_call_site_bytes", culprit.map(Culprit::holds)),
                ("acknowledged_by", self.acknowledged_by.clone()),
            ]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
        );
        annotations
    }
}

#[cfg(feature = "channels")]
impl Notice {
    /// Its labels as Alertmanager has them: an empty one is none.
    pub(crate) fn filled_labels(&self) -> BTreeMap<&str, &str> {
        let labels = self.labels.iter();
        labels
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

#[cfg(feature = "channels")]
impl Origin {
    /// Where its alerts of one name are.
    pub(crate) fn alerts(&self, name: Option<&str>) -> String {
        let page = format!("{}/metrics/memory/alerts", self.url);
        let query = url::form_urlencoded::byte_serialize(name.unwrap_or_default().as_bytes());
        match name {
            Some(_) => format!("{page}?name={}", query.collect::<String>()),
            None => page,
        }
    }

    /// Where its report on leaks is.
    pub(crate) fn leaks(&self) -> String {
        format!("{}/metrics/memory/leaks", self.url)
    }
}

/// A time, to the second.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
