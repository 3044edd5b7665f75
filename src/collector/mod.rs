//! Floor 2: read numbers. One subject a file; a collector knows its own subject and nothing of the others.
//!
//! | collector | reads |
//! |---|---|
//! | `heap` | the counters of our allocator wrapper; `split.rs` shares out what has no scope |
//! | `samples` | the sampled blocks that are live, by component |
//! | `jemalloc` | jemalloc's statistics |
//! | `process` | one process as the kernel sees it |
//! | `cgroup` | its control group: limit, usage, pressure, kills |
//!
//! `files.rs` reads small files again and again without allocating; `fold.rs` makes of all components those that are shown.
//!
//! Roots of file systems are parameters ([`Roots`]), so that a test can hand in a tree of its own. A collector writes into a reading
//! that its caller keeps, so that a collection on the steady path allocates nothing.

mod cgroup;
mod files;
mod fold;
mod heap;
mod jemalloc;
mod process;
mod samples;
mod split;

use std::io;
use std::path::PathBuf;

pub use cgroup::{CgroupCollector, CgroupLimit, CgroupReading};
pub use files::read_small;
pub use heap::HeapCollector;
pub use jemalloc::{Bin, JemallocCollector, JemallocReading, Released};
pub use process::{ProcessCollector, ProcessReading, Target};
pub use samples::{ENOUGH, Held, SMALL_CLASSES, SamplesCollector, SamplesReading};

/// Reads one subject, now.
pub trait Collector {
    /// What it reads.
    type Reading: Default;

    /// Its name in the label `collector` and in logs.
    const NAME: &'static str;

    /// Reads into `reading`; what it leaves there after an error means nothing.
    ///
    /// # Errors
    /// [`CollectError::NoData`] when the subject does not exist for this process, [`CollectError::Failed`] when it should and could
    /// not be read.
    fn collect(&mut self, reading: &mut Self::Reading) -> Result<(), CollectError>;
}

/// Why a collector has no reading.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// There is nothing of the kind to read in this process; not a fault.
    #[error("{0}")]
    NoData(&'static str),
    /// It should be readable and is not.
    #[error("cannot read {what}: {cause}")]
    Failed {
        /// File or statistic.
        what: String,
        /// What went wrong.
        cause: io::Error,
    },
}

impl CollectError {
    pub(crate) fn failed(what: impl Into<String>, cause: io::Error) -> Self {
        Self::Failed {
            what: what.into(),
            cause,
        }
    }

    pub(crate) fn malformed(what: impl Into<String>, detail: &'static str) -> Self {
        Self::failed(what, io::Error::new(io::ErrorKind::InvalidData, detail))
    }
}

/// Where the kernel's file systems are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// procfs, normally `/proc`.
    pub proc: PathBuf,
    /// The control group hierarchy, normally `/sys/fs/cgroup`.
    pub cgroup: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            cgroup: "/sys/fs/cgroup".into(),
        }
    }
}
