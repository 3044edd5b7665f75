//! What outlets do to requests when they are told to: answers that are late, broken or none.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use hyper::Response;
use hyper::header::{HeaderValue, RETRY_AFTER};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::{Answer, answer};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with a status.
    Status(u16),
    /// Answers with a status and a word.
    Word(u16, &'static str),
    /// Answers with a status, and when to come again.
    RetryAfter(u16, &'static str),
    /// Answers as usual, after a while.
    Slow(Duration),
    /// Never answers.
    Silent,
    /// Closes the connection instead of an answer.
    HangUp,
    /// Announces more of a 200 than it sends.
    MidBody,
    /// Answers with what is not HTTP.
    Garbage,
    /// Answers with a 500 that has no end.
    Endless,
}

/// Between two pieces of what has no end.
const PAUSE: Duration = Duration::from_millis(20);

impl Fault {
    /// The answer, of those that are HTTP.
    pub(super) fn response(self) -> Option<Response<Answer>> {
        let refusal = |status| answer(status, "text/plain", "not now".to_owned());
        match self {
            Self::Status(status) => Some(refusal(status)),
            Self::Word(status, word) => Some(answer(status, "text/plain", word.to_owned())),
            Self::RetryAfter(status, when) => {
                let mut response = refusal(status);
                let when = HeaderValue::from_static(when);
                response.headers_mut().insert(RETRY_AFTER, when);
                Some(response)
            }
            _ => None,
        }
    }

    /// Does to a connection what HTTP has no word for, and closes it.
    pub(super) async fn act(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Silent => while stream.read(&mut [0; 512]).await? > 0 {},
            Self::MidBody => {
                let part = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000\r\n\r\nok, but";
                stream.write_all(part.as_bytes()).await?;
            }
            Self::Garbage => {
                stream
                    .write_all(b"\0\x16\x03 who is there?\r\n\r\n")
                    .await?
            }
            Self::Endless => {
                let error = endless(&mut stream).await.unwrap_err();
                return Err(error);
            }
            Self::HangUp
            | Self::Status(_)
            | Self::Word(..)
            | Self::RetryAfter(..)
            | Self::Slow(_) => {}
        }
        stream.shutdown().await
    }
}

