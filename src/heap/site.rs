//! One call site, what was sampled there, and what of it is shown.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::catalog::BUCKETS;

use super::amount::Amount;
use super::component::{self, ComponentId, UNATTRIBUTED_ID};
use super::counters::bucket;

/// Not known yet whose a site is.
const UNRESOLVED: ComponentId = ComponentId::MAX;

/// Classes of ages at which sampled blocks are freed. Class 0 is below a second, class `k` from `2^(k-1)` seconds to below `2^k`; the
/// last is open.
pub const AGES: usize = 16;

/// A number of objects and their bytes, both estimated, in fixed point so that they can be added to without a lock.
#[derive(Debug)]
struct Total {
    /// In 65,536ths.
    objects: AtomicU64,
    bytes: AtomicU64,
}

const ONE: f64 = 65_536.0;

/// A call site, and what was sampled there.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Site {
    /// The site that was made before; written before this one is published, never after.
    pub(super) next: AtomicPtr<Site>,
    pub(super) hash: u64,
    id: u32,
    pub(super) scope: ComponentId,
    pub(super) operation: u8,
    depth: u8,
    is_whole: bool,
    /// The component that the rules give a site without a scope.
    attribution: AtomicU8,
    /// Samples taken, let go, and not followed.
    samples: AtomicU64,
    freed_samples: AtomicU64,
    lost_samples: AtomicU64,
    /// Bytes allocated; the objects are the sum of `sizes`.
    allocated: AtomicU64,
    /// What was freed, by age: within a second, within a minute, later.
    freed: [Total; 3],
    /// Samples freed, by class of age.
    freed_ages: [AtomicU32; AGES],
    lost: Total,
    peak: AtomicU64,
    /// Objects allocated by size bucket, in 65,536ths.
    sizes: [AtomicU64; BUCKETS],
}

/// The stack of a site follows it in memory.
pub(super) const FRAMES_AT: usize = size_of::<Site>();

impl Total {
    const fn new() -> Self {
        Self {
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    fn add(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn read(&self) -> Amount {
        Amount {
            objects: self.objects.load(Ordering::Relaxed) as f64 / ONE,
            bytes: self.bytes.load(Ordering::Relaxed) as f64,
        }
    }
}

impl Site {
    pub(super) const fn new(
        hash: u64,
        id: u32,
        scope: ComponentId,
        operation: u8,
        depth: u8,
        is_whole: bool,
    ) -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            hash,
            id,
            scope,
            operation,
            depth,
            is_whole,
            attribution: AtomicU8::new(UNRESOLVED),
            samples: AtomicU64::new(0),
            freed_samples: AtomicU64::new(0),
            lost_samples: AtomicU64::new(0),
            allocated: AtomicU64::new(0),
            freed: [const { Total::new() }; 3],
            freed_ages: [const { AtomicU32::new(0) }; AGES],
            lost: Total::new(),
            peak: AtomicU64::new(0),
            sizes: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    pub(super) fn frames(&'static self) -> &'static [usize] {
        if self.depth == 0 {
            return &[];
        }
        // SAFETY: a site with frames was made by `Key::make`, which wrote this many behind it; they are never written again.
        unsafe {
            let frames = ptr::from_ref(self)
                .cast::<u8>()
                .add(FRAMES_AT)
                .cast::<usize>();
            std::slice::from_raw_parts(frames, self.depth.into())
        }
    }

    /// Notes that a block was allocated; `is_followed` says whether its free will be noticed.
    pub(super) fn allocated(&self, size: usize, weight: f32, is_followed: bool) {
        let (objects, bytes) = estimate(size, weight);
        self.samples.fetch_add(1, Ordering::Relaxed);
        self.sizes[bucket(size)].fetch_add(objects, Ordering::Relaxed);
        self.allocated.fetch_add(bytes, Ordering::Relaxed);
        if !is_followed {
            self.lost_samples.fetch_add(1, Ordering::Relaxed);
            self.lost.add(objects, bytes);
        }
        let live = self.live_bytes();
        if live > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(live, Ordering::Relaxed);
        }
    }

    /// Notes that a block which was followed was freed, this many nanoseconds after its birth.
    pub(super) fn freed(&self, size: usize, weight: f32, age: u64) {
        const SECOND: u64 = 1_000_000_000;
        const MINUTE: u64 = 60 * SECOND;
        let (objects, bytes) = estimate(size, weight);
        let class = match age {
            0..SECOND => 0,
            SECOND..MINUTE => 1,
            _ => 2,
        };
        self.freed_samples.fetch_add(1, Ordering::Relaxed);
        self.freed_ages[age_class(age / SECOND)].fetch_add(1, Ordering::Relaxed);
        self.freed[class].add(objects, bytes);
    }

    pub(super) fn live_bytes(&self) -> u64 {
        // What was freed is read first: a block counts as live too long rather than twice as freed.
        let gone = self.freed.iter().chain([&self.lost]);
        let gone = gone.fold(0, |sum: u64, total| {
            sum.saturating_add(total.bytes.load(Ordering::Relaxed))
        });
        self.allocated.load(Ordering::Relaxed).saturating_sub(gone)
    }

    /// Whether anything was ever counted here.
    pub(super) fn is_used(&self) -> bool {
        self.samples.load(Ordering::Relaxed) > 0
    }

    pub(super) fn component(&self) -> ComponentId {
        match (self.scope, self.attribution.load(Ordering::Relaxed)) {
            (UNATTRIBUTED_ID, UNRESOLVED) => UNATTRIBUTED_ID,
            (UNATTRIBUTED_ID, attribution) => attribution,
            (scope, _) => scope,
        }
    }
}

/// The class of an age in seconds.
fn age_class(seconds: u64) -> usize {
    let bits = u64::BITS - seconds.leading_zeros();
    (bits as usize).min(AGES - 1)
}

/// Objects in 65,536ths and bytes that a sample stands for.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "positive, and `as` saturates"
)]
fn estimate(size: usize, weight: f32) -> (u64, u64) {
    let weight = f64::from(weight);
    (
        (weight * ONE).round() as u64,
        (weight * size as f64).round() as u64,
    )
}

/// What was sampled at one call site.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SiteTotals {
    /// Samples taken since sampling began: a plain count, which says how far the estimates below can be trusted.
    pub samples: u64,
    /// Those whose blocks are live.
    pub live_samples: u64,
    /// Allocated since sampling began: an unbiased estimate, as every [`Amount`] here.
    pub allocated: Amount,
    /// Of it freed.
    pub freed: Amount,
    /// Of it not followed, because there was no room: freed or live, nobody knows.
    pub lost: Amount,
    /// Freed within a second of their birth.
    pub freed_within_second: Amount,
    /// Freed within a minute of their birth.
    pub freed_within_minute: Amount,
    /// Samples freed, by [class of age](AGES): plain counts.
    pub freed_samples: [u32; AGES],
    /// Highest number of live bytes so far: an estimate.
    pub peak_bytes: f64,
    /// Objects allocated by size; the bounds are [`SIZE_BOUNDS`](crate::catalog::SIZE_BOUNDS), the last bucket lies above them.
    pub sizes: [f64; BUCKETS],
}

