//! A small HTTP client for tests without a runtime of their own.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::http::StatusCode;
use hyper::http::response::Parts;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::wait::eventually;

/// Longest wait for an answer: a profile of a debug build on a busy machine takes seconds.
const BOUND: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// GET, or why not.
pub(crate) fn try_get(url: &str, accept: &str) -> Result<Answer, String> {
    let (parts, body) = fetch(url, accept)?;
    let content_type = parts.headers.get(CONTENT_TYPE);
    Ok(Answer {
        status: parts.status.as_u16(),
        content_type: content_type
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// GET of a file that must be there, as it was sent. Tries again while it is told to.
pub(crate) fn download(url: &str) -> Bytes {
    eventually(&format!("GET {url}"), || {
        let (parts, body) = fetch(url, "*/*").unwrap_or_else(|error| panic!("GET {url}: {error}"));
        if parts.status == StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        assert_eq!(parts.status, 200, "GET {url}: {body:?}");
        Some(body)
    })
}

fn fetch(url: &str, accept: &str) -> Result<(Parts, Bytes), String> {
    let request = hyper::Request::get(url)
        .header(ACCEPT, accept)
        .body(Full::<Bytes>::default())
        .map_err(|error| error.to_string())?;
    send(request)
}

/// POST of a JSON document, which must be taken.
pub(crate) fn post_json(url: &str, document: &Value) {
    let request = hyper::Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(document.to_string()))
        .expect("a request");
    let (parts, body) = send(request).unwrap_or_else(|error| panic!("POST {url}: {error}"));
    assert!(parts.status.is_success(), "POST {url}: {body:?}");
}

/// The answer to a request, or why there is none.
pub(crate) fn send(request: hyper::Request<Full<Bytes>>) -> Result<(Parts, Bytes), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let answer = tokio::time::timeout(BOUND, async {
            let answer = client.request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes());
            Ok::<_, hyper_util::client::legacy::Error>((parts, body))
        });
        let (parts, body) = answer
            .await
            .map_err(|elapsed| elapsed.to_string())?
            .map_err(|error| format!("{error:?}"))?;
        Ok((parts, body.map_err(|error| error.to_string())?))
    })
}

/// GET of what must be there.
pub(crate) fn get(url: &str, accept: &str) -> Answer {
    let answer = try_get(url, accept).unwrap_or_else(|error| panic!("GET {url}: {error}"));
    assert_eq!(answer.status, 200, "GET {url}: {}", answer.body);
    answer
}

/// GET of a JSON document with a query.
pub(crate) fn json(url: &str, query: &[(&str, &str)]) -> Value {
    let body = get(&with_query(url, query), "application/json").body;
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{url}: {error}: {body}"))
}

pub(crate) fn with_query(url: &str, query: &[(&str, &str)]) -> String {
    url::Url::parse_with_params(url, query)
        .expect("a URL")
        .into()
}
