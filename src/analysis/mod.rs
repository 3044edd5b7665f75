//! Floor 4: derive. Pure functions over the history: no clock, no lock, no log; the time comes from the points.
//!
//! | file | holds |
//! |---|---|
//! | `trend.rs` | levels over a window, their slope and their spread |
//! | `health.rs` | the verdict for people on call |

mod health;
mod trend;

pub(crate) use health::{Health, Status, WINDOW, assess};
pub(crate) use trend::{Statistics, Trend, trend};
