//! What survives the process: alerts, acknowledgements, silences, in one file of `history.directory`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::analysis::Culprit;
use crate::catalog::ALERTS;
use crate::disk::{self, Claim, Trouble};

use super::silence::Silence;
use super::state::{Acknowledgement, Alert};

/// The file, written anew each time under another name first.
const FILE: &str = "alerts.json";
/// What could not be read is kept under this name, so that nothing is lost.
const UNREADABLE_FILE: &str = "alerts.json.unreadable";
/// What is claimed here.
const WHAT: &str = "alerts";

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Remembered {
    pub(super) last_id: u64,
    /// Alerts that people were told of and that had not ended.
    pub(super) active: Vec<Alert>,
    /// Alerts that had, the oldest first.
    pub(super) past: Vec<Alert>,
    pub(super) silences: Vec<Silence>,
}

/// The place where it is kept.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    writer: Mutex<Writer>,
}

/// Locked while it writes.
#[derive(Debug)]
struct Writer {
    trouble: Trouble,
    /// None once the store was closed.
    claim: Option<Claim>,
}

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
struct Document {
    last_id: u64,
    active: Vec<Kept>,
    past: Vec<Kept>,
    silences: Vec<Silence>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    id: u64,
    name: String,
    severity: String,
    component: Option<String>,
    /// None for a number that JSON does not have.
    value: Option<f64>,
    description: String,
    active_at: SystemTime,
    fired_at: Option<SystemTime>,
    resolved_at: Option<SystemTime>,
    culprit: Option<Culprit>,
    acknowledged: Option<Acknowledgement>,
    is_told: bool,
}

impl Store {
    /// Opens a directory, made if there is none, and reads what is there. What goes wrong is logged: alerts are worth more than their history.
    pub(super) fn open(directory: &Path) -> Option<(Self, Remembered)> {
        match Self::claim(directory) {
            Ok(store) => {
                let remembered = store.read();
                Some((store, remembered))
            }
            Err(error) => {
                let directory = directory.display();
                tracing::error!(%directory, %error, "alerts are kept in memory only");
                None
            }
        }
    }

    fn claim(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            writer: Mutex::new(Writer {
                trouble: Trouble::default(),
                claim: Some(Claim::take(directory, WHAT)?),
            }),
        })
    }

    fn read(&self) -> Remembered {
        let path = self.directory.join(FILE);
        let read = fs::read(&path).and_then(|bytes| {
            let document: Document = serde_json::from_slice(&bytes)?;
            Ok(Remembered::from(document))
        });
        match read {
            Ok(remembered) => remembered,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Remembered::default(),
            Err(error) => {
                let path = path.display();
                tracing::error!(%path, %error, "alerts of before cannot be read, and are put aside");
                let _ = fs::rename(
                    self.directory.join(FILE),
                    self.directory.join(UNREADABLE_FILE),
                );
                Remembered::default()
            }
        }
    }

    /// Writes what `ask` gives, if it gives anything, and says whether it stands there now. Whoever dies meanwhile leaves what was there
    /// before.
    pub(super) fn write(&self, ask: impl FnOnce() -> Option<Remembered>) -> bool {
        let writer = &mut *self.writer();
        if writer.claim.is_none() {
            return true;
        }
        let Some(remembered) = ask() else {
            return true;
        };
        let written = self.replace(&Document::from(remembered));
        writer.trouble.note(WHAT, &self.directory, &written)
    }

    /// Lets go of the directory, after what is under way: another may open it.
    pub(super) fn close(&self) {
        self.writer().claim = None;
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace(&self, document: &Document) -> io::Result<()> {
        disk::replace(&self.directory, FILE, &serde_json::to_vec(document)?)
    }
}

impl From<Remembered> for Document {
    fn from(remembered: Remembered) -> Self {
        let kept = |alerts: Vec<Alert>| alerts.into_iter().map(Kept::from).collect();
        Self {
            last_id: remembered.last_id,
            active: kept(remembered.active),
            past: kept(remembered.past),
            silences: remembered.silences,
        }
    }
}

impl From<Document> for Remembered {
    fn from(document: Document) -> Self {
        let alerts = |kept: Vec<Kept>| kept.into_iter().filter_map(Kept::alert).collect();
        Self {
            last_id: document.last_id,
            active: alerts(document.active),
            past: alerts(document.past),
            silences: document.silences,
        }
    }
}

impl From<Alert> for Kept {
    fn from(alert: Alert) -> Self {
        Self {
            id: alert.id,
            name: alert.def.name.to_owned(),
            severity: alert.def.severity.as_str().to_owned(),
            component: alert.component.map(|component| component.to_string()),
            value: Some(alert.value),
            description: alert.description,
            active_at: alert.active_at,
            fired_at: alert.fired_at,
            resolved_at: alert.resolved_at,
            culprit: alert.culprit,
            acknowledged: alert.acknowledged,
            is_told: alert.is_told,
        }
    }
}

impl Kept {
    /// The alert; none of a kind that this version does not know.
    fn alert(self) -> Option<Alert> {
        let mut defs = ALERTS.iter();
        let def =
            defs.find(|def| def.name == self.name && def.severity.as_str() == self.severity)?;
        let mut alert = Alert::begin(self.id, def, self.component.map(Arc::from), self.active_at);
        alert.value = self.value.unwrap_or(f64::NAN);
        alert.description = self.description;
        alert.fired_at = self.fired_at;
        alert.resolved_at = self.resolved_at;
        alert.culprit = self.culprit;
        alert.acknowledged = self.acknowledged;
        alert.is_told = self.is_told;
        Some(alert)
    }
}
