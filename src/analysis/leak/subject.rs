//! Who is judged: the call sites of one line of code together, or one of them.

use std::sync::Arc;

use crate::heap::AGES;

use super::curve::Curve;
use super::observation::{Cohort, Observation, SiteObservation};

/// Who is judged: a line of code, or one call site of it where the line as a whole does not leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Subject {
    Place(u64, usize),
    Site(u32),
}

/// The sites of one subject, and their numbers together.
pub(super) struct View<'a> {
    pub(super) observation: &'a Observation,
    pub(super) sites: &'a [&'a SiteObservation],
    pub(super) component: Arc<str>,
    pub(super) place: u64,
    pub(super) freed: [u32; AGES],
    pub(super) taken: f64,
}

impl<'a> View<'a> {
    /// `sites` are those of one subject, at least one.
    pub(super) fn new(observation: &'a Observation, sites: &'a [&'a SiteObservation]) -> Self {
        let mut view = Self {
            observation,
            sites,
            component: Arc::clone(&sites[0].component),
            place: sites[0].place,
            freed: [0; AGES],
            taken: 0.0,
        };
        for site in sites {
            #[allow(clippy::cast_precision_loss, reason = "a number of samples")]
            let taken = site.samples as f64;
            view.taken += taken;
            for (sum, freed) in view.freed.iter_mut().zip(&site.freed) {
                *sum = sum.saturating_add(*freed);
            }
        }
        view
    }

    /// Adds the live samples of all sites up; `merged` is memory to work in.
    pub(super) fn fill(&self, curve: &mut Curve, merged: &mut Vec<Cohort>) {
        if let [site] = self.sites {
            curve.fill(self.observation.live(site));
            return;
        }
        merged.clear();
        for site in self.sites {
            merged.extend_from_slice(self.observation.live(site));
        }
        merged.sort_unstable_by_key(|cohort| cohort.birth);
        curve.fill(&*merged);
    }

    /// The sites that take part in a growth since then, the one with most old bytes first: what is young may be gone soon, and says
    /// little of who holds.
    pub(super) fn growing(&self, since: u64) -> Vec<u32> {
        const MOST: usize = 16;
        let middle = since + self.observation.time.saturating_sub(since) / 2;
        let mut sites: Vec<(f64, f64, u32)> = self
            .sites
            .iter()
            .map(|site| {
                let live = self.observation.live(site).iter();
                let (mut old, mut all) = (0.0, 0.0);
                for cohort in live.filter(|cohort| cohort.birth >= since) {
                    let bytes = f64::from(cohort.bytes);
                    all += bytes;
                    old += if cohort.birth < middle { bytes } else { 0.0 };
                }
                (old, all, site.site)
            })
            .filter(|(_, all, _)| *all > 0.0)
            .collect();
        sites.sort_unstable_by(|a, b| {
            let order = b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1));
            order.then(a.2.cmp(&b.2))
        });
        let has_old = sites.first().is_some_and(|(old, ..)| *old > 0.0);
        let takes_part = |(old, _, site): (f64, f64, u32)| (old > 0.0 || !has_old).then_some(site);
        sites
            .into_iter()
            .filter_map(takes_part)
            .take(MOST)
            .collect()
    }
}
