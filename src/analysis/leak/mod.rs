//! Leak detector: per line of code, from the sampled blocks that live and those that were freed.
//!
//! | file | holds |
//! |---|---|
//! | `observation.rs` | what goes in: all call sites at one moment |
//! | `subject.rs` | who is judged |
//! | `curve.rs` | the live samples of one subject, added up by birth |
//! | `exact.rs` | growth of an exact level, with a confidence interval |
//! | `track.rs` | what is remembered of a subject |
//! | `thin.rs` | a bounded past |
//! | `window.rs` | the windows that a moment is judged over |
//! | `evidence.rs` | does it grow as a leak does? |
//! | `whole.rs` | the process as a whole, where call sites cannot be seen |
//! | `opening.rs` | does it become a suspect? |
//! | `follow.rs` | one subject under suspicion, until the suspicion is over |
//! | `shape.rs` | how it grows: pace, fit, generations |
//! | `suspect.rs` | what comes out: a suspect, its severity, its pattern |
//! | `book.rs` | the suspects that are open and were closed |
//! | `detector.rs` | opens suspects, groups them, closes them |

mod book;
mod curve;
mod detector;
mod evidence;
mod exact;
#[cfg(test)]
mod fixture;
mod follow;
mod observation;
mod opening;
mod shape;
mod subject;
mod suspect;
#[cfg(test)]
mod tests;
mod thin;
mod track;
mod whole;
mod window;

pub use book::{Added, Change};
pub use detector::LeakDetector;
pub use evidence::{Confidence, Evidence};
pub use observation::{Cohort, Observation, SiteObservation};
pub use suspect::{Closed, Part, Pattern, Severity, Suspect};
