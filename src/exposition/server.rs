//! The accept loop. warp brings filters but neither time-outs nor limits, so its service runs under hyper here.
//!
//! Every wait has an end, and a flood cannot lock anybody out: when all places are taken, the connection that has waited longest
//! without a request makes room for the new one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use warp::http::{Request, StatusCode};
use warp::reply::Response;

use crate::config::Web;

use super::gate::{Gate, Pass};
use super::handlers::Api;
use super::json::ApiError;
use super::listen::Bound;
use super::places::{Place, Places};
use super::profiles;
use super::routes::{Peer, with_fallback};

const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 << 10;
/// No endpoint reads a body; a small one is tolerated.
const MAX_BODY_BYTES: u64 = 64 << 10;
/// Pause after an error of `accept`, which usually means that there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time without such an error after which it is over.
const ACCEPT_CALM: Duration = Duration::from_secs(1);

/// Serves until `shutdown` is ready; then closes the listeners at once, lets open requests finish, and cuts off what is not done
/// after `web.shutdown_timeout`.
pub(crate) async fn serve(
    bound: Bound,
    api: Arc<Api>,
    gate: Gate,
    web: &Web,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let shared = Arc::new(Shared {
        service: TowerToHyperService::new(warp::service(with_fallback(Arc::clone(&api)))),
        places: Places::new(web.max_connections),
        header_timeout: web.header_timeout,
        request_timeout: web.request_timeout,
        api,
        gate,
    });
    let accepting = bound
        .listeners
        .into_iter()
        .map(|listener| accept(listener, Arc::clone(&shared), &graceful));
    let accepting = futures_util::future::join_all(accepting);
    tokio::select! {
        // Without a listener there is nothing to accept, and the shutdown is still to be waited for.
        _ = async { accepting.await; std::future::pending::<Infallible>().await } => {}
        () = shutdown => {}
    }
    // The accept loops, and with them the listeners, are gone here.
    shared.api.drain();
    if tokio::time::timeout(web.shutdown_timeout, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("open connections are cut off");
        shared.places.evict_all();
    }
}

/// warp's routes as hyper sees them.
trait Answers:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
    + Send
    + Sync
    + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Send
        + Sync
        + 'static
{
}

struct Shared<S> {
    service: S,
    api: Arc<Api>,
    gate: Gate,
    places: Arc<Places>,
    header_timeout: Duration,
    request_timeout: Duration,
}

async fn accept<S: Answers>(
    listener: TcpListener,
    shared: Arc<Shared<S>>,
    graceful: &GracefulShutdown,
) -> Infallible {
    let mut failing_since = None;
    loop {
        shared.places.wait().await;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if failing_since.replace(Instant::now()).is_none() {
                    tracing::warn!(%error, "connection cannot be accepted, will go on trying");
                }
                // Whoever waits without a request has a descriptor that the next one needs.
                shared.places.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // While they are short, they run out again and again: that is one trouble, which is told once.
        if failing_since.is_some_and(|since| since.elapsed() >= ACCEPT_CALM) {
            failing_since = None;
            tracing::info!("connections are accepted again");
        }
        let place = Places::take(&shared.places);
        let id = place.id;
        let task = tokio::spawn(connection(
            stream,
            peer,
            Arc::clone(&shared),
            place,
            graceful.watcher(),
        ));
        shared.places.occupied_by(id, task.abort_handle());
        // The new connection may have its request with it already: let it be seen before the next one is accepted.
        tokio::task::yield_now().await;
    }
}

async fn connection<S: Answers>(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared<S>>,
    place: Place,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let busy = Arc::clone(&place.busy);
    let entered = shared.gate.enter(stream, peer, shared.header_timeout);
    let Some((stream, pass)) = entered.await else {
        return;
    };
    let pass = Arc::new(pass);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (shared, busy, pass) = (Arc::clone(&shared), Arc::clone(&busy), Arc::clone(&pass));
        async move {
            let mut response = respond(&shared, &pass, &busy, request).await;
            shared.gate.finish(&pass, &mut response);
            busy.store(false, Ordering::Relaxed);
            shared.places.changed.notify_one();
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.header_timeout)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS);
    if let Err(error) = watcher
        .watch(http.serve_connection(TokioIo::new(stream), service))
        .await
    {
        // Time-outs of idle connections come here too.
        tracing::debug!(%error, %peer, "connection ended");
    }
    drop(place);
}

async fn respond<S: Answers>(
    shared: &Shared<S>,
    pass: &Pass,
    busy: &AtomicBool,
    mut request: Request<Incoming>,
) -> Response {
    let session = &shared.api.session;
    let (path, query) = (request.uri().path(), request.uri().query());
    let patience = shared.request_timeout + profiles::asked_to_wait(path, query);
    let answer = async {
        if let Err(refusal) = shared.gate.admit(pass, &mut request).await {
            return refusal.respond(session);
        }
        // From here on it keeps its place: who has not been let in yet may be made to leave, so that a flood of them locks nobody out.
        busy.store(true, Ordering::Relaxed);
        if request.body().size_hint().lower() > MAX_BODY_BYTES {
            let help = "send no body; no endpoint reads one";
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", help)
                .respond(session);
        }
        match shared.service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    };
    match tokio::time::timeout(patience, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            tracing::error!("a request handler panicked");
            let help = "the log of the process says why";
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the request could not be answered",
                help,
            )
            .respond(session)
        }
        Err(_elapsed) => {
            let help = "try again, or raise web.request_timeout";
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the answer took too long",
                help,
            )
            .respond(session)
        }
    }
}
