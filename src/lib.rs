//! Which line of code holds a service's memory, whether that is a leak, and when it will kill the process: in Prometheus, by OTLP, as
//! JSON, profiles and flame graphs, and as alerts that the process sends itself.
//!
//! Two lines put it into a service: one makes [`Allocator`] the global allocator, one starts the [`Exporter`].
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
//! From then on `http://127.0.0.1:10113/metrics` answers Prometheus, and `http://127.0.0.1:10113/` lists what else there is, all from a
//! thread of the exporter's own with a runtime of its own, so that it answers while the service is stuck. [`Config`] holds every knob, each
//! explained [in its place](config#every-key); [`catalog`] defines every metric and every alert; [`Component`] gives names to the parts of a
//! program. The README shows the endpoints, the alerts, the security of the server, what it all costs, and when to take something else.
//!
//! Three promises: a number that is not known is absent, never 0. What is wrong with a configuration is said before anything starts, all at
//! once, as an [`Error`]. Once it runs, nothing that goes wrong with the exporter ends the program: it is counted in a metric, and logged
//! once through `tracing`.
//!
//! # Ways in
//!
//! | The program | takes | and shows |
//! |---|---|---|
//! | has no server of its own, or must answer while its runtime is stuck | [`Exporter::start`] | every endpoint, on a port of the exporter's |
//! | serves with warp | [`Exporter::routes`] | every endpoint, beside its own |
//! | serves with axum, hyper, actix, anything | [`Exporter::render`] | the metrics, where it likes |
//! | has a `prometheus_client` registry | [`Exporter::collector`] | the metrics among its own |
//! | ends by itself, or cannot be reached | section `otlp` of the [`Config`] | the metrics, pushed at intervals and once more at the end |
//! | cannot be changed | [`Builder::target`], or the binary | what the kernel says of it |
//!
//! The global allocator is the same in all but the last; without it, what only an allocator knows is absent. The examples are complete, and
//! run as tests of this crate.
//!
//! ## A program without a runtime
//!
//! Nothing here asks for `async`. Port 0 takes a free port, and [`Exporter::addresses`] says which.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! use memory_exporter::{Allocator, Component, Config, Exporter};
//!
//! #[global_allocator]
//! static ALLOCATOR: Allocator = Allocator::new();
//!
//! static PAGES: Component = Component::new("pages");
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut config = Config::production();
//!     config.web.listen_address = vec!["127.0.0.1:0".parse()?];
//!     let exporter = Exporter::start(config)?;
//!
//!     let worker = std::thread::spawn(|| {
//!         let _scope = PAGES.enter(); // until the end of the block, what this thread allocates counts for the pages
//!         vec![0_u8; 1_048_576]
//!     });
//!     let pages = worker.join().map_err(|_| "the worker panicked")?;
//!
//!     let mut scrape = TcpStream::connect(exporter.addresses()[0])?;
//!     scrape.write_all(b"GET /metrics HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")?;
//!     let mut metrics = String::new();
//!     scrape.read_to_string(&mut metrics)?;
//!     assert!(metrics.contains("memory_allocation_bytes_total{component=\"pages\"} 1048576\n"));
//!
//!     drop(pages);
//!     exporter.stop();
//!     Ok(())
//! }
//! ```
//!
//! ## In an axum server
//!
//! [`Exporter::render`] takes what the client accepts and gives the text and its content type, which fits any server. It reads everything
//! afresh, which takes some tenths of a millisecond; it waits for nobody.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::extract::State;
//! use axum::http::{HeaderMap, StatusCode, header};
//! use axum::response::IntoResponse;
//! use axum::routing::get;
//! use memory_exporter::{Allocator, Config, Exporter};
//!
//! #[global_allocator]
//! static ALLOCATOR: Allocator = Allocator::new();
//!
//! async fn metrics(
//!     State(exporter): State<Arc<Exporter>>,
//!     headers: HeaderMap,
//! ) -> Result<impl IntoResponse, StatusCode> {
//!     let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
//!     let (text, content_type) = exporter
//!         .render(accept.unwrap_or_default())
//!         .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
//!     Ok(([(header::CONTENT_TYPE, content_type)], text))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let exporter = Exporter::builder(Config::production()).without_server().start()?;
//!     let app = axum::Router::new()
//!         .route("/metrics", get(metrics))
//!         .route("/", get(async || "the shop is open"))
//!         .with_state(Arc::new(exporter)); // stops the exporter when the server is gone
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! #   let address = listener.local_addr()?;
//! #   let (answered, answer) = tokio::sync::oneshot::channel();
//! #   let shutdown = async move {
//! #       use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #       let mut scrape = tokio::net::TcpStream::connect(address).await.unwrap();
//! #       let accept = "Accept: application/openmetrics-text;version=1.0.0";
//! #       let request = format!("GET /metrics HTTP/1.1\r\nHost: shop\r\n{accept}\r\nConnection: close\r\n\r\n");
//! #       scrape.write_all(request.as_bytes()).await.unwrap();
//! #       let mut answer = String::new();
//! #       scrape.read_to_string(&mut answer).await.unwrap();
//! #       answered.send(answer).unwrap();
//! #   };
//!     axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
//! #   let answer = answer.await?; // a panic in there would not be seen
//! #   assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
//! #   assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"), "{answer}");
//! #   assert!(answer.contains("\nmemory_rss_bytes ") && answer.contains("\nmemory_heap_bytes "), "{answer}");
//! #   assert!(answer.ends_with("# EOF\n"), "{answer}");
//!     Ok(())
//! }
//! ```
//!
//! ## In a warp server
//!
//! [`Exporter::routes`] is a filter like any other: requests for other paths are left to other routes. What shows stacks or changes the
//! process is answered to clients on the machine itself; TLS and users are the business of the server.
//!
//! ```
//! use memory_exporter::{Allocator, Config, Exporter};
//! use warp::Filter;
//!
//! #[global_allocator]
//! static ALLOCATOR: Allocator = Allocator::new();
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let exporter = Exporter::builder(Config::production()).without_server().start()?;
//!     let shop = warp::path::end().map(|| "the shop is open");
//!     let routes = shop.or(exporter.routes()); // the shop's own landing page goes first
//!
//!     // warp::serve(routes).run(([127, 0, 0, 1], 8080)).await;
//!     let answer = warp::test::request().path("/metrics").reply(&routes).await;
//!     let metrics = std::str::from_utf8(answer.body())?;
//!     assert!(metrics.contains("\nmemory_rss_bytes ") && metrics.contains("\nmemory_heap_bytes "));
//!     let answer = warp::test::request().path("/metrics/memory/health").reply(&routes).await;
//!     assert_eq!(answer.headers()["content-type"], "application/json");
//!     let answer = warp::test::request().path("/").reply(&routes).await;
//!     assert_eq!(answer.body(), "the shop is open");
//!     Ok(())
//! }
//! ```
//!
//! ## A job that pushes and ends
//!
//! Nobody scrapes what lives for seconds. The push goes out at once, then at `otlp.interval`, and a last time in [`Exporter::stop`] (or when
//! the exporter is dropped), which waits for the receiver up to `web.shutdown_timeout`: a receiver that is away costs that time at most. In
//! place of the lines on `config.otlp`, the standard variables do, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.
//!
//! ```
//! use memory_exporter::config::{Auto, Profile, Protocol};
//! use memory_exporter::{Allocator, Component, Config, Exporter};
//!
//! #[global_allocator]
//! static ALLOCATOR: Allocator = Allocator::new();
//!
//! static REPORT: Component = Component::new("report");
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut config = Config::from_file(Profile::Production, None)?; // the profile, and what the environment overrides
//!     config.otlp.enabled = true;
//!     config.otlp.protocol = Protocol::HttpProtobuf;
//!     config.otlp.endpoint = Auto::Set("http://otlp.example.org:4318".to_owned());
//! #   let (pushed, pushes) = std::sync::mpsc::channel();
//! #   let receive = axum::routing::post(async move |body: axum::body::Bytes| pushed.send(body).unwrap());
//! #   let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
//! #   let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
//! #   config.otlp.endpoint = Auto::Set(format!("http://{}", listener.local_addr()?));
//! #   config.otlp.compression = memory_exporter::config::Compression::None;
//! #   runtime.spawn(async { axum::serve(listener, axum::Router::new().route("/v1/metrics", receive)).await });
//! #   let has = |push: &[u8], part: &str| push.windows(part.len()).any(|window| window == part.as_bytes());
//!     let exporter = Exporter::builder(config)
//!         .service("nightly", "1.4.0")
//!         .without_server()
//!         .start()?;
//! #   let first = pushes.recv_timeout(std::time::Duration::from_secs(10))?;
//! #   assert!(has(&first, "memory.rss_bytes") && !has(&first, "report"), "the job has not begun");
//!
//!     let scope = REPORT.enter();
//!     let report = vec![1_u64; 100_000]; // the job
//!     drop(scope);
//!
//!     exporter.stop(); // pushes what has come since, and returns
//! #   let last: Vec<_> = pushes.try_iter().collect();
//! #   assert_eq!(last.len(), 1, "one push at the end");
//! #   for part in ["nightly", "memory.rss_bytes", "memory.allocation.count", "report"] {
//! #       assert!(has(&last[0], part), "{part} is missing in the last push");
//! #   }
//!     println!("{} numbers", report.len());
//!     Ok(())
//! }
//! ```
//!
//! # Cargo features
//!
//! | feature | |
//! |---|---|
//! | `production` (default) | all of the following |
//! | `development` | the same, and [`Config::default`] is the development profile |
//! | `jemalloc` | jemalloc as the default inner allocator, its statistics, and the forced release; else [`Allocator::new`] wraps the system's |
//! | `otlp` | the push |
//! | `channels` | the alert channels that speak HTTP: webhook, Slack, PagerDuty, Alertmanager |
//! | `web-config` | the web configuration file of Prometheus' exporters: TLS, users, headers, rate limit |
//! | `spans` | `ComponentLayer`: `tracing` spans with a field `component` name whose memory it is |
//! | `cli` | the binary `memory-exporter` |
//!
//! The crate is made for Linux: the process, the control groups and the stacks are read in Linux' way, and what cannot be read is absent.
//!
//! # How it is built
//!
//! Data flows up, imports point down: nothing imports its own floor or above, but `config` the catalog and `exporter.rs` its neighbours, and
//! `tests/it/architecture.rs` sees to it.
//!
//! | floor | modules | do |
//! |---|---|---|
//! | 8 | `main.rs`, `cli` | start: what belongs to a process and to no library (allocator, log, signals, exit code) |
//! | 7 | `exporter`, `ticker.rs`, `error.rs` | compose: [`Builder`], [`Exporter`], its thread and what a reload changes, the one ticker; [`Error`] |
//! | 6 | `exposition`, `push`, `artifacts` | show: by pull, by push, as files for others |
//! | 5 | [`alert`], `watch` | decide: what people are told; who leaks, what is kept |
//! | 4 | [`analysis`] | derive: trend, verdict, health, allocations, leaks; pure functions, whose time comes from the snapshots |
//! | 3 | [`snapshot`] | freeze: all readings of one moment, and the moments one after another |
//! | 2 | [`collector`], [`profile`] | read: numbers (heap, samples, jemalloc, process, control group); call sites (pprof, flame graphs, symbols) |
//! | 1 | [`heap`], `client`, `disk` | instrument: the allocator wrapper, sampling, stacks; all `unsafe` but some calls of jemalloc's is here. Speak: one request goes out. Leave: what outlives the process |
//! | 0 | [`catalog`], [`config`] | name and tune: every metric and alert defined once, every knob |
//!
//! A `mod.rs` of more than a few files begins with a table of them. A package that could be replaced is named behind its *door* only, one
//! file or two, and no file has more than 400 lines before its tests; the same test has the list.
//!
//! ## Where a new thing goes
//!
//! | | is declared in | and made in |
//! |---|---|---|
//! | collector | a file in `collector/`, an implementation of [`collector::Collector`] | a field of [`Snapshot`], read by `snapshot/sampler.rs`; its name is a value of the label `collector` in the catalog |
//! | metric | `catalog/metrics.rs` | `snapshot/families.rs` or a file beside it, which says which reading it is; scrape, push, table and help follow |
//! | alert | `catalog/alerts.rs`, and `catalog/runbook.rs` for what people do | nowhere: rules, their tests, the alert in the process, and the lines in the dashboards follow. A new kind of condition is a case of [`catalog::Condition`] |
//! | panel | `artifacts/dashboards/` | |
//! | endpoint | `exposition/routes/`, and `exposition/openapi/` for machines | a handler in `exposition/`; the fields of its answer in `exposition/views/` |
//! | channel | `config/channels.rs` | a file in `alert/channel/`, opened by `alert/channel/open.rs` |
//! | key of the configuration | both files in `config/` | a field in `src/config/sections.rs` or beside it, read in `src/config/mod.rs` |
//! | recommendation, sign of bad health | `analysis/rules/`, `analysis/findings.rs` | |
//!
//! Which tests then tell what is missing stands in `CONTRIBUTING.md`.
//!
//! ## Six lives
//!
//! **A number.** `collector/jemalloc.rs` advances the epoch once and reads `stats.resident`; `snapshot/sampler.rs` freezes it with its
//! siblings and the time. The ticker, and only the ticker, adds the moment to `snapshot/history.rs`, and to `snapshot/archive.rs` on disk. A
//! scrape takes a fresh snapshot by the same function; `snapshot/families.rs` says which metric the number is, and `exposition/text.rs`
//! prints it; the push does the same with `push/encode.rs`. Nobody else reads the allocator.
//!
//! **A sample.** An allocation reaches the byte at which the next sample is due (`heap/allocator.rs`, `counters.rs`); its stack is unwound
//! (`heap/unwind/`), its call site found or made (`heap/sites.rs`), and its address noted (`heap/live.rs`); the free that finds the address in
//! the filter takes it out. `profile/capture.rs` reads all sites when somebody asks, `profile/symbolizer.rs` names their frames, and
//! `profile/pprof/` or `profile/flamegraph/` writes them. Once per tick `profile/owners.rs` says whose new sites are, and
//! `collector/split.rs` shares the exact counters out accordingly.
//!
//! **A suspect.** At every tick `watch/observe.rs` reads all call sites and their live samples on a thread that may take its time;
//! `analysis/leak/` judges each line of code by which of its blocks stay (`evidence.rs`), follows what it suspects (`follow.rs`) and groups
//! what has one cause (`detector.rs`). `watch/leaks.rs` turns that into numbers for the snapshot, a report for
//! `GET /metrics/memory/leaks`, and lines in the log; near the memory limit `watch/evidence.rs` has it written to disk with a profile
//! (`profile/evidence/`), where the next process finds it.
//!
//! **An alert.** `catalog/alerts.rs` says what must be so, for how long, and what is said then; the configuration gives the threshold. From
//! that `artifacts/rules/alerting.rs` makes an expression; `scenes.rs` makes up series around the threshold and `rehearsal.rs` works out when
//! the alert must fire in them, which is what promtool asks of the expression. In the process `alert/manager.rs` decides by the same
//! evaluator (`alert/evaluate.rs`); `alert/group.rs` says when people are to hear of it, `alert/tell.rs` makes a message of what is due, with
//! the call site that `watch/culprit.rs` found, and `alert/delivery/` has each channel (`alert/channel/`) send it until it is taken.
//!
//! **A request.** `exposition/server.rs` takes the connection and gives it a place (`places.rs`); `gate.rs` asks the web configuration file,
//! if there is one, for TLS and then for a turn and a password (`web/`); `routes/` finds the endpoint, and lets only loopback, or who is known
//! by now, and no page of another origin (`access.rs`), do what shows stacks or changes the process; `handlers.rs` and the files beside
//! it answer.
//!
//! **A reload.** SIGHUP or `POST /-/reload` (`exposition/reload.rs`) reaches the exporter's thread (`exporter/running.rs`), which has the configuration
//! read anew where the start found it. `config/changes.rs` says what differs and which keys only a restart changes; `exporter/parts.rs` opens
//! whatever can fail, uses what has not changed again, and hands over what is known: alerts to another manager, what waits to other
//! channels. Then, and only then, the endpoints of now (`exposition/current.rs`), the ticker, the channels and the push are replaced.

#![cfg_attr(docsrs, feature(doc_cfg))]

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
pub use exposition::{MemoryCollector, Peer, ReloadError, Reloaded};
#[cfg(feature = "spans")]
pub use heap::ComponentLayer;
pub use heap::{Allocator, Component, ComponentGuard, InComponent};
pub use snapshot::Snapshot;
