//! `GET` and `POST /metrics/memory/alerts/silences`, and `DELETE .../{id}`: of what nobody is told, for a time.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::Serialize;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::alert::{Refused, Silence};

use super::alerts::{LONGEST_NAME, manager};
use super::handlers::Api;
use super::json::{ApiError, answer, timestamp};
use super::query::{duration, matchers, parameters, parameters_and, words};

pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// A month: what is silenced for longer should not be an alert.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);
pub(super) const MOST_MATCHERS: usize = 10;
pub(super) const LONGEST_COMMENT: usize = 500;

/// A silence.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Silence")]
pub(super) struct SilenceView {
    /// By which it is ended; unique within a session.
    id: u64,
    /// Conditions on labels, all of which an alert has to meet.
    matchers: Vec<String>,
    /// From when on nobody is told.
    #[schemars(extend("format" = "date-time"))]
    starts_at: String,
    /// Until when.
    #[schemars(extend("format" = "date-time"))]
    ends_at: String,
    /// Who wanted it, if they said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Why, if they said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// `GET /metrics/memory/alerts/silences`
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Silences")]
pub(super) struct SilencesView {
    /// Those that hold.
    silences: Vec<SilenceView>,
}

impl From<Silence> for SilenceView {
    fn from(silence: Silence) -> Self {
        Self {
            id: silence.id,
            matchers: silence.matchers.iter().map(ToString::to_string).collect(),
            starts_at: timestamp(silence.starts_at),
            ends_at: timestamp(silence.ends_at),
            by: silence.by,
            comment: silence.comment,
        }
    }
}

/// `GET /metrics/memory/alerts/silences`
pub(super) fn silences(api: &Api, query: &str) -> Result<Response, ApiError> {
    parameters(query, &[])?;
    let now = SystemTime::now();
    let silences = manager(api)?.silences(now).into_iter();
    let view = SilencesView {
        silences: silences.map(SilenceView::from).collect(),
    };
    Ok(answer(&api.session, StatusCode::OK, now, view))
}

/// `POST /metrics/memory/alerts/silences?matcher=alertname=MemoryLeak&duration=2h&by=NAME&comment=WHY`
pub(super) fn silence(api: &Api, query: &str) -> Result<Response, ApiError> {
    let known = ["duration", "by", "comment"];
    let (parameters, texts) = parameters_and(query, &known, Some("matcher"))?;
    let lasts = duration(&parameters, "duration", SHORTEST, LONGEST)?;
    let matchers = matchers(&texts)?;
    let by = words(&parameters, "by", LONGEST_NAME)?;
    let comment = words(&parameters, "comment", LONGEST_COMMENT)?;
    let missing = |name: &str| {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("the query has no parameter {name}"),
            "for example ?matcher=alertname=MemoryLeak&matcher=severity=warning&duration=2h",
        )
    };
    let lasts = lasts.ok_or_else(|| missing("duration"))?;
    if matchers.is_empty() {
        return Err(missing("matcher"));
    }
    if matchers.len() > MOST_MATCHERS {
        let detail = format!("{} matchers are too many", matchers.len());
        let help = format!("allowed: up to {MOST_MATCHERS}");
        return Err(ApiError::new(StatusCode::BAD_REQUEST, detail, help));
    }
    let now = SystemTime::now();
    let silence = manager(api)?.silence(matchers, (now, now + lasts), by, comment);
    let silence = silence.map_err(|_| {
        ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "there are as many silences as there may be",
            "DELETE /metrics/memory/alerts/silences/{id} ends one",
        )
    })?;
    let view = SilenceView::from(silence);
    Ok(answer(&api.session, StatusCode::CREATED, now, view))
}

/// `DELETE /metrics/memory/alerts/silences/{id}`
pub(super) fn unsilence(api: &Api, id: &str, query: &str) -> Result<Response, ApiError> {
    parameters(query, &[])?;
    let now = SystemTime::now();
    let number = id.parse().map_err(|_| Refused::Unknown);
    let manager = manager(api)?;
    let ended = number.and_then(|number| manager.unsilence(number, now));
    let silence = ended.map_err(|_| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no silence {id:?}"),
            "GET /metrics/memory/alerts/silences lists them with their ids",
        )
    })?;
    let view = SilenceView::from(silence);
    Ok(answer(&api.session, StatusCode::OK, now, view))
}
