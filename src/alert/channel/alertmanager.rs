//! Alertmanager, by its API v2. It groups, repeats and mutes by itself, and holds for ended what it is not told of again in time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde::Serialize;
use url::Url;

use crate::client::shown;
use crate::config::Authorization;

use super::super::message::{Event, Message, Notice, rfc3339};
use super::post::{Post, json, misconfigured};
use super::secrets::Secrets;
use super::{Channel, Failure, Receipt};

/// So many times it may fail to hear of an alert before it takes the alert for ended. Prometheus does the same.
const MISSED: u32 = 4;

/// Posts to one Alertmanager, be it alone or a peer in a cluster.
#[derive(Debug)]
pub(super) struct Alertmanager {
    pub(super) post: Post,
    /// Of the API.
    url: Url,
    pub(super) authorization: Authorization,
    /// How often it is told of what fires.
    resend_interval: Duration,
}

impl Alertmanager {
    /// Below `peer` is the API.
    ///
    /// # Errors
    /// That is no URL.
    pub(super) fn new(
        peer: &str,
        post: Post,
        authorization: Authorization,
        resend_interval: Duration,
    ) -> Result<Self, url::ParseError> {
        Ok(Self {
            post,
            url: Url::parse(&format!("{}/api/v2/alerts", peer.trim_end_matches('/')))?,
            authorization,
            resend_interval,
        })
    }

    async fn attempt(&self, message: &Message) -> Result<Receipt, Failure> {
        let mut secrets = Secrets::default();
        let authorization = secrets.authorization(&self.authorization);
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization.map_err(misconfigured)? {
            headers.insert(AUTHORIZATION, value);
        }
        let body = json(&body(message, self.resend_interval))?;
        self.post.send(&self.url, headers, body, &secrets).await
    }
}

impl Channel for Alertmanager {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>> {
        self.attempt(message).boxed()
    }

    fn target(&self) -> String {
        shown(self.url.as_str())
    }

    /// It knows silences, but nobody who has taken an alert on.
    fn wants(&self, message: &Message) -> bool {
        message.event != Event::Acknowledged
    }
}

/// As its `postableAlert`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
}

fn body(message: &Message, resend_interval: Duration) -> Vec<Alert<'_>> {
    let goes_on = message.made_at + resend_interval.saturating_mul(MISSED);
    let notices = message.notices.iter();
    notices
        .map(|notice| alert(message, notice, goes_on))
        .collect()
}

fn alert<'a>(message: &Message, notice: &'a Notice, goes_on: SystemTime) -> Alert<'a> {
    let labels = notice.filled_labels();
    // One alert that ends before it starts, as when a clock is set back, has it refuse all.
    let ends_at = notice.resolved_at.unwrap_or(goes_on).max(notice.fired_at);
    Alert {
        annotations: notice.annotations(),
        starts_at: rfc3339(notice.fired_at),
        ends_at: rfc3339(ends_at),
        generator_url: message.origin.alerts(labels.get("alertname").copied()),
        labels,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, to_value};

    use crate::config::{Secret, SecretSource};

    use super::super::super::fixture::{crowd, message, time};
    use super::super::receiver::{answer, post, receiver};
    use super::*;

    fn written(message: &Message) -> Value {
        to_value(body(message, Duration::from_secs(60))).unwrap()
    }

    #[test]
    fn what_fires_ends_unless_it_is_told_of_again() {
        let expected = json!([{
            "labels": {
                "alertname": "MemoryLeak",
                "instance": "shop-1:9100",
                "job": "shop",
                "origin": "embedded",
                "severity": "critical",
            },
            "annotations": {
                "culprit_component": "cart",
                "dashboard_url": "https://grafana.example.org/d/leaks?var-job=shop",
                "description": "shop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m.",
                "flamegraph_url": "http://shop-1:9100/debug/flamegraph?since=1h",
                "recommendation": "look at the flame graph & bound the cache",
                "runbook_url": "https://wiki.example.org/runbook#memoryleak",
                "summary": "Memory is leaking fast.",
                "threshold": "50 MB/h",
                "top_call_site": "shop::cart::Cart<T>::add (src/cart.rs:42)",
                "top_call_site_bytes": "100MiB",
                "top_call_site_growth": "72.0 MB/h",
                "value": "72.0 MB/h",
            },
            "startsAt": "2026-01-02T03:02:00Z",
            "endsAt": "2026-01-02T03:14:00Z",
            "generatorURL": "http://shop-1:9100/metrics/memory/alerts?name=MemoryLeak",
        }]);
        assert_eq!(written(&message(Event::Firing)), expected);
        assert_eq!(written(&message(Event::StillFiring)), expected);
    }

    #[test]
    fn what_has_ended_says_when_and_never_before_it_began() {
        let mut message = message(Event::Resolved);
        assert_eq!(written(&message)[0]["endsAt"], "2026-01-02T03:10:00Z");
        message.notices[0].resolved_at = Some(time("2026-01-02T02:00:00Z"));
        assert_eq!(written(&message)[0]["endsAt"], "2026-01-02T03:02:00Z");
    }

    #[tokio::test]
    async fn it_is_told_who_speaks() {
        let (url, received) = receiver(&answer("200 OK", "", "")).await;
        let authorization = Authorization::Basic {
            username: "Aladdin".to_owned(),
            password: SecretSource::Value(Secret::new("open sesame".to_owned())),
        };
        let minute = Duration::from_secs(60);
        let peer = Alertmanager::new(&format!("{url}/am/"), post(), authorization, minute).unwrap();
        let message = message(Event::Firing);
        assert_eq!(peer.send(&message).await.unwrap().answer, "200 OK");
        let received = received.await.unwrap();
        assert_eq!(received.line, "POST /am/api/v2/alerts HTTP/1.1");
        assert_eq!(
            received.header("authorization"),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        let sent: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(sent, written(&message));
        assert!(peer.wants(&message));
        assert!(!peer.wants(&self::message(Event::Acknowledged)));
    }

    #[test]
    fn hundreds_of_alerts_with_labels_in_any_script_are_all_there() {
        let mut message = crowd(Event::Firing, 300);
        let strange = "<script>ü\u{0}\n".repeat(1_000);
        let labels = &mut message.notices[299].labels;
        labels.insert("component".to_owned(), strange.clone());
        let written = written(&message);
        assert_eq!(written.as_array().unwrap().len(), 300);
        assert_eq!(written[299]["labels"]["component"], strange.as_str());
        assert_eq!(written[0]["annotations"].get("top_call_site"), None);
    }
}
