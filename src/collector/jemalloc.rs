//! jemalloc's statistics, and the forced release. The only file outside `heap/` with `unsafe`: calls of `mallctl` that the safe
//! interface cannot make, because they take no value or go through all size classes.
//!
//! Counts are never taken from here: `nmalloc` counts fills of thread caches, `nrequests` lags behind live ones.
#![cfg_attr(feature = "jemalloc", allow(unsafe_code))]

use super::{CollectError, Collector};

/// What jemalloc says of itself, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JemallocReading {
    /// `stats.allocated`: handed out to the program and not given back, in sizes of jemalloc's classes.
    pub allocated: u64,
    /// `stats.active`: in pages with at least one allocation; what lies above `allocated` is lost to fragmentation.
    pub active: u64,
    /// `stats.resident`: in physical memory at most, metadata and unused dirty pages included.
    pub resident: u64,
    /// `stats.mapped`: in mapped extents, touched or not.
    pub mapped: u64,
    /// `stats.retained`: address space kept for reuse instead of being unmapped; not physical memory.
    pub retained: u64,
    /// `stats.metadata`: what jemalloc needs for itself.
    pub metadata: u64,
    /// Size classes of small blocks, by size.
    pub bins: Vec<Bin>,
}

/// A size class of small blocks, which lie in slabs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bin {
    /// Size of a block in bytes.
    pub size: u64,
    /// Blocks in use, those in thread caches included.
    pub blocks: u64,
    /// Blocks that fit into the slabs in use.
    pub capacity: u64,
}

/// What a forced release asked of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Released {
    /// Other threads that were asked to give back their caches.
    pub threads_asked: usize,
    /// Those that did so before the arenas were purged; a sleeping thread does it when it next allocates.
    pub threads_answered: usize,
}

/// Reads jemalloc's statistics of this process.
#[derive(Debug)]
pub struct JemallocCollector {
    #[cfg(feature = "jemalloc")]
    names: Option<mallctl::Names>,
}

const NOT_JEMALLOC: CollectError = CollectError::NoData("jemalloc does not serve this process");

#[cfg(feature = "jemalloc")]
impl JemallocCollector {
    /// Proves by an allocation that jemalloc serves this process: where it is only linked, its statistics look plausible and mean
    /// nothing.
    pub fn new() -> Self {
        let names = mallctl::serves_this_process()
            .then(mallctl::Names::new)
            .flatten();
        if names.is_some() {
            crate::heap::on_attention(mallctl::flush_own_cache);
        }
        Self { names }
    }

    /// Gives memory back to the kernel: asks every thread to return its cache, returns this thread's, and purges the unused pages
    /// of all arenas. Waits up to `patience` for other threads, so never call it on a thread that must not block.
    ///
    /// # Errors
    /// [`CollectError::NoData`] where jemalloc does not serve the process, else what `mallctl` said.
    pub fn release(patience: std::time::Duration) -> Result<Released, CollectError> {
        const STEP: std::time::Duration = std::time::Duration::from_millis(2);
        if !mallctl::serves_this_process() {
            return Err(NOT_JEMALLOC);
        }
        let attention = crate::heap::ask_for_attention();
        mallctl::flush_own_cache();
        mallctl::purge_all()?;
        let until = std::time::Instant::now() + patience;
        while attention.answered() < attention.asked() && std::time::Instant::now() < until {
            std::thread::sleep(STEP);
        }
        mallctl::purge_all()?;
        Ok(Released {
            threads_asked: attention.asked(),
            threads_answered: attention.answered(),
        })
    }
}

#[cfg(feature = "jemalloc")]
impl Collector for JemallocCollector {
    type Reading = JemallocReading;

    const NAME: &'static str = "jemalloc";

    fn collect(&mut self, reading: &mut JemallocReading) -> Result<(), CollectError> {
        self.names.as_ref().ok_or(NOT_JEMALLOC)?.read(reading)
    }
}

#[cfg(not(feature = "jemalloc"))]
impl JemallocCollector {
    /// Without the feature `jemalloc` there is nothing to read.
    pub fn new() -> Self {
        Self {}
    }

    /// Without the feature `jemalloc` there is nothing to release.
    ///
    /// # Errors
    /// Always [`CollectError::NoData`].
    pub fn release(_patience: std::time::Duration) -> Result<Released, CollectError> {
        Err(NOT_JEMALLOC)
    }
}

#[cfg(not(feature = "jemalloc"))]
impl Collector for JemallocCollector {
    type Reading = JemallocReading;

    const NAME: &'static str = "jemalloc";

    fn collect(&mut self, _reading: &mut JemallocReading) -> Result<(), CollectError> {
        Err(NOT_JEMALLOC)
    }
}

impl Default for JemallocCollector {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "jemalloc")]
mod mallctl {
    use std::ffi::CStr;
    use std::{fmt, io, ptr};

    use tikv_jemalloc_ctl::{epoch, epoch_mib, raw, stats, thread};

    use super::{Bin, CollectError, JemallocReading};

    /// Statistics by resolved name.
    pub(super) struct Names {
        epoch: epoch_mib,
        allocated: stats::allocated_mib,
        active: stats::active_mib,
        resident: stats::resident_mib,
        mapped: stats::mapped_mib,
        retained: stats::retained_mib,
        metadata: stats::metadata_mib,
        bins: Bins,
    }

