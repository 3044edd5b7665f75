//! Alertmanager's configuration: who is told of what, and what is not said twice.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::catalog::{AlertSeverity, alert_names, compact};

use super::{Artifact, GENERATED, Wanted, document, runbook};

/// Where the secrets lie unless something else is said.
pub(crate) const DEFAULT_SECRETS: &str = "/etc/alertmanager/secrets";
/// The webhook, unless something else is said.
pub(crate) const DEFAULT_WEBHOOK: &str = "http://127.0.0.1:9099/alerts";

/// Who is told, and how.
#[derive(Debug, Clone)]
pub(crate) struct Integrations {
    /// In which ways.
    pub(crate) kinds: Vec<Integration>,
    /// The directory of the files with secrets, absolute: Alertmanager takes some of them from its working directory otherwise.
    pub(crate) secrets: PathBuf,
    /// Who takes the webhook.
    pub(crate) webhook_url: String,
    /// The channel of Slack.
    pub(crate) slack_channel: String,
    /// PagerDuty, where it is not the usual one.
    pub(crate) pagerduty_url: Option<String>,
}

/// A way to tell people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integration {
    Webhook,
    Slack,
    PagerDuty,
}

impl FromStr for Integration {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "webhook" => Ok(Self::Webhook),
            "slack" => Ok(Self::Slack),
            "pagerduty" => Ok(Self::PagerDuty),
            _ => Err("one of webhook, slack, pagerduty".to_owned()),
        }
    }
}

impl Default for Integrations {
    fn default() -> Self {
        Self {
            kinds: vec![
                Integration::Webhook,
                Integration::Slack,
                Integration::PagerDuty,
            ],
            secrets: DEFAULT_SECRETS.into(),
            webhook_url: DEFAULT_WEBHOOK.to_owned(),
            slack_channel: "#alerts".to_owned(),
            pagerduty_url: None,
        }
    }
}

#[derive(Debug, Serialize)]
struct Global {
    resolve_timeout: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    slack_api_url_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagerduty_url: Option<String>,
}

#[derive(Debug, Serialize)]
struct Route {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matchers: Vec<String>,
    receiver: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    group_by: Vec<&'static str>,
    group_wait: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_interval: Option<String>,
    repeat_interval: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Self>,
}

#[derive(Debug, Serialize)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Receiver {
    name: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pagerduty_configs: Vec<PagerDuty>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    slack_configs: Vec<Slack>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhook_configs: Vec<Webhook>,
}

#[derive(Debug, Serialize)]
struct PagerDuty {
    routing_key_file: String,
    send_resolved: bool,
    severity: &'static str,
    description: &'static str,
    details: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Serialize)]
struct Slack {
    channel: String,
    send_resolved: bool,
    color: &'static str,
    title: &'static str,
    text: &'static str,
}

#[derive(Debug, Serialize)]
struct Webhook {
    url: String,
    send_resolved: bool,
    http_config: HttpConfig,
}

#[derive(Debug, Serialize)]
struct HttpConfig {
    authorization: Authorization,
}

#[derive(Debug, Serialize)]
struct Authorization {
    credentials_file: String,
}

/// Who is woken, and who is told.
const PAGER: &str = "pager";
const TEAM: &str = "team";

pub(super) fn artifacts(wanted: &Wanted) -> Vec<Artifact> {
    let template = include_str!("memory.tmpl");
    vec![
        Artifact {
            path: "alertmanager/alertmanager.yml".to_owned(),
            contents: configuration(wanted),
        },
        Artifact {
            path: "alertmanager/templates/memory.tmpl".to_owned(),
            contents: format!("{{{{/* {GENERATED} */}}}}\n{template}"),
        },
        runbook::artifact(wanted),
    ]
}

fn configuration(wanted: &Wanted) -> String {
    let integrations = &wanted.integrations;
    let secrets = format!(
        "Secrets come from files in {}: slack-webhook-url,\npagerduty-routing-key, webhook-token. Their paths are absolute, because Alertmanager takes some of them from its working\ndirectory otherwise.",
        integrations.secrets.display()
    );
    [
        section(&secrets, "global", integrations.global(wanted)),
        section("", "templates", ["templates/*.tmpl"]),
        section(
            "Critical wakes somebody, all else is for the team.",
            "route",
            route(wanted),
        ),
        section(
            "What is not said: a warning of what is critical already, and what a process says itself when Prometheus says the same.",
            "inhibit_rules",
            inhibitions(),
        ),
        section("", "receivers", integrations.receivers()),
    ]
    .iter()
    .fold(format!("# {GENERATED}\n"), |text, section| text + "\n" + section)
}

