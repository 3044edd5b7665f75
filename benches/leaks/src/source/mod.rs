//! Sources: what makes blocks at a call site and ends them.
//!
//! Each source draws the sampled blocks one by one and tells how much all its blocks hold, from one and the same process of births and
//! deaths.
//!
//! | file | holds |
//! |---|---|
//! | `stream.rs` | many blocks of one size: births as a Poisson process, deaths by schedule or by chance |
//! | `blocks.rs` | few blocks that are each planned: buffers, tables, threads |
//! | `cache.rs` | an LRU cache that is filled by the misses on skewed keys |

mod blocks;
mod cache;
mod stream;
#[cfg(test)]
mod tests;

use crate::random::Random;
use crate::samples::SiteSamples;

pub(crate) use blocks::{Block, Blocks};
pub(crate) use cache::Cache;
pub(crate) use stream::{Segment, Stream};

/// The time from one observation to the next, in seconds since the process start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    /// Counted from 0.
    pub(crate) index: usize,
    /// How many the run has.
    pub(crate) of: usize,
    /// Its begin.
    pub(crate) from: f64,
    /// Its end, when the observation is taken.
    pub(crate) to: f64,
}

/// What makes blocks at a site.
pub(crate) trait Source: Send {
    /// Lives through a tick: adds the sampled blocks, and returns the bytes that are live at its end in blocks that the samples do not
    /// count themselves (see `samples::Counted`).
    fn advance(&mut self, tick: Tick, random: &mut Random, samples: &mut SiteSamples) -> f64;
}
