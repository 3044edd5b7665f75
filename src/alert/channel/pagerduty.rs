//! PagerDuty, by its Events API v2. An incident stands for a group of alerts; a further trigger only tells it what is new.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::HeaderMap;
use ring::digest;
use serde::Serialize;
use url::Url;

use crate::client::shown;
use crate::config::{Secret, SecretSource};

use super::super::message::{Event, Message, Notice, rfc3339};
use super::post::{Post, json, misconfigured};
use super::secrets::Secrets;
use super::text::{fitted, line};
use super::{Channel, Failure, Receipt};

/// PagerDuty's own limits, in characters.
const MOST_OF_KEY: usize = 255;
const MOST_OF_SUMMARY: usize = 1_024;
/// Its limit is 512 KB, by whichever count.
const MOST_BYTES: usize = 500_000;
/// Alerts with details of their own.
const MOST_ALERTS: usize = 50;
/// Most characters of one detail.
const MOST_OF_DETAIL: usize = 2_000;
/// With these words PagerDuty calls an event bad whose key it does not know.
const AMISS: &[&str] = &["routing_key", "routing key"];

/// Posts to a service of PagerDuty.
#[derive(Debug)]
pub(super) struct Pagerduty {
    post: Post,
    url: Url,
    routing_key: SecretSource,
}

impl Pagerduty {
    /// Events go to `url`.
    ///
    /// # Errors
    /// That is no URL.
    pub(super) fn new(
        url: &str,
        post: Post,
        routing_key: SecretSource,
    ) -> Result<Self, url::ParseError> {
        Ok(Self {
            post,
            url: Url::parse(url)?,
            routing_key,
        })
    }

    async fn attempt(&self, message: &Message) -> Result<Receipt, Failure> {
        let mut secrets = Secrets::default();
        let routing_key = secrets.read(&self.routing_key).map_err(misconfigured)?;
        let body = fitting(message, &routing_key)?;
        let sent = self.post.send(&self.url, HeaderMap::new(), body, &secrets);
        sent.await.map_err(|failure| failure.late_if_it_says(AMISS))
    }
}

impl Channel for Pagerduty {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>> {
        self.attempt(message).boxed()
    }

    fn target(&self) -> String {
        shown(self.url.as_str())
    }

    /// That alerts still fire wakes nobody again, and keeps what the incident says of them up to date.
    fn wants(&self, _message: &Message) -> bool {
        true
    }
}

/// Holds the routing key, so it is not to be printed.
#[derive(Serialize)]
struct Body<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    #[serde(flatten)]
    trigger: Option<Trigger<'a>>,
}

/// What only an event says that begins or goes on.
#[derive(Debug, Serialize)]
struct Trigger<'a> {
    payload: Payload<'a>,
    links: Vec<Link>,
    client: &'static str,
    client_url: &'a str,
}

#[derive(Debug, Serialize)]
struct Payload<'a> {
    summary: String,
    source: &'a str,
    severity: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    custom_details: Details<'a>,
}

#[derive(Debug, Serialize)]
struct Details<'a> {
    firing: usize,
    /// Of the only alert.
    #[serde(flatten)]
    alert: Option<Detail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<Detail<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alerts_left_out: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Detail<'a> {
    labels: BTreeMap<&'a str, String>,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<String>,
    #[serde(flatten)]
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Link {
    href: String,
    text: &'static str,
}

/// The body with the details of as many alerts as it can hold.
fn fitting(message: &Message, routing_key: &Secret) -> Result<Vec<u8>, Failure> {
    let mut most = MOST_ALERTS;
    loop {
        let written = json(&body(message, routing_key, most))?;
        if written.len() <= MOST_BYTES || most == 0 {
            return Ok(written);
        }
        most /= 2;
    }
}

fn body<'a>(message: &'a Message, routing_key: &'a Secret, most: usize) -> Body<'a> {
    let event_action = match message.event {
        Event::Firing | Event::StillFiring => "trigger",
        Event::Acknowledged => "acknowledge",
        Event::Resolved => "resolve",
    };
    Body {
        routing_key: routing_key.reveal(),
        event_action,
        dedup_key: dedup_key(&message.group.key),
        trigger: (event_action == "trigger").then(|| Trigger {
            payload: payload(message, most),
            links: links(message),
            client: "memory-exporter",
            client_url: &message.origin.url,
        }),
    }
}

/// By this, PagerDuty knows an incident again.
fn dedup_key(key: &str) -> String {
    if key.chars().count() <= MOST_OF_KEY {
        return key.to_owned();
    }
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    let hex = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    hex.collect()
}

fn payload(message: &Message, most: usize) -> Payload<'_> {
    let mut summary = message.title();
    if let Some(notice) = message.notices.first() {
        summary = format!("{summary}: {}", notice.description);
    }
    let began = message.firing().map(|notice| notice.active_at).min();
    Payload {
        summary: line(&summary, MOST_OF_SUMMARY),
        source: &message.origin.instance,
        severity: message.severity().as_str(),
        timestamp: rfc3339(began.unwrap_or(message.made_at)),
        component: component(message),
        group: &message.origin.job,
        class: message.common("alertname"),
        custom_details: details(message, most),
    }
}

