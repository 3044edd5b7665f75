//! What the channels that speak HTTP have in common: one POST request of JSON, judged by its answer.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use serde::Serialize;
use url::Url;

use crate::catalog::compact;
use crate::client::{Answer, HttpClient, retry_after, shown};

use super::secrets::Secrets;
use super::text::line;
use super::{Failure, Receipt, Retry};

/// Most characters of an answer that are shown.
const MOST_SHOWN: usize = 200;
/// No receiver can put a message off for longer.
const MOST_PUT_OFF: Duration = Duration::from_secs(3600);

/// Sends requests for one channel.
#[derive(Debug, Clone)]
pub(super) struct Post {
    client: HttpClient,
    timeout: Duration,
}

impl Post {
    /// Each attempt may take that long.
    pub(super) fn new(client: HttpClient, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// Sends a body of JSON once.
    ///
    /// # Errors
    /// It was not taken: says whether it may be taken later, and why, without any of the secrets.
    pub(super) async fn send(
        &self,
        url: &Url,
        mut headers: HeaderMap,
        body: Vec<u8>,
        secrets: &Secrets,
    ) -> Result<Receipt, Failure> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.client.post(url.as_str(), headers, body.into());
        let no_answer = match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => return judge(url, &answer, secrets),
            Ok(Err(cause)) => format!("no answer: {cause}"),
            Err(_) => format!("no answer within {}", compact(self.timeout)),
        };
        Err(Failure {
            retry: Retry::Soon(None),
            why: line(&secrets.redact(&no_answer), MOST_SHOWN),
        })
    }
}

/// A body as it is sent.
///
/// # Errors
/// It has no form in JSON, and never will.
pub(super) fn json(body: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|cause| Failure {
        retry: Retry::Never,
        why: format!("cannot be written as JSON: {cause}"),
    })
}

/// A secret that is not there, or cannot be used: somebody has to put that right.
pub(super) fn misconfigured(why: String) -> Failure {
    Failure {
        retry: Retry::Late,
        why,
    }
}

impl Failure {
    /// A receiver that calls a message bad when the settings are, and says so in one of these words, is tried again.
    pub(super) fn late_if_it_says(mut self, words: &[&str]) -> Self {
        if self.retry == Retry::Never && words.iter().any(|word| self.why.contains(word)) {
            self.retry = Retry::Late;
        }
        self
    }
}

fn judge(url: &Url, answer: &Answer, secrets: &Secrets) -> Result<Receipt, Failure> {
    let status = answer.status;
    let body = secrets.redact(&String::from_utf8_lossy(&answer.body));
    let said = match line(&body, MOST_SHOWN) {
        body if body.is_empty() => status.to_string(),
        body => format!("{status}: {body}"),
    };
    if status.is_success() {
        return Ok(Receipt { answer: said });
    }
    let soon = || Retry::Soon(retry_after(&answer.headers).map(|time| time.min(MOST_PUT_OFF)));
    let (retry, why) = match status {
        _ if status.is_redirection() => (Retry::Late, redirection(url, answer, secrets)),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            (soon(), said)
        }
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::GONE => (Retry::Late, said),
        _ if status.is_client_error() => (Retry::Never, said),
        _ => (soon(), said),
    };
    Err(Failure { retry, why })
}

