//! The kinds of workload, and which of them leak.

/// What the labelled part of a workload does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Leaks at a constant rate from one site.
    Steady,
    /// Leaks slowly where a gigabyte a minute is allocated and freed.
    UnderChurn,
    /// A map that is only inserted into: keys, values, and a table that doubles.
    UnboundedMap,
    /// A channel that is filled faster than it is drained.
    ChannelBacklog,
    /// Objects that hold each other: two or three sites at the same rate.
    ArcCycle,
    /// Tasks that never end, each with a buffer.
    ForgottenTask,
    /// A vector that grows: one block, reallocated to double its size.
    GrowingVec,
    /// Threads that never end, or whose thread-locals stay.
    ThreadLeak,
    /// A leak at the site that loaded 50 MB at the start.
    BehindPlateau,
    /// A leak whose rate doubles every 20 to 40 minutes.
    Exponential,
    /// A leak in bursts, some minutes apart.
    Bursty,
    /// Two leaks of different components.
    TwoLeaks,
    /// A session store that forgets to free some of its objects.
    PartialLeak,
    /// A leak of blocks of 8 to 16 MiB.
    HugeBlocks,
    /// An LRU cache that is filled for a quarter of an hour or longer.
    CacheFill,
    /// Grows and is freed at once, again and again.
    Sawtooth,
    /// A batch now and then.
    PeriodicBatch,
    /// Sessions that come and go with the time of the day.
    Diurnal,
    /// Grows for some minutes after the start.
    WarmUp,
    /// Something is loaded once, some time, and stays.
    OneOffLoad,
    /// A pool that grows to the greatest concurrent use.
    PoolGrowth,
    /// A buffer that doubles within a minute and stays.
    BufferDoubling,
    /// A ring of buffers that are replaced.
    LogBuffers,
    /// A map of stable size that is rehashed.
    Rehash,
    /// A spike that drains slowly.
    SlowDrain,
    /// A pool of threads that grows to its maximum.
    ThreadPool,
    /// A flat heap under a growing resident set: fragmentation.
    Fragmentation,
    /// A flat heap under a growing resident set: pages of files.
    PageCache,
    /// Sessions whose arrival rate wanders.
    RandomWalk,
    /// A load that switches between two levels.
    TwoLevels,
}

use Kind::{
    ArcCycle, BehindPlateau, BufferDoubling, Bursty, CacheFill, ChannelBacklog, Diurnal,
    Exponential, ForgottenTask, Fragmentation, GrowingVec, HugeBlocks, LogBuffers, OneOffLoad,
    PageCache, PartialLeak, PeriodicBatch, PoolGrowth, RandomWalk, Rehash, Sawtooth, SlowDrain,
    Steady, ThreadLeak, ThreadPool, TwoLeaks, TwoLevels, UnboundedMap, UnderChurn, WarmUp,
};

impl Kind {
    /// All kinds, the leaking ones first.
    pub const ALL: [Self; 30] = [
        Steady,
        UnderChurn,
        UnboundedMap,
        ChannelBacklog,
        ArcCycle,
        ForgottenTask,
        GrowingVec,
        ThreadLeak,
        BehindPlateau,
        Exponential,
        Bursty,
        TwoLeaks,
        PartialLeak,
        HugeBlocks,
        CacheFill,
        Sawtooth,
        PeriodicBatch,
        Diurnal,
        WarmUp,
        OneOffLoad,
        PoolGrowth,
        BufferDoubling,
        LogBuffers,
        Rehash,
        SlowDrain,
        ThreadPool,
        Fragmentation,
        PageCache,
        RandomWalk,
        TwoLevels,
    ];

    /// The name in tables and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Steady => "steady",
            UnderChurn => "under-churn",
            UnboundedMap => "unbounded-map",
            ChannelBacklog => "channel-backlog",
            ArcCycle => "arc-cycle",
            ForgottenTask => "forgotten-task",
            GrowingVec => "growing-vec",
            ThreadLeak => "thread-leak",
            BehindPlateau => "behind-plateau",
            Exponential => "exponential",
            Bursty => "bursty",
            TwoLeaks => "two-leaks",
            PartialLeak => "partial-leak",
            HugeBlocks => "huge-blocks",
            CacheFill => "cache-fill",
            Sawtooth => "sawtooth",
            PeriodicBatch => "periodic-batch",
            Diurnal => "diurnal",
            WarmUp => "warm-up",
            OneOffLoad => "one-off-load",
            PoolGrowth => "pool-growth",
            BufferDoubling => "buffer-doubling",
            LogBuffers => "log-buffers",
            Rehash => "rehash",
            SlowDrain => "slow-drain",
            ThreadPool => "thread-pool",
            Fragmentation => "fragmentation",
            PageCache => "page-cache",
            RandomWalk => "random-walk",
            TwoLevels => "two-levels",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it leaks.
    #[must_use]
    pub fn is_leak(self) -> bool {
        // The leaking kinds come first, in the declaration as in `ALL`.
        self < CacheFill
    }

    /// Whether it leaks small blocks at one rate and frees none of them, so that only chance lies between the onset and the second sample.
    #[must_use]
    pub fn is_even(self) -> bool {
        matches!(
            self,
            Steady | UnboundedMap | ArcCycle | ForgottenTask | BehindPlateau
        )
    }

    /// Whether a leak of so many megabytes per hour can be of this kind. All others can be of any rate.
    #[must_use]
    pub fn is_sensible(self, rate: f64) -> bool {
        match self {
            // A megabyte a minute is what this kind is about.
            UnderChurn => (20.0..=200.0).contains(&rate),
            // At 5 MB/h there is one huge block in two hours, one burst of less than a sample.
            HugeBlocks | Bursty => rate >= 20.0,
            // At 1000 MB/h a thread is left behind each second; and a rate that doubles passes any machine's memory.
            ThreadLeak | Exponential => rate <= 200.0,
            _ => true,
        }
    }
}
