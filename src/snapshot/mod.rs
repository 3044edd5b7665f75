//! Floor 3: freeze. All readings of one moment, and the moments one after another.
//!
//! | file | holds |
//! |---|---|
//! | `sampler.rs` | runs the collectors, each timed and isolated, and freezes what they read |
//! | `holdings.rs` | what the components hold, and how well they use the pages they pin |
//! | `families.rs` | which reading stands behind which metric |
//! | `leaks.rs` | what the leak detector found, as plain numbers |
//! | `limit.rs` | the memory limit that holds, and what is used against it |
//! | `archive.rs` | the past on disk |
//! | `history.rs` | the bounded ring of past moments |
//! | `parts.rs` | what a moment leaves there in little room |
//! | `derived.rs` | what the past says of a snapshot: numbers derived above |
//! | `report.rs` | how the collectors fared |
//! | `own.rs` | what the exporter counts about itself |
//! | `recorder.rs` | the sampler and the history together, shared by everybody who asks |

mod archive;
mod derived;
mod families;
mod history;
mod holdings;
mod leaks;
mod limit;
mod own;
mod parts;
mod recorder;
mod report;
mod sampler;

use std::time::{Duration, SystemTime};

use crate::collector::{
    CgroupReading, CollectError, JemallocReading, ProcessReading, SamplesReading,
};
use crate::heap::Counts;

pub(crate) use archive::Archive;
pub use derived::{Derived, Growth, PartGrowth};
pub use families::{Family, Labels, Sample, Value};
pub use history::{History, Level, Point};
pub use leaks::{LeakCounts, LeakReading};
pub use limit::{LimitKind, MemoryLimit};
pub use own::{ChannelCounts, ChannelReading, OwnReading, OwnStats};
pub use parts::Parts;
pub use recorder::Recorder;
pub use report::CollectorReport;
pub use sampler::{Sampler, SamplerOptions};

/// All readings of one moment.
#[derive(Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// When its readings were begun: one clock reading for all of them.
    pub time: SystemTime,
    /// The process as the kernel sees it.
    pub process: Reading<ProcessReading>,
    /// The counters of our allocator wrapper; exact, an error where it is not the global allocator.
    pub heap: Reading<Counts>,
    /// The sampled blocks that are live, by component; estimates.
    pub samples: Reading<SamplesReading>,
    /// jemalloc's statistics; an error where jemalloc does not serve this process.
    pub jemalloc: Reading<JemallocReading>,
    /// The control group of the process: its limit, usage, pressure, kills.
    pub cgroup: Reading<CgroupReading>,
    /// The limit that the configuration names, in bytes.
    pub configured_limit: Option<u64>,
    /// The exporter about itself.
    pub own: OwnReading,
    /// What became of messages on alerts, by channel.
    pub channels: Vec<ChannelReading>,
    /// What the history says; empty unless the snapshot comes from a [`Recorder`] that [derives](Recorder::deriving) it.
    pub derived: Derived,
}

/// What one collector returned, how long it took, and whether it may be believed.
#[derive(Debug)]
pub struct Reading<T> {
    value: T,
    outcome: Result<(), CollectError>,
    duration: Duration,
}

impl<T> Reading<T> {
    /// What was read, if it was.
    pub fn get(&self) -> Option<&T> {
        self.outcome.as_ref().ok().map(|()| &self.value)
    }

    /// Why nothing was read.
    pub fn error(&self) -> Option<&CollectError> {
        self.outcome.as_ref().err()
    }

    /// How long the collector took.
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl<T> Reading<T> {
    /// A reading that succeeded, for those who make snapshots by hand.
    pub fn of(value: T, duration: Duration) -> Self {
        Self {
            value,
            outcome: Ok(()),
            duration,
        }
    }
}

impl<T: Default> Default for Reading<T> {
    fn default() -> Self {
        Self {
            value: T::default(),
            outcome: Err(CollectError::NoData("not read yet")),
            duration: Duration::ZERO,
        }
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            time: SystemTime::UNIX_EPOCH,
            process: Reading::default(),
            heap: Reading::default(),
            samples: Reading::default(),
            jemalloc: Reading::default(),
            cgroup: Reading::default(),
            configured_limit: None,
            own: OwnReading::default(),
            channels: Vec::new(),
            derived: Derived::default(),
        }
    }
}

impl Snapshot {
    /// Bytes that the program holds: jemalloc's word where jemalloc serves the process, else what the wrapper counted.
    pub fn heap_bytes(&self) -> Option<u64> {
        self.jemalloc
            .get()
            .map(|jemalloc| jemalloc.allocated)
            .or_else(|| self.counted_bytes())
    }

    /// Bytes asked for and not given back, as the wrapper counted them.
    fn counted_bytes(&self) -> Option<u64> {
        let counts = self.heap.get()?;
        let operations = counts
            .components
            .iter()
            .flat_map(|component| &component.operations);
        let asked = operations.fold(0, |sum: u64, operation| sum.saturating_add(operation.bytes));
        Some(asked.saturating_sub(counts.deallocations.bytes))
    }
}
