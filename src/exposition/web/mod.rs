//! Who may ask, by the web configuration file of Prometheus' exporters.
//!
//! | file | holds |
//! |---|---|
//! | `rules.rs` | what the file makes: everything that is in force at one time |
//! | `watch.rs` | the rules of now: the file is read again when it changes |
//! | `tls.rs` | the server's side of TLS |
//! | `clients.rs` | whose certificates are taken |
//! | `handshake.rs` | a new connection becomes one over TLS |
//! | `users.rs` | names and passwords |
//! | `limit.rs` | how many requests are answered |

mod clients;
#[cfg(test)]
mod fixture;
mod handshake;
mod limit;
mod rules;
mod tls;
mod users;
mod watch;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hyper::body::Incoming;
use tokio::net::TcpStream;
use warp::http::{HeaderValue, Request, StatusCode, header};
use warp::reply::Response;

use crate::config::{ConfigError, Web};

use super::gate::{Authenticated, Refusal, Wire};
use super::json::ApiError;
use super::routes::Peer;

use limit::Bucket;
use rules::Rules;
use tls::Tls;
use users::{Checker, Credentials};
use watch::Watch;

/// A web configuration file that is in force.
#[derive(Debug)]
pub(super) struct WebConfig {
    watch: Watch,
    checker: Checker,
    bucket: Mutex<Option<Bucket>>,
    exempt: Vec<String>,
}

/// How a connection came in.
#[derive(Debug, Default)]
pub(super) struct Entrance {
    tls: Option<Arc<Tls>>,
}

impl WebConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// Every mistake in it and in the files that it names.
    pub(super) fn open(path: &Path, web: &Web) -> Result<Self, ConfigError> {
        Ok(Self {
            watch: Watch::start(path)?,
            checker: Checker::new(),
            bucket: Mutex::default(),
            exempt: web.auth_exempt_paths.clone(),
        })
    }

    /// Shakes hands where TLS is spoken. `None`: the client is not let in.
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(Box<dyn Wire>, Entrance)> {
        let tls = self.watch.current().tls.clone();
        let wire: Box<dyn Wire> = match &tls {
            None => Box::new(stream),
            Some(tls) => match handshake::shake_hands(tls, stream).await {
                Ok(stream) => Box::new(stream),
                Err(error) => {
                    tracing::debug!(%error, %peer, "no TLS with this client");
                    return None;
                }
            },
        };
        Some((wire, Entrance { tls }))
    }

    /// Lets a request in or not, and says whether it is known whose it is.
    pub(super) async fn admit(
        &self,
        entrance: &Entrance,
        request: &Request<Incoming>,
    ) -> Result<Option<Authenticated>, Refusal> {
        let rules = self.watch.current();
        self.take_turn(&rules)?;
        if self.exempt.iter().any(|path| path == request.uri().path()) {
            return Ok(None);
        }
        if rules.users.is_empty() {
            let is_verified = entrance.tls.as_ref().is_some_and(|tls| tls.verifies());
            return Ok(is_verified.then_some(Authenticated));
        }
        if let Some(credentials) = Credentials::of(request.headers())
            && self.checker.is_valid(&rules.users, credentials).await
        {
            return Ok(Some(Authenticated));
        }
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        tracing::debug!(
            ?peer,
            path = request.uri().path(),
            "request without a valid user and password"
        );
        let error = ApiError::new(
            StatusCode::UNAUTHORIZED,
            "a user and password are needed",
            "send those of a user in basic_auth_users of the web configuration file",
        );
        Err(Refusal {
            error: error.with_header(header::WWW_AUTHENTICATE, "Basic"),
            retry_after: None,
        })
    }

    fn take_turn(&self, rules: &Rules) -> Result<(), Refusal> {
        let Some(rate) = rules.rate else {
            return Ok(());
        };
        let now = Instant::now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        if bucket.as_ref().is_none_or(|bucket| bucket.rate() != rate) {
            *bucket = Some(Bucket::new(rate, now));
        }
        let Some(Err(wait)) = bucket.as_mut().map(|bucket| bucket.take(now)) else {
            return Ok(());
        };
        let help = "ask less often, or raise rate_limit in the web configuration file";
        Err(Refusal {
            error: ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", help),
            retry_after: Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        })
    }

    /// Adds the headers that every answer is to have. An answer that has one already needs it as it is.
    pub(super) fn finish(&self, entrance: &Entrance, response: &mut Response) {
        let rules = self.watch.current();
        for (name, value) in &rules.headers {
            let headers = response.headers_mut();
            headers.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let is_same = match (&entrance.tls, &rules.tls) {
            (None, None) => true,
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            _ => false,
        };
        // A client that never hangs up would go on by certificates that no longer hold.
        if !is_same {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}