/// Whose memory it is, where all alerts that fire agree on that.
fn component(message: &Message) -> Option<String> {
    let of_notice = |notice: &Notice| {
        let culprit = notice.culprit.as_ref();
        let culprit = culprit.map(|culprit| culprit.component.clone());
        culprit.or_else(|| notice.labels.get("component").cloned())
    };
    let mut components = message.firing().map(of_notice);
    let first = components.next()??;
    let all = components.all(|component| component.as_ref() == Some(&first));
    all.then(|| line(&first, MOST_OF_DETAIL))
}

fn details(message: &Message, most: usize) -> Details<'_> {
    let mut alerts: Vec<Detail<'_>> = message.notices.iter().take(most).map(detail).collect();
    let left_out = message.notices.len() - alerts.len();
    let is_one = message.notices.len() == 1;
    Details {
        firing: message.firing().count(),
        alert: if is_one { alerts.pop() } else { None },
        alerts,
        alerts_left_out: (left_out > 0).then_some(left_out),
    }
}

fn detail(notice: &Notice) -> Detail<'_> {
    let labels = notice.filled_labels().into_iter();
    let annotations = notice.annotations().into_iter();
    Detail {
        labels: labels
            .map(|(name, value)| (name, fitted(value, MOST_OF_DETAIL)))
            .collect(),
        since: rfc3339(notice.active_at),
        resolved_at: notice.resolved_at.map(rfc3339),
        // Links have a place of their own.
        annotations: annotations
            .filter(|(name, _)| !name.ends_with("_url"))
            .map(|(name, value)| (name, fitted(&value, MOST_OF_DETAIL)))
            .collect(),
    }
}

