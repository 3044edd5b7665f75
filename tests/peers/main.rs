//! The exporter against real programs and against a receiver that misbehaves.
//!
//! The real programs are put into `target/peers` by `.ci/peers`. Everything listens on free ports of 127.0.0.1, everything that is
//! started is killed, and every wait has a bound, so the tests may run side by side and again and again. The example comes from
//! `cargo test`; `cargo test --test peers` alone takes the one that was built last, so build the examples first.
//!
//! | file | shows |
//! |---|---|
//! | `against_prometheus.rs` | a real Prometheus scrapes the leaking example for a minute, and two judges read the text; takes longest, so its name comes first |
//! | `alerting.rs` | alerts in the process are in the state of those in Prometheus, at every step |
//! | `parity.rs` | scrape and push give the same series in real stores |
//! | `outage.rs` | a real receiver goes away and comes back |
//! | `faults.rs` | what the push does with every bad answer |
//! | `requests.rs` | what a request carries besides points |
//! | `deltas.rs` | temporality: differences add up, totals have one start |
//! | `shutdown.rs` | the last push |
//! | `reloading.rs` | the push while the configuration is read anew |
//! | `tls.rs` | authorities and client certificates |
//! | `web.rs` | a real Prometheus scrapes an exporter that has a web configuration file |
//! | `environment.rs` | the standard variables, in processes of their own |
//! | `oracle.rs` | OpenTelemetry's own exporter sends the same messages |
//! | `names.rs` | names, prefix and labels are the same on both ways |
//! | `rehearsal.rs` | a leak is paged, muted where it should be and over when it is, through a real Prometheus and Alertmanager; every panel has data |
//! | `paging.rs` | the same without Prometheus: the example tells PagerDuty, Slack, a webhook and its log, and shows no secret |
//! | `cluster.rs` | real Alertmanagers that are told by processes themselves, also by one that is killed |
//! | `channels.rs` | channels and receivers that fail: what is told arrives, once, and delays nobody |
//! | `trial.rs` | `test-alert`, over channels of every kind |
//! | `rules.rs` | promtool and amtool take the rules and Alertmanager's configuration, as they are shipped and as they are generated otherwise |
//! | `openapi.rs` | a validator takes the OpenAPI document, and schemathesis finds no answer that it does not promise |
//! | `profiles.rs` | what a decoder of somebody else's finds in a profile of the example |
//! | `bare.rs` | profiles of the example where it has little: no symbols, nothing to write to |
//! | `grafana.rs` | what Grafana publishes about dashboards, against those that we publish |
//!
//! | file | holds |
//! |---|---|
//! | `programs.rs`, `service.rs` | child processes: peers, exporters |
//! | `stores.rs`, `http.rs`, `panels.rs` | asking the peers |
//! | `outlets/` | who is told of alerts: they judge what they get by what they document, and fail when they are told to |
//! | `receiver/` | the receiver in this process |
//! | `pushing.rs`, `telling.rs`, `grouped.rs`, `log.rs` | exporters in this process: those that push, those that tell of alerts, one in a control group, and what they log |
//! | `pprof.rs`, `pprof.py` | profiles, as that decoder reads them |
//! | `grafana/` | the judges of dashboards: Grafana's types, its registries, and the classes of its SDK; `draw/` in it is for people |
//! | `series.rs`, `wait.rs` | series in one form; waiting with a bound |

#![cfg(all(feature = "production", target_os = "linux"))]

mod against_prometheus;
mod alerting;
mod bare;
mod channels;
mod cluster;
mod deltas;
mod environment;
mod faults;
mod grafana;
mod grouped;
mod http;
mod log;
mod names;
mod openapi;
mod oracle;
mod outage;
mod outlets;
mod paging;
mod panels;
mod parity;
#[path = "../support/pki.rs"]
mod pki;
mod pprof;
mod profiles;
mod programs;
mod pushing;
mod receiver;
mod rehearsal;
mod reloading;
mod requests;
mod rules;
mod series;
mod service;
mod shutdown;
mod stores;
mod telling;
mod tls;
mod trial;
mod wait;
mod web;

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();