impl SiteTotals {
    /// What is live: allocated, not freed, and followed.
    pub fn live(&self) -> Amount {
        self.allocated.minus(self.freed.plus(self.lost))
    }
}

/// A place in the program that allocates: a component, an operation and a stack.
#[derive(Clone, Copy)]
pub struct CallSite(pub(super) &'static Site);

impl CallSite {
    /// A number that no other call site of this process has; 0 stands for all those that found no room.
    pub fn id(self) -> u32 {
        self.0.id
    }

    /// The operation: an index into [`OPERATIONS`](crate::catalog::OPERATIONS).
    pub fn operation(self) -> usize {
        self.0.operation.into()
    }

    /// Return addresses, innermost first; at most [`MAX_DEPTH`](super::MAX_DEPTH), none for what found no room.
    pub fn frames(self) -> &'static [usize] {
        self.0.frames()
    }

    /// Whether the stack reaches to the start of its thread.
    pub fn is_whole(self) -> bool {
        self.0.is_whole
    }

    /// Whose it is: the scope that was entered, else what [`attribute`](Self::attribute) said, else
    /// [`UNATTRIBUTED`](super::UNATTRIBUTED).
    pub fn component(self) -> &'static str {
        component::name_of(self.0.component())
    }

    /// The place of [`component`](Self::component) among [`component_names`](super::component_names).
    pub fn component_index(self) -> usize {
        self.0.component().into()
    }

    /// Whether nobody has said yet whose it is.
    pub fn is_unresolved(self) -> bool {
        self.0.scope == UNATTRIBUTED_ID && self.0.attribution.load(Ordering::Relaxed) == UNRESOLVED
    }

    /// Whether it was sampled inside a scope, whose component it then belongs to.
    pub fn is_scoped(self) -> bool {
        self.0.scope != UNATTRIBUTED_ID
    }

    /// Says whose a site without a scope is. The name is registered if there is room, else it is [`OTHER`](super::OTHER).
    pub fn attribute(self, component: &str) {
        self.0
            .attribution
            .store(component::id_of(component), Ordering::Relaxed);
    }

    /// As [`attribute`](Self::attribute), with a name that stands back behind those of scopes and rules where not all can be shown.
    pub fn attribute_derived(self, component: &str) {
        let id = component::id_of_derived(component);
        self.0.attribution.store(id, Ordering::Relaxed);
    }

    /// What was sampled here. Numbers move on while they are read.
    pub fn totals(self) -> SiteTotals {
        let site = self.0;
        // Freed before allocated, so that the difference is not negative.
        let [second, minute, later] = std::array::from_fn(|class| site.freed[class].read());
        let lost = site.lost.read();
        let gone_samples =
            site.freed_samples.load(Ordering::Relaxed) + site.lost_samples.load(Ordering::Relaxed);
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed) as f64;
        let sizes = std::array::from_fn(|at| read(&site.sizes[at]) / ONE);
        let samples = site.samples.load(Ordering::Relaxed);
        SiteTotals {
            samples,
            live_samples: samples.saturating_sub(gone_samples),
            allocated: Amount {
                objects: sizes.iter().sum(),
                bytes: read(&site.allocated),
            },
            freed: second.plus(minute).plus(later),
            lost,
            freed_within_second: second,
            freed_within_minute: second.plus(minute),
            freed_samples: std::array::from_fn(|at| site.freed_ages[at].load(Ordering::Relaxed)),
            peak_bytes: read(&site.peak),
            sizes,
        }
    }
}

impl std::fmt::Debug for CallSite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallSite")
            .field("id", &self.id())
            .field("component", &self.component())
            .field("frames", &self.frames().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_age_double() {
        let classes = [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 2),
            (4, 3),
            (7, 3),
            (8, 4),
            (16_383, 14),
            (16_384, 15),
            (u64::MAX, 15),
        ];
        for (seconds, class) in classes {
            assert_eq!(age_class(seconds), class, "{seconds} s");
        }
    }
}
