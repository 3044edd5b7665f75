//! Which dashboards there are, and which one an alert leads to.

use serde::{Serialize, Serializer};

use super::{AlertDef, Condition, Group, Over};

/// A dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Board {
    Overview,
    Leaks,
    Allocator,
}

impl Board {
    /// What its file is called and its address ends in.
    pub(crate) fn uid(self) -> &'static str {
        match self {
            Self::Overview => "memory-overview",
            Self::Leaks => "memory-leaks",
            Self::Allocator => "memory-allocator",
        }
    }

    /// What stands above it.
    #[cfg(feature = "cli")]
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Overview => "Memory / Overview",
            Self::Leaks => "Memory / Leak investigation",
            Self::Allocator => "Memory / Allocator internals",
        }
    }

    /// The one that shows what `alert` is about.
    pub(crate) fn of_alert(alert: &AlertDef) -> Self {
        match alert.condition {
            Condition::Silent { .. } => Self::Overview,
            Condition::Level { metric, .. } if metric.def().group == Group::Allocations => {
                Self::Allocator
            }
            Condition::Level {
                over: Over::Now, ..
            } => Self::Overview,
            Condition::Level { .. } | Condition::Risen { .. } | Condition::Reached { .. } => {
                Self::Leaks
            }
        }
    }
}

/// By its uid.
impl Serialize for Board {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.uid())
    }
}
