//! The shape that every JSON answer and error has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// One start of the exporter.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// A new UUID for each start.
    pub(crate) id: String,
    /// When it started.
    pub(crate) started: SystemTime,
}

impl Session {
    /// A new session, from now on.
    pub(crate) fn start() -> Self {
        Self {
            id: uuid::Uuid::new_v4().to_string(),
            started: SystemTime::now(),
        }
    }
}

// What every answer carries. Without a doc comment, since that would take the place of what the body says of itself in its schema.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Answer")]
pub(super) struct Envelope<'a, T> {
    /// Of what moment the answer is, in RFC 3339 with milliseconds, UTC.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    /// The start of the exporter that answers: a new UUID each time.
    #[schemars(extend("format" = "uuid"))]
    session_id: &'a str,
    #[serde(flatten)]
    body: T,
}

/// An answer of this status.
pub(super) fn answer(
    session: &Session,
    status: StatusCode,
    time: SystemTime,
    body: impl Serialize + JsonSchema,
) -> Response {
    let envelope = Envelope {
        timestamp: timestamp(time),
        session_id: &session.id,
        body,
    };
    // Serializing plain data into memory cannot fail; were it to, the client would see an empty object.
    let text = serde_json::to_string_pretty(&envelope).unwrap_or_else(|_| "{}".to_owned()) + "\n";
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What went wrong with a request, and what to do about it.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) detail: String,
    pub(super) help: String,
    pub(super) header: Option<(header::HeaderName, &'static str)>,
}

/// What went wrong with a request, and what to do about it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(super) struct ErrorView {
    /// The name of the status in lower case, such as `bad request`.
    error: String,
    /// What is wrong, with the value that is.
    detail: String,
    /// What is allowed, or what to do.
    help: String,
}

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        detail: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            status,
            detail: detail.into(),
            help: help.into(),
            header: None,
        }
    }

    pub(super) fn with_header(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn respond(self, session: &Session) -> Response {
        let error = self
            .status
            .canonical_reason()
            .unwrap_or("error")
            .to_ascii_lowercase();
        let body = ErrorView {
            error,
            detail: self.detail,
            help: self.help,
        };
        let mut response = answer(session, self.status, SystemTime::now(), body);
        if let Some((name, value)) = self.header {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// A time in RFC 3339, which has none before 1970 and behind the year 9999: what was kept may say anything.
pub(super) fn timestamp(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_millis(253_402_300_799_999);
    let time = time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST);
    humantime::format_rfc3339_millis(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_timestamp() {
        let day = Duration::from_secs(24 * 3600);
        for (time, text) in [
            (UNIX_EPOCH - day, "1970-01-01T00:00:00.000Z"),
            (UNIX_EPOCH + day * 3_000_000, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(timestamp(time), text);
        }
    }
}
