//! Which request goes where, and who may send it. The grammar only; what an endpoint does stands in `handlers.rs` and the files beside it.

mod alerts;
mod origins;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, Method, StatusCode, header};
use warp::reject::{Reject, Rejection};
use warp::reply::Response;
use warp::{Filter, Reply};

use super::gate::Authenticated;
use super::handlers::{self, Api};
use super::json::ApiError;
use super::{Current, access, openapi};

/// Address of the client, which our server puts into each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// An error of ours on its way through warp.
impl Reject for ApiError {}

/// All endpoints, to be mounted in any warp server. Requests for other paths are left to other routes.
///
/// Where the address of the client is not known, requests that are for loopback only are refused.
pub(crate) fn routes(api: Current) -> BoxedFilter<(Response,)> {
    let recovering = api.clone();
    landing(&api)
        .or(metrics(&api))
        .unify()
        .or(snapshot(&api))
        .unify()
        .or(trend(&api))
        .unify()
        .or(health(&api))
        .unify()
        .or(gc(&api))
        .unify()
        .or(origins::routes(&api))
        .unify()
        .or(alerts::routes(&api))
        .unify()
        .or(openapi(&api))
        .unify()
        .or(healthy())
        .unify()
        .or(ready(&api))
        .unify()
        .or(reload(&api))
        .unify()
        .recover(move |rejection| recover(recovering.api(), rejection))
        .unify()
        .boxed()
}

/// All endpoints, an answer for every other path, and CORS as it is configured now: what our own server serves.
pub(crate) fn with_fallback(current: &Current) -> BoxedFilter<(Response,)> {
    let api = current.api();
    let lost = Arc::clone(&api);
    let not_found = warp::any().map(move || {
        let help = "GET / lists what there is";
        ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path", help)
            .respond(&lost.session)
    });
    let all = routes(current.clone()).or(not_found).unify();
    if api.cors_allowed_origins.is_empty() {
        return all.boxed();
    }
    let cors = warp::cors()
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_header(header::CONTENT_TYPE);
    let cors = if api.cors_allowed_origins.iter().any(|origin| origin == "*") {
        cors.allow_any_origin()
    } else {
        cors.allow_origins(api.cors_allowed_origins.iter().map(String::as_str))
    };
    let forbidden = move |rejection: Rejection| {
        let api = Arc::clone(&api);
        async move {
            if rejection.find::<warp::cors::CorsForbidden>().is_none() {
                return Err(rejection);
            }
            let help = "add the origin to web.cors_allowed_origins";
            Ok(ApiError::new(
                StatusCode::FORBIDDEN,
                "this origin, method or header is not allowed",
                help,
            )
            .respond(&api.session))
        }
    };
    all.with(cors)
        .map(Reply::into_response)
        .recover(forbidden)
        .unify()
        .boxed()
}

/// `GET /`
fn landing(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path::end()
        .and(reading())
        .and(with(api))
        .map(|api: Arc<Api>| handlers::landing(&api))
        .boxed()
}

/// `GET /metrics`, or wherever the configuration puts it
fn metrics(api: &Current) -> BoxedFilter<(Response,)> {
    let current = api.clone();
    warp::path::full()
        .and_then(move |path: warp::path::FullPath| {
            let is_here = path.as_str() == current.api().telemetry_path;
            async move {
                if is_here {
                    Ok(())
                } else {
                    Err(warp::reject::not_found())
                }
            }
        })
        .untuple_one()
        .and(reading())
        .and(with(api))
        .and(warp::header::headers_cloned())
        .map(|api: Arc<Api>, headers: HeaderMap| handlers::metrics(&api, &headers))
        .boxed()
}

/// `GET /metrics/memory/snapshot`
fn snapshot(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "snapshot")
        .and(reading())
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(handlers::snapshot(&api, &query))
        })
        .boxed()
}

/// `GET /metrics/memory/trend`
fn trend(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "trend")
        .and(reading())
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(super::trend::trend(api, query).await)
        })
        .boxed()
}

/// `GET /metrics/memory/health`
fn health(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "health")
        .and(reading())
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(handlers::health(&api, &query))
        })
        .boxed()
}

/// `POST /metrics/memory/gc`
fn gc(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("metrics" / "memory" / "gc")
        .and(method(&[Method::POST], "POST"))
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(handlers::gc(api, query).await)
        })
        .boxed()
}

/// `GET /openapi.json`
fn openapi(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("openapi.json")
        .and(reading())
        .and(with(api))
        .map(|api: Arc<Api>| openapi::openapi(&api))
        .boxed()
}

/// `GET /-/healthy`
fn healthy() -> BoxedFilter<(Response,)> {
    warp::path!("-" / "healthy")
        .and(reading())
        .map(handlers::healthy)
        .boxed()
}

