//! Few blocks, each planned: where blocks are about as large as the sampling interval, or where one follows from another.

use super::{Source, Tick};
use crate::random::Random;
use crate::samples::{Counted, Sampling, SiteSamples};

/// A planned block. Times are seconds since the process start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// When it is allocated.
    pub(crate) birth: f64,
    /// When it is freed.
    pub(crate) death: f64,
    /// Its size in bytes.
    pub(crate) size: f64,
}

/// Planned blocks of one site.
#[derive(Debug)]
pub(crate) struct Blocks {
    interval: f64,
    /// By birth, the next one last.
    waiting: Vec<Block>,
    live: Vec<Block>,
    /// Bytes of live blocks that are never freed.
    kept: f64,
}

impl Blocks {
    /// These blocks, sampled once per `interval` bytes on average.
    pub(crate) fn new(interval: f64, mut blocks: Vec<Block>) -> Self {
        blocks.sort_by(|a, b| b.birth.total_cmp(&a.birth));
        Self {
            interval,
            waiting: blocks,
            live: Vec::new(),
            kept: 0.0,
        }
    }
}

impl Source for Blocks {
    fn advance(&mut self, tick: Tick, random: &mut Random, samples: &mut SiteSamples) -> f64 {
        self.live.retain(|block| block.death > tick.to);
        while let Some(block) = self.waiting.pop_if(|block| block.birth <= tick.to) {
            let sampling = Sampling::new(block.size, self.interval);
            if random.chance(sampling.probability) {
                samples.add(
                    block.birth,
                    block.death,
                    tick.to,
                    sampling,
                    Counted::BySource,
                );
            }
            if block.death.is_infinite() {
                self.kept += block.size;
            } else if block.death > tick.to {
                self.live.push(block);
            }
        }
        self.kept + self.live.iter().map(|block| block.size).sum::<f64>()
    }
}
