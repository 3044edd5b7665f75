//! A webhook: the document that Alertmanager's documentation shows under `webhook_config`, version 4, and what its parts say of each other.

use std::collections::BTreeMap;

use hyper::Response;
use serde_json::{Map, Value};

use super::form::{ANY, Field, Headers, Kind, TIME, document, is_url, may, must, time};
use super::server::{Answer, answer};
use super::signature;

/// The end of what has none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

const SOME: Kind = Kind::Text(1..=usize::MAX);
const STATUS: Kind = Kind::OneOf(&["firing", "resolved"]);
/// Where it leads is not said if nobody knows.
const LINK: Kind = Kind::Like("a URL", |text| text.is_empty() || is_url(text));

const MESSAGE: &[Field] = &[
    must("version", Kind::OneOf(&["4"])),
    must("groupKey", SOME),
    must("truncatedAlerts", Kind::Count),
    must("status", STATUS),
    must("receiver", SOME),
    must("groupLabels", Kind::Texts),
    must("commonLabels", Kind::Texts),
    must("commonAnnotations", Kind::Texts),
    must("externalURL", LINK),
    must("alerts", Kind::List(1..=usize::MAX, &Kind::Form(ALERT))),
    // Documented and sent since Alertmanager 0.33.
    may("notification_reason", ANY),
];

const ALERT: &[Field] = &[
    must("status", STATUS),
    must("labels", Kind::Texts),
    must("annotations", Kind::Texts),
    must("startsAt", TIME),
    must(
        "endsAt",
        Kind::Like("a time of RFC 3339", |text| {
            text == NO_TIME || time(text).is_some()
        }),
    ),
    must("generatorURL", LINK),
    must("fingerprint", Kind::Like("16 hex digits", is_fingerprint)),
];

pub(super) fn problems(headers: &Headers, body: &Value) -> Vec<String> {
    let mut problems = document(headers, body, MESSAGE);
    problems.extend(signature::problems(headers));
    // What has not its form cannot be compared.
    if problems.is_empty() {
        problems = contradictions(body);
    }
    problems
}

pub(super) fn respond(_: &Value, problems: &[String]) -> Response<Answer> {
    if problems.is_empty() {
        answer(200, "text/plain", "ok".to_owned())
    } else {
        answer(400, "text/plain", problems.join("\n"))
    }
}

fn is_fingerprint(text: &str) -> bool {
    let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 16 && text.bytes().all(is_digit)
}

fn alerts(body: &Value) -> impl Iterator<Item = &Value> {
    body["alerts"].as_array().into_iter().flatten()
}

/// Where labels have two fingerprints, or a fingerprint stands for two sets of labels.
pub(super) fn confusions<'a>(bodies: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut fingerprints = BTreeMap::new();
    let mut sets = BTreeMap::new();
    for alert in bodies.into_iter().flat_map(alerts) {
        let [labels, fingerprint] = ["labels", "fingerprint"].map(|name| alert[name].to_string());
        let known = fingerprints.entry(labels.clone());
        let known = known.or_insert_with(|| fingerprint.clone());
        if *known != fingerprint {
            problems.push(format!(
                "fingerprint: {known} and {fingerprint} for {labels}"
            ));
        }
        let known = sets.entry(fingerprint.clone());
        let known = known.or_insert_with(|| labels.clone());
        if *known != labels {
            problems.push(format!(
                "fingerprint: {fingerprint} for {known} and {labels}"
            ));
        }
    }
    problems
}

