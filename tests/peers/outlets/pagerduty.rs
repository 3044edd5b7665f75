//! PagerDuty: what its documentation of "Events API v2" says of an event that is sent to `/v2/enqueue`, and how it answers.

use hyper::Response;
use serde_json::{Value, json};

use super::form::{ANY, Field, Headers, Kind, URL, document, is_url, may, must, time};
use super::server::{Answer, answer};

/// Largest event.
const MOST_BYTES: usize = 512 * 1024;

const EVENT: &[Field] = &[
    must("routing_key", Kind::Text(32..=32)),
    must(
        "event_action",
        Kind::OneOf(&["trigger", "acknowledge", "resolve"]),
    ),
    may("dedup_key", Kind::Text(1..=255)),
    may("payload", Kind::Form(PAYLOAD)),
    may("client", ANY),
    may("client_url", URL),
    may("links", Kind::List(0..=usize::MAX, &Kind::Form(LINK))),
    may("images", Kind::List(0..=usize::MAX, &Kind::Form(IMAGE))),
];

const PAYLOAD: &[Field] = &[
    must("summary", Kind::Text(1..=1024)),
    must("source", Kind::Text(1..=usize::MAX)),
    must(
        "severity",
        Kind::OneOf(&["critical", "error", "warning", "info"]),
    ),
    may("timestamp", Kind::Like("a time of ISO 8601", is_iso_8601)),
    may("component", ANY),
    may("group", ANY),
    may("class", ANY),
    may("custom_details", Kind::Object),
];

const LINK: &[Field] = &[must("href", URL), may("text", ANY)];

const IMAGE: &[Field] = &[
    must("src", Kind::Like("a URL of https", is_https)),
    may("href", URL),
    may("alt", ANY),
];

pub(super) fn problems(headers: &Headers, body: &Value) -> Vec<String> {
    let mut problems = document(headers, body, EVENT);
    match body["event_action"].as_str() {
        Some("trigger") if body.get("payload").is_none() => {
            problems.push("payload: missing, a trigger has one".to_owned());
        }
        Some(action @ ("acknowledge" | "resolve")) if body.get("dedup_key").is_none() => {
            problems.push(format!("dedup_key: missing, nobody knows what to {action}"));
        }
        _ => {}
    }
    // Written shortly, if nobody says how long it was.
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok());
    let length = length.unwrap_or_else(|| body.to_string().len());
    if length > MOST_BYTES {
        problems.push(format!("{length} bytes, allowed: {MOST_BYTES}"));
    }
    problems
}

pub(super) fn respond(body: &Value, problems: &[String]) -> Response<Answer> {
    if problems.is_empty() {
        let key = body["dedup_key"].as_str().unwrap_or("a-key-of-pagerduty");
        let taken = json!({"status": "success", "message": "Event processed", "dedup_key": key});
        answer(202, "application/json", taken.to_string())
    } else {
        let refused = json!({
            "status": "invalid event", "message": "Event object is invalid", "errors": problems,
        });
        answer(400, "application/json", refused.to_string())
    }
}

/// As RFC 3339, but an offset may have no colon: PagerDuty's example has none.
fn is_iso_8601(text: &str) -> bool {
    let offset = text.len().checked_sub(5).filter(|at| {
        text.get(*at..)
            .is_some_and(|offset| offset.starts_with(['+', '-']))
    });
    let with_colon = offset.map(|at| format!("{}:{}", &text[..at + 3], &text[at + 3..]));
    time(with_colon.as_deref().unwrap_or(text)).is_some()
}

