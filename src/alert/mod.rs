//! Floor 5: alerts, decided in the process: what is evaluated here is what Prometheus evaluates as a rule.
//!
//! | file | holds |
//! |---|---|
//! | `pace.rs` | how often series come in, and what that does to every time in an alert |
//! | `evaluate.rs` | whether the condition of an alert holds, and since when: pure |

mod evaluate;
mod pace;

pub use evaluate::{Evaluator, Progress, Sample, State};
pub use pace::Pace;
