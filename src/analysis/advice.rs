//! What to do about memory that grows, by the part that does.

use crate::catalog::Verdict;
use crate::snapshot::Growth;

/// What to do when resident memory is too large, or grows like this.
pub(crate) fn advice(growth: Option<&Growth>) -> &'static str {
    let Some(growth) = growth else {
        return "compare memory_heap_bytes with memory_rss_bytes: if the heap is as large, look for the holder in \
                GET /metrics/memory/allocations; if it is much smaller, POST /metrics/memory/gc gives unused pages back; \
                GET /metrics/memory/trend says whether it grows, as soon as there is history";
    };
    match growth.verdict {
        Some(Verdict::Stable) => {
            "it does not grow: this is what the process needs under this load; GET /metrics/memory/allocations says who holds \
             it, and if that is as it should be, raise the threshold or the limit"
        }
        Some(Verdict::Leak) => {
            "GET /debug/flamegraph?since=10m shows the lines of code that hold more than before, GET /metrics/memory/leaks \
             those that are suspected: bound the cache or queue that grows, or find who forgets to release; until then restart the process \
             before the limit does it"
        }
        Some(Verdict::Fragmentation) => {
            "a few live blocks keep whole pages in memory: GET /metrics/memory/allocations names who holds blocks for long; keep \
             long-lived blocks apart from short-lived ones of the same size, or set fewer arenas (narenas:2 in _RJEM_MALLOC_CONF)"
        }
        Some(Verdict::Retention) => {
            "POST /metrics/memory/gc gives the unused pages back now; for good, set dirty_decay_ms and muzzy_decay_ms lower and \
             background_thread:true in _RJEM_MALLOC_CONF, and shave the peaks that need so much at once"
        }
        Some(Verdict::PageCache) => {
            "pages of files go when the kernel needs them and are no danger; shared memory does not: if memory_rss_shmem_bytes \
             grows, find the tmpfs file or shared mapping; unmap files that are no longer read"
        }
        Some(Verdict::NonHeap) => {
            "it is neither the allocator's nor a file's: count the threads (process_threads, each has a stack), look for anonymous \
             mappings of the program or of a C library with an allocator of its own; /proc/PID/smaps shows which mapping grows"
        }
        None => {
            "anonymous memory of which only the process itself can say whether it is heap: put the exporter into it as a library, \
             with memory_exporter::Allocator as its global allocator; /proc/PID/smaps shows which mapping grows"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_verdict_has_advice_of_its_own() {
        let verdicts = Verdict::ALL.map(Some).into_iter().chain([None]);
        let mut texts: BTreeSet<_> = verdicts
            .map(|verdict| {
                let mut growth = Growth::new(Duration::ZERO, 0.0, 0.0, 0.0);
                growth.verdict = verdict;
                advice(Some(&growth))
            })
            .collect();
        texts.insert(advice(None));
        assert_eq!(texts.len(), Verdict::ALL.len() + 2);
    }
}
