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

#[cfg(test)]
mod tests {
    use super::super::fixture::{Folder, TLS};
    use super::*;

    fn users(names: &str) -> String {
        let hash = "$2y$10$DrnR/cS9LiwJzT5Hb73aE.QG4iEkCR3XA5cpRklNOErJ3PJYNlXby";
        let users: Vec<String> = names
            .chars()
            .map(|name| format!("{name}: {hash}"))
            .collect();
        format!("basic_auth_users: {{{}}}\n", users.join(", "))
    }

    fn watch(folder: &Folder) -> Watch {
        Watch::start(&folder.path("web.yml")).unwrap()
    }

    fn complaint(watch: &Watch) -> Option<String> {
        watch.state.lock().unwrap().complaint.clone()
    }

    #[test]
    fn a_file_that_changes_is_read_again_once() {
        let folder = Folder::new();
        folder.write("web.yml", &users("a"));
        let watch = watch(&folder);
        let first = watch.current();
        assert!(Arc::ptr_eq(&first, &watch.current()));
        folder.write("web.yml", &users("ab"));
        let second = watch.current();
        assert_eq!((first.users.len(), second.users.len()), (1, 2));
        assert!(Arc::ptr_eq(&second, &watch.current()));
    }

    #[test]
    fn a_certificate_that_changes_is_read_again() {
        let folder = Folder::new();
        folder.write_pair();
        folder.write("web.yml", TLS);
        let watch = watch(&folder);
        let first = watch.current();
        folder.write_pair();
        let second = watch.current();
        assert!(!Arc::ptr_eq(
            first.tls.as_ref().unwrap(),
            second.tls.as_ref().unwrap()
        ));
    }

    #[test]
    fn a_file_that_is_being_written_is_left_alone() {
        let folder = Folder::new();
        folder.write("web.yml", &users("a"));
        let watch = watch(&folder);
        let first = watch.current();
        folder.write_now("web.yml", &users("ab"));
        assert!(Arc::ptr_eq(&first, &watch.current()));
        std::thread::sleep(2 * SETTLED);
        assert_eq!(watch.current().users.len(), 2);
        // So is one that is named for the first time.
        folder.write_pair();
        let certificate = std::fs::read_to_string(folder.path("server.crt")).unwrap();
        folder.write("web.yml", TLS);
        folder.write_now("server.crt", &certificate);
        assert!(watch.current().tls.is_none() && complaint(&watch).is_none());
        folder.write("server.crt", &certificate);
        assert!(watch.current().tls.is_some());
    }

    #[test]
    fn what_is_wrong_leaves_the_old_in_force_and_is_said_once() {
        let folder = Folder::new();
        folder.write("web.yml", &users("a"));
        let watch = watch(&folder);
        let first = watch.current();
        for wrong in ["basic_auth_users: [", "nonsense: 1\n", TLS, ""] {
            folder.write("web.yml", wrong);
            assert!(Arc::ptr_eq(&first, &watch.current()), "{wrong}");
            assert!(complaint(&watch).is_some(), "{wrong}");
        }
        std::fs::remove_file(folder.path("web.yml")).unwrap();
        assert!(Arc::ptr_eq(&first, &watch.current()));
        assert!(complaint(&watch).unwrap().contains("cannot be read"));
        folder.write("web.yml", &users("ab"));
        assert_eq!(watch.current().users.len(), 2);
        assert_eq!(complaint(&watch), None);
    }

    /// The file was right all the time; what it names was not there, and comes.
    #[test]
    fn what_a_wrong_file_names_is_looked_at_too() {
        let folder = Folder::new();
        folder.write("web.yml", &users("a"));
        let watch = watch(&folder);
        folder.write("web.yml", TLS);
        assert!(watch.current().tls.is_none());
        assert!(complaint(&watch).unwrap().contains("server.crt"));
        folder.write_pair();
        assert!(watch.current().tls.is_some());
        assert_eq!(complaint(&watch), None);
    }

    #[test]
    fn the_door_is_not_opened_by_mistake() {
        let folder = Folder::new();
        folder.write_pair();
        folder.write("web.yml", &format!("{TLS}{}", users("a")));
        let watch = watch(&folder);
        for (text, said) in [
            ("", "nothing stands in the file"),
            ("{}", "nothing stands in the file"),
            ("basic_auth_users: {}", "tls_server_config: missing"),
        ] {
            folder.write("web.yml", text);
            let rules = watch.current();
            assert!(rules.tls.is_some() && rules.users.len() == 1, "{text:?}");
            assert!(complaint(&watch).unwrap().contains(said), "{text:?}");
        }
        // Users may go, if that is said.
        folder.write("web.yml", TLS);
        assert!(watch.current().users.is_empty());
    }

    #[test]
    fn a_blank_file_may_be_filled() {
        let folder = Folder::new();
        folder.write("web.yml", "");
        let watch = watch(&folder);
        assert!(watch.current().users.is_empty());
        folder.write("web.yml", &users("a"));
        assert_eq!(watch.current().users.len(), 1);
    }
}
