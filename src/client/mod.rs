//! Floor 1: speak. One request goes out over HTTP; who sends what, and when again, is decided further up.
//!
//! | file | holds |
//! |---|---|
//! | `http.rs` | one request, and what came back |
//! | `tls.rs` | certificates |
//! | `backoff.rs` | pauses between attempts |

mod backoff;
#[cfg(feature = "_client")]
mod http;
#[cfg(feature = "_client")]
mod tls;

pub(crate) use backoff::Backoff;
#[cfg(feature = "channels")]
pub(crate) use http::Answer;
#[cfg(feature = "otlp")]
pub(crate) use http::{AGENT, with_causes};
#[cfg(feature = "_client")]
pub(crate) use http::{HttpClient, retry_after, shown};
#[cfg(feature = "_client")]
pub(crate) use tls::{Certificates, TlsFile, TlsFiles};
