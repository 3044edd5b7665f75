//! How outlets take requests: who receives one, what is noted of it, and how it is answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Fault, Headers, Message, lock, pagerduty, slack, webhook};

/// What their tasks know.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) messages: Mutex<Vec<Message>>,
    /// What happens next, by path.
    pub(super) scripts: Mutex<BTreeMap<String, VecDeque<Fault>>>,
}

/// The body of an answer.
pub(super) type Answer = Full<Bytes>;

/// Who receives.
pub(super) struct Receiver {
    /// The first segment of the path.
    pub(super) segment: &'static str,
    /// What is wrong with a body and its headers.
    problems: fn(&Headers, &Value) -> Vec<String>,
    /// What is documented to be answered to a body with such problems.
    respond: fn(&Value, &[String]) -> Response<Answer>,
}

const RECEIVERS: [Receiver; 3] = [
    Receiver {
        segment: "webhook",
        problems: webhook::problems,
        respond: webhook::respond,
    },
    Receiver {
        segment: "slack",
        problems: slack::problems,
        respond: slack::respond,
    },
    Receiver {
        segment: "pagerduty",
        problems: pagerduty::problems,
        respond: pagerduty::respond,
    },
];

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, Arc::clone(&shared)));
    }
}

/// Speaks HTTP until the client hangs up, or a fault takes the connection away from it.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let (break_off, mut broken_off) = mpsc::channel(1);
    let service = service_fn(|request| take(request, &shared, &break_off));
    let mut connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let fault: Option<Fault> = tokio::select! {
        _ = &mut connection => None,
        fault = broken_off.recv() => fault,
    };
    if let Some(fault) = fault {
        let stream = connection.into_parts().io.into_inner();
        // The client hangs up when it likes.
        let _ = fault.act(stream).await;
    }
}

async fn take(
    request: Request<Incoming>,
    shared: &Shared,
    break_off: &mpsc::Sender<Fault>,
) -> Result<Response<Answer>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let raw = body.collect().await?.to_bytes();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = parts.headers.iter();
    let headers: Headers = headers
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect();
    let body = serde_json::from_slice(&raw).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let (problems, usual) = judge(&parts.method, &path, &headers, &body);
    let fault = lock(&shared.scripts)
        .get_mut(&path)
        .and_then(VecDeque::pop_front);
    let authorization = headers.get("authorization").cloned();
    let index = {
        let mut messages = lock(&shared.messages);
        messages.push(Message {
            path,
            authorization: authorization.unwrap_or_default(),
            body,
            at: Instant::now(),
            headers,
            raw,
            fault,
            problems,
            answer: None,
        });
        messages.len() - 1
    };
    let response = match fault {
        None => usual,
        Some(Fault::Slow(pause)) => {
            tokio::time::sleep(pause).await;
            usual
        }
        Some(fault) => match fault.response() {
            Some(response) => response,
            None => {
                // The connection waits for it.
                let _ = break_off.send(fault).await;
                std::future::pending().await
            }
        },
    };
    lock(&shared.messages)[index].answer = Some(response.status().as_u16());
    Ok(response)
}

/// What is wrong with a request, and its answer.
fn judge(
    method: &Method,
    path: &str,
    headers: &Headers,
    body: &Value,
) -> (Vec<String>, Response<Answer>) {
    let refused = |status, problem: String| {
        let response = answer(status, "text/plain", problem.clone());
        (vec![problem], response)
    };
    match receiver(path) {
        None => refused(404, format!("nobody receives at {path}")),
        Some(_) if method != Method::POST => refused(405, format!("{method}, allowed: POST")),
        Some(receiver) => {
            let problems = (receiver.problems)(headers, body);
            let response = (receiver.respond)(body, &problems);
            (problems, response)
        }
    }
}

/// Who receives what is sent to a path.
pub(super) fn receiver(path: &str) -> Option<&'static Receiver> {
    let segment = path.split('/').nth(1)?;
    RECEIVERS
        .iter()
        .find(|receiver| receiver.segment == segment)
}

pub(super) fn answer(status: u16, content_type: &'static str, body: String) -> Response<Answer> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, content_type)
        .body(Full::from(body))
        .expect("a response")
}
