//! The rules of now: the file, and each that it names, is looked at for every connection and every request, and read again when it has
//! changed. What has become wrong changes nothing, and is said once.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::{ConfigError, Problem};

use super::rules::{Attempt, Rules, mistakes};

/// How long a file must have been left alone. Who writes a file empties it first, and an empty one asks for no password.
const SETTLED: Duration = Duration::from_millis(100);

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_settled(&self) -> bool {
        let (seconds, nanoseconds) = self.modified;
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds))
        else {
            return true;
        };
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
        // What was written in the future was written by another clock.
        modified
            .and_then(|modified| SystemTime::now().duration_since(modified).ok())
            .is_none_or(|age| age >= SETTLED)
    }
}

/// Reads files, and remembers which, and in what state each was just before.
#[derive(Default)]
pub(super) struct Files {
    pub(super) seen: Vec<(PathBuf, Option<Stamp>)>,
}

impl Files {
    pub(super) fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        self.seen.push((path.to_owned(), Stamp::of(path)));
        std::fs::read(path)
    }

    pub(super) fn read_text(&mut self, path: &Path) -> io::Result<String> {
        let bytes = self.read(path)?;
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
    }
}

/// A file that is looked at again and again.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rules: Arc<Rules>,
    seen: Vec<(PathBuf, Option<Stamp>)>,
    /// What was said of the file, while it is wrong.
    complaint: Option<String>,
}

impl Watch {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Every mistake.
    pub(super) fn start(path: &Path) -> Result<Self, ConfigError> {
        let Attempt { rules, seen } = Rules::load(path);
        let rules = rules?;
        tracing::info!(
            file = %path.display(),
            tls = rules.tls.is_some(),
            users = rules.users.len(),
            "web configuration read"
        );
        Ok(Self {
            path: path.to_owned(),
            state: Mutex::new(State {
                rules: Arc::new(rules),
                seen,
                complaint: None,
            }),
        })
    }

    /// The rules that are in force.
    pub(super) fn current(&self) -> Arc<Rules> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_changed() {
            let attempt = Rules::load(&self.path);
            if are_settled(&attempt.seen) {
                state.take(&self.path, attempt);
            }
        }
        Arc::clone(&state.rules)
    }
}

impl State {
    /// Whether a file is another than it was, and has been left alone since.
    fn has_changed(&self) -> bool {
        let mut is_other = false;
        for (path, before) in &self.seen {
            let now = Stamp::of(path);
            if now != *before {
                if now.is_some_and(|stamp| !stamp.is_settled()) {
                    return false;
                }
                is_other = true;
            }
        }
        is_other
    }

    fn take(&mut self, path: &Path, attempt: Attempt) {
        self.seen = attempt.seen;
        let rules = attempt.rules.and_then(|rules| self.acceptable(path, rules));
        match rules {
            Ok(rules) => {
                self.rules = Arc::new(rules);
                let file = path.display();
                match self.complaint.take() {
                    Some(_) => {
                        tracing::info!(%file, "web configuration is right again, and in force")
                    }
                    None => tracing::info!(%file, "web configuration read again"),
                }
            }
            Err(error) => {
                let complaint = error.to_string().replace('\n', "; ");
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::error!(error = %complaint, "web configuration is wrong: the one of before stays in force");
                    self.complaint = Some(complaint);
                }
            }
        }
    }

    /// Refuses what would open the door by mistake.
    fn acceptable(&self, path: &Path, rules: Rules) -> Result<Rules, ConfigError> {
        let problem = if rules.is_blank && !self.rules.is_blank {
            // A disk that was full leaves it so.
            Problem::of_key(
                "",
                "nothing stands in the file; allowed: basic_auth_users: {} to ask for no password"
                    .to_owned(),
            )
        } else if self.rules.tls.is_some() && rules.tls.is_none() {
            let detail = "missing; TLS is switched off by a restart only";
            Problem::of_key("tls_server_config", detail.to_owned())
        } else {
            return Ok(rules);
        };
        Err(mistakes(path, vec![problem]))
    }
}

fn are_settled(seen: &[(PathBuf, Option<Stamp>)]) -> bool {
    seen.iter()
        .all(|(_, stamp)| stamp.is_none_or(|stamp| stamp.is_settled()))
}
