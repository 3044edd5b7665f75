//! What a session found, as it is kept for those that come after it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClosedView, LeakReport, SuspectView, moment};

/// What an earlier session found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(in crate::watch) struct EarlierSession {
    /// That session.
    pub(in crate::watch) session_id: String,
    /// When this was written last: a suspect that is open here was seen then.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    pub(in crate::watch) last_written: u64,
    /// When its detector began to look.
    #[schemars(with = "String", extend("format" = "date-time"))]
    #[serde(with = "moment")]
    pub(super) observed_since: u64,
    /// Suspects that it opened. Of many, not all are kept.
    pub(super) opened: u64,
    /// Those that were open at the end, the worst first, as they stood then.
    pub(super) suspects: Vec<SuspectView>,
    /// Those that were none any more by then.
    pub(super) closed: Vec<ClosedView>,
}

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
