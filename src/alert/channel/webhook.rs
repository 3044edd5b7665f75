//! A server of one's own: the format of Alertmanager's webhooks, version 4, signed as Standard Webhooks has it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use serde::Serialize;

use crate::config::{Authorization, Secret, SecretSource};

use super::super::message::{Event, Message, Notice, rfc3339};
use super::post::{Post, json, misconfigured};
use super::secrets::{Secrets, origin};
use super::{Channel, Failure, Receipt, Retry};

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Behind it a secret is in base64.
const ENCODED: &str = "whsec_";
/// As Go writes no time: the end of what still fires.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// Some leave the padding of a secret out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Posts to a server of one's own.
#[derive(Debug)]
pub(super) struct Webhook {
    /// The channel's name, which the format calls the receiver.
    pub(super) name: String,
    pub(super) post: Post,
    pub(super) url: SecretSource,
    pub(super) signing_secret: Option<SecretSource>,
    pub(super) authorization: Authorization,
}

impl Webhook {
    async fn attempt(&self, message: &Message) -> Result<Receipt, Failure> {
        let mut secrets = Secrets::default();
        let url = secrets.url(&self.url).map_err(misconfigured)?;
        let authorization = secrets.authorization(&self.authorization);
        let body = json(&body(message, &self.name))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let timestamp = now.unwrap_or_default().as_secs();
        let mut headers = HeaderMap::new();
        let id = HeaderValue::from_str(&message.id).map_err(|_| Failure {
            retry: Retry::Never,
            why: "the message has an id that cannot stand in a header".to_owned(),
        })?;
        headers.insert(ID, id);
        headers.insert(TIMESTAMP, timestamp.into());
        if let Some(source) = &self.signing_secret {
            let key = signing_key(source, &mut secrets).map_err(misconfigured)?;
            let signature = signature(&key, &message.id, timestamp, &body);
            let signature = HeaderValue::from_str(&signature);
            // Letters, digits and signs of base64 can always stand there.
            headers.extend(signature.map(|signature| (SIGNATURE, signature)));
        }
        if let Some(value) = authorization.map_err(misconfigured)? {
            headers.insert(AUTHORIZATION, value);
        }
        self.post.send(&url, headers, body, &secrets).await
    }
}

impl Channel for Webhook {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>> {
        self.attempt(message).boxed()
    }

    fn target(&self) -> String {
        origin(&self.url)
    }

    /// The format has no word for what somebody has taken on.
    fn wants(&self, message: &Message) -> bool {
        message.event != Event::Acknowledged
    }
}

/// What messages are signed with.
///
/// # Errors
/// It is not there, or is not what its prefix says.
pub(super) fn signing_key(
    source: &SecretSource,
    secrets: &mut Secrets,
) -> Result<hmac::Key, String> {
    let secret: Secret = secrets.read(source)?;
    let bytes = match secret.reveal().strip_prefix(ENCODED) {
        None => secret.reveal().as_bytes().to_vec(),
        Some(text) => {
            secrets.add(text);
            let bytes = BASE64.decode(text).ok().filter(|bytes| !bytes.is_empty());
            bytes.ok_or_else(|| format!("{source} cannot be used: no base64 after {ENCODED}"))?
        }
    };
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// The value of `webhook-signature`.
fn signature(key: &hmac::Key, id: &str, timestamp: u64, body: &[u8]) -> String {
    let mut signed = hmac::Context::with_key(key);
    signed.update(format!("{id}.{timestamp}.").as_bytes());
    signed.update(body);
    format!("v1,{}", BASE64.encode(signed.sign()))
}

/// As Alertmanager's `webhook.Message`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: u64,
    status: &'static str,
    receiver: &'a str,
    group_labels: &'a BTreeMap<String, String>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<Alert<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: BTreeMap<&'a str, &'a str>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

fn body<'a>(message: &'a Message, receiver: &'a str) -> Body<'a> {
    let alerts: Vec<Alert<'_>> = message
        .notices
        .iter()
        .map(|notice| alert(message, notice))
        .collect();
    Body {
        version: "4",
        group_key: &message.group.key,
        truncated_alerts: 0,
        status: status(message.firing().next().is_none()),
        receiver,
        group_labels: &message.group.labels,
        common_labels: common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
        external_url: &message.origin.url,
        alerts,
    }
}

fn alert<'a>(message: &Message, notice: &'a Notice) -> Alert<'a> {
    let labels = notice.filled_labels();
    Alert {
        status: status(notice.resolved_at.is_some()),
        annotations: notice.annotations(),
        starts_at: rfc3339(notice.fired_at),
        ends_at: notice.resolved_at.map_or(NO_TIME.to_owned(), rfc3339),
        generator_url: message.origin.alerts(labels.get("alertname").copied()),
        fingerprint: fingerprint(&labels),
        labels,
    }
}

