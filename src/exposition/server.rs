//! The accept loop. warp brings filters but neither time-outs nor limits, so its service runs under hyper here.
//!
//! Every wait has an end, and a flood cannot lock anybody out: when all places are taken, the connection that has waited longest
//! without a request makes room for the new one.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use warp::http::{Request, StatusCode};
use warp::reply::Response;

use crate::config::Web;

use super::current::Current;
use super::gate::{Gate, Pass};
use super::json::{ApiError, Session};
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

/// What stands before the endpoints.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    /// Who may come in.
    pub(crate) gate: Arc<Gate>,
    /// Limits and time-outs.
    pub(crate) web: Web,
}

/// Serves until `shutdown` is ready; then closes the listeners at once, lets open requests finish, and cuts off what is not done
/// after `web.shutdown_timeout`. What `front` and `current` become holds from the next connection and the next request on.
pub(crate) async fn serve(
    bound: Bound,
    current: Current,
    mut front: watch::Receiver<Front>,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let serving = |front: Front| {
        Arc::new(Serving {
            service: TowerToHyperService::new(warp::service(with_fallback(&current))),
            front,
        })
    };
    let first = front.borrow_and_update().clone();
    let shared = Arc::new(Shared {
        places: Places::new(first.web.max_connections),
        session: current.api().session.clone(),
        serving: RwLock::new(serving(first)),
    });
    let accepting = bound
        .listeners
        .into_iter()
        .map(|listener| accept(listener, Arc::clone(&shared), &graceful));
    let accepting = futures_util::future::join_all(accepting);
    let changing = async {
        while front.changed().await.is_ok() {
            let front = front.borrow_and_update().clone();
            shared.places.set_most(front.web.max_connections);
            *shared
                .serving
                .write()
                .unwrap_or_else(PoisonError::into_inner) = serving(front);
        }
    };
    tokio::select! {
        // Without a listener there is nothing to accept, and the shutdown is still to be waited for.
        _ = async { tokio::join!(accepting, changing); std::future::pending::<Infallible>().await } => {}
        () = shutdown => {}
    }
    // The accept loops, and with them the listeners, are gone here.
    current.api().drain();
    let grace = shared.now().front.web.shutdown_timeout;
    if tokio::time::timeout(grace, graceful.shutdown())
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
    places: Arc<Places>,
    session: Session,
    serving: RwLock<Arc<Serving<S>>>,
}

/// What is in force at one time.
struct Serving<S> {
    service: S,
    front: Front,
}

impl<S> Shared<S> {
    fn now(&self) -> Arc<Serving<S>> {
        Arc::clone(&self.serving.read().unwrap_or_else(PoisonError::into_inner))
    }
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
    let serving = shared.now();
    let header_timeout = serving.front.web.header_timeout;
    let entered = serving.front.gate.enter(stream, peer, header_timeout);
    let Some((stream, pass)) = entered.await else {
        return;
    };
    let pass = Arc::new(pass);
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        let (shared, busy, pass) = (Arc::clone(&shared), Arc::clone(&busy), Arc::clone(&pass));
        async move {
            let serving = shared.now();
            let session = &shared.session;
            let mut response = respond(&serving, session, &pass, &busy, request).await;
            // A connection that no longer comes in as it would now is closed.
            shared.now().front.gate.finish(&pass, &mut response);
            busy.store(false, Ordering::Relaxed);
            shared.places.changed.notify_one();
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
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
    serving: &Serving<S>,
    session: &Session,
    pass: &Pass,
    busy: &AtomicBool,
    mut request: Request<Incoming>,
) -> Response {
    let Front { gate, web } = &serving.front;
    let (path, query) = (request.uri().path(), request.uri().query());
    let patience = web.request_timeout + profiles::asked_to_wait(path, query);
    let answer = async {
        if let Err(refusal) = gate.admit(pass, &mut request).await {
            return refusal.respond(session);
        }
        // From here on it keeps its place: who has not been let in yet may be made to leave, so that a flood of them locks nobody out.
        busy.store(true, Ordering::Relaxed);
        if request.body().size_hint().lower() > MAX_BODY_BYTES {
            let help = "send no body; no endpoint reads one";
            return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", help)
                .respond(session);
        }
        match serving.service.call(request).await {
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
