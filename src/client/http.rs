//! Requests, with or without TLS.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::tls::Certificates;

/// How the exporter calls itself.
pub(crate) const AGENT: &str = concat!("memory-exporter/", env!("CARGO_PKG_VERSION"));
/// More of an answer is not read.
const MOST_OF_ANSWER: usize = 64 << 10;

/// Sends requests. Connects when it is used, and keeps connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Up to 64 KiB; empty where the answer broke off.
    pub(crate) body: Bytes,
}

impl HttpClient {
    /// A client that trusts, and shows, these certificates. Must be made in the runtime that it is used in.
    ///
    /// # Errors
    /// The certificates cannot be used.
    pub(crate) fn new(certificates: &Certificates) -> Result<Self, String> {
        let tls = certificates
            .for_rustls()
            .map_err(|error| error.to_string())?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Sends a POST request and reads the answer.
    ///
    /// # Errors
    /// There was no answer; says why, without the URL, which may hold a secret.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.parse().map_err(|_| "the URL cannot be used")?;
        *request.headers_mut() = headers;
        let agent = HeaderValue::from_static(AGENT);
        request.headers_mut().insert(USER_AGENT, agent);
        let answer = self.0.request(request).await;
        let (parts, body) = answer.map_err(|error| with_causes(&error))?.into_parts();
        // Whoever has said how it went has taken the request or not; the rest is only words.
        let body = Limited::new(body, MOST_OF_ANSWER).collect().await;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.map(Collected::to_bytes).unwrap_or_default(),
        })
    }
}

/// `Retry-After` in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = || text.parse().ok().map(Duration::from_secs);
    let date = || {
        httpdate::parse_http_date(text)
            .ok()?
            .duration_since(SystemTime::now())
            .ok()
    };
    seconds().or_else(date)
}

/// An error with its causes: most of them say only "transport error" by themselves.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut parts: Vec<String> = causes.map(ToString::to_string).collect();
    parts.dedup();
    parts.join(": ")
}

/// A URL without what may be secret in it.
pub(crate) fn shown(endpoint: &str) -> String {
    let Ok(mut url) = url::Url::parse(endpoint) else {
        return endpoint.to_owned();
    };
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return endpoint.to_owned();
    }
    // These fail only for URLs that have no such part.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.to_string()
}
