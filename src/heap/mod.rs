//! Floor 1: the instrument. It sits in the path of every allocation, so all of it obeys one law: never allocate, never lock,
//! never panic, never wait, never touch a thread-local that needs initialising. All `unsafe` of the crate but one file is here.
//!
//! | file | holds |
//! |---|---|
//! | `allocator.rs` | [`Allocator`]: the wrapper that a program installs |
//! | `jemalloc.rs` | jemalloc as what is wrapped |
//! | `counters.rs` | what is counted, by one writer without atomic read-modify-write |
//! | `threads.rs` | one block of counters per thread; threads come and go |
//! | `arena.rs` | memory for the blocks, straight from the kernel |
//! | `component.rs` | [`Component`]: whose memory is this? |
//! | `scope.rs` | components around futures |
//! | `layer.rs` | components from `tracing` spans |
//!
//! Sampling (which call site) joins here as one more step of the path through [`Allocator`]: a countdown beside the counters,
//! and a cold path when it runs out.
#![allow(unsafe_code)]

mod allocator;
mod arena;
mod component;
mod counters;
#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(feature = "spans")]
mod layer;
mod scope;
mod threads;

pub use allocator::{Allocator, DefaultInner};
pub use component::{Component, ComponentGuard, OTHER, UNATTRIBUTED, dropped_components};
pub use counters::{BUCKETS, ComponentCounts, Counts, SizeCounts, SizeTotal};
#[cfg(feature = "jemalloc")]
pub use jemalloc::Jemalloc;
#[cfg(feature = "spans")]
pub use layer::ComponentLayer;
pub use scope::{InComponent, Scoped};
pub use threads::{Attention, ask_for_attention, is_installed, on_attention, read, reserved_bytes};
