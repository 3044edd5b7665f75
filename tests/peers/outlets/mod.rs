//! Who is told of alerts: webhooks, Slack and PagerDuty in one, which judge what they get by what its receiver documents, answer as it
//! would, and note it. The first segment of a path says who receives; what follows is free: `/pagerduty/a` and `/pagerduty/b` are two.
//! Each of them can be told to fail in every way that a network has.
//!
//! | file | holds |
//! |---|---|
//! | `form.rs` | documents as tables, by which they are judged |
//! | `webhook.rs` | Alertmanager's message to webhooks |
//! | `signature.rs` | who has signed it |
//! | `slack.rs`, `blocks.rs`, `mrkdwn.rs` | messages to Slack, the blocks in them, and the markup of their texts |
//! | `pagerduty.rs` | events of PagerDuty |
//! | `faults.rs` | what goes wrong |
//! | `server.rs` | how they take and answer requests |

mod blocks;
mod faults;
mod form;
mod mrkdwn;
mod pagerduty;
mod server;
mod signature;
mod slack;
mod webhook;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::body::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::programs::free_port;

use server::{Shared, receiver, serve};

pub(crate) use faults::Fault;
pub(crate) use form::Headers;
pub(crate) use signature::signature_holds;

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Who got it: `/webhook`, `/slack`, `/pagerduty`, or one below them.
    pub(crate) path: String,
    pub(crate) authorization: String,
    /// Null, if it is not JSON.
    pub(crate) body: Value,
    /// When all of it was there.
    pub(crate) at: Instant,
    pub(crate) headers: Headers,
    /// The body as it came.
    pub(crate) raw: Bytes,
    /// What was done to it.
    pub(crate) fault: Option<Fault>,
    /// Where it is not what its receiver documents.
    pub(crate) problems: Vec<String>,
    /// The status of the answer, if there was a whole one and somebody waited for it.
    pub(crate) answer: Option<u16>,
}

/// They.
pub(crate) struct Outlets {
    pub(crate) url: String,
    shared: Arc<Shared>,
    /// Ends their tasks with them.
    _runtime: tokio::runtime::Runtime,
}

impl Outlets {
    pub(crate) fn open() -> Self {
        Self::open_at(0)
    }

    /// Where nobody listened before.
    pub(crate) fn open_at(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", port)))
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::default();
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Self {
            url: format!("http://{address}"),
            shared,
            _runtime: runtime,
        }
    }

    /// What happens to the next requests to exactly this path, one by one; after them, all is as usual.
    pub(crate) fn script(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().collect();
        lock(&self.shared.scripts).insert(path.to_owned(), faults);
    }

    /// All that came, in the order in which it came.
    pub(crate) fn messages(&self) -> Vec<Message> {
        lock(&self.shared.messages).clone()
    }

    /// What came to exactly this path and was answered as a success.
    pub(crate) fn taken(&self, path: &str) -> Vec<Message> {
        let mut messages = self.messages();
        messages.retain(|message| {
            message.path == path && message.answer.is_some_and(|status| status / 100 == 2)
        });
        messages
    }

    /// # Panics
    /// With every problem of every message, if there is one.
    pub(crate) fn assert_well_formed(&self) {
        let messages = self.messages();
        let mut problems: Vec<String> = messages
            .iter()
            .filter(|message| !message.problems.is_empty())
            .map(|message| {
                let (path, raw) = (&message.path, String::from_utf8_lossy(&message.raw));
                format!("{path}: {}\n  in {raw}", message.problems.join("\n  "))
            })
            .collect();
        let webhooks = messages.iter().filter(|message| {
            receiver(&message.path).is_some_and(|receiver| receiver.segment == "webhook")
        });
        problems.extend(webhook::confusions(webhooks.map(|message| &message.body)));
        assert!(
            problems.is_empty(),
            "{} of {} messages:\n{}",
            problems.len(),
            messages.len(),
            problems.join("\n")
        );
    }
}

/// Where nobody listens.
pub(crate) fn refusing_url() -> String {
    format!("http://127.0.0.1:{}", free_port())
}

