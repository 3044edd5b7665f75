//! What a session found, as it is kept for those that come after it.

use serde::Serialize;

use super::{EarlierSession, LeakReport};

impl EarlierSession {
    /// What a session has found until now.
    pub(in crate::watch) fn of(report: LeakReport, session_id: &str, now: u64) -> Self {
        let mut suspects = report.suspects;
        for suspect in &mut suspects {
            // The graph is of the process that answers, which will be another.
            suspect.flamegraph = None;
        }
        Self {
            session_id: session_id.to_owned(),
            last_written: now,
            observed_since: report.observed_since,
            opened: report.opened,
            suspects,
            closed: report.closed,
        }
    }

    /// Whether nothing was found.
    pub(in crate::watch) fn is_empty(&self) -> bool {
        self.suspects.is_empty() && self.closed.is_empty()
    }

    /// What was found, to be compared.
    pub(in crate::watch) fn content(&self) -> impl Serialize + '_ {
        (&self.suspects, &self.closed)
    }

    /// Leaves out half of what is worth least: closed suspects, the oldest first, and then those that are least bad.
    pub(in crate::watch) fn halve(&mut self) {
        if self.closed.is_empty() {
            self.suspects.truncate(self.suspects.len() / 2);
        } else {
            self.closed.truncate(self.closed.len() / 2);
        }
    }
}
