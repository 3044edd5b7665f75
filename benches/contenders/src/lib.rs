//! What the programs that measure the exporter share.
//!
//! | file | holds |
//! |---|---|
//! | `host.rs` | a process that works a little, for the footprint |
//! | `scrape.rs` | a client for scrapes |
//! | `sites.rs` | the program of known sites, which the tests share |
//! | `timing.rs` | repeated measurements and their quantiles |

#[path = "../../../tests/support/known_sites.rs"]
mod known_sites;

pub mod host;
pub mod scrape;
pub mod sites;
pub mod timing;