/// A test that has failed with the lock does not matter to the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::Request;
    use hyper::header::CONTENT_TYPE;
    use serde_json::json;

    use super::*;
    use crate::http;

    /// Posts what may be refused, and returns status and answer.
    fn post(url: &str, content_type: &str, body: &str) -> (u16, String) {
        let request = Request::post(url)
            .header(CONTENT_TYPE, content_type)
            .header("Authorization", "Bearer a-token")
            .body(Full::from(body.to_owned()))
            .expect("a request");
        let (parts, body) = http::send(request).expect("an answer");
        let body = String::from_utf8_lossy(&body).into_owned();
        (parts.status.as_u16(), body)
    }

    #[test]
    fn what_is_right_is_taken_as_documented() {
        let outlets = Outlets::open();
        let body = json!({
            "routing_key": "0123456789abcdef0123456789abcdef", "event_action": "resolve", "dedup_key": "a",
        });
        let url = format!("{}/pagerduty/a", outlets.url);
        let (status, answer) = post(&url, "application/json", &body.to_string());
        assert_eq!(status, 202, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let expected = json!({"status": "success", "message": "Event processed", "dedup_key": "a"});
        assert_eq!(answer, expected);
        let [message] = &outlets.taken("/pagerduty/a")[..] else {
            panic!("one message: {:?}", outlets.messages());
        };
        assert_eq!(message.body, body);
        assert_eq!(message.authorization, "Bearer a-token");
        assert_eq!(message.headers["content-type"], "application/json");
        assert_eq!(message.raw, body.to_string());
        outlets.assert_well_formed();
    }

    #[test]
    fn what_is_wrong_is_refused_as_documented() {
        let outlets = Outlets::open();
        let refused = |path: &str, content_type: &str, body: &str| {
            post(&format!("{}{path}", outlets.url), content_type, body)
        };
        let (status, answer) = refused("/pagerduty", "application/json", "{}");
        assert_eq!(status, 400);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let expected = json!({
            "status": "invalid event", "message": "Event object is invalid",
            "errors": ["routing_key: missing", "event_action: missing"],
        });
        assert_eq!(answer, expected);
        let slack = refused("/slack", "application/json", "{}");
        assert_eq!(slack, (400, "no_text".to_owned()));
        let slack = refused("/slack", "text/plain", "{\"text\":\"a\"}");
        assert_eq!(slack, (400, "invalid_payload".to_owned()));
        let webhook = refused("/webhook/a/b", "application/json", "{");
        let expected = "the body is not an object of JSON".to_owned();
        assert_eq!(webhook, (400, expected));
        for path in ["/", "/slacker", "/pager/slack"] {
            let nobody = format!("nobody receives at {path}");
            assert_eq!(refused(path, "application/json", "{}"), (404, nobody));
        }
        let answer = http::try_get(&format!("{}/slack", outlets.url), "*/*");
        assert_eq!(answer.expect("an answer").status, 405);
        let messages = outlets.messages();
        assert_eq!(messages.len(), 8);
        let problems = messages.iter().map(|message| &message.problems);
        assert!(problems.clone().all(|problems| !problems.is_empty()));
        assert_eq!(messages[2].body["text"], "a");
        assert_eq!(messages[3].body, Value::Null);
        assert!(outlets.taken("/slack").is_empty());
    }

    #[test]
    #[should_panic(
        expected = "2 of 3 messages:\n/slack: no text, attachments or blocks\n  in {}\n/pagerduty: "
    )]
    fn every_problem_is_said() {
        let outlets = Outlets::open();
        for (path, body) in [
            ("slack", "{}"),
            ("slack", "{\"text\":\"a\"}"),
            ("pagerduty", "{}"),
        ] {
            post(&format!("{}/{path}", outlets.url), "application/json", body);
        }
        outlets.assert_well_formed();
    }

    #[test]
    #[should_panic(expected = "fingerprint: ")]
    fn fingerprints_of_different_messages_are_compared() {
        let outlets = Outlets::open();
        for fingerprint in ["1a30ba71cca2921f", "c6eadffa33fcdf37"] {
            let labels = json!({"alertname": "MemoryLeak"});
            let body = json!({
                "version": "4", "groupKey": "{}", "truncatedAlerts": 0, "status": "firing", "receiver": "team",
                "groupLabels": {}, "commonLabels": labels, "commonAnnotations": {}, "externalURL": "",
                "alerts": [{
                    "status": "firing", "labels": labels, "annotations": {}, "generatorURL": "", "fingerprint": fingerprint,
                    "startsAt": "2026-03-01T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
                }],
            });
            let url = format!("{}/webhook/{fingerprint}", outlets.url);
            let (status, answer) = post(&url, "application/json", &body.to_string());
            assert_eq!((status, &*answer), (200, "ok"));
        }
        outlets.assert_well_formed();
    }
}