fn status(is_resolved: bool) -> &'static str {
    match is_resolved {
        true => "resolved",
        false => "firing",
    }
}

/// What stands in all of them.
fn common<'m, K: Ord + Clone + 'm, V: PartialEq + Clone + 'm>(
    mut maps: impl Iterator<Item = &'m BTreeMap<K, V>>,
) -> BTreeMap<K, V> {
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|key, value| map.get(key) == Some(value));
    }
    common
}

/// The number under which Alertmanager knows an alert: FNV-1a of its sorted labels, each name and each value ended by a byte that is in no
/// text.
fn fingerprint(labels: &BTreeMap<&str, &str>) -> String {
    let texts = labels.iter().flat_map(|(name, value)| [name, value]);
    let bytes = texts.flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, to_value};

    use super::super::super::fixture::{crowd, message, other, time};
    use super::super::receiver::{answer, post, receiver};
    use super::*;

    fn written(message: &Message) -> Value {
        to_value(body(message, "team")).unwrap()
    }

    #[test]
    fn it_is_what_alertmanager_would_post() {
        let labels = json!({
            "alertname": "MemoryLeak",
            "instance": "shop-1:9100",
            "job": "shop",
            "origin": "embedded",
            "severity": "critical",
        });
        let annotations = json!({
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
        });
        let expected = json!({
            "version": "4",
            "groupKey": "shop/shop-1:9100/MemoryLeak/critical",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "team",
            "groupLabels": {"alertname": "MemoryLeak", "severity": "critical"},
            "commonLabels": labels,
            "commonAnnotations": annotations,
            "externalURL": "http://shop-1:9100",
            "alerts": [{
                "status": "firing",
                "labels": labels,
                "annotations": annotations,
                "startsAt": "2026-01-02T03:02:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://shop-1:9100/metrics/memory/alerts?name=MemoryLeak",
                "fingerprint": "7e9d9eddc8dd62ec",
            }],
        });
        assert_eq!(written(&message(Event::Firing)), expected);
    }

    #[test]
    fn what_has_ended_says_when() {
        let resolved = written(&message(Event::Resolved));
        assert_eq!(resolved["status"], "resolved");
        assert_eq!(resolved["alerts"][0]["status"], "resolved");
        assert_eq!(resolved["alerts"][0]["endsAt"], "2026-01-02T03:10:00Z");
    }

    #[test]
    fn a_group_fires_while_one_of_its_alerts_does() {
        let mut message = message(Event::StillFiring);
        let mut ended = other("<script>alert(\"ü\")</script>\u{1}");
        ended.resolved_at = Some(time("2026-01-02T03:05:00Z"));
        message.notices.push(ended);
        let written = written(&message);
        assert_eq!(written["status"], "firing");
        let statuses = [0, 1].map(|at| written["alerts"][at]["status"].clone());
        assert_eq!(statuses, ["firing", "resolved"]);
        // Only what both have: neither the component of the one nor the culprit of the other.
        assert_eq!(
            written["commonLabels"],
            json!({
                "alertname": "MemoryLeak",
                "instance": "shop-1:9100",
                "job": "shop",
                "origin": "embedded",
                "severity": "critical",
            })
        );
        assert_eq!(written["commonAnnotations"]["value"], "72.0 MB/h");
        assert_eq!(written["commonAnnotations"].get("top_call_site"), None);
        assert_eq!(
            written["alerts"][1]["labels"]["component"],
            "<script>alert(\"ü\")</script>\u{1}"
        );
    }

    #[test]
    fn hundreds_of_alerts_are_all_there_each_with_a_number_of_its_own() {
        let written = written(&crowd(Event::Firing, 300));
        let alerts = written["alerts"].as_array().unwrap();
        let mut numbers: Vec<&Value> = alerts.iter().map(|alert| &alert["fingerprint"]).collect();
        numbers.sort_by_key(|number| number.as_str());
        numbers.dedup();
        assert_eq!(numbers.len(), 300);
    }

    /// The first two are of the tests of prometheus/common.
    #[test]
    fn a_fingerprint_is_that_of_prometheus() {
        let number = |labels: &[(&'static str, &'static str)]| {
            fingerprint(&labels.iter().copied().collect::<BTreeMap<_, _>>())
        };
        assert_eq!(
            number(&[]),
            format!("{:016x}", 14_695_981_039_346_656_037_u64)
        );
        assert_eq!(
            number(&[("name", "garland, briggs"), ("fear", "love is not enough")]),
            format!("{:016x}", 5_799_056_148_416_392_346_u64)
        );
        assert_ne!(number(&[("a", "bc")]), number(&[("ab", "c")]));
    }

    fn key(secret: &str) -> Result<hmac::Key, String> {
        let source = SecretSource::Value(Secret::new(secret.to_owned()));
        signing_key(&source, &mut Secrets::default())
    }

    /// The example of the libraries of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_standard_webhooks() {
        let sign = |secret: &str| {
            let key = key(secret).unwrap();
            let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
            signature(&key, id, 1_614_265_330, body)
        };
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
        // Without the prefix it is what it is.
        assert_ne!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), expected);
        assert_eq!(sign("whsec_YQ=="), sign("a"));
        assert_eq!(sign("whsec_YQ"), sign("a"));
    }

    #[tokio::test]
    async fn each_attempt_is_signed_at_its_time_with_secrets_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            SecretSource::File(path)
        };
        let webhook = Webhook {
            name: "team".to_owned(),
            post: post(),
            url: file("url", "http://127.0.0.1:1/old"),
            signing_secret: Some(file("secret", "whsec_b2xk")),
            authorization: Authorization::Bearer(file("token", "old")),
        };
        let message = message(Event::Firing);
        for token in ["t0ken-1", "t0ken-2"] {
            let echo = format!("hello {token}");
            let (url, received) = receiver(&answer("200 OK", "", &echo)).await;
            file("url", &format!("{url}/hook\n"));
            file("token", token);
            file("secret", token);
            let receipt = webhook.send(&message).await.unwrap();
            assert_eq!(receipt.answer, "200 OK: hello <redacted>");
            assert_eq!(webhook.target(), url);
            let received = received.await.unwrap();
            assert_eq!(received.line, "POST /hook HTTP/1.1");
            let header = |name: &str| received.header(name).unwrap();
            assert_eq!(header("authorization"), format!("Bearer {token}"));
            assert_eq!(header("webhook-id"), "msg_1");
            let timestamp: u64 = header("webhook-timestamp").parse().unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            assert!(now.as_secs() - timestamp < 60, "{timestamp}");
            let signed = signature(
                &key(token).unwrap(),
                "msg_1",
                timestamp,
                received.body.as_bytes(),
            );
            assert_eq!(header("webhook-signature"), signed);
            let sent: Value = serde_json::from_str(&received.body).unwrap();
            assert_eq!(sent, written(&message));
        }
        std::fs::remove_file(folder.path().join("secret")).unwrap();
        let failure = webhook.send(&message).await.unwrap_err();
        assert_eq!(failure.retry, Retry::Late);
        assert!(failure.why.starts_with("cannot read "), "{}", failure.why);
        assert!(webhook.wants(&message));
        assert!(!webhook.wants(&self::message(Event::Acknowledged)));
    }

    #[test]
    fn a_secret_that_is_no_base64_is_told_and_not_shown() {
        let broken = key("whsec_not base64");
        assert_eq!(
            broken.unwrap_err(),
            "the value cannot be used: no base64 after whsec_"
        );
        assert!(key("whsec_").is_err());
    }
}