fn contradictions(body: &Value) -> Vec<String> {
    let mut problems = confusions([body]);
    let is_firing = alerts(body).any(|alert| alert["status"] == "firing");
    if is_firing != (body["status"] == "firing") {
        problems.push(format!(
            "status: {}, not that of the alerts",
            body["status"]
        ));
    }
    for (index, alert) in alerts(body).enumerate() {
        let ends = alert["endsAt"].as_str().unwrap_or_default();
        let starts = alert["startsAt"].as_str().unwrap_or_default();
        let contradicts = match alert["status"].as_str() {
            Some("firing") => (ends != NO_TIME).then_some("while it fires"),
            _ if ends == NO_TIME => Some("after its end"),
            _ => (time(ends) < time(starts)).then_some("before its start"),
        };
        problems.extend(contradicts.map(|when| format!("alerts[{index}].endsAt: {ends} {when}")));
    }
    for (name, of) in [
        ("commonLabels", "labels"),
        ("commonAnnotations", "annotations"),
    ] {
        let shared = Value::from(shared(body, of));
        if body[name] != shared {
            problems.push(format!("{name}: {}, shared are {shared}", body[name]));
        }
    }
    let group = body["groupLabels"].as_object().into_iter().flatten();
    let foreign = group.filter(|(name, value)| body["commonLabels"].get(name) != Some(value));
    problems.extend(foreign.map(|(name, _)| format!("groupLabels.{name}: not common")));
    problems
}

