//! Floor 1: the instrument. It sits in the path of every allocation, so all of it obeys one law: never allocate, never lock,
//! never panic, never wait, never touch a thread-local that needs initialising. All `unsafe` of the crate but one file is here.
//!
//! | file | holds |
//! |---|---|
//! | `allocator.rs` | [`Allocator`]: the wrapper that a program installs |
//! | `jemalloc.rs` | jemalloc as what is wrapped |
//! | `apart.rs` | memory for a short time, given back at its end |
//! | `counters.rs` | what is counted, by one writer without atomic read-modify-write |
//! | `threads.rs` | one block of counters per thread; threads come and go |
//! | `arena.rs` | memory for the blocks, straight from the kernel |
//! | `component.rs` | [`Component`]: whose memory is this? |
//! | `scope.rs` | components around futures |
//! | `layer.rs` | components from `tracing` spans |
//! | `sampling.rs` | which allocations are sampled, and what becomes of the samples |
//! | `clock.rs` | the clock that ages are told by |
//! | `filter.rs` | what a free of a block that is not sampled pays |
//! | `live.rs` | the sampled blocks that are live |
//! | `site.rs`, `sites.rs` | call sites, and how they are found |
//! | `amount.rs` | a number of objects and their bytes |
//! | `unwind/` | the stack of the calling thread |
//!
//! The quick path of an allocation adds its bytes to a counter and compares the sum with where the next sample is due; only
//! what reaches that takes the cold path.
#![allow(unsafe_code)]

mod allocator;
mod amount;
#[cfg(feature = "jemalloc")]
mod apart;
mod arena;
mod clock;
mod component;
mod counters;
mod filter;
#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(feature = "spans")]
mod layer;
mod live;
mod sampling;
mod scope;
mod site;
mod sites;
mod threads;
mod unwind;

pub use allocator::{Allocator, DefaultInner};
pub use amount::Amount;
#[cfg(feature = "jemalloc")]
pub use apart::apart;
pub use clock::now as monotonic;
pub use component::{
    Component, ComponentGuard, OTHER, OWN_COMPONENT, UNATTRIBUTED, component_names,
    dropped_components, is_derived,
};
pub use counters::{ComponentCounts, Counts, SizeCounts, SizeTotal};
#[cfg(feature = "jemalloc")]
pub use jemalloc::Jemalloc;
#[cfg(feature = "spans")]
pub use layer::ComponentLayer;
pub use live::{LiveSample, MOST_LIVE_SAMPLES, each_live_sample};
pub use sampling::{
    SamplingOptions, call_sites, dropped_samples, live_samples, refresh_modules, sample,
    sample_interval, unsampled, unsampled_bytes,
};
pub use scope::{InComponent, Scoped};
pub use site::{AGES, CallSite, SiteTotals};
pub use sites::MOST_SITES;
pub use threads::{Attention, ask_for_attention, is_installed, on_attention, read, reserved_bytes};
pub use unwind::MAX_DEPTH;
#[doc(hidden)]
pub use unwind::{own_stack_end, stack_here};

/// Runs `work`. With the feature `jemalloc` its memory comes from an arena apart, which is given back to the kernel at the end.
#[cfg(not(feature = "jemalloc"))]
pub fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}
