//! Prometheus-native memory exporter.
//!
//! Two lines put it into a service: one makes [`Allocator`] the global allocator, one starts the [`Exporter`]. From then on the
//! service answers `GET /metrics` for Prometheus, pushes the same series through OTLP if told to, shows snapshot, trend and health
//! as JSON, and says which line of code holds the memory (profiles, flame graphs, allocations), all from a thread of the exporter's own.
//!
//! ```no_run
//! use memory_exporter::{Allocator, Config, Exporter};
//!
//! #[global_allocator]
//! static ALLOCATOR: Allocator = Allocator::new();
//!
//! fn main() -> Result<(), memory_exporter::Error> {
//!     let exporter = Exporter::start(Config::production())?;
//!     // ... the service ...
//!     exporter.stop();
//!     Ok(())
//! }
//! ```
//!
//! # How it is built
//!
//! Data flows up, imports point down; nothing imports its own floor or above, and `tests/it/architecture.rs` sees to it.
//!
//! | floor | modules | do |
//! |---|---|---|
//! | 8 | `main.rs`, `cli/` | start |
//! | 7 | [`Exporter`], [`Error`], `ticker.rs` | compose: builder, the one ticker |
//! | 6 | `exposition`, `push`, `artifacts` | show: pull, push, files |
//! | 5 | [`alert`], `watch` | decide: who leaks, what is kept, what people are told |
//! | 4 | [`analysis`] | derive: trend, growth, health, allocations, leaks |
//! | 3 | [`snapshot`] | freeze: snapshot, history |
//! | 2 | [`collector`], [`profile`] | read: numbers (heap, samples, jemalloc, process, control group); call sites (pprof, flame graphs, symbols) |
//! | 1 | [`heap`] | instrument: the allocator wrapper, sampling, stacks; all `unsafe` but some calls of jemalloc's is here. `client`: one request goes out. `disk`: what outlives the process |
//! | 0 | [`catalog`], [`config`] | name and tune |
//!
//! The life of one number: `collector/jemalloc.rs` advances the epoch once and reads `stats.resident`; `snapshot/sampler.rs` freezes it
//! with its siblings and the time; the ticker, and only the ticker, adds the moment to `snapshot/history.rs`; a scrape takes a fresh
//! snapshot by the same function, `snapshot/families.rs` says which metric the number is, and `exposition/text.rs` prints it; the push
//! does the same with `push/encode.rs`. Nobody else reads the allocator.
//!
//! The life of one sample: an allocation reaches the byte at which the next sample is due (`heap/allocator.rs`, `counters.rs`); its stack is
//! unwound (`heap/unwind/`), its call site found or made (`heap/sites.rs`), and its address noted (`heap/live.rs`); the free that finds the
//! address in the filter takes it out. `profile/capture.rs` reads all sites when somebody asks, `profile/symbolizer.rs` names their frames, and
//! `profile/pprof/` or `profile/flamegraph/` writes them. Once per tick `profile/owners.rs` says whose new sites are, and
//! `collector/split.rs` shares the exact counters out accordingly.
//!
//! The life of one suspect: at every tick `watch/observe.rs` reads all call sites and their live samples on a thread that may take its time;
//! `analysis/leak/` judges each line of code by which of its blocks stay (`evidence.rs`), follows what it suspects (`follow.rs`) and groups what
//! has one cause (`detector.rs`); `watch/leaks.rs` turns that into numbers for the snapshot, a report for `GET /metrics/memory/leaks`, and
//! lines in the log; near the memory limit `watch/evidence.rs` has it written to disk with a profile, where the next process finds it.
//!
//! The life of one alert: `catalog/alerts.rs` says what must be so, for how long, and what is said then; the configuration gives the number.
//! `artifacts/rules/alerting.rs` makes an expression of it, `scenes.rs` makes up series at the threshold, beyond it and of everything that
//! resembles it, and `rehearsal.rs` works out from the definition when it must fire in them: that is what promtool asks of the expression.
//! `alert/manager.rs` decides the same in the process, by the evaluator
//! (`alert/evaluate.rs`) that the tests of the rules come from; `alert/group.rs` says when people are to hear of it, `alert/tell.rs` makes a message of
//! what is due, with the call site that `watch/culprit.rs` found, and `alert/delivery/` has each channel (`alert/channel/`) send it until it is taken. Alertmanager's configuration, the runbook, the lines in the dashboards and the table in the README come from the same definition.
//!
//! The life of one request: `exposition/server.rs` takes the connection and gives it a place (`places.rs`); `gate.rs` asks the web configuration
//! file, if there is one, for TLS and then for a turn and a password (`web/`); `routes/` finds the endpoint, and lets only loopback, or who is
//! known by now, do what shows stacks or changes the process; `handlers.rs` and the files beside it answer.

/// The examples of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// Floor 0: name and tune.
pub mod catalog;
pub mod config;

// Floor 1: instrument, speak, and keep.
mod client;
mod disk;
pub mod heap;

// Floor 2: read.
pub mod collector;
pub mod profile;

// Floor 3: freeze.
pub mod snapshot;

// Floor 4: derive.
pub mod analysis;

// Floor 5: decide, watch.
pub mod alert;
mod watch;

// Floor 6: show.
#[cfg(feature = "cli")]
mod artifacts;
mod exposition;
#[cfg(feature = "otlp")]
mod push;

// Floor 7: compose.
mod error;
mod exporter;
mod ticker;

// Floor 8: start.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;

pub use collector::Target;
pub use config::{Config, ConfigError};
pub use error::Error;
pub use exporter::{Builder, Exporter};
pub use exposition::{MemoryCollector, Peer};
#[cfg(feature = "spans")]
pub use heap::ComponentLayer;
pub use heap::{Allocator, Component, ComponentGuard, InComponent};
pub use snapshot::Snapshot;