/// What all alerts have.
fn shared(body: &Value, of: &str) -> Map<String, Value> {
    let mut objects = alerts(body).filter_map(|alert| alert[of].as_object());
    let mut shared = objects.next().cloned().unwrap_or_default();
    for object in objects {
        shared.retain(|name, value| object.get(name) == Some(value));
    }
    shared
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::form::planted;
    use super::*;

    /// One fires still.
    fn example() -> Value {
        json!({
            "version": "4",
            "groupKey": "{}/{severity=\"critical\"}:{alertname=\"MemoryLeak\", job=\"shop\"}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "team",
            "groupLabels": {"alertname": "MemoryLeak", "job": "shop"},
            "commonLabels": {"alertname": "MemoryLeak", "job": "shop", "severity": "critical"},
            "commonAnnotations": {"summary": "it leaks"},
            "notification_reason": "new alerts in group",
            "externalURL": "http://alertmanager.example.org:9093",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "MemoryLeak", "job": "shop", "severity": "critical", "instance": "a:1"},
                    "annotations": {"summary": "it leaks", "description": "it does."},
                    "startsAt": "2026-03-01T12:00:00.123456789Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=up&g0.tab=1",
                    "fingerprint": "1a30ba71cca2921f",
                },
                {
                    "status": "resolved",
                    "labels": {"alertname": "MemoryLeak", "job": "shop", "severity": "critical", "instance": "b:1"},
                    "annotations": {"summary": "it leaks"},
                    "startsAt": "2026-03-01T14:00:00+02:00",
                    "endsAt": "2026-03-01T12:00:01Z",
                    "generatorURL": "",
                    "fingerprint": "c6eadffa33fcdf37",
                },
            ],
        })
    }

    fn judge(body: &Value) -> Vec<String> {
        let headers = Headers::from([("content-type".to_owned(), "application/json".to_owned())]);
        problems(&headers, body)
    }

    #[test]
    fn mistakes_of_form_are_found() {
        let mistakes = [
            ("/version", Some(4.into()), "version: not a text"),
            (
                "/version",
                Some("3".into()),
                "version: \"3\" is not one of 4",
            ),
            ("/groupKey", None, "groupKey: missing"),
            (
                "/groupKey",
                Some("".into()),
                "groupKey: 0 characters, allowed: 1 or more",
            ),
            ("/truncatedAlerts", None, "truncatedAlerts: missing"),
            (
                "/truncatedAlerts",
                Some((-1).into()),
                "truncatedAlerts: -1 is not a count",
            ),
            (
                "/status",
                Some("pending".into()),
                "status: \"pending\" is not one of firing, resolved",
            ),
            ("/receiver", Some(Value::Null), "receiver: not a text"),
            (
                "/groupLabels",
                Some(json!([])),
                "groupLabels: not an object",
            ),
            (
                "/commonLabels/count",
                Some(1.into()),
                "commonLabels.count: not a text",
            ),
            ("/commonAnnotations", None, "commonAnnotations: missing"),
            (
                "/externalURL",
                Some("here".into()),
                "externalURL: \"here\" is not a URL",
            ),
            (
                "/alerts",
                Some(json!([])),
                "alerts: 0 elements, allowed: 1 or more",
            ),
            ("/orgId", Some(1.into()), "orgId: not documented"),
            (
                "/notification_reason",
                Some(1.into()),
                "notification_reason: not a text",
            ),
            (
                "/alerts/0/silenceURL",
                Some("".into()),
                "alerts[0].silenceURL: not documented",
            ),
            (
                "/alerts/0/startsAt",
                Some(NO_TIME.into()),
                "alerts[0].startsAt: \"0001-01-01T00:00:00Z\" is not a time of RFC 3339",
            ),
            ("/alerts/0/endsAt", None, "alerts[0].endsAt: missing"),
            (
                "/alerts/0/endsAt",
                Some("never".into()),
                "alerts[0].endsAt: \"never\" is not a time of RFC 3339",
            ),
            (
                "/alerts/1/fingerprint",
                Some("C6EADFFA33FCDF37".into()),
                "alerts[1].fingerprint: \"C6EADFFA33FCDF37\" is not 16 hex digits",
            ),
        ];
        planted::are_found(&example(), judge, mistakes);
    }

    #[test]
    fn contradictions_are_found() {
        let labels = json!({"alertname": "MemoryLeak", "job": "shop", "severity": "critical", "instance": "a:1"});
        let mistakes = [
            (
                "/status",
                Some("resolved".into()),
                "status: \"resolved\", not that of the alerts",
            ),
            (
                "/alerts/0/endsAt",
                Some("2026-03-01T12:00:01Z".into()),
                "alerts[0].endsAt: 2026-03-01T12:00:01Z while it fires",
            ),
            (
                "/alerts/1/endsAt",
                Some(NO_TIME.into()),
                "alerts[1].endsAt: 0001-01-01T00:00:00Z after its end",
            ),
            (
                "/alerts/1/endsAt",
                Some("2026-03-01T11:59:59Z".into()),
                "alerts[1].endsAt: 2026-03-01T11:59:59Z before its start",
            ),
            (
                "/commonLabels/severity",
                None,
                r#"commonLabels: {"alertname":"MemoryLeak","job":"shop"}, shared are {"alertname":"MemoryLeak","job":"shop","severity":"critical"}"#,
            ),
            (
                "/commonLabels/instance",
                Some("a:1".into()),
                r#"commonLabels: {"alertname":"MemoryLeak","instance":"a:1","job":"shop","severity":"critical"}, shared are {"alertname":"MemoryLeak","job":"shop","severity":"critical"}"#,
            ),
            (
                "/commonAnnotations",
                Some(json!({})),
                r#"commonAnnotations: {}, shared are {"summary":"it leaks"}"#,
            ),
            (
                "/groupLabels/instance",
                Some("a:1".into()),
                "groupLabels.instance: not common",
            ),
            (
                "/alerts/1/fingerprint",
                Some("1a30ba71cca2921f".into()),
                r#"fingerprint: "1a30ba71cca2921f" for {"alertname":"MemoryLeak","instance":"a:1","job":"shop","severity":"critical"} and {"alertname":"MemoryLeak","instance":"b:1","job":"shop","severity":"critical"}"#,
            ),
        ];
        planted::are_found(&example(), judge, mistakes);
        let twice = planted::with(&example(), "/alerts/1/labels", Some(labels));
        assert!(
            judge(&twice)[0]
                .starts_with("fingerprint: \"1a30ba71cca2921f\" and \"c6eadffa33fcdf37\" for "),
            "{:?}",
            judge(&twice)
        );
    }

    #[test]
    fn a_signature_without_what_it_signs_is_found() {
        let headers = Headers::from(
            [
                ("content-type", "application/json"),
                (
                    "webhook-signature",
                    "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
                ),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        assert_eq!(
            problems(&headers, &example()),
            ["webhook-id: missing", "webhook-timestamp: missing"]
        );
    }

    #[test]
    fn fingerprints_are_compared_between_messages() {
        let first = example();
        let other = Some(Value::from("0000000000000000"));
        let second = planted::with(&first, "/alerts/0/fingerprint", other);
        assert_eq!(confusions([&first, &first]), [""; 0]);
        let found = confusions([&first, &second]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("fingerprint: \"1a30ba71cca2921f\" and \"0000000000000000\" for "),
            "{found:?}"
        );
    }
}