    /// Per size class: what never changes, and the names of what does.
    struct Bins {
        /// Size of a block, and blocks in a slab.
        classes: Vec<(u64, u64)>,
        blocks: [usize; 6],
        slabs: [usize; 6],
    }

    impl Bins {
        fn new() -> Option<Self> {
            let mut number = [0; 2];
            let mut size = [0; 4];
            let mut in_slab = [0; 4];
            let mut blocks = [0; 6];
            let mut slabs = [0; 6];
            raw::name_to_mib(b"arenas.nbins\0", &mut number).ok()?;
            raw::name_to_mib(b"arenas.bin.0.size\0", &mut size).ok()?;
            raw::name_to_mib(b"arenas.bin.0.nregs\0", &mut in_slab).ok()?;
            // 4096 is MALLCTL_ARENAS_ALL: the sum over all arenas.
            raw::name_to_mib(b"stats.arenas.4096.bins.0.curregs\0", &mut blocks).ok()?;
            raw::name_to_mib(b"stats.arenas.4096.bins.0.curslabs\0", &mut slabs).ok()?;
            // SAFETY: jemalloc's manual gives this type for this name.
            let number: u32 = unsafe { raw::read_mib(&number) }.ok()?;
            let class = |at: u32| {
                (size[2], in_slab[2]) = (at as usize, at as usize);
                // SAFETY: jemalloc's manual gives these types for these names, and there are so many bins.
                let (size, in_slab): (usize, u32) =
                    unsafe { (raw::read_mib(&size).ok()?, raw::read_mib(&in_slab).ok()?) };
                Some((size as u64, u64::from(in_slab)))
            };
            let classes = (0..number).map(class).collect::<Option<_>>()?;
            Some(Self {
                classes,
                blocks,
                slabs,
            })
        }

        fn read(&self, bins: &mut Vec<Bin>) -> Result<(), tikv_jemalloc_ctl::Error> {
            bins.clear();
            let (mut blocks, mut slabs) = (self.blocks, self.slabs);
            for (at, (size, in_slab)) in self.classes.iter().enumerate() {
                (blocks[4], slabs[4]) = (at, at);
                // SAFETY: jemalloc's manual gives this type for both names, and there are so many bins.
                let (blocks, slabs): (usize, usize) =
                    unsafe { (raw::read_mib(&blocks)?, raw::read_mib(&slabs)?) };
                bins.push(Bin {
                    size: *size,
                    blocks: blocks as u64,
                    capacity: in_slab.saturating_mul(slabs as u64),
                });
            }
            Ok(())
        }
    }

    impl fmt::Debug for Names {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Names").finish_non_exhaustive()
        }
    }

    impl Names {
        pub(super) fn new() -> Option<Self> {
            Some(Self {
                epoch: epoch::mib().ok()?,
                allocated: stats::allocated::mib().ok()?,
                active: stats::active::mib().ok()?,
                resident: stats::resident::mib().ok()?,
                mapped: stats::mapped::mib().ok()?,
                retained: stats::retained::mib().ok()?,
                metadata: stats::metadata::mib().ok()?,
                bins: Bins::new()?,
            })
        }

        /// Advances the epoch once, then reads everything.
        pub(super) fn read(&self, reading: &mut JemallocReading) -> Result<(), CollectError> {
            let failed = |what: &'static str| {
                move |cause: tikv_jemalloc_ctl::Error| {
                    CollectError::failed(what, io::Error::other(cause.to_string()))
                }
            };
            self.epoch.advance().map_err(failed("epoch"))?;
            reading.allocated = self.allocated.read().map_err(failed("stats.allocated"))? as u64;
            reading.active = self.active.read().map_err(failed("stats.active"))? as u64;
            reading.resident = self.resident.read().map_err(failed("stats.resident"))? as u64;
            reading.mapped = self.mapped.read().map_err(failed("stats.mapped"))? as u64;
            reading.retained = self.retained.read().map_err(failed("stats.retained"))? as u64;
            reading.metadata = self.metadata.read().map_err(failed("stats.metadata"))? as u64;
            let bins = self.bins.read(&mut reading.bins);
            bins.map_err(failed("stats.arenas.4096.bins"))
        }
    }

    pub(super) fn serves_this_process() -> bool {
        const PROBE: usize = 64 << 10;
        let Ok(allocated) = thread::allocatedp::read() else {
            return false;
        };
        let before = allocated.get();
        drop(std::hint::black_box(vec![1_u8; PROBE]));
        allocated.get().saturating_sub(before) >= PROBE as u64
    }

    /// Runs inside allocator calls: neither allocates nor panics.
    pub(super) fn flush_own_cache() {
        let _ = call(c"thread.tcache.flush");
    }

    pub(super) fn purge_all() -> Result<(), CollectError> {
        // 4096 is MALLCTL_ARENAS_ALL.
        match call(c"arena.4096.purge") {
            0 => Ok(()),
            code => Err(CollectError::failed(
                "arena.4096.purge",
                io::Error::from_raw_os_error(code),
            )),
        }
    }

    fn call(name: &CStr) -> i32 {
        // SAFETY: both names that come here take neither input nor output, which jemalloc's manual wants said by null pointers;
        // `name` ends in a zero byte.
        unsafe {
            tikv_jemalloc_sys::mallctl(
                name.as_ptr(),
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
                0,
            )
        }
    }
}
