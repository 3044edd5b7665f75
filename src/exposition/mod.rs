//! Floor 6: show, by pull. One warp server answers everything.
//!
//! | file | holds |
//! |---|---|
//! | `text.rs` | families become OpenMetrics |
//! | `classic.rs` | OpenMetrics becomes the text format 0.0.4 |
//! | `negotiate.rs` | what the client accepts |
//! | `json.rs` | the shape that every JSON answer and error has |
//! | `views/` | what each JSON endpoint shows |
//! | `handlers.rs` | what each endpoint does |
//! | `current.rs` | the endpoints as they are configured now |
//! | `reload.rs` | others are asked for |
//! | `gate.rs` | who may come in: the server's view of the web configuration file |
//! | `web/` | the web configuration file: TLS, users, headers, rate limit |
//! | `access.rs` | which pages may send what only this machine, or who is known, may ask |
//! | `query.rs` | parameters of a query |
//! | `profiles.rs` | pprof, flame graphs |
//! | `kept.rs` | profiles that are kept, those from before the last restart too |
//! | `graphs.rs` | how profiles are written |
//! | `trend.rs` | the past, from memory and from disk |
//! | `allocations.rs` | what the allocation analyser is given, and its report |
//! | `leaks.rs` | the leak report |
//! | `alerts.rs`, `silences.rs` | the alerts of this process, and what keeps them quiet |
//! | `openapi/` | all of it, described for machines |
//! | `routes/` | which request goes where, and who may send it |
//! | `listen.rs` | ports: opened here, or taken over |
//! | `server.rs` | the accept loop: limits, time-outs, draining |
//! | `places.rs` | places for connections |

mod access;
mod alerts;
mod allocations;
mod classic;
mod current;
mod gate;
mod graphs;
mod handlers;
mod json;
mod kept;
mod leaks;
mod listen;
mod negotiate;
mod openapi;
mod places;
mod profiles;
mod query;
mod reload;
mod routes;
mod server;
mod silences;
mod text;
mod trend;
mod views;
#[cfg(feature = "web-config")]
mod web;

pub(crate) use current::Current;
pub(crate) use gate::Gate;
pub(crate) use handlers::{Api, Watched};
pub(crate) use json::Session;
pub(crate) use listen::{Bound, ServerError, bind, take};
pub(crate) use reload::{Asked, Outcome, Reload};
pub use reload::{ReloadError, Reloaded};
pub use routes::Peer;
pub(crate) use routes::routes;
pub(crate) use server::{Front, serve};
pub use text::MemoryCollector;
pub(crate) use text::TextOptions;
