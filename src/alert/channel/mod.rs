//! Who is told, and how: one file for each kind of channel.
//!
//! A channel writes a message in the way of who reads it and sends it once. When it is sent again, and what waits meanwhile, is decided
//! in `delivery/`, for each channel by itself.
//!
//! | file | tells |
//! |---|---|
//! | `log.rs` | the log |
//! | `webhook.rs` | a server of one's own, in the format of Alertmanager's webhooks |
//! | `slack.rs` | Slack, by an incoming webhook |
//! | `pagerduty.rs` | PagerDuty, by its Events API v2 |
//! | `alertmanager.rs` | Alertmanager, by its API v2 |
//! | `post.rs` | what those four have in common: one POST request of JSON, judged by its answer |
//! | `secrets.rs` | the secrets of one attempt, and that nobody sees them |
//! | `text.rs` | texts that fit where they are put |
//! | `open.rs` | makes a channel of its configuration |

#[cfg(feature = "channels")]
mod alertmanager;
mod log;
mod open;
#[cfg(feature = "channels")]
mod pagerduty;
#[cfg(feature = "channels")]
mod post;
#[cfg(feature = "channels")]
#[cfg(test)]
mod receiver;
#[cfg(feature = "channels")]
mod secrets;
#[cfg(feature = "channels")]
mod slack;
#[cfg(feature = "channels")]
mod text;
#[cfg(feature = "channels")]
mod webhook;

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::message::Message;

pub(crate) use open::open;

/// A way to tell people.
pub(crate) trait Channel: std::fmt::Debug + Send + Sync {
    /// Sends a message once.
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>>;

    /// Where messages go, without anything secret.
    fn target(&self) -> String;

    /// Whether it has something to say at an event: what it does not want is not sent.
    fn wants(&self, message: &Message) -> bool;
}

/// A message was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// What came back, for people: `202 Accepted: {"status":"success"}`.
    pub(crate) answer: String,
}

/// A message was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) retry: Retry,
    /// Why, without anything secret.
    pub(crate) why: String,
}

/// Whether a message that was not taken may be taken later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Soon, or after the time that the receiver asked for.
    Soon(Option<Duration>),
    /// Once somebody has put right what is configured here or there: an address, a key, a permission.
    Late,
    /// Never: the message itself was refused.
    Never,
}
