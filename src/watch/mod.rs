//! Floor 5: watch. What runs at every tick beside the collectors, on threads that may take their time.
//!
//! | file | holds |
//! |---|---|
//! | `leaks.rs` | the leak detector at work, and what others are told of it |
//! | `culprit.rs` | the call site that people are told to look at first |
//! | `observe.rs` | all call sites at one moment |
//! | `report/` | the leak report, and as text |
//! | `sessions.rs` | what was found, on disk, and what earlier sessions found |
//! | `line.rs` | the line of code that a stack leads to |
//! | `recording.rs`, `replay.rs` | what the detector saw, written down and looked at again |
//! | `frames.rs` | stacks as people read them |
//! | `evidence.rs` | what is kept on disk near the memory limit |

mod culprit;
mod evidence;
mod frames;
mod leaks;
mod line;
mod observe;
mod recording;
#[cfg(feature = "cli")]
mod replay;
mod report;
mod sessions;

pub(crate) use culprit::Most;
pub(crate) use evidence::Guard;
pub(crate) use frames::readable;
pub(crate) use leaks::LeakWatch;
#[cfg(feature = "cli")]
pub(crate) use replay::replay;
pub(crate) use report::LeakReport;