/// Where the first alert leads to: the worst of those that fire stands there.
fn links(message: &Message) -> Vec<Link> {
    let targets = message.notices.iter().take(1);
    let targets = targets.flat_map(|notice| notice.links.targets());
    let mut links: Vec<Link> = targets
        .map(|(text, url)| Link {
            href: url.to_owned(),
            text,
        })
        .collect();
    links.push(Link {
        href: message.origin.leaks(),
        text: "Leak report",
    });
    links
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_slice, json};
    use std::sync::Arc;

    use super::super::super::fixture::{crowd, message, other, time};
    use super::super::super::message::Group;
    use super::super::Retry;
    use super::super::receiver::{answer, post, receiver};
    use super::*;

    fn written(message: &Message) -> Value {
        let key = Secret::new("key".to_owned());
        let body = fitting(message, &key).unwrap();
        assert!(body.len() < 512_000, "{}", body.len());
        from_slice(&body).unwrap()
    }

    #[test]
    fn what_fires_triggers_an_incident_that_says_all_of_it() {
        let expected = json!({
            "routing_key": "key",
            "event_action": "trigger",
            "dedup_key": "shop/shop-1:9100/MemoryLeak/critical",
            "payload": {
                "summary": "[FIRING:1] MemoryLeak critical shop at shop-1:9100: shop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m.",
                "source": "shop-1:9100",
                "severity": "critical",
                "timestamp": "2026-01-02T03:00:00Z",
                "component": "cart",
                "group": "shop",
                "class": "MemoryLeak",
                "custom_details": {
                    "firing": 1,
                    "labels": {
                        "alertname": "MemoryLeak",
                        "instance": "shop-1:9100",
                        "job": "shop",
                        "origin": "embedded",
                        "severity": "critical",
                    },
                    "since": "2026-01-02T03:00:00Z",
                    "summary": "Memory is leaking fast.",
                    "description": "shop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m.",
                    "value": "72.0 MB/h",
                    "threshold": "50 MB/h",
                    "culprit_component": "cart",
                    "top_call_site": "shop::cart::Cart<T>::add (src/cart.rs:42)",
                    "top_call_site_bytes": "100MiB",
                    "top_call_site_growth": "72.0 MB/h",
                    "recommendation": "look at the flame graph & bound the cache",
                },
            },
            "links": [
                {"href": "http://shop-1:9100/debug/flamegraph?since=1h", "text": "Flame graph"},
                {"href": "https://grafana.example.org/d/leaks?var-job=shop", "text": "Dashboard"},
                {"href": "https://wiki.example.org/runbook#memoryleak", "text": "Runbook"},
                {"href": "http://shop-1:9100/metrics/memory/leaks", "text": "Leak report"},
            ],
            "client": "memory-exporter",
            "client_url": "http://shop-1:9100",
        });
        assert_eq!(written(&message(Event::Firing)), expected);
        assert_eq!(
            written(&message(Event::StillFiring))["event_action"],
            "trigger"
        );
    }

    #[test]
    fn an_end_and_who_takes_it_on_only_say_which_incident() {
        for (event, action) in [
            (Event::Acknowledged, "acknowledge"),
            (Event::Resolved, "resolve"),
        ] {
            let expected = json!({
                "routing_key": "key",
                "event_action": action,
                "dedup_key": "shop/shop-1:9100/MemoryLeak/critical",
            });
            assert_eq!(written(&message(event)), expected);
        }
    }

    #[test]
    fn several_alerts_are_listed() {
        let mut message = message(Event::Firing);
        message.is_test = true;
        message.notices.push(other("cart"));
        message.notices[1].active_at = time("2026-01-02T02:00:00Z");
        let mut ended = other("<script>");
        ended.resolved_at = Some(time("2026-01-02T03:05:00Z"));
        ended.labels.remove("alertname");
        message.notices.push(ended);
        let payload = &written(&message)["payload"];
        assert_eq!(
            payload["summary"],
            "[TEST] [FIRING:2] critical shop at shop-1:9100: shop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m."
        );
        assert_eq!(payload["timestamp"], "2026-01-02T02:00:00Z");
        assert_eq!(payload["component"], "cart");
        assert_eq!(payload.get("class"), None);
        let details = &payload["custom_details"];
        assert_eq!(details["firing"], 2);
        assert_eq!(details.get("description"), None);
        assert_eq!(details.get("alerts_left_out"), None);
        assert_eq!(details["alerts"][1].get("top_call_site"), None);
        assert_eq!(details["alerts"][2]["labels"]["component"], "<script>");
        assert_eq!(details["alerts"][2]["resolved_at"], "2026-01-02T03:05:00Z");
        message.notices[1] = other("orders");
        assert_eq!(written(&message)["payload"].get("component"), None);
    }

    #[test]
    fn of_hundreds_of_alerts_fifty_are_listed() {
        let written = written(&crowd(Event::Firing, 300));
        let details = &written["payload"]["custom_details"];
        assert_eq!(details["firing"], 300);
        assert_eq!(details["alerts"].as_array().unwrap().len(), 50);
        assert_eq!(details["alerts_left_out"], 250);
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_too_much_left_out() {
        let mut message = crowd(Event::Firing, 60);
        let long = "ü\u{1}\n😀".repeat(5_000);
        for notice in &mut message.notices {
            notice.description = long.clone();
            notice.recommendation = long.clone();
            notice.labels.insert("component".to_owned(), long.clone());
        }
        let several = written(&message);
        let payload = &several["payload"];
        let characters = |value: &Value| value.as_str().unwrap().chars().count();
        assert_eq!(characters(&payload["summary"]), 1_024);
        assert!(
            !payload["summary"]
                .as_str()
                .unwrap()
                .contains(['\n', '\u{1}'])
        );
        let details = &payload["custom_details"];
        let listed = details["alerts"].as_array().unwrap();
        assert!((1..50).contains(&listed.len()), "{}", listed.len());
        assert_eq!(details["alerts_left_out"], 60 - listed.len());
        assert_eq!(characters(&listed[0]["description"]), 2_000);

        message.notices.truncate(1);
        for at in 0..200 {
            let labels = &mut message.notices[0].labels;
            labels.insert(format!("label_{at}"), long.clone());
        }
        let details = written(&message)["payload"]["custom_details"].clone();
        assert_eq!(details, json!({"firing": 1, "alerts_left_out": 1}));
    }

    #[tokio::test]
    async fn a_key_that_is_not_known_is_not_shown_and_tried_again() {
        let echo = r#"{"status":"invalid event","errors":["routing_key s3cret is wrong"]}"#;
        let (url, received) = receiver(&answer("400 Bad Request", "", echo)).await;
        let key = SecretSource::Value(Secret::new("s3cret".to_owned()));
        let pagerduty = Pagerduty::new(&format!("{url}/v2/enqueue"), post(), key).unwrap();
        let failure = pagerduty.send(&message(Event::Firing)).await.unwrap_err();
        assert_eq!(failure.retry, Retry::Late);
        assert_eq!(
            failure.why,
            r#"400 Bad Request: {"status":"invalid event","errors":["routing_key <redacted> is wrong"]}"#
        );
        let received = received.await.unwrap();
        assert_eq!(received.line, "POST /v2/enqueue HTTP/1.1");
        let sent: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(sent["routing_key"], "s3cret");
    }

    #[test]
    fn a_long_key_is_hashed() {
        let mut message = message(Event::Resolved);
        let with_key = |message: &mut Message, key: String| {
            let labels = message.group.labels.clone();
            message.group = Arc::new(Group { key, labels });
            written(message)["dedup_key"].clone()
        };
        assert_eq!(with_key(&mut message, "ü".repeat(255)), "ü".repeat(255));
        // echo -n aaa... | sha256sum
        assert_eq!(
            with_key(&mut message, "a".repeat(256)),
            "02d7160d77e18c6447be80c2e355c7ed4388545271702c50253b0914c65ce5fe"
        );
    }
}