/// Where a receiver would have us go. We do not: what we send holds secrets, and was meant for the address that is configured.
fn redirection(url: &Url, answer: &Answer, secrets: &Secrets) -> String {
    let status = answer.status;
    let location = answer.headers.get(LOCATION);
    let location = location.and_then(|location| url.join(location.to_str().ok()?).ok());
    let Some(mut location) = location else {
        return format!("{status}, which is not followed");
    };
    location.set_fragment(None);
    let location = line(&secrets.redact(&shown(location.as_str())), MOST_SHOWN);
    format!("{status} to {location}, which is not followed")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::net::TcpListener;

    use crate::client::Certificates;
    use crate::config::{Secret, SecretSource};

    use super::super::receiver::{Received, answer, receiver};
    use super::*;

    /// What becomes of a message that is answered so, and the request.
    async fn answered(answer: &str) -> (Result<Receipt, Failure>, Received) {
        let (url, received) = receiver(answer).await;
        let mut secrets = Secrets::default();
        let url = Secret::new(format!("{url}/hooks/opensesame?key=s3cret"));
        let url = secrets.url(&SecretSource::Value(url)).unwrap();
        let body = json(&serde_json::json!({"a": 1})).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
        let post = post(Duration::from_secs(20));
        let sent = post.send(&url, headers, body, &secrets).await;
        (sent, received.await.unwrap())
    }

    fn post(timeout: Duration) -> Post {
        Post::new(HttpClient::new(&Certificates::default()).unwrap(), timeout)
    }

    async fn failure(status: &str, headers: &str, body: &str) -> Failure {
        let (sent, _) = answered(&answer(status, headers, body)).await;
        sent.unwrap_err()
    }

    #[tokio::test]
    async fn what_is_taken_is_told_in_the_words_of_the_receiver() {
        let accepted = answer("202 Accepted", "", "{\n\t\"status\": \"success\"\n}");
        let (sent, request) = answered(&accepted).await;
        assert_eq!(
            sent.unwrap().answer,
            "202 Accepted: { \"status\": \"success\" }"
        );
        assert_eq!(request.line, "POST /hooks/opensesame?key=s3cret HTTP/1.1");
        assert_eq!(request.body, "{\"a\":1}");
        let agent = concat!("memory-exporter/", env!("CARGO_PKG_VERSION"));
        for (header, value) in [
            ("content-type", "application/json"),
            ("webhook-id", "msg_1"),
            ("user-agent", agent),
        ] {
            assert_eq!(request.header(header), Some(value));
        }
        let (sent, _) = answered(&answer("204 No Content", "", "")).await;
        assert_eq!(sent.unwrap().answer, "204 No Content");
    }

    #[tokio::test]
    async fn a_status_says_whether_a_message_is_sent_again() {
        for (status, retry) in [
            ("301 Moved Permanently", Retry::Late),
            ("307 Temporary Redirect", Retry::Late),
            ("400 Bad Request", Retry::Never),
            ("401 Unauthorized", Retry::Late),
            ("403 Forbidden", Retry::Late),
            ("404 Not Found", Retry::Late),
            ("405 Method Not Allowed", Retry::Never),
            ("407 Proxy Authentication Required", Retry::Late),
            ("408 Request Timeout", Retry::Soon(None)),
            ("410 Gone", Retry::Late),
            ("413 Payload Too Large", Retry::Never),
            ("422 Unprocessable Entity", Retry::Never),
            ("425 Too Early", Retry::Soon(None)),
            ("429 Too Many Requests", Retry::Soon(None)),
            ("500 Internal Server Error", Retry::Soon(None)),
            ("503 Service Unavailable", Retry::Soon(None)),
        ] {
            let failure = failure(status, "", "why").await;
            assert_eq!(failure.retry, retry, "{status}: {}", failure.why);
            assert!(failure.why.starts_with(status), "{}", failure.why);
        }
    }

    #[tokio::test]
    async fn a_receiver_says_when_to_come_again() {
        let put_off = async |status: &str, after: &str| {
            let failure = failure(status, &format!("retry-after: {after}\r\n"), "").await;
            match failure.retry {
                Retry::Soon(time) => time,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            put_off("429 Too Many Requests", "7").await,
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            put_off("503 Service Unavailable", "86400").await,
            Some(MOST_PUT_OFF)
        );
        assert_eq!(put_off("500 Internal Server Error", "soon").await, None);
        let date = SystemTime::now() + Duration::from_secs(600);
        let until = put_off("429 Too Many Requests", &httpdate::fmt_http_date(date)).await;
        let until = until.unwrap().as_secs();
        assert!((500..=600).contains(&until), "{until}");
    }

    #[tokio::test]
    async fn a_redirection_is_told_and_not_followed() {
        let location = "location: https://user:pass@elsewhere.example.org/x/opensesame?key=1\r\n";
        let failure = failure("302 Found", location, "").await;
        assert_eq!(
            failure.why,
            "302 Found to https://elsewhere.example.org/x/<redacted>, which is not followed"
        );
        let location = "location: //user:pass@127.0.0.1/login?next=s3cret#s3cret\r\n";
        let relative = self::failure("302 Found", location, "").await;
        assert_eq!(
            relative.why,
            "302 Found to http://127.0.0.1/login, which is not followed"
        );
        let nowhere = self::failure("304 Not Modified", "", "").await;
        assert_eq!(nowhere.why, "304 Not Modified, which is not followed");
    }

    #[tokio::test]
    async fn what_is_repeated_holds_no_secret_and_no_end() {
        let echo = "unknown key s3cret in /hooks/opensesame\u{1b}[31m";
        let refused = failure("400 Bad Request", "", echo).await;
        assert_eq!(
            refused.why,
            "400 Bad Request: unknown key <redacted> in <redacted> [31m"
        );
        let (sent, _) = answered(&answer("200 OK", "", echo)).await;
        assert_eq!(
            sent.unwrap().answer,
            "200 OK: unknown key <redacted> in <redacted> [31m"
        );
        let long = failure("500 Internal Server Error", "", &"ä".repeat(30_000)).await;
        let expected = format!("500 Internal Server Error: {}…", "ä".repeat(199));
        assert_eq!(long.why, expected);
    }

    #[tokio::test]
    async fn no_answer_is_worth_another_attempt() {
        let (sent, _) = answered("").await;
        let hung_up = sent.unwrap_err();
        assert_eq!(hung_up.retry, Retry::Soon(None));
        assert!(hung_up.why.starts_with("no answer: "), "{}", hung_up.why);
        assert!(!hung_up.why.contains("s3cret"), "{}", hung_up.why);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let url = Url::parse(&url).unwrap();
        let secrets = Secrets::default();
        let post = post(Duration::from_millis(50));
        let late = post
            .send(&url, HeaderMap::new(), Vec::new(), &secrets)
            .await;
        assert_eq!(
            late.unwrap_err(),
            Failure {
                retry: Retry::Soon(None),
                why: "no answer within 50ms".to_owned(),
            }
        );
        drop(listener);
        let refused = post
            .send(&url, HeaderMap::new(), Vec::new(), &secrets)
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.retry, Retry::Soon(None));
        assert!(refused.why.starts_with("no answer: "), "{}", refused.why);
    }

    #[test]
    fn settings_that_are_called_a_bad_message_are_tried_again() {
        let failure = |retry, why: &str| Failure {
            retry,
            why: why.to_owned(),
        };
        let words = ["routing key"];
        let wrong = failure(Retry::Never, "400 Bad Request: Invalid routing key");
        assert_eq!(wrong.late_if_it_says(&words).retry, Retry::Late);
        let bad = failure(Retry::Never, "400 Bad Request: no summary");
        assert_eq!(bad.late_if_it_says(&words).retry, Retry::Never);
        let busy = failure(Retry::Soon(None), "500: routing key store is down");
        assert_eq!(busy.late_if_it_says(&words).retry, Retry::Soon(None));
    }
}
