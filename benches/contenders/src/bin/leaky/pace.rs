//! How many blocks are due, and how long they live. Nothing here allocates a block: the place of an allocation is the innermost function
//! of the program, and that shall be the one that the label names.

/// Counts out what comes at a rate.
#[derive(Debug)]
pub(crate) struct Pace {
    last: f64,
    owed: f64,
}

impl Pace {
    /// Nothing is due before this time, in seconds since the start.
    pub(crate) fn from(start: f64) -> Self {
        Self {
            last: start,
            owed: 0.0,
        }
    }

    /// How many have become due since it was asked last, at so many a second.
    pub(crate) fn due(&mut self, now: f64, per_second: f64) -> usize {
        self.owed += (now - self.last).max(0.0) * per_second;
        self.last = self.last.max(now);
        let due = self.owed.floor();
        self.owed -= due;
        due as usize
    }
}

/// Blocks that live for a while.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    blocks: Vec<(f64, Vec<u8>)>,
}

impl Lives {
    /// Room for so many, so that the list itself does not grow.
    pub(crate) fn with_room(blocks: usize) -> Self {
        Self {
            blocks: Vec::with_capacity(blocks),
        }
    }

    /// Keeps a block until that time.
    pub(crate) fn keep(&mut self, until: f64, block: Vec<u8>) {
        self.blocks.push((until, block));
    }

    /// Frees what is over.
    pub(crate) fn pass(&mut self, now: f64) {
        self.blocks.retain(|(until, _)| *until > now);
    }

    /// Frees all.
    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }
}

/// An exponential life of this mean.
pub(crate) fn life(mean: f64, random: &mut fastrand::Rng) -> f64 {
    -mean * (1.0 - random.f64()).ln()
}
