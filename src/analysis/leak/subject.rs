//! Who is judged: the call sites of one line of code together, or one of them.

use std::ops::Range;
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

    /// The sites that hold something, the largest holder first.
    pub(super) fn heaviest(&self) -> Vec<u32> {
        const MOST: usize = 16;
        let bytes = |range: &Range<usize>| {
            let cohorts = self.observation.cohorts.get(range.clone());
            let cohorts = cohorts.unwrap_or_default().iter();
            cohorts.map(|cohort| f64::from(cohort.bytes)).sum::<f64>()
        };
        let mut sites: Vec<(f64, u32)> = self
            .sites
            .iter()
            .map(|site| (bytes(&site.cohorts), site.site))
            .filter(|(bytes, _)| *bytes > 0.0)
            .collect();
        sites.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        sites.into_iter().map(|(_, site)| site).take(MOST).collect()
    }
}
