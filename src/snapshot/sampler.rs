//! Runs the collectors, each timed and isolated, and freezes what they read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::collector::{
    CgroupCollector, CollectError, Collector, HeapCollector, JemallocCollector, ProcessCollector,
    Roots, SamplesCollector, Target,
};

use super::{OwnStats, Reading, Snapshot};

/// What a [`Sampler`] looks at.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SamplerOptions {
    /// The process.
    pub target: Target,
    /// Where the kernel's file systems are.
    pub roots: Roots,
    /// Most named components shown.
    pub max_components: usize,
    /// A limit in bytes that overrides the one of the control group.
    pub limit: Option<u64>,
}

/// Takes snapshots.
#[derive(Debug)]
pub struct Sampler {
    heap: Option<HeapCollector>,
    samples: Option<SamplesCollector>,
    jemalloc: Option<JemallocCollector>,
    process: ProcessCollector,
    cgroup: CgroupCollector,
    target: Target,
    limit: Option<u64>,
    own: Arc<OwnStats>,
    buffer: Vec<u8>,
    /// What was logged about each collector last, so that a fault is told once and its end too.
    told: [bool; 5],
}

impl Sampler {
    /// A sampler; what an allocator says is read only where the process is our own.
    pub fn new(options: SamplerOptions, own: Arc<OwnStats>) -> Self {
        let SamplerOptions {
            target,
            roots,
            max_components,
            limit,
        } = options;
        let is_own = target == Target::Own;
        let proc: PathBuf = roots.proc;
        Self {
            heap: is_own.then(|| HeapCollector::new(max_components)),
            samples: is_own.then(|| SamplesCollector::new(max_components)),
            jemalloc: is_own.then(JemallocCollector::new),
            process: ProcessCollector::new(target.clone(), proc.clone()),
            cgroup: CgroupCollector::new(proc, roots.cgroup),
            target,
            limit,
            own,
            buffer: Vec::with_capacity(256),
            told: [false; 5],
        }
    }

    /// From now on this limit in bytes overrides the one of the control group, if there is one.
    pub(super) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit;
    }

    /// Takes a snapshot into `snapshot`, whose memory is used again.
    pub fn sample(&mut self, snapshot: &mut Snapshot, history_bytes: u64) {
        snapshot.time = SystemTime::now();
        snapshot.configured_limit = self.limit;
        let [heap, samples, jemalloc, process, cgroup] = &mut self.told;
        read(self.heap.as_mut(), &mut snapshot.heap, heap);
        read(self.samples.as_mut(), &mut snapshot.samples, samples);
        read(self.jemalloc.as_mut(), &mut snapshot.jemalloc, jemalloc);
        read(Some(&mut self.process), &mut snapshot.process, process);
        match (&self.target, self.process.pid()) {
            (Target::Own, _) => read(Some(&mut self.cgroup), &mut snapshot.cgroup, cgroup),
            (_, Some(pid)) => {
                self.cgroup.follow(pid);
                read(Some(&mut self.cgroup), &mut snapshot.cgroup, cgroup);
            }
            (_, None) => read(None::<&mut CgroupCollector>, &mut snapshot.cgroup, cgroup),
        }
        snapshot.own = self.own.read(history_bytes, &mut self.buffer);
        self.own.read_channels(&mut snapshot.channels);
    }
}

fn read<C: Collector>(
    collector: Option<&mut C>,
    reading: &mut Reading<C::Reading>,
    told: &mut bool,
) {
    let Some(collector) = collector else {
        reading.outcome = Err(CollectError::NoData("cannot be read of another process"));
        return;
    };
    let start = Instant::now();
    let collected = catch_unwind(AssertUnwindSafe(|| collector.collect(&mut reading.value)));
    reading.outcome = collected
        .unwrap_or_else(|_| Err(CollectError::malformed(C::NAME, "the collector panicked")));
    reading.duration = start.elapsed();
    match &reading.outcome {
        Ok(()) if *told => {
            *told = false;
            tracing::info!(collector = C::NAME, "collector works again");
        }
        Err(error @ CollectError::Failed { .. }) if !*told => {
            *told = true;
            tracing::warn!(collector = C::NAME, %error, "collector failed");
        }
        Err(error @ CollectError::NoData(_)) if !*told => {
            *told = true;
            tracing::debug!(collector = C::NAME, %error, "collector has nothing to read");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Flaky {
        fail: bool,
        panic: bool,
    }

    impl Collector for Flaky {
        type Reading = u64;

        const NAME: &'static str = "flaky";

        fn collect(&mut self, reading: &mut u64) -> Result<(), CollectError> {
            *reading = 7;
            assert!(!self.panic, "a bug");
            if self.fail {
                Err(CollectError::malformed("here", "broken"))
            } else {
                Ok(())
            }
        }
    }

    #[test]
    fn a_failing_collector_has_no_reading_and_is_told_once() {
        let mut collector = Flaky {
            fail: true,
            panic: false,
        };
        let (mut reading, mut told) = (Reading::default(), false);
        read(Some(&mut collector), &mut reading, &mut told);
        assert!(
            reading.get().is_none() && told,
            "a failure must leave no value behind"
        );
        assert_eq!(
            reading.error().unwrap().to_string(),
            "cannot read here: broken"
        );
        collector.panic = true;
        read(Some(&mut collector), &mut reading, &mut told);
        assert_eq!(
            reading.error().unwrap().to_string(),
            "cannot read flaky: the collector panicked"
        );
        (collector.fail, collector.panic) = (false, false);
        read(Some(&mut collector), &mut reading, &mut told);
        assert_eq!((reading.get(), told), (Some(&7), false));
    }
}
