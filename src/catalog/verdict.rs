//! What can be said of the growth of resident memory: the states of `memory.growth_verdict`.

/// Which part of resident memory grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// None: what is resident does not grow.
    Stable,
    /// What the program holds from its allocator.
    Leak,
    /// Room beside live blocks, in pages that cannot be given back because of them.
    Fragmentation,
    /// Pages without a live block that the allocator keeps.
    Retention,
    /// Pages of mapped files, and shared memory.
    PageCache,
    /// Anonymous memory that is not the allocator's: mappings of the program's own, stacks.
    NonHeap,
}

/// The values of the label `verdict`, in the order of [`Verdict::ALL`].
pub const VERDICTS: [&str; Verdict::ALL.len()] = {
    let mut names = [""; Verdict::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Verdict::ALL[at].as_str();
        at += 1;
    }
    names
};

impl Verdict {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Stable,
        Self::Leak,
        Self::Fragmentation,
        Self::Retention,
        Self::PageCache,
        Self::NonHeap,
    ];

    /// Its name in labels and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Leak => "leak",
            Self::Fragmentation => "fragmentation",
            Self::Retention => "retention",
            Self::PageCache => "page_cache",
            Self::NonHeap => "non_heap",
        }
    }
}
