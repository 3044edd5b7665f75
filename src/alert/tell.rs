//! The manager tells people: what is due becomes messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::AlertManager;
use super::group::{Due, Told};
use super::managed::{Managed, end};
use super::message::{Event, Group, Message};
use super::state::Alert;

/// How long those who are told of the state of all alerts are told of one that has ended, as by Prometheus.
const RESOLVED_FOR: Duration = Duration::from_secs(15 * 60);

impl AlertManager {
    /// Ends all alerts, because the process does, and tells people.
    pub(crate) fn finish(&self) {
        let now = SystemTime::now();
        let state = &mut *self.state();
        if state.is_handed_over {
            return;
        }
        state.is_finished = true;
        let tracked = std::mem::take(&mut state.tracked);
        for mut one in tracked {
            if let Some(alert) = end(&mut one, now) {
                self.ended(state, alert);
            }
        }
        self.tell(state, now);
    }

    /// What people know of the group of an alert.
    pub(super) fn told<'s>(&self, state: &'s mut Managed, alert: &Alert) -> &'s mut Told {
        let group = self.manners.group(&self.identity, alert);
        let known = state.told.iter().position(|told| *told.group == group);
        let at = known.unwrap_or_else(|| {
            state.told.push(Told {
                group: Arc::new(group),
                fired: None,
                ended: Vec::new(),
                is_acknowledged: false,
            });
            state.told.len() - 1
        });
        &mut state.told[at]
    }

    /// Tells people what is due.
    pub(super) fn tell(&self, state: &mut Managed, time: SystemTime) {
        let now = state.clock.map_or(0.0, |(_, seconds)| seconds);
        let firing: Vec<Alert> = state.active().map(|alert| alert.clone()).collect();
        for alert in firing.iter().filter(|alert| alert.is_firing()) {
            self.told(state, alert);
        }
        let Managed { told, tracked, .. } = &mut *state;
        let mut messages = Vec::new();
        for told in told {
            let active = tracked.iter_mut().filter_map(|one| one.alert.as_mut());
            let is_member =
                |alert: &&mut Alert| self.manners.group(&self.identity, alert) == *told.group;
            let mut members: Vec<&mut Alert> = active.filter(is_member).collect();
            let due = self.manners.due(told, &mut members, now);
            messages.extend(due.map(|due| self.message(due, time)));
        }
        state.is_changed |= !messages.is_empty();
        for message in messages {
            self.outlets.offer(&Arc::new(message));
        }
        if self.outlets.want_all() {
            self.outlets.offer_all(self.all(state, time));
        }
    }

    /// All alerts that fire or have ended lately, for who decides himself what to do about them: of each only how it stands now.
    pub(super) fn all(&self, state: &mut Managed, time: SystemTime) -> Message {
        let is_late = |alert: &&Alert| {
            let ended = alert.resolved_at;
            let since = ended.and_then(|end| time.duration_since(end).ok());
            since.is_some_and(|since| since <= RESOLVED_FOR)
        };
        let ended: Vec<Alert> = state.past.iter().rev().filter(is_late).cloned().collect();
        let active = state.active().map(|alert| alert.clone());
        let mut alerts: Vec<Alert> = Vec::new();
        for alert in active.filter(Alert::is_firing).chain(ended) {
            let is_newer = |known: &Alert| {
                std::ptr::eq(known.def, alert.def) && known.component == alert.component
            };
            if !alerts.iter().any(is_newer) {
                alerts.push(alert);
            }
        }
        alerts.retain(|alert| alert.silenced_by.is_empty());
        let group = Arc::new(Group {
            key: String::new(),
            labels: BTreeMap::new(),
        });
        let event = Event::Firing;
        let due = Due {
            group,
            event,
            alerts,
        };
        self.message(due, time)
    }

    pub(super) fn message(&self, due: Due, made_at: SystemTime) -> Message {
        let notices = due
            .alerts
            .iter()
            .map(|alert| self.identity.notice(alert, self.threshold(alert.def)));
        Message {
            id: uuid::Uuid::new_v4().to_string(),
            event: due.event,
            notices: notices.collect(),
            group: due.group,
            made_at,
            origin: Arc::clone(&self.origin),
            is_test: false,
        }
    }
}
