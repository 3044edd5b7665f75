//! Floor 5: alerts, decided in the process: what is evaluated here is what Prometheus evaluates as a rule.
//!
//! | file | holds |
//! |---|---|
//! | `pace.rs` | how often series come in, and what that does to every time in an alert |
//! | `evaluate.rs` | whether the condition of an alert holds, and since when: pure |
//! | `kept.rs` | samples of what alerts look at, for as long as they look back |
//! | `state.rs` | an alert, and what people have done about it |
//! | `silence.rs` | of what nobody is told for a time |
//! | `group.rs` | who is told when: pure |
//! | `manager.rs`, `managed.rs` | the alerts of this process, from the first sign to the end |
//! | `tell.rs` | what is due becomes messages |
//! | `people.rs` | what people ask of the manager: to take an alert on, to keep quiet |
//! | `store.rs` | what survives the process |
//! | `message.rs`, `links.rs` | what people are told, and where it leads them |
//! | `trial.rs` | a message that only shows that messages arrive |
//! | `delivery/` | how messages reach people: queues, pauses, what is given up |
//! | `channel/` | who is told: the log, a webhook, Slack, PagerDuty, Alertmanager |

#[cfg_attr(
    not(feature = "channels"),
    allow(dead_code, reason = "the log says less than other channels do")
)]
mod channel;
mod delivery;
mod evaluate;
#[cfg(feature = "channels")]
#[cfg(test)]
mod fixture;
mod group;
mod kept;
mod links;
mod managed;
mod manager;
#[cfg_attr(
    not(feature = "channels"),
    allow(dead_code, reason = "the log says less than other channels do")
)]
mod message;
mod pace;
mod people;
mod silence;
mod state;
mod store;
mod tell;
#[cfg(feature = "cli")]
mod trial;

pub(crate) use delivery::{LaneView, Outlets};
pub use evaluate::{Evaluator, Progress, Sample, State};
#[cfg(feature = "cli")]
pub(crate) use links::{InUrl, Links, exporter};
pub(crate) use manager::AlertManager;
pub use pace::Pace;
pub(crate) use people::Refused;
pub(crate) use silence::{Matcher, Silence};
pub(crate) use state::{Acknowledgement, Alert};
#[cfg(feature = "cli")]
pub(crate) use trial::{Trial, try_channel};
