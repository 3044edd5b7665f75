//! Everything below `/metrics/memory/alerts`.

use std::sync::Arc;

use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::reply::Response;

use crate::exposition::Current;
use crate::exposition::handlers::Api;
use crate::exposition::{alerts, silences};

use super::{from_loopback, method, query, reading, rejecting, with};

pub(super) fn routes(api: &Current) -> BoxedFilter<(Response,)> {
    list(api)
        .or(acknowledge(api))
        .unify()
        .or(all_silences(api))
        .unify()
        .or(one_silence(api))
        .unify()
        .boxed()
}

/// `GET /metrics/memory/alerts`
fn list(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "alerts")
        .and(reading())
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(
            |api: Arc<Api>, query: String| async move { rejecting(alerts::alerts(&api, &query)) },
        )
        .boxed()
}

/// `POST /metrics/memory/alerts/{id}/acknowledge`
fn acknowledge(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "alerts" / String / "acknowledge")
        .and(method(&[Method::POST], "POST"))
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|id: String, api: Arc<Api>, query: String| async move {
            rejecting(alerts::acknowledge(&api, &id, &query))
        })
        .boxed()
}

/// `GET /metrics/memory/alerts/silences`, `POST /metrics/memory/alerts/silences`
fn all_silences(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "alerts" / "silences")
        .and(method(
            &[Method::GET, Method::HEAD, Method::POST],
            "GET, HEAD, POST",
        ))
        .and(from_loopback(api))
        .and(with(api))
        .and(warp::method())
        .and(query())
        .and_then(|api: Arc<Api>, method: Method, query: String| async move {
            rejecting(match method {
                Method::POST => silences::silence(&api, &query),
                _ => silences::silences(&api, &query),
            })
        })
        .boxed()
}

/// `DELETE /metrics/memory/alerts/silences/{id}`
fn one_silence(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "alerts" / "silences" / String)
        .and(method(&[Method::DELETE], "DELETE"))
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|id: String, api: Arc<Api>, query: String| async move {
            rejecting(silences::unsilence(&api, &id, &query))
        })
        .boxed()
}
