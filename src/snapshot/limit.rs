//! The memory limit that holds, and what is used against it.

use super::Snapshot;

/// A limit, and what counts against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// Bytes that count against it; absent when they cannot be read.
    pub used: Option<u64>,
    /// Who set it.
    pub kind: LimitKind,
}

/// Who set a limit, and with that what counts against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    /// The configuration; resident memory counts.
    Configured,
    /// A control group, so many levels above the one of the process; what is charged to that level and cannot be reclaimed counts.
    ControlGroup {
        /// 0 for the group of the process itself.
        level: u8,
    },
    /// `RLIMIT_AS`; the virtual size counts.
    AddressSpace,
    /// `RLIMIT_DATA`; private writable mappings count.
    Data,
}

impl MemoryLimit {
    /// A limit of which it is not known what is used against it.
    pub fn of(bytes: u64, kind: LimitKind) -> Self {
        Self {
            bytes,
            used: None,
            kind,
        }
    }

    /// Bytes left until it is reached.
    pub fn headroom(&self) -> u64 {
        self.bytes.saturating_sub(self.used.unwrap_or(0))
    }

    /// Used share, 0 to 1 and above; absent where nothing is known of what is used.
    #[allow(clippy::cast_precision_loss, reason = "no process has 2^53 bytes")]
    pub fn used_ratio(&self) -> Option<f64> {
        (self.bytes > 0).then_some(self.used? as f64 / self.bytes as f64)
    }
}

impl LimitKind {
    /// The limit in words, for a sentence on it.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Configured => "the configured memory limit",
            Self::ControlGroup { level: 0 } => "the memory limit of the control group",
            Self::ControlGroup { .. } => "the memory limit of a parent control group",
            Self::AddressSpace => "the limit of the address space (RLIMIT_AS)",
            Self::Data => "the limit of the data segment (RLIMIT_DATA)",
        }
    }

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::ControlGroup { level: 0 } => "control_group",
            Self::ControlGroup { .. } => "parent_control_group",
            Self::AddressSpace => "address_space",
            Self::Data => "data",
        }
    }
}

impl Snapshot {
    /// The limit that holds: the configured one where there is one, else the one with the least room left.
    pub fn limit(&self) -> Option<MemoryLimit> {
        let process = self.process.get();
        if let Some(bytes) = self.configured_limit {
            return Some(MemoryLimit {
                bytes,
                used: process.map(|process| process.rss),
                kind: LimitKind::Configured,
            });
        }
        let group = self.cgroup.get().and_then(|cgroup| cgroup.limit);
        let group = group.map(|limit| MemoryLimit {
            bytes: limit.bytes,
            used: limit.used,
            kind: LimitKind::ControlGroup { level: limit.level },
        });
        let address_space = process.and_then(|process| {
            Some(MemoryLimit {
                bytes: process.virtual_max?,
                used: Some(process.virtual_size),
                kind: LimitKind::AddressSpace,
            })
        });
        let data = process.and_then(|process| {
            Some(MemoryLimit {
                bytes: process.data_max?,
                used: process.data_size,
                kind: LimitKind::Data,
            })
        });
        [group, address_space, data]
            .into_iter()
            .flatten()
            .min_by_key(MemoryLimit::headroom)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::collector::{CgroupReading, ProcessReading};
    use crate::snapshot::Reading;

    use super::*;

    fn snapshot(change: impl FnOnce(&mut ProcessReading)) -> Snapshot {
        let mut process = ProcessReading::default();
        (process.rss, process.virtual_size, process.data_size) = (100, 700, Some(300));
        change(&mut process);
        Snapshot {
            process: Reading::of(process, Duration::ZERO),
            ..Snapshot::default()
        }
    }

    fn found(snapshot: &Snapshot) -> Option<(u64, Option<u64>, LimitKind)> {
        let limit = snapshot.limit();
        limit.map(|limit| (limit.bytes, limit.used, limit.kind))
    }

    #[test]
    fn the_limit_with_the_least_room_holds_not_the_lowest() {
        assert_eq!(found(&snapshot(|_| ())), None);
        let mut limited = snapshot(|process| {
            process.virtual_max = Some(1_000);
            process.data_max = Some(500);
        });
        let data = (500, Some(300), LimitKind::Data);
        assert_eq!(found(&limited), Some(data), "200 left, and 300");
        limited = snapshot(|process| {
            process.virtual_max = Some(800);
            process.data_max = Some(500);
        });
        let address_space = (800, Some(700), LimitKind::AddressSpace);
        assert_eq!(found(&limited), Some(address_space), "100 left, and 200");
        let group = CgroupReading {
            limit: Some(crate::collector::CgroupLimit::of(150, Some(90), 1)),
            ..CgroupReading::default()
        };
        limited.cgroup = Reading::of(group, Duration::ZERO);
        let parent = LimitKind::ControlGroup { level: 1 };
        assert_eq!(found(&limited), Some((150, Some(90), parent)), "60 left");
    }

    #[test]
    fn the_configured_limit_overrides_every_other() {
        let mut limited = snapshot(|process| process.virtual_max = Some(701));
        limited.configured_limit = Some(400);
        let configured = (400, Some(100), LimitKind::Configured);
        assert_eq!(found(&limited), Some(configured));
        assert_eq!(limited.limit().unwrap().used_ratio(), Some(0.25));
        limited.process = Reading::default();
        assert_eq!(found(&limited), Some((400, None, LimitKind::Configured)));
        assert_eq!(limited.limit().unwrap().used_ratio(), None);
    }
}
