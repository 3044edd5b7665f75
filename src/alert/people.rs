//! What people ask of the manager: what there is, to take an alert on, to keep quiet.

use std::sync::Arc;
use std::time::SystemTime;

use super::AlertManager;
use super::group::Manners;
use super::silence::{MOST_SILENCES, Matcher, Silence};
use super::state::{Acknowledgement, Alert};

/// Why something is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is none with this number.
    Unknown,
    /// It has ended.
    Ended,
    /// There are as many as there may be.
    TooMany,
}

impl AlertManager {
    /// All alerts: those that are pending or fire, then those that ended, the latest first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let state = &mut *self.state();
        let mut alerts: Vec<Alert> = state.active().map(|alert| alert.clone()).collect();
        alerts.extend(state.past.iter().rev().cloned());
        alerts
    }

    /// Notes that somebody has taken an alert on: people are told of it no more until it ends.
    ///
    /// # Errors
    /// There is none that is active under this number.
    pub(crate) fn acknowledge(
        &self,
        id: u64,
        acknowledgement: Acknowledgement,
    ) -> Result<Alert, Refused> {
        let state = &mut *self.state();
        let at = acknowledgement.at;
        let Some(alert) = state.active().find(|alert| alert.id == id) else {
            return Err(match state.past.iter().any(|alert| alert.id == id) {
                true => Refused::Ended,
                false => Refused::Unknown,
            });
        };
        alert.acknowledged.get_or_insert(acknowledgement);
        let alert = alert.clone();
        let group = self.manners.group(&self.identity, &alert);
        let active: Vec<Alert> = state.active().map(|alert| alert.clone()).collect();
        let is_member = |other: &&Alert| self.manners.group(&self.identity, other) == group;
        let members: Vec<&Alert> = active.iter().filter(is_member).collect();
        let due = Manners::acknowledged(self.told(state, &alert), &members);
        if let Some(due) = due {
            self.outlets.offer(&Arc::new(self.message(due, at)));
        }
        state.is_changed = true;
        Ok(alert)
    }

    /// The silences that have not ended.
    pub(crate) fn silences(&self, now: SystemTime) -> Vec<Silence> {
        let state = &mut *self.state();
        state.hush(&self.identity, now);
        state.silences.clone()
    }

    /// Keeps quiet from now on for a time what all matchers hold for.
    ///
    /// # Errors
    /// There are as many silences as there may be.
    pub(crate) fn silence(
        &self,
        matchers: Vec<Matcher>,
        (starts_at, ends_at): (SystemTime, SystemTime),
        by: Option<String>,
        comment: Option<String>,
    ) -> Result<Silence, Refused> {
        let state = &mut *self.state();
        state.hush(&self.identity, starts_at);
        if state.silences.len() >= MOST_SILENCES {
            return Err(Refused::TooMany);
        }
        state.last_id += 1;
        let silence = Silence {
            id: state.last_id,
            matchers,
            starts_at,
            ends_at,
            by,
            comment,
        };
        state.silences.push(silence.clone());
        state.is_changed = true;
        state.hush(&self.identity, starts_at);
        Ok(silence)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// There is none of this number.
    pub(crate) fn unsilence(&self, id: u64, now: SystemTime) -> Result<Silence, Refused> {
        let state = &mut *self.state();
        let at = state.silences.iter().position(|silence| silence.id == id);
        let silence = state.silences.remove(at.ok_or(Refused::Unknown)?);
        state.is_changed = true;
        state.hush(&self.identity, now);
        Ok(silence)
    }
}
