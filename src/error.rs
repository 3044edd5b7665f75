//! Floor 7: why the exporter does not start. Once it runs, nothing that goes wrong ends it: it is counted and logged.

use std::fmt;

use crate::config::ConfigError;
use crate::exposition::ServerError;

/// Why the exporter does not start.
pub struct Error(Kind);

enum Kind {
    Config(ConfigError),
    Listen(ServerError),
    Thread(std::io::Error),
    Evidence(std::io::Error),
    #[cfg(feature = "cli")]
    Sockets(std::io::Error),
}

impl Error {
    /// The configuration or a standard variable is wrong; the message names every mistake.
    pub fn is_config(&self) -> bool {
        matches!(self.0, Kind::Config(_))
    }

    /// An address cannot be listened on.
    pub fn is_listen(&self) -> bool {
        matches!(self.0, Kind::Listen(_))
    }

    pub(crate) fn thread(cause: std::io::Error) -> Self {
        Self(Kind::Thread(cause))
    }

    #[cfg(feature = "cli")]
    pub(crate) fn sockets(cause: std::io::Error) -> Self {
        Self(Kind::Sockets(cause))
    }

    pub(crate) fn evidence(cause: std::io::Error) -> Self {
        Self(Kind::Evidence(cause))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Config(cause) => cause.fmt(f),
            Kind::Listen(cause) => cause.fmt(f),
            Kind::Evidence(cause) => write!(f, "limits.evidence.directory: {cause}"),
            #[cfg(feature = "cli")]
            Kind::Sockets(cause) => write!(f, "--web.systemd-socket: {cause}"),
            Kind::Thread(cause) => write!(f, "cannot start the exporter's thread: {cause}"),
        }
    }
}

/// As [`Display`](fmt::Display), so that a `main` that returns it shows a sentence.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Config(cause) => Some(cause),
            Kind::Listen(cause) => Some(cause),
            Kind::Thread(cause) | Kind::Evidence(cause) => Some(cause),
            #[cfg(feature = "cli")]
            Kind::Sockets(cause) => Some(cause),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(cause: ConfigError) -> Self {
        Self(Kind::Config(cause))
    }
}

impl From<ServerError> for Error {
    fn from(cause: ServerError) -> Self {
        Self(Kind::Listen(cause))
    }
}
