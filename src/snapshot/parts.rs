//! What a moment leaves in the history beside its levels: small numbers, four bytes each, present or not.

use std::num::NonZeroU32;

use super::{LimitKind, Snapshot};

const KIB: f64 = 1_024.0;
/// Of time spent waiting this much is the unit: 2^32 of them are more than a year without a moment's work.
const TICKS_PER_SECOND: f64 = 100.0;

/// A number below 2^32 - 1 that takes four bytes whether it is there or not. Larger ones are cut off: 4 TiB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Small(NonZeroU32);

/// What resident memory consists of and what was used against the limit, at the last moment of a point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    anon: Option<Small>,
    file: Option<Small>,
    heap: Option<Small>,
    active: Option<Small>,
    resident: Option<Small>,
    limit_used: Option<Small>,
    pressure_some: Option<Small>,
    pressure_full: Option<Small>,
    oom_kills: Option<Small>,
    limit: Option<LimitKind>,
}

impl Small {
    fn of(number: u64) -> Self {
        let number = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
        Self(NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX))
    }

    fn kib(bytes: u64) -> Self {
        Self::of(bytes >> 10)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds since the group was made, never negative; a cast saturates"
    )]
    fn ticks(seconds: f64) -> Self {
        Self::of((seconds * TICKS_PER_SECOND) as u64)
    }

    fn get(self) -> u32 {
        self.0.get() - 1
    }

    fn bytes(self) -> f64 {
        f64::from(self.get()) * KIB
    }

    fn seconds(self) -> f64 {
        f64::from(self.get()) / TICKS_PER_SECOND
    }
}

impl Parts {
    /// What a snapshot says of them.
    pub fn of(snapshot: &Snapshot) -> Self {
        let process = snapshot.process.get();
        let jemalloc = snapshot.jemalloc.get();
        let cgroup = snapshot.cgroup.get();
        let limit = snapshot.limit();
        let file = process.and_then(|process| {
            let shmem = process.rss_shmem.unwrap_or(0);
            Some(process.rss_file?.saturating_add(shmem))
        });
        Self {
            anon: process.and_then(|process| process.rss_anon).map(Small::kib),
            file: file.map(Small::kib),
            heap: snapshot.heap_bytes().map(Small::kib),
            active: jemalloc.map(|jemalloc| Small::kib(jemalloc.active)),
            resident: jemalloc.map(|jemalloc| Small::kib(jemalloc.resident)),
            limit_used: limit.and_then(|limit| limit.used).map(Small::kib),
            pressure_some: cgroup
                .and_then(|cgroup| cgroup.pressure_some)
                .map(Small::ticks),
            pressure_full: cgroup
                .and_then(|cgroup| cgroup.pressure_full)
                .map(Small::ticks),
            oom_kills: cgroup.and_then(|cgroup| cgroup.oom_kills).map(Small::of),
            limit: limit.map(|limit| limit.kind),
        }
    }

    /// These, and where something is missing what stood there before.
    pub fn or(self, before: Self) -> Self {
        let limit = if self.limit_used.is_some() {
            (self.limit, self.limit_used)
        } else {
            (before.limit, before.limit_used)
        };
        Self {
            anon: self.anon.or(before.anon),
            file: self.file.or(before.file),
            heap: self.heap.or(before.heap),
            active: self.active.or(before.active),
            resident: self.resident.or(before.resident),
            limit_used: limit.1,
            pressure_some: self.pressure_some.or(before.pressure_some),
            pressure_full: self.pressure_full.or(before.pressure_full),
            oom_kills: self.oom_kills.or(before.oom_kills),
            limit: limit.0,
        }
    }

    /// What was used against a limit and nothing else, for those who record series by hand.
    #[cfg(test)]
    pub(crate) fn used(kind: LimitKind, bytes: u64) -> Self {
        Self {
            limit: Some(kind),
            limit_used: Some(Small::kib(bytes)),
            ..Self::default()
        }
    }

    /// What resident memory consists of: heap, active, resident (of jemalloc), anonymous and file bytes.
    #[cfg(test)]
    pub(crate) fn resident_memory(bytes: [Option<u64>; 5]) -> Self {
        let [heap, active, resident, anon, file] = bytes.map(|bytes| bytes.map(Small::kib));
        Self {
            heap,
            active,
            resident,
            anon,
            file,
            ..Self::default()
        }
    }

    /// Resident anonymous bytes.
    pub fn anon(&self) -> Option<f64> {
        self.anon.map(Small::bytes)
    }

    /// Resident bytes of files and of shared memory.
    pub fn file(&self) -> Option<f64> {
        self.file.map(Small::bytes)
    }

    /// Bytes that the program holds from its allocator.
    pub fn heap(&self) -> Option<f64> {
        self.heap.map(Small::bytes)
    }

    /// Bytes in jemalloc's pages with live blocks.
    pub fn active(&self) -> Option<f64> {
        self.active.map(Small::bytes)
    }

    /// Bytes that jemalloc keeps in physical memory at most.
    pub fn resident(&self) -> Option<f64> {
        self.resident.map(Small::bytes)
    }

    /// Bytes used against the limit, if that was the limit which held.
    pub fn used_against(&self, kind: LimitKind) -> Option<f64> {
        (self.limit == Some(kind))
            .then_some(self.limit_used)?
            .map(Small::bytes)
    }

    /// Seconds in which some task waited for memory, since the group was made.
    pub fn pressure_some(&self) -> Option<f64> {
        self.pressure_some.map(Small::seconds)
    }

    /// Seconds in which all tasks waited for memory, since the group was made.
    pub fn pressure_full(&self) -> Option<f64> {
        self.pressure_full.map(Small::seconds)
    }

    /// Processes of the group killed for want of memory, since it was made.
    pub fn oom_kills(&self) -> Option<u64> {
        self.oom_kills.map(|kills| u64::from(kills.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_number_comes_back_and_a_large_one_is_cut_off() {
        for number in [0, 1, 41, u64::from(u32::MAX) - 1] {
            assert_eq!(u64::from(Small::of(number).get()), number);
        }
        assert_eq!(Small::of(u64::MAX).get(), u32::MAX - 1);
        assert_eq!(Small::kib(5 << 20).bytes(), 5_242_880.0);
        assert_eq!(Small::ticks(12.34).seconds(), 12.34);
        assert_eq!(Small::ticks(-1.0).seconds(), 0.0);
        assert_eq!(size_of::<Option<Small>>(), 4);
        assert!(size_of::<Parts>() <= 40, "{}", size_of::<Parts>());
    }

    #[test]
    fn what_is_missing_is_taken_from_before() {
        let before = Parts {
            anon: Some(Small::kib(1 << 20)),
            heap: Some(Small::kib(2 << 20)),
            limit_used: Some(Small::kib(3 << 20)),
            limit: Some(LimitKind::Data),
            ..Parts::default()
        };
        let now = Parts {
            anon: Some(Small::kib(4 << 20)),
            limit: Some(LimitKind::Configured),
            ..Parts::default()
        };
        let both = now.or(before);
        assert_eq!(
            (both.anon(), both.heap(), both.file()),
            (Some(4_194_304.0), Some(2_097_152.0), None)
        );
        assert_eq!(both.used_against(LimitKind::Data), Some(3_145_728.0));
        assert_eq!(both.used_against(LimitKind::Configured), None);
    }
}
