//! Who Alertmanager tells: a webhook, Slack and PagerDuty in one, which note what they get.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Who got it: `/webhook`, `/slack`, `/pagerduty`.
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
}

/// They.
pub(crate) struct Outlets {
    pub(crate) url: String,
    messages: Arc<Mutex<Vec<Message>>>,
    /// Ends their task with them.
    _runtime: tokio::runtime::Runtime,
}

impl Outlets {
    pub(crate) fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        let messages = Arc::default();
        runtime.spawn(serve(listener, Arc::clone(&messages)));
        Self {
            url: format!("http://{address}"),
            messages,
            _runtime: runtime,
        }
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("the messages").clone()
    }
}

async fn serve(listener: TcpListener, messages: Arc<Mutex<Vec<Message>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let messages = Arc::clone(&messages);
        tokio::spawn(async move {
            let service = service_fn(|request| note(request, &messages));
            let connection = hyper::server::conn::http1::Builder::new();
            // The client hangs up when it likes.
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn note(
    request: Request<Incoming>,
    messages: &Mutex<Vec<Message>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let authorization = parts.headers.get(AUTHORIZATION);
    messages.lock().expect("the messages").push(Message {
        path: parts.uri.path().to_owned(),
        authorization: authorization
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        body: serde_json::from_slice(&body).expect("JSON"),
    });
    // Slack wants a word, PagerDuty wants "accepted".
    let response = if parts.uri.path() == "/pagerduty" {
        Response::builder()
            .status(202)
            .body("{\"status\":\"success\"}".into())
    } else {
        Response::builder().body("ok".into())
    };
    Ok(response.expect("a response"))
}
