//! What the manager knows at a moment.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use crate::catalog::{AlertDef, AlertSeverity};

use super::Progress;
use super::group::Told;
use super::kept::Kept;
use super::silence::Silence;
use super::state::{Alert, Identity};

#[derive(Debug, Default)]
pub(super) struct Managed {
    pub(super) kept: Kept,
    /// The time of the last snapshot, and how many seconds after the first it was.
    pub(super) clock: Option<(SystemTime, f64)>,
    pub(super) tracked: Vec<Tracked>,
    pub(super) told: Vec<Told>,
    pub(super) past: VecDeque<Alert>,
    pub(super) silences: Vec<Silence>,
    pub(super) last_id: u64,
    /// Whether all have been ended for good.
    pub(super) is_finished: bool,
    /// Whether another manager goes on with it.
    pub(super) is_handed_over: bool,
    /// Whether what is kept on disk is not what is known.
    pub(super) is_changed: bool,
}

/// An alert as it may be at any time, of one component where it has them.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) def: &'static AlertDef,
    pub(super) component: Option<Arc<str>>,
    pub(super) progress: Progress,
    pub(super) alert: Option<Alert>,
    /// Until then it goes on as the process before this one left it.
    pub(super) held_until: Option<f64>,
}

impl Managed {
    pub(super) fn active(&mut self) -> impl Iterator<Item = &mut Alert> {
        self.tracked.iter_mut().filter_map(|one| one.alert.as_mut())
    }

    /// Says of each alert whether it is quiet: a warning while what is critical under its name fires, and whatever a silence covers.
    pub(super) fn hush(&mut self, identity: &Identity, now: SystemTime) {
        let before = self.silences.len();
        self.silences.retain(|silence| silence.ends_at > now);
        self.is_changed |= self.silences.len() != before;
        let Self {
            tracked, silences, ..
        } = self;
        let loud = tracked.iter().filter_map(|one| one.alert.as_ref());
        let loud =
            loud.filter(|alert| alert.def.severity == AlertSeverity::Critical && alert.is_firing());
        let critical: Vec<_> = loud
            .map(|alert| (alert.def.name, alert.component.clone()))
            .collect();
        for alert in tracked.iter_mut().filter_map(|one| one.alert.as_mut()) {
            let is_warning = alert.def.severity == AlertSeverity::Warning;
            let name = (alert.def.name, alert.component.clone());
            alert.is_muted = is_warning && critical.contains(&name);
            let labels = identity.labels_of(alert.def, alert.component.as_deref());
            let silenced_by = silences.iter().filter(|silence| silence.covers(&labels));
            alert.silenced_by = silenced_by.map(|silence| silence.id).collect();
        }
    }
}

/// Takes an alert that has ended; gives it back if it ever fired.
pub(super) fn end(one: &mut Tracked, now: SystemTime) -> Option<Alert> {
    let mut ended = one.alert.take()?;
    ended.resolved_at = Some(now);
    ended.fired_at.is_some().then_some(ended)
}
