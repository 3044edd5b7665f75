//! Floor 2: call sites, as people and their tools read them.
//!
//! | file | holds |
//! |---|---|
//! | `capture.rs` | what was sampled becomes a [`Profile`]: of now, or of what changed |
//! | `levels.rs` | past levels of every call site |
//! | `symbols.rs`, `symbolizer.rs` | what the addresses mean |
//! | `mappings.rs`, `elf.rs`, `sources.rs` | where that is looked up: the program, its libraries, their debug information |
//! | `names.rs` | what a function's name says: whose it is, and whether it is a runtime's |
//! | `owners.rs` | whose memory is it, where no scope says so |
//! | `pprof/` | pprof's format |
//! | `folded.rs` | folded stacks |
//! | `flamegraph/` | flame graphs as SVG |
//! | `profiler.rs` | the one who builds profiles, one at a time |
//! | `evidence/` | pieces of evidence on disk that survive the kill |
//! | `store.rs` | the profiles that are kept, on disk or in memory |

mod capture;
mod elf;
pub mod evidence;
pub mod flamegraph;
mod folded;
mod levels;
mod mappings;
mod names;
mod owners;
mod pprof;
mod profiler;
mod sources;
mod store;
mod symbolizer;
mod symbols;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use folded::{Folded, Frames};
pub use levels::{Level, Moment};
pub use names::{crate_and_module, is_runtime};
pub use pprof::{DecodeError, Decoded, SampleType, StoredSample, decode, encode};
pub use profiler::{Asker, Build, Profiler};
pub use store::{Stored, Trigger};
pub use symbolizer::Symbolizer;
pub use symbols::{FrameRef, Function, Location, Mapping, Symbols};

/// The four values of a call site in a profile; a difference of two profiles may be negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Values {
    /// Blocks allocated.
    pub alloc_objects: i64,
    /// Bytes allocated.
    pub alloc_space: i64,
    /// Blocks that live.
    pub inuse_objects: i64,
    /// Bytes that live.
    pub inuse_space: i64,
}

/// One call site: a stack, the component it is charged to, and its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the component.
    pub component: &'static str,
    /// Return addresses, innermost first. Each lies *behind* its call: look up `address - 1`.
    pub stack: Arc<[u64]>,
    /// Whether the stack reaches to the start of its thread; else its outer end is cut off.
    pub is_whole: bool,
    /// What was allocated here.
    pub values: Values,
}

/// Values by call site at one moment, or their difference between two.
#[derive(Debug, Clone)]
pub struct Profile {
    /// When the values were read.
    pub time: SystemTime,
    /// Time that a difference spans.
    pub duration: Option<Duration>,
    /// Mean number of bytes between two samples.
    pub period: u64,
    /// The call sites.
    pub entries: Vec<Entry>,
    /// Remarks for the reader, such as samples that were dropped.
    pub comments: Vec<String>,
}
