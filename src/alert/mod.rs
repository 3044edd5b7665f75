//! Floor 5: alerts, decided in the process: what is evaluated here is what Prometheus evaluates as a rule.
//!
//! | file | holds |
//! |---|---|
//! | `pace.rs` | how often series come in, and what that does to every time in an alert |
//! | `evaluate.rs` | whether the condition of an alert holds, and since when: pure |
//! | `kept.rs` | samples of what alerts look at, for as long as they look back |
//! | `message.rs` | what people are told |
//! | `links.rs` | where that leads to |
//! | `channel/` | who is told, and how |
//! | `manager.rs` | the alerts of this process: from the first sign to the end, muted, acknowledged, told |

#[allow(dead_code)]
mod channel;
mod evaluate;
#[cfg(feature = "channels")]
#[cfg(test)]
mod fixture;
mod kept;
mod links;
mod manager;
#[allow(dead_code)]
mod message;
mod pace;

pub use evaluate::{Evaluator, Progress, Sample, State};
pub(crate) use links::{InUrl, Links};
pub(crate) use manager::{Acknowledgement, Alert, AlertManager, Refused};
pub use pace::Pace;
