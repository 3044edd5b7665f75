//! One call site, what was sampled there, and what of it is shown.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

use super::component::{self, ComponentId, UNATTRIBUTED_ID};
use super::counters::{BUCKETS, bucket};

/// Not known yet whose a site is.
const UNRESOLVED: ComponentId = ComponentId::MAX;

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
    samples: AtomicU64,
    live_samples: AtomicU64,
    allocated: Total,
    freed: Total,
    lost: Total,
    freed_within_second: Total,
    freed_within_minute: Total,
    peak: AtomicU64,
    /// Objects by size bucket, in 65,536ths.
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
            live_samples: AtomicU64::new(0),
            allocated: Total::new(),
            freed: Total::new(),
            lost: Total::new(),
            freed_within_second: Total::new(),
            freed_within_minute: Total::new(),
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
        self.allocated.add(objects, bytes);
        if is_followed {
            self.live_samples.fetch_add(1, Ordering::Relaxed);
            self.peak.fetch_max(self.live_bytes(), Ordering::Relaxed);
        } else {
            self.lost.add(objects, bytes);
        }
    }

    /// Notes that a block which was followed was freed, this many nanoseconds after its birth.
    pub(super) fn freed(&self, size: usize, weight: f32, age: u64) {
        const SECOND: u64 = 1_000_000_000;
        let (objects, bytes) = estimate(size, weight);
        self.live_samples.fetch_sub(1, Ordering::Relaxed);
        self.freed.add(objects, bytes);
        if age < SECOND {
            self.freed_within_second.add(objects, bytes);
        }
        if age < 60 * SECOND {
            self.freed_within_minute.add(objects, bytes);
        }
    }

    fn live_bytes(&self) -> u64 {
        // What was freed is read first: a block counts as live too long rather than twice as freed.
        let gone = self.freed.bytes.load(Ordering::Relaxed);
        let gone = gone.saturating_add(self.lost.bytes.load(Ordering::Relaxed));
        let allocated = self.allocated.bytes.load(Ordering::Relaxed);
        allocated.saturating_sub(gone)
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

/// A number of objects and their bytes, estimated from samples without bias.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amount {
    /// How many.
    pub objects: f64,
    /// How many bytes.
    pub bytes: f64,
}

/// What was sampled at one call site.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SiteTotals {
    /// Samples taken.
    pub samples: u64,
    /// Those whose blocks are live.
    pub live_samples: u64,
    /// Allocated since sampling began.
    pub allocated: Amount,
    /// Of it freed.
    pub freed: Amount,
    /// Of it not followed, because there was no room: freed or live, nobody knows.
    pub lost: Amount,
    /// Freed within a second of their birth.
    pub freed_within_second: Amount,
    /// Freed within a minute of their birth.
    pub freed_within_minute: Amount,
    /// Highest number of live bytes.
    pub peak_bytes: f64,
    /// Objects allocated by size; the bounds are [`SIZE_BOUNDS`](crate::catalog::SIZE_BOUNDS), the last bucket lies above them.
    pub sizes: [f64; BUCKETS],
}

impl SiteTotals {
    /// What is live: allocated, not freed, and followed.
    pub fn live(&self) -> Amount {
        let rest = |allocated: f64, freed: f64, lost: f64| (allocated - freed - lost).max(0.0);
        Amount {
            objects: rest(
                self.allocated.objects,
                self.freed.objects,
                self.lost.objects,
            ),
            bytes: rest(self.allocated.bytes, self.freed.bytes, self.lost.bytes),
        }
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

    /// What was sampled here. Numbers move on while they are read.
    pub fn totals(self) -> SiteTotals {
        let site = self.0;
        // Freed before allocated, so that the difference is not negative.
        let (freed, lost) = (site.freed.read(), site.lost.read());
        let (second, minute) = (
            site.freed_within_second.read(),
            site.freed_within_minute.read(),
        );
        #[allow(clippy::cast_precision_loss, reason = "estimates")]
        SiteTotals {
            samples: site.samples.load(Ordering::Relaxed),
            live_samples: site.live_samples.load(Ordering::Relaxed),
            allocated: site.allocated.read(),
            freed,
            lost,
            freed_within_second: second,
            freed_within_minute: minute,
            peak_bytes: site.peak.load(Ordering::Relaxed) as f64,
            sizes: std::array::from_fn(|at| site.sizes[at].load(Ordering::Relaxed) as f64 / ONE),
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
