//! `GET /metrics/memory/alerts`: the alerts of this process, and `POST .../{id}/acknowledge`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::alert::{Acknowledgement, Alert, AlertManager, Refused};
use crate::catalog::{AlertSeverity, alert_names};
use crate::config::Links;

use super::handlers::Api;
use super::json::{ApiError, answer, timestamp};
use super::query::{bad_parameter, choice, parameters};

const STATES: [(&str, &str); 3] = [
    ("pending", "pending"),
    ("firing", "firing"),
    ("resolved", "resolved"),
];
const SEVERITIES: [(&str, AlertSeverity); 2] = [
    ("critical", AlertSeverity::Critical),
    ("warning", AlertSeverity::Warning),
];
/// Longest name of who acknowledges.
const LONGEST_NAME: usize = 100;

/// An alert.
#[derive(Serialize)]
struct AlertView {
    id: u64,
    state: &'static str,
    labels: BTreeMap<&'static str, String>,
    summary: &'static str,
    description: String,
    /// In bytes, bytes per second, MB per hour, as a share, or a number of suspects.
    value: f64,
    value_text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<String>,
    active_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fired_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<String>,
    /// Whether a critical alert of the same name says it already.
    muted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<AcknowledgementView>,
    links: LinksView,
}

#[derive(Serialize)]
struct AcknowledgementView {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

#[derive(Serialize)]
struct LinksView {
    runbook: String,
    flamegraph: String,
    leaks: &'static str,
}

impl AlertView {
    fn new(alert: Alert, manager: &AlertManager, links: &Links) -> Self {
        let def = alert.def;
        let mut labels: BTreeMap<_, _> = manager.labels().iter().cloned().collect();
        labels.insert("alertname", def.name.to_owned());
        labels.insert("severity", def.severity.as_str().to_owned());
        labels.extend(alert.component.map(|name| ("component", name.to_owned())));
        let flamegraph = match alert.component {
            Some(component) => {
                let component: String =
                    url::form_urlencoded::byte_serialize(component.as_bytes()).collect();
                format!("/debug/flamegraph?component={component}")
            }
            None => "/debug/flamegraph?since=1h".to_owned(),
        };
        Self {
            id: alert.id,
            state: alert.state(),
            labels,
            summary: def.summary,
            value: alert.value,
            value_text: def.quantity().written(alert.value),
            threshold: manager.threshold(def),
            active_at: timestamp(alert.active_at),
            fired_at: alert.fired_at.map(timestamp),
            resolved_at: alert.resolved_at.map(timestamp),
            muted: alert.is_muted,
            acknowledged: alert.acknowledged.map(|acknowledged| AcknowledgementView {
                at: timestamp(acknowledged.at),
                by: acknowledged.by,
            }),
            links: LinksView {
                runbook: format!("{}#{}", links.runbook, def.name.to_lowercase()),
                flamegraph,
                leaks: "/metrics/memory/leaks",
            },
            description: alert.description,
        }
    }
}

fn manager(api: &Api) -> Result<&AlertManager, ApiError> {
    api.watched.alerts.as_deref().ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "alerts are not evaluated in this process",
            "set alerts.enabled: true",
        )
    })
}

/// `GET /metrics/memory/alerts?state=firing&severity=critical&name=MemoryLeak&component=cache`
pub(super) fn alerts(api: &Api, query: &str) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct View {
        alerts: Vec<AlertView>,
    }
    let parameters = parameters(query, &["state", "severity", "name", "component"])?;
    let state = choice(&parameters, "state", &STATES)?;
    let severity = choice(&parameters, "severity", &SEVERITIES)?;
    let names: Vec<_> = alert_names().into_iter().map(|name| (name, name)).collect();
    let name = choice(&parameters, "name", &names)?;
    let component = parameters.get("component");
    let manager = manager(api)?;
    let alerts = manager.alerts().into_iter().filter(|alert| {
        state.is_none_or(|state| alert.state() == state)
            && severity.is_none_or(|severity| alert.def.severity == severity)
            && name.is_none_or(|name| alert.def.name == name)
            && component.is_none_or(|component| alert.component == Some(component))
    });
    let alerts = alerts.map(|alert| AlertView::new(alert, manager, &api.links));
    let view = View {
        alerts: alerts.collect(),
    };
    let now = SystemTime::now();
    Ok(answer(&api.session, StatusCode::OK, now, view))
}

/// `POST /metrics/memory/alerts/{id}/acknowledge?by=NAME`
pub(super) fn acknowledge(api: &Api, id: &str, query: &str) -> Result<Response, ApiError> {
    let parameters = parameters(query, &["by"])?;
    let by = parameters.get("by").cloned();
    if let Some(by) = by.as_deref().filter(|by| {
        by.is_empty() || by.chars().count() > LONGEST_NAME || by.chars().any(char::is_control)
    }) {
        return Err(bad_parameter("by", by, "a name of 1 to 100 characters"));
    }
    let manager = manager(api)?;
    let now = SystemTime::now();
    let help = "GET /metrics/memory/alerts lists them with their ids";
    let unknown = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no alert {id:?}"),
            help,
        )
    };
    let id = id.parse().map_err(|_| unknown())?;
    match manager.acknowledge(id, Acknowledgement { at: now, by }) {
        Ok(alert) => {
            let view = AlertView::new(alert, manager, &api.links);
            Ok(answer(&api.session, StatusCode::OK, now, view))
        }
        Err(Refused::Unknown) => Err(unknown()),
        Err(Refused::Resolved) => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("alert {id} has ended"),
            help,
        )),
    }
}