async fn endless(stream: &mut TcpStream) -> io::Result<Infallible> {
    let head = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(b"a\r\nand so on \r\n").await?;
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http_body_util::{BodyExt, Full};
    use hyper::Request;
    use hyper::body::Bytes;
    use hyper::header::CONTENT_TYPE;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use tokio::time::timeout_at;

    use super::super::{Outlets, refusing_url};
    use super::*;

    const BODY: &str = "{\"text\":\"a\"}";
    /// For what must come.
    const LONG: Duration = Duration::from_secs(30);
    /// For what must not come.
    const SHORT: Duration = Duration::from_secs(1);

    /// What a client gets.
    #[derive(Debug, PartialEq)]
    enum Outcome {
        /// A status, when to come again, and a body.
        Answer(u16, Option<String>, String),
        /// No answer, for a reason.
        None(String),
        /// A status, a part of a body, and then an error.
        Torn(u16, String),
        /// Nothing, so far.
        Waiting,
        /// A status and so many bytes, so far.
        Unending(u16, usize),
    }

    /// Posts a message and waits so long for the end of the answer.
    fn post(url: &str, patience: Duration) -> Outcome {
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(BODY))
            .expect("a request");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let end = tokio::time::Instant::now() + patience;
            let client = Client::builder(TokioExecutor::new()).build_http();
            let response = match timeout_at(end, client.request(request)).await {
                Err(_) => return Outcome::Waiting,
                Ok(Err(error)) => return Outcome::None(format!("{error:?}")),
                Ok(Ok(response)) => response,
            };
            let status = response.status().as_u16();
            let when = response.headers().get(RETRY_AFTER);
            let when = when.map(|when| when.to_str().expect("a text").to_owned());
            let mut body = response.into_body();
            let mut text = String::new();
            loop {
                match timeout_at(end, body.frame()).await {
                    Err(_) => return Outcome::Unending(status, text.len()),
                    Ok(None) => return Outcome::Answer(status, when, text),
                    Ok(Some(Err(_))) => return Outcome::Torn(status, text),
                    Ok(Some(Ok(frame))) => {
                        let data = frame.into_data().expect("no trailers");
                        text += str::from_utf8(&data).expect("a text");
                    }
                }
            }
        })
    }

    /// What becomes of a request that this happens to. The one after it is answered as usual.
    fn outcome(fault: Fault, patience: Duration) -> Outcome {
        let outlets = Outlets::open();
        let url = format!("{}/slack/a", outlets.url);
        outlets.script("/slack/a", [fault]);
        let outcome = post(&url, patience);
        let ok = Outcome::Answer(200, None, "ok".to_owned());
        assert_eq!(post(&url, LONG), ok, "after {fault:?}");
        let messages = outlets.messages();
        let done: Vec<_> = messages.iter().map(|message| message.fault).collect();
        assert_eq!(done, [Some(fault), None]);
        assert!(messages.iter().all(|message| message.raw == BODY));
        let status = match &outcome {
            Outcome::Answer(status, ..) => Some(*status),
            _ => None,
        };
        assert_eq!(messages[0].answer, status);
        outlets.assert_well_formed();
        outcome
    }

    fn not_now(status: u16, when: Option<&str>) -> Outcome {
        Outcome::Answer(status, when.map(str::to_owned), "not now".to_owned())
    }

    #[test]
    fn a_status_is_answered() {
        assert_eq!(outcome(Fault::Status(503), LONG), not_now(503, None));
        assert_eq!(outcome(Fault::Status(404), LONG), not_now(404, None));
        let word = Outcome::Answer(403, None, "invalid_token".to_owned());
        assert_eq!(outcome(Fault::Word(403, "invalid_token"), LONG), word);
    }

    #[test]
    fn a_client_is_told_when_to_come_again() {
        let fault = Fault::RetryAfter(429, "7");
        assert_eq!(outcome(fault, LONG), not_now(429, Some("7")));
    }

    #[test]
    fn a_slow_answer_is_one() {
        let start = Instant::now();
        let fault = Fault::Slow(SHORT);
        let ok = Outcome::Answer(200, None, "ok".to_owned());
        assert_eq!(outcome(fault, LONG), ok);
        assert!(start.elapsed() >= SHORT);
    }

    #[test]
    fn an_answer_for_which_nobody_waits_is_none() {
        let fault = Fault::Slow(SHORT * 2);
        assert_eq!(outcome(fault, SHORT / 2), Outcome::Waiting);
    }

    #[test]
    fn silence_is_no_answer() {
        assert_eq!(outcome(Fault::Silent, SHORT), Outcome::Waiting);
    }

    #[test]
    fn a_connection_is_closed_instead_of_an_answer() {
        let outcome = outcome(Fault::HangUp, LONG);
        assert!(
            matches!(&outcome, Outcome::None(why) if why.contains("IncompleteMessage")),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_body_ends_before_its_end() {
        let torn = Outcome::Torn(200, "ok, but".to_owned());
        assert_eq!(outcome(Fault::MidBody, LONG), torn);
    }

    #[test]
    fn garbage_is_not_http() {
        let outcome = outcome(Fault::Garbage, LONG);
        assert!(
            matches!(&outcome, Outcome::None(why) if why.contains("Parse")),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_body_has_no_end() {
        let outcome = outcome(Fault::Endless, SHORT * 2);
        assert!(
            matches!(outcome, Outcome::Unending(500, bytes) if bytes > 30),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_connection_is_refused() {
        let outcome = post(&refusing_url(), LONG);
        assert!(
            matches!(&outcome, Outcome::None(why) if why.contains("ConnectionRefused")),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_script_is_of_one_path_and_has_an_order() {
        let outlets = Outlets::open();
        let [a, b] = ["a", "b"].map(|name| format!("{}/slack/{name}", outlets.url));
        outlets.script("/slack/a", [Fault::Status(500), Fault::HangUp]);
        outlets.script("/slack/a", [Fault::Status(204), Fault::Status(500)]);
        let ok = Outcome::Answer(200, None, "ok".to_owned());
        assert_eq!(post(&b, LONG), ok);
        assert_eq!(post(&a, LONG), Outcome::Answer(204, None, String::new()));
        assert_eq!(post(&a, LONG), not_now(500, None));
        assert_eq!(post(&a, LONG), ok);
        let taken = outlets.taken("/slack/a");
        let faults: Vec<_> = taken.iter().map(|message| message.fault).collect();
        assert_eq!(faults, [Some(Fault::Status(204)), None]);
        assert!(taken[0].at < taken[1].at);
        assert_eq!(outlets.taken("/slack/b").len(), 1);
        assert_eq!(outlets.messages().len(), 4);
    }
}
