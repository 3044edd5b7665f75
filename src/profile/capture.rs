//! What was sampled becomes a profile: of now, or of what has changed since a moment before.

use std::time::SystemTime;

use crate::heap::{self, Amount, CallSite};

use super::levels::{Level, Moment};
use super::{Entry, Profile, Values};

impl Profile {
    /// Every call site that was ever sampled, as it stands now.
    pub fn now() -> Self {
        Self::changed(heap::call_sites(), |site| {
            let totals = site.totals();
            Values::new(totals.allocated, totals.live())
        })
    }

    /// What has changed since a moment: blocks that were allocated since, and how much more (or less) is live.
    pub fn since(moment: &Moment) -> Self {
        let mut profile = Self::changed(heap::call_sites(), |site| {
            let (totals, before) = (site.totals(), moment.level(site.id()));
            let now = Values::new(totals.allocated, totals.live());
            now.minus(before.values())
        });
        profile.duration = profile.time.duration_since(moment.time()).ok();
        profile
    }

    fn changed(sites: impl Iterator<Item = CallSite>, values: impl Fn(CallSite) -> Values) -> Self {
        let entries = sites.map(|site| Entry {
            component: site.component(),
            stack: site.frames().iter().map(|frame| *frame as u64).collect(),
            is_whole: site.is_whole(),
            values: values(site),
        });
        Self {
            time: SystemTime::now(),
            duration: None,
            period: heap::sample_interval(),
            entries: entries.filter(|entry| !entry.values.is_zero()).collect(),
            comments: comments(),
        }
    }

    /// Only what belongs to a component.
    pub fn of_component(mut self, component: &str) -> Self {
        self.entries.retain(|entry| entry.component == component);
        self
    }

    /// Live bytes of all call sites, estimated.
    pub fn live_bytes(&self) -> u64 {
        let live = self.entries.iter().map(|entry| entry.values.inuse_space);
        live.fold(0, i64::saturating_add).max(0).cast_unsigned()
    }

    /// All return addresses, each once or more.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        self.entries
            .iter()
            .flat_map(|entry| entry.stack.iter().copied())
    }
}

impl Values {
    #[allow(clippy::cast_possible_truncation, reason = "`as` saturates")]
    fn new(allocated: Amount, live: Amount) -> Self {
        Self {
            alloc_objects: allocated.objects.round() as i64,
            alloc_space: allocated.bytes.round() as i64,
            inuse_objects: live.objects.round() as i64,
            inuse_space: live.bytes.round() as i64,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            alloc_objects: self.alloc_objects.saturating_sub(other.alloc_objects),
            alloc_space: self.alloc_space.saturating_sub(other.alloc_space),
            inuse_objects: self.inuse_objects.saturating_sub(other.inuse_objects),
            inuse_space: self.inuse_space.saturating_sub(other.inuse_space),
        }
    }

    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl Level {
    fn values(self) -> Values {
        Values::new(self.allocated(), self.live())
    }
}

/// What a reader must know beside the numbers.
fn comments() -> Vec<String> {
    let mut comments = Vec::new();
    match heap::sample_interval() {
        0 => comments.push("sampling is off: nothing new is seen".to_owned()),
        interval => comments.push(format!(
            "estimated from samples, one every {interval} bytes on average"
        )),
    }
    let dropped = heap::dropped_samples();
    if dropped > 0 {
        comments.push(format!(
            "{dropped} samples could not be followed for want of room: live values are too low by what they stood for"
        ));
    }
    let unsampled = heap::unsampled_bytes();
    if (1..u64::MAX).contains(&unsampled) {
        comments.push(format!(
            "up to {unsampled} bytes were allocated before sampling began and are not in this profile"
        ));
    }
    comments
}