/// `GET /-/ready`
fn ready(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("-" / "ready")
        .and(reading())
        .and(with(api))
        .map(|api: Arc<Api>| handlers::ready(&api))
        .boxed()
}

/// `POST /-/reload`, `PUT /-/reload`
fn reload(api: &Current) -> BoxedFilter<(Response,)> {
    warp::path!("-" / "reload")
        .and(method(&[Method::POST, Method::PUT], "POST, PUT"))
        .and(from_loopback(api))
        .and(with(api))
        .and(query())
        .and_then(|api: Arc<Api>, query: String| async move {
            rejecting(super::reload::reload(api, query).await)
        })
        .boxed()
}

fn with(api: &Current) -> impl Filter<Extract = (Arc<Api>,), Error = Infallible> + Clone + use<> {
    let api = api.clone();
    warp::any().map(move || api.api())
}

/// GET, and HEAD, which hyper answers without the body.
fn reading() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    method(&[Method::GET, Method::HEAD], "GET, HEAD")
}

/// One of these methods, else 405 with `Allow`. Comes behind the path, so that an unknown path is 404 for every method.
fn method(
    allowed: &'static [Method],
    names: &'static str,
) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::method()
        .and_then(move |method: Method| async move {
            if allowed.contains(&method) {
                return Ok(());
            }
            let detail = format!("{method} is not allowed here");
            let error = ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                detail,
                format!("allowed: {names}"),
            );
            Err(warp::reject::custom(
                error.with_header(header::ALLOW, names),
            ))
        })
        .untuple_one()
}

/// The query, empty when there is none.
fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// Lets through who sits on this machine or is known by password or certificate, and no page of another origin that his browser has open.
fn from_loopback(api: &Current) -> impl Filter<Extract = (), Error = Rejection> + Clone + use<> {
    warp::ext::optional::<Peer>()
        .and(warp::addr::remote())
        .and(warp::ext::optional::<Authenticated>())
        .and(warp::header::headers_cloned())
        .and(with(api))
        .and_then(
            |peer: Option<Peer>,
             remote: Option<SocketAddr>,
             authenticated: Option<Authenticated>,
             headers: HeaderMap,
             api: Arc<Api>| async move {
                let address = peer.map(|peer| peer.0).or(remote);
                let is_here =
                    address.is_some_and(|address| address.ip().to_canonical().is_loopback());
                let is_known = authenticated.is_some();
                if !is_here && !is_known {
                    let help = "send the request from the machine that the process runs on, or as a user of web.config_file";
                    let detail = "only loopback may do this";
                    return Err(reject(ApiError::new(StatusCode::FORBIDDEN, detail, help)));
                }
                access::check(&headers, &api.cors_allowed_origins, is_known).map_err(reject)
            },
        )
        .untuple_one()
}

fn rejecting(result: Result<Response, ApiError>) -> Result<Response, Rejection> {
    result.map_err(reject)
}

fn reject(error: ApiError) -> Rejection {
    warp::reject::custom(error)
}

/// Answers our own errors; what is not ours goes on to other routes.
async fn recover(api: Arc<Api>, rejection: Rejection) -> Result<Response, Rejection> {
    match rejection.find::<ApiError>() {
        Some(error) => Ok(error.clone().respond(&api.session)),
        None => Err(rejection),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::exporter::Exporter;

    /// What shows stacks or changes the process: to this machine, or to who is known, whatever his address.
    #[tokio::test]
    async fn who_is_known_may_do_from_elsewhere_what_others_may_not() {
        let exporter = Exporter::builder(Config::production()).without_server();
        let exporter = exporter.start().unwrap();
        let routes = exporter.routes();
        let elsewhere = Peer(([192, 0, 2, 7], 4711).into());
        for (method, path) in [
            ("GET", "/metrics/memory/leaks"),
            ("GET", "/metrics/memory/alerts"),
            ("POST", "/metrics/memory/gc"),
            ("POST", "/debug/sampling?interval=1MiB"),
            ("GET", "/debug/flamegraph"),
        ] {
            let ask = |is_known: bool, origin: &'static str| {
                let request = warp::test::request().method(method).path(path);
                let request = request.extension(elsewhere);
                let request = request.header("host", "192.0.2.1:10113");
                let request = request.header("origin", origin);
                let request = match is_known {
                    true => request.extension(Authenticated),
                    false => request,
                };
                let routes = routes.clone();
                async move { request.reply(&routes).await.status() }
            };
            const OWN: &str = "https://192.0.2.1:10113";
            assert_eq!(ask(false, OWN).await, 403, "{path}");
            assert_ne!(ask(true, OWN).await, 403, "{path}");
            assert_eq!(ask(true, "https://evil.example").await, 403, "{path}");
        }
    }
}
