//! The call site to look at first, where people are told that something is wrong.

use serde::{Deserialize, Serialize};

use crate::catalog::Quantity;

/// A call site, and what it has to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Culprit {
    /// Whose memory it is.
    pub(crate) component: String,
    /// The function, and file and line where they are known.
    pub(crate) call_site: String,
    /// Live bytes that it holds.
    pub(crate) bytes: f64,
    /// How much that grows in MB of 1,048,576 bytes per hour, where that is known.
    pub(crate) growth_mb_per_hour: Option<f64>,
    /// Whether it is suspected of a leak.
    pub(crate) is_suspect: bool,
    /// What to do about it; empty where nothing is known but that it holds or grows most.
    pub(crate) advice: String,
}

impl Culprit {
    /// How much it grows, as people read it.
    pub(crate) fn growth(&self) -> Option<String> {
        let growth = self.growth_mb_per_hour?;
        Some(Quantity::MbPerHour.written(growth))
    }

    /// How much it holds, as people read it.
    pub(crate) fn holds(&self) -> String {
        Quantity::Bytes.written(self.bytes)
    }
}
