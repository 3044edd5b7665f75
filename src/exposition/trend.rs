//! `GET /metrics/memory/trend`: the past, from memory and from disk.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::spawn_blocking;
use warp::http::StatusCode;
use warp::reply::Response;

use crate::analysis::{self, Slots, Trend};
use crate::snapshot::{Archive, Recorder};

use super::handlers::{Api, internal};
use super::json::{ApiError, answer};
use super::query::{Parameters, bad_parameter, duration, parameters};
use super::views::TrendView;

/// Most points that a trend answers with.
pub(super) const MOST_POINTS: u128 = 11_000;
/// Points of a trend whose interval is not given.
const USUAL_POINTS: u32 = 60;
const USUAL_DURATION: Duration = Duration::from_secs(3600);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// `GET /metrics/memory/trend?duration=1h&interval=1m`
pub(super) async fn trend(api: Arc<Api>, query: String) -> Result<Response, ApiError> {
    let parameters = parameters(&query, &["duration", "interval"])?;
    let longest = api.recorder.history().retention();
    let window = duration(&parameters, "duration", SECOND, longest)?.unwrap_or(USUAL_DURATION);
    let interval = duration_of_interval(&api, &parameters, window)?;
    let now = SystemTime::now();
    let growth = analysis::growth(api.recorder.history().since(now, analysis::REACH), now);
    let slots = Slots::new(now, interval);
    let trend = match api.recorder.archive() {
        None => recent(&api.recorder, slots, (now, window), None),
        Some(archive) => {
            let (archive, recorder) = (Arc::clone(archive), Arc::clone(&api.recorder));
            let read = spawn_blocking(move || whole(&archive, &recorder, (now, window), interval));
            read.await.map_err(|error| {
                tracing::error!(%error, "the trend cannot be read");
                internal()
            })?
        }
    };
    let view = TrendView::new(&trend, growth.as_ref(), window, interval);
    Ok(answer(&api.session, StatusCode::OK, now, view))
}

/// What is on disk, and what is only in memory after that.
fn whole(
    archive: &Archive,
    recorder: &Recorder,
    (now, window): (SystemTime, Duration),
    interval: Duration,
) -> Trend {
    let mut slots = Slots::new(now, interval);
    let from = now.checked_sub(window).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut last = None;
    let read = archive.read(from, now, |point| {
        slots.add(&point);
        last = Some(point.time);
    });
    match read {
        Ok(()) => recent(recorder, slots, (now, window), last),
        Err(error) => {
            tracing::warn!(%error, "the history cannot be read: the trend is from memory");
            recent(recorder, Slots::new(now, interval), (now, window), None)
        }
    }
}

/// What is in memory after a time.
fn recent(
    recorder: &Recorder,
    mut slots: Slots,
    (now, window): (SystemTime, Duration),
    after: Option<SystemTime>,
) -> Trend {
    let history = recorder.history();
    let points = history.since(now, window);
    // Times on disk are whole milliseconds.
    let is_later = |time| after.is_none_or(|after| time > after + Duration::from_millis(1));
    for point in points.filter(|point| is_later(point.time)) {
        slots.add(point);
    }
    drop(history);
    slots.trend()
}

fn duration_of_interval(
    api: &Api,
    parameters: &Parameters,
    window: Duration,
) -> Result<Duration, ApiError> {
    let Some(interval) = duration(parameters, "interval", SECOND, window)? else {
        return Ok((window / USUAL_POINTS).max(api.interval));
    };
    if window.as_nanos() / interval.as_nanos().max(1) > MOST_POINTS {
        let shortest = Duration::from_secs(
            u64::try_from(window.as_nanos() / MOST_POINTS / 1_000_000_000).unwrap_or(0) + 1,
        );
        return Err(bad_parameter(
            "interval",
            &parameters["interval"],
            &format!(
                "at least {} for this duration",
                humantime::format_duration(shortest)
            ),
        ));
    }
    Ok(interval)
}
