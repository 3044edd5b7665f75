//! Labelled workloads for the leak detector, and the judge of what it says of them.
//!
//! A detector is fed one [`Observation`](memory_exporter::analysis::leak::Observation) a tick. Here a service is simulated whose leak,
//! if it has one, is known; and detectors are judged by what they named, and when.
//!
//! | file | holds |
//! |---|---|
//! | `main.rs` | the command: runs the detectors over the kinds, prints tables |
//! | `kind.rs`, `truth.rs` | the kinds of workload, and what is true of a run |
//! | `simulation.rs` | a run, tick by tick |
//! | `plan.rs` | what a run consists of |
//! | `background.rs`, `leaks.rs`, `innocents.rs` | the plans: the service around, and the labelled part |
//! | `source/` | how blocks are born and die |
//! | `samples.rs` | the sampled blocks of a site |
//! | `resident.rs` | what the kernel sees |
//! | `random.rs` | distributions |
//! | `score.rs` | a detector is judged on one run |
//! | `suite.rs` | many runs, on two threads |
//! | `figures.rs` | recall, precision and delays of many runs |
//! | `table.rs` | the results as Markdown |
//! | `ours.rs` | the detector of `memory_exporter` as a contender |
//! | `baseline.rs` | two simple detectors to compare with |
//! | `cost.rs` | many sites at once, for what an analysis costs |

mod background;
pub mod baseline;
pub mod cost;
pub mod figures;
mod innocents;
mod kind;
mod leaks;
pub mod ours;
mod plan;
mod random;
mod resident;
mod samples;
pub mod score;
mod simulation;
mod source;
pub mod suite;
pub mod table;
mod truth;

pub use kind::Kind;
pub use simulation::{HOURS, Profile, Simulation, simulate, simulate_for};
pub use truth::{Leak, Truth};
