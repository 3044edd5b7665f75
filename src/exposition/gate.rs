//! Who may come in: the server's only view of the web configuration file, without which everybody may.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use warp::http::{HeaderValue, Request, header};
use warp::reply::Response;

use crate::config::{ConfigError, Web};

use super::json::{ApiError, Session};
#[cfg(feature = "web-config")]
use super::web::{Entrance, WebConfig};

/// It is known whose request this is, and that he may do everything. Our server puts it into such requests.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(feature = "web-config"),
    allow(dead_code, reason = "nobody can be known")
)]
pub(super) struct Authenticated;

/// What bytes come in and go out by.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Why a request is not let in.
pub(super) struct Refusal {
    pub(super) error: ApiError,
    /// After how many seconds it would be.
    pub(super) retry_after: Option<u64>,
}

impl Refusal {
    pub(super) fn respond(self, session: &Session) -> Response {
        let mut response = self.error.respond(session);
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Stands before all requests; unless it is told otherwise, it is open.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    #[cfg(feature = "web-config")]
    web: Option<WebConfig>,
}

/// How a connection came in.
#[derive(Debug)]
pub(super) struct Pass {
    #[cfg(feature = "web-config")]
    entrance: Entrance,
}

impl Gate {
    /// The gate of a configuration.
    ///
    /// # Errors
    /// Every mistake in the web configuration file and in the files that it names.
    #[cfg(feature = "web-config")]
    pub(crate) fn open(web: &Web) -> Result<Self, ConfigError> {
        let path = web.config_file.as_deref();
        let web = path.map(|path| WebConfig::open(path, web)).transpose()?;
        Ok(Self { web })
    }

    /// A gate that is always open.
    ///
    /// # Errors
    /// The configuration asks for another one.
    #[cfg(not(feature = "web-config"))]
    pub(crate) fn open(web: &Web) -> Result<Self, ConfigError> {
        if web.config_file.is_none() {
            return Ok(Self {});
        }
        let detail = "this build cannot read it: allowed: empty, or a build with the cargo feature web-config";
        let problem = crate::config::Problem::of_key("web.config_file", detail.to_owned());
        Err(ConfigError::new(vec![problem]))
    }

    /// Lets a connection in, after a handshake if there is to be one, which has so much time.
    #[cfg(feature = "web-config")]
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        patience: Duration,
    ) -> Option<(Box<dyn Wire>, Pass)> {
        let Some(web) = &self.web else {
            let entrance = Entrance::default();
            return Some((Box::new(stream), Pass { entrance }));
        };
        match tokio::time::timeout(patience, web.enter(stream, peer)).await {
            Ok(entered) => entered.map(|(wire, entrance)| (wire, Pass { entrance })),
            Err(_elapsed) => {
                tracing::debug!(%peer, "the handshake took too long");
                None
            }
        }
    }

    #[cfg(not(feature = "web-config"))]
    pub(super) async fn enter(
        &self,
        stream: TcpStream,
        _peer: SocketAddr,
        _patience: Duration,
    ) -> Option<(Box<dyn Wire>, Pass)> {
        Some((Box::new(stream), Pass {}))
    }

    /// Lets a request in, marked if it is known whose it is.
    ///
    /// # Errors
    /// Why it is not let in.
    #[cfg_attr(
        not(feature = "web-config"),
        allow(unused_variables, clippy::unused_async, reason = "everybody is let in")
    )]
    pub(super) async fn admit(
        &self,
        pass: &Pass,
        request: &mut Request<Incoming>,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "web-config")]
        if let Some(web) = &self.web
            && let Some(authenticated) = web.admit(&pass.entrance, request).await?
        {
            request.extensions_mut().insert(authenticated);
        }
        Ok(())
    }

    /// Adds what every answer is to carry.
    #[cfg_attr(
        not(feature = "web-config"),
        allow(unused_variables, reason = "nothing is")
    )]
    pub(super) fn finish(&self, pass: &Pass, response: &mut Response) {
        #[cfg(feature = "web-config")]
        if let Some(web) = &self.web {
            web.finish(&pass.entrance, response);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_file_that_is_asked_for_is_not_passed_over() {
        let mut web = Config::production().web;
        assert!(Gate::open(&web).is_ok());
        web.config_file = Some("none.yml".into());
        let error = Gate::open(&web).unwrap_err().to_string();
        let said = match cfg!(feature = "web-config") {
            true => "none.yml: cannot be read",
            false => "web.config_file: this build cannot read it",
        };
        assert!(error.starts_with(said), "{error}");
    }
}