/// Images are served via HTTPS, or not shown.
fn is_https(text: &str) -> bool {
    is_url(text) && text.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::super::form::planted;
    use super::*;

    /// Of the documentation.
    fn example() -> Value {
        json!({
            "payload": {
                "summary": "DISK at 99% on machine prod-datapipe03.example.com",
                "timestamp": "2015-07-17T08:42:58.315+0000",
                "severity": "critical",
                "source": "prod-datapipe03.example.com",
                "component": "mysql",
                "group": "prod-datapipe",
                "class": "disk",
                "custom_details": {"free space": "1%", "ping time": "1500ms", "load avg": 0.75},
            },
            "routing_key": "e93facc04764012d7bfb002500d5d1a6",
            "dedup_key": "srv01/mysql",
            "event_action": "trigger",
            "client": "Sample Monitoring Service",
            "client_url": "https://monitoring.service.com",
            "links": [{"href": "http://pagerduty.example.com", "text": "An example link."}],
            "images": [{
                "src": "https://chart.googleapis.com/chart?chs=600x400&chd=t:6,2,9",
                "href": "https://google.com",
                "alt": "An example link with an image",
            }],
        })
    }

    fn judge(body: &Value) -> Vec<String> {
        let headers = Headers::from([("content-type".to_owned(), "application/json".to_owned())]);
        problems(&headers, body)
    }

    #[test]
    fn mistakes_in_a_trigger_are_found() {
        let text = |length: usize| Some(Value::from("é".repeat(length)));
        let mistakes = [
            ("/routing_key", None, "routing_key: missing"),
            (
                "/routing_key",
                Some("a-key".into()),
                "routing_key: 5 characters, allowed: 32 to 32",
            ),
            ("/event_action", None, "event_action: missing"),
            (
                "/event_action",
                Some("fire".into()),
                "event_action: \"fire\" is not one of trigger, acknowledge, resolve",
            ),
            (
                "/dedup_key",
                text(256),
                "dedup_key: 256 characters, allowed: 1 to 255",
            ),
            ("/dedup_key", Some(1.into()), "dedup_key: not a text"),
            ("/payload", None, "payload: missing, a trigger has one"),
            ("/payload", Some("it".into()), "payload: not an object"),
            ("/payload/summary", None, "payload.summary: missing"),
            (
                "/payload/summary",
                text(1025),
                "payload.summary: 1025 characters, allowed: 1 to 1024",
            ),
            (
                "/payload/summary",
                text(0),
                "payload.summary: 0 characters, allowed: 1 to 1024",
            ),
            ("/payload/source", None, "payload.source: missing"),
            (
                "/payload/severity",
                Some("fatal".into()),
                "payload.severity: \"fatal\" is not one of critical, error, warning, info",
            ),
            (
                "/payload/timestamp",
                Some("17 July 2015".into()),
                "payload.timestamp: \"17 July 2015\" is not a time of ISO 8601",
            ),
            (
                "/payload/class",
                Some(Value::Null),
                "payload.class: not a text",
            ),
            (
                "/payload/custom_details",
                Some("much".into()),
                "payload.custom_details: not an object",
            ),
            (
                "/payload/details",
                Some(json!({})),
                "payload.details: not documented",
            ),
            (
                "/service_key",
                Some("e".into()),
                "service_key: not documented",
            ),
            (
                "/client_url",
                Some("monitoring".into()),
                "client_url: \"monitoring\" is not a URL",
            ),
            ("/links", Some(json!({})), "links: not a list"),
            ("/links/0/href", None, "links[0].href: missing"),
            (
                "/images/0/src",
                Some("http://example.org".into()),
                "images[0].src: \"http://example.org\" is not a URL of https",
            ),
            (
                "/images/0/title",
                Some("a".into()),
                "images[0].title: not documented",
            ),
        ];
        planted::are_found(&example(), judge, mistakes);
    }

    #[test]
    fn an_end_needs_a_key_and_nothing_else() {
        let end = json!({
            "routing_key": "e93facc04764012d7bfb002500d5d1a6",
            "dedup_key": "srv01/mysql",
            "event_action": "resolve",
        });
        let mistakes = [(
            "/dedup_key",
            None,
            "dedup_key: missing, nobody knows what to resolve",
        )];
        planted::are_found(&end, judge, mistakes);
        let acknowledgement = planted::with(&end, "/event_action", Some("acknowledge".into()));
        let mistakes = [(
            "/dedup_key",
            None,
            "dedup_key: missing, nobody knows what to acknowledge",
        )];
        planted::are_found(&acknowledgement, judge, mistakes);
    }

    #[test]
    fn an_event_has_at_most_512_kilobytes() {
        let note = |length: usize| {
            let note = Some(Value::from("a".repeat(length)));
            planted::with(&example(), "/payload/custom_details/note", note)
        };
        let rest = note(0).to_string().len();
        assert_eq!(judge(&note(MOST_BYTES - rest)), [""; 0]);
        assert_eq!(
            judge(&note(MOST_BYTES - rest + 1)),
            ["524289 bytes, allowed: 524288"]
        );
    }
}
