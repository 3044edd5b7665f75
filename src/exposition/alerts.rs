//! `GET /metrics/memory/alerts`: the alerts of this process and how telling people goes, and `POST .../{id}/acknowledge`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::alert::{Acknowledgement, Alert, AlertManager, LaneView, Refused};
use crate::catalog::{AlertSeverity, alert_names};

use super::handlers::Api;
use super::json::{ApiError, answer, timestamp};
use super::query::{choice, matchers, names, parameters, parameters_and, words};

pub(super) const STATES: [(&str, &str); 3] = [
    ("pending", "pending"),
    ("firing", "firing"),
    ("resolved", "resolved"),
];
pub(super) const SEVERITIES: [(&str, AlertSeverity); 2] = [
    ("critical", AlertSeverity::Critical),
    ("warning", AlertSeverity::Warning),
];
/// Longest name of who acknowledges.
pub(super) const LONGEST_NAME: usize = 100;

/// An alert.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub(super) struct AlertView {
    /// By which it is acknowledged; unique within a session.
    id: u64,
    /// Where in its life it is.
    #[schemars(extend("enum" = names(&STATES)))]
    state: &'static str,
    /// Those that the rule in Prometheus has too: `alertname`, `severity`, `component` and others.
    labels: BTreeMap<String, String>,
    /// What is wrong, in one line.
    summary: &'static str,
    /// What is wrong, with its numbers.
    description: String,
    /// In bytes, bytes per second, MB per hour, as a share, or a number of suspects.
    value: f64,
    /// The value with its unit.
    value_text: String,
    /// What the value is compared with, with its unit; absent where it is not one number.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<String>,
    /// Since when its condition holds.
    #[schemars(extend("format" = "date-time"))]
    active_at: String,
    /// When it had held long enough; absent while it is pending.
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    fired_at: Option<String>,
    /// When its condition was over; absent before.
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<String>,
    /// The call site to look at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    culprit: Option<CulpritView>,
    /// What to do first.
    recommendation: String,
    /// Whether a critical alert of the same name says it already.
    muted: bool,
    /// The silences that keep it quiet, by their ids.
    silenced_by: Vec<u64>,
    /// Whether people were told of it.
    told: bool,
    /// Who took it on; absent while nobody has.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<AcknowledgementView>,
    /// Where to go on.
    links: LinksView,
}

/// A call site that holds or grows most.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Culprit")]
struct CulpritView {
    /// On whose behalf it allocates.
    component: String,
    /// Function, file and line.
    call_site: String,
    /// Live bytes, estimated from samples.
    bytes: f64,
    /// Growth in MB (1048576 bytes) per hour; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    growth_mb_per_hour: Option<f64>,
    /// Whether it is suspected of a leak, or only holds or grows most.
    suspected: bool,
}

/// Who is told, and how that goes.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Channel")]
struct ChannelView {
    /// As the configuration names it.
    name: String,
    /// `log`, `webhook`, `slack`, `pagerduty` or `alertmanager`.
    kind: &'static str,
    /// Where messages go, without what is secret of it.
    target: String,
    /// Messages that were taken.
    sent: u64,
    /// Attempts after which a message was not taken.
    failed: u64,
    /// Messages that were given up.
    dropped: u64,
    /// Messages that wait.
    waiting: usize,
    /// When a message was taken last; absent before the first.
    #[schemars(extend("format" = "date-time"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sent: Option<String>,
    /// Why the last attempt failed, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// That somebody took an alert on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Acknowledgement")]
struct AcknowledgementView {
    /// When.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Who, if they said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// Where to go on from an alert.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Links")]
struct LinksView {
    /// What people do about it: a URL, or a section of the runbook that is shipped.
    runbook: String,
    /// Absent where `alerts.links.dashboard` is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard: Option<String>,
    /// On this server.
    flamegraph: String,
    /// On this server.
    leaks: &'static str,
}

/// `GET /metrics/memory/alerts`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Alerts")]
pub(super) struct AlertsView {
    /// Pending and firing ones, and those that ended lately.
    alerts: Vec<AlertView>,
    /// Who is told.
    channels: Vec<ChannelView>,
}

impl AlertView {
    fn new(alert: Alert, manager: &AlertManager) -> Self {
        let def = alert.def;
        let component = alert.component.as_deref();
        let identity = manager.identity();
        let links = identity.links_of(def, component);
        let labels = identity.labels_of(def, component);
        let recommendation = alert.recommendation();
        let flamegraph = match component {
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
            culprit: alert.culprit.map(|culprit| CulpritView {
                component: culprit.component,
                call_site: culprit.call_site,
                bytes: culprit.bytes,
                growth_mb_per_hour: culprit.growth_mb_per_hour,
                suspected: culprit.is_suspect,
            }),
            recommendation,
            muted: alert.is_muted,
            silenced_by: alert.silenced_by,
            told: alert.is_told,
            acknowledged: alert.acknowledged.map(|acknowledged| AcknowledgementView {
                at: timestamp(acknowledged.at),
                by: acknowledged.by,
            }),
            links: LinksView {
                runbook: links.runbook,
                dashboard: links.dashboard,
                flamegraph,
                leaks: "/metrics/memory/leaks",
            },
            description: alert.description,
        }
    }
}

impl From<LaneView> for ChannelView {
    fn from(lane: LaneView) -> Self {
        let counts = lane.counts.read();
        Self {
            name: lane.name,
            kind: lane.kind,
            target: lane.target,
            sent: counts.sent,
            failed: counts.failed,
            dropped: counts.dropped,
            waiting: lane.waiting,
            last_sent: lane.last_sent.map(timestamp),
            trouble: lane.trouble,
        }
    }
}

pub(super) fn manager(api: &Api) -> Result<&AlertManager, ApiError> {
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
    let known = ["state", "severity", "name", "component"];
    let (parameters, texts) = parameters_and(query, &known, Some("matcher"))?;
    let matchers = matchers(&texts)?;
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
            && component.is_none_or(|component| alert.component.as_deref() == Some(component))
    });
    let alerts = alerts.map(|alert| AlertView::new(alert, manager));
    let matched = alerts.filter(|view| matchers.iter().all(|matcher| matcher.holds(&view.labels)));
    let channels = manager.outlets().views().into_iter();
    let view = AlertsView {
        alerts: matched.collect(),
        channels: channels.map(ChannelView::from).collect(),
    };
    let now = SystemTime::now();
    Ok(answer(&api.session, StatusCode::OK, now, view))
}

/// `POST /metrics/memory/alerts/{id}/acknowledge?by=NAME`
pub(super) fn acknowledge(api: &Api, id: &str, query: &str) -> Result<Response, ApiError> {
    let parameters = parameters(query, &["by"])?;
    let by = words(&parameters, "by", LONGEST_NAME)?;
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
            let view = AlertView::new(alert, manager);
            Ok(answer(&api.session, StatusCode::OK, now, view))
        }
        Err(Refused::Unknown | Refused::TooMany) => Err(unknown()),
        Err(Refused::Ended) => Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("alert {id} has ended"),
            help,
        )),
    }
}
