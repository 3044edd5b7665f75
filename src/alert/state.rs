//! An alert of this process, and what people have done about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::analysis::Culprit;
use crate::catalog::{AlertDef, RUNBOOK};
use crate::config::{self, Config};

use super::links::{InUrl, Links};
use super::message::Notice;

/// An alert that is pending, fires, or did.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    /// Of this process, and of those before it where alerts are kept on disk.
    pub(crate) id: u64,
    pub(crate) def: &'static AlertDef,
    pub(crate) component: Option<Arc<str>>,
    /// The last value while its condition held.
    pub(crate) value: f64,
    /// What is wrong, with that value.
    pub(crate) description: String,
    /// From when on its condition held.
    pub(crate) active_at: SystemTime,
    /// From when on it fired; none while it is pending.
    pub(crate) fired_at: Option<SystemTime>,
    /// When it ended.
    pub(crate) resolved_at: Option<SystemTime>,
    /// The call site to look at first.
    pub(crate) culprit: Option<Culprit>,
    /// Whether a more severe alert of the same name says it already.
    pub(crate) is_muted: bool,
    /// The silences that keep it quiet.
    pub(crate) silenced_by: Vec<u64>,
    pub(crate) acknowledged: Option<Acknowledgement>,
    /// Whether people were told of it.
    pub(crate) is_told: bool,
}

/// Somebody has taken an alert on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Acknowledgement {
    pub(crate) at: SystemTime,
    /// Who, if they said so.
    pub(crate) by: Option<String>,
}

/// Who this process is to those who are told, and where they find out more.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Labels of every alert of this process.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) links: config::Links,
}

impl Alert {
    /// One whose condition begins to hold.
    pub(super) fn begin(
        id: u64,
        def: &'static AlertDef,
        component: Option<Arc<str>>,
        now: SystemTime,
    ) -> Self {
        Self {
            id,
            def,
            component,
            value: 0.0,
            description: String::new(),
            active_at: now,
            fired_at: None,
            resolved_at: None,
            culprit: None,
            is_muted: false,
            silenced_by: Vec::new(),
            acknowledged: None,
            is_told: false,
        }
    }

    /// Its state, in one word.
    pub(crate) fn state(&self) -> &'static str {
        match (self.resolved_at, self.fired_at) {
            (Some(_), _) => "resolved",
            (None, Some(_)) => "firing",
            (None, None) => "pending",
        }
    }

    pub(crate) fn is_firing(&self) -> bool {
        self.fired_at.is_some() && self.resolved_at.is_none()
    }

    /// Whether nobody is to be told of it for now.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_muted || !self.silenced_by.is_empty()
    }

    /// What to do: what the call site asks for, else what the runbook says first.
    pub(crate) fn recommendation(&self) -> String {
        let runbook = RUNBOOK.iter().find(|entry| entry.alert == self.def.name);
        let usual = runbook.and_then(|entry| entry.actions.first());
        let advice = self.culprit.as_ref().map(|culprit| culprit.advice.clone());
        let advice = advice.filter(|advice| !advice.is_empty());
        advice.unwrap_or_else(|| (*usual.unwrap_or(&"look into the runbook")).to_owned())
    }
}

impl Identity {
    /// That of a process that is called `job` and `instance` where its configuration does not say otherwise.
    pub(super) fn new(config: &Config, job: &str, instance: &str) -> Self {
        let mut labels = config.metrics.labels.clone();
        for (name, value) in [("job", job), ("instance", instance)] {
            labels.insert(name.to_owned(), value.to_owned());
        }
        labels.extend(config.alerts.labels.clone());
        labels.insert("origin".to_owned(), "embedded".to_owned());
        Self {
            labels,
            links: config.alerts.links.clone(),
        }
    }

    /// The value of a label of every alert.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// All labels of an alert.
    pub(crate) fn labels_of(
        &self,
        def: &AlertDef,
        component: Option<&str>,
    ) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let mut add = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
        add("alertname", def.name);
        add("severity", def.severity.as_str());
        if let Some(component) = component {
            add("component", component);
        }
        labels
    }

    /// Where people find out more about an alert.
    pub(crate) fn links_of(&self, def: &AlertDef, component: Option<&str>) -> Links {
        Links::of(def, &self.links, |label, place| {
            let value = match label {
                "component" => component.unwrap_or_default(),
                label => self.label(label),
            };
            match place {
                InUrl::Host => value.to_owned(),
                InUrl::Query => url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            }
        })
    }

    /// What is said of an alert.
    pub(super) fn notice(&self, alert: &Alert, threshold: Option<String>) -> Notice {
        let (def, component) = (alert.def, alert.component.as_deref());
        Notice {
            severity: def.severity,
            labels: self.labels_of(def, component),
            summary: def.summary.to_owned(),
            description: alert.description.clone(),
            value: def.quantity().written(alert.value),
            threshold,
            active_at: alert.active_at,
            fired_at: alert.fired_at.unwrap_or(alert.active_at),
            resolved_at: alert.resolved_at,
            culprit: alert.culprit.clone(),
            recommendation: alert.recommendation(),
            acknowledged_by: alert.acknowledged.as_ref().map(|acknowledged| {
                let somebody = || "somebody".to_owned();
                acknowledged.by.clone().unwrap_or_else(somebody)
            }),
            links: self.links_of(def, component),
        }
    }
}
