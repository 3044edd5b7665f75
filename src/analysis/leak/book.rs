//! The book of suspects: those that are open, those that were closed, and what was counted of them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::config::LeakThresholds;

use super::suspect::{Closed, Part, Severity, Suspect};

/// Most closed suspects that are remembered.
const MOST_CLOSED: usize = 100;

/// A suspect was opened, became worse, or was closed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// It is new.
    Opened(Suspect),
    /// Its severity rose to a new height.
    Worsened(Suspect),
    /// It is no suspect any more.
    Closed(Suspect),
}

impl Change {
    /// The suspect as it stands after the change.
    pub fn suspect(&self) -> &Suspect {
        match self {
            Self::Opened(suspect) | Self::Worsened(suspect) | Self::Closed(suspect) => suspect,
        }
    }
}

/// Live allocations that were added to open suspects, by component and severity.
pub type Added = HashMap<(Arc<str>, Severity), f64>;

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) open: Vec<Suspect>,
    /// The last one first.
    pub(super) closed: VecDeque<Suspect>,
    /// How many were ever opened.
    pub(super) opened: u64,
    pub(super) added: Added,
}

impl Book {
    /// Begins a suspect, and says which number it has.
    pub(super) fn begin(&mut self, now: u64, component: &Arc<str>) -> u64 {
        self.opened += 1;
        self.open.push(Suspect {
            id: self.opened,
            component: Arc::clone(component),
            opened: now,
            closed: None,
            severity: Severity::Low,
            worst: Severity::Low,
            parts: Vec::new(),
        });
        self.opened
    }

    /// Brings a suspect up to date, and counts what was added to it.
    pub(super) fn renew(
        &mut self,
        suspect: &mut Suspect,
        parts: Vec<Part>,
        added: f64,
        is_new: bool,
        thresholds: &LeakThresholds,
    ) -> Option<Change> {
        suspect.parts = parts;
        suspect.severity = Severity::of(suspect.bytes(), suspect.growth(), thresholds);
        if is_new {
            suspect.worst = suspect.severity;
            return Some(Change::Opened(suspect.clone()));
        }
        let key = (Arc::clone(&suspect.component), suspect.severity);
        *self.added.entry(key).or_default() += added;
        let is_worse = suspect.severity > suspect.worst;
        suspect.worst = suspect.worst.max(suspect.severity);
        is_worse.then(|| Change::Worsened(suspect.clone()))
    }

    pub(super) fn close(&mut self, mut suspect: Suspect, now: u64, why: Closed) -> Change {
        suspect.closed = Some((now, why));
        self.closed.push_front(suspect.clone());
        self.closed.truncate(MOST_CLOSED);
        Change::Closed(suspect)
    }
}