/// A section of the file, under its comment.
fn section(comment: &str, name: &str, value: impl Serialize) -> String {
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    comment + &document(&BTreeMap::from([(name, value)]))
}

fn route(wanted: &Wanted) -> Route {
    let time = |seconds| compact(wanted.pace().time(Duration::from_secs(seconds)));
    let of = |severity: AlertSeverity, receiver, group_wait, repeat_interval| Route {
        matchers: vec![ours(), format!("severity={:?}", severity.as_str())],
        receiver,
        group_by: Vec::new(),
        group_wait,
        group_interval: None,
        repeat_interval,
        routes: Vec::new(),
    };
    Route {
        matchers: Vec::new(),
        receiver: TEAM,
        group_by: vec!["alertname", "job"],
        group_wait: time(30),
        group_interval: Some(time(5 * 60)),
        repeat_interval: time(12 * 3600),
        routes: vec![
            of(AlertSeverity::Critical, PAGER, time(10), time(4 * 3600)),
            of(AlertSeverity::Warning, TEAM, time(30), time(12 * 3600)),
        ],
    }
}

/// A matcher of our alerts.
fn ours() -> String {
    format!("alertname=~{:?}", alert_names().join("|"))
}

fn inhibitions() -> Vec<Inhibition> {
    vec![
        Inhibition {
            source_matchers: vec![ours(), "severity=\"critical\"".to_owned()],
            target_matchers: vec![ours(), "severity=\"warning\"".to_owned()],
            equal: vec!["alertname", "job", "instance"],
        },
        // The severity is among what must be equal: a warning of Prometheus does not mute what is critical to the process.
        Inhibition {
            source_matchers: vec![ours(), "origin!=\"embedded\"".to_owned()],
            target_matchers: vec![ours(), "origin=\"embedded\"".to_owned()],
            equal: vec!["alertname", "severity", "job", "instance", "component"],
        },
    ]
}

impl Integrations {
    fn has(&self, integration: Integration) -> bool {
        self.kinds.contains(&integration)
    }

    fn secret(&self, name: &str) -> String {
        self.secrets.join(name).display().to_string()
    }

    fn global(&self, wanted: &Wanted) -> Global {
        Global {
            resolve_timeout: compact(wanted.pace().time(Duration::from_secs(300))),
            slack_api_url_file: self
                .has(Integration::Slack)
                .then(|| self.secret("slack-webhook-url")),
            pagerduty_url: self.pagerduty_url.clone(),
        }
    }

    fn receivers(&self) -> Vec<Receiver> {
        // Where there is nothing else, warnings go to PagerDuty too, which tells them apart by their severity.
        let only_pages = self.kinds == [Integration::PagerDuty];
        [(PAGER, true), (TEAM, only_pages)]
            .map(|(name, pages)| Receiver {
                name,
                pagerduty_configs: self.some(
                    pages && self.has(Integration::PagerDuty),
                    PagerDuty {
                        routing_key_file: self.secret("pagerduty-routing-key"),
                        send_resolved: true,
                        severity: "{{ .CommonLabels.severity }}",
                        description: "{{ template \"memory.title\" . }}",
                        details: BTreeMap::from([("alerts", "{{ template \"memory.text\" . }}")]),
                    },
                ),
                slack_configs: self.some(
                    self.has(Integration::Slack),
                    Slack {
                        channel: self.slack_channel.clone(),
                        send_resolved: true,
                        color: "{{ template \"memory.color\" . }}",
                        title: "{{ template \"memory.title\" . }}",
                        text: "{{ template \"memory.slack\" . }}",
                    },
                ),
                webhook_configs: self.some(
                    self.has(Integration::Webhook),
                    Webhook {
                        url: self.webhook_url.clone(),
                        send_resolved: true,
                        http_config: HttpConfig {
                            authorization: Authorization {
                                credentials_file: self.secret("webhook-token"),
                            },
                        },
                    },
                ),
            })
            .into()
    }

    fn some<T>(&self, wanted: bool, integration: T) -> Vec<T> {
        wanted.then_some(integration).into_iter().collect()
    }
}
