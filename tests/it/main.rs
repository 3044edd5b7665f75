//! Tests of the library as a whole. The list is the map: what belongs where stands behind each module.
#![allow(clippy::unwrap_used, reason = "tests")]

mod alerts; // alerts of the process itself: filters, errors, acknowledgement
mod api; // every endpoint without a socket: answers, errors, formats
mod architecture; // floors, doors, sizes: the law of the house
mod artifacts; // shipped files are those that are generated; `generate` and its errors
mod catalog; // invariants over the whole table of metrics, and the frozen list of series
mod cli; // the binary: flags, exit codes, signals, foreign processes
mod client; // not tests: the least HTTP client
mod collectors; // readings from trees of our own making: procfs, control groups v1 and v2
mod config; // profiles, overlays, and every mistake at once
mod corpus; // what fuzzers found interesting, fed to every parser again
mod dashboards; // what the committed dashboards ask and show, without a Grafana
mod deploy; // what an operator is given beside the binary: units, completions, manual pages, sockets
mod docs; // what documents say of the code: floors, files, features, links
mod embedding;
mod evidence; // profiles on disk from before the last restart
mod faults; // every fault that is survived, and the tests that show it: the table
#[path = "../support/foreign/mod.rs"]
mod foreign; // not tests: what must hold for foreign input, whatever it is
mod history; // the past on disk: across restarts, and where it has no place
mod openapi; // the document of the HTTP interface, and every answer of these tests against it
#[cfg(feature = "web-config")]
#[path = "../support/pki.rs"]
mod pki; // not tests: certificates
mod profiles; // profiles and flame graphs: parameters, formats, who may see them, one at a time
mod reload; // the configuration read anew: all of it or nothing, and what a running process can change
mod scrape; // the text of a whole scrape, in both formats
mod server; // sockets: floods, slow clients, draining, limits
#[cfg(feature = "web-config")]
mod web; // the web configuration file: users, limits, headers, and all of it while the server runs
#[cfg(feature = "web-config")]
mod web_tls; // the same for TLS: certificates of both sides, versions, who speaks something else

#[global_allocator]
static ALLOCATOR: memory_exporter::Allocator = memory_exporter::Allocator::new();
