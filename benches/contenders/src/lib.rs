//! What the programs that measure the exporter share.
//!
//! | file | holds |
//! |---|---|
//! | `host.rs` | a process that works a little, for the footprint |
//! | `scrape.rs` | a client for scrapes |
//! | `timing.rs` | repeated measurements and their quantiles |

pub mod host;
pub mod scrape;
pub mod timing;
