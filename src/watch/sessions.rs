//! What the leak detector found, on disk: this session's for those that come, and that of the sessions before it.
//!
//! One file for each session, so that none writes to what another has found.

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::HistoryConfig;
use crate::disk::{self, NEW, Place};
use crate::profile::evidence::Id;

use super::leaks::lock;
use super::report::EarlierSession;

/// What it is called on disk: a directory below `history.directory`.
const WHAT: &str = "leaks";
/// Ends the name of a session's file.
const EXTENSION: &str = ".json";
/// Length of the time that begins a name.
const TIME_LENGTH: usize = "0000-00-00T000000Z".len();
/// Most sessions that are kept, this one included.
const MOST_SESSIONS: usize = 20;
/// Most bytes of one session: of some fifty suspects with their stacks. Of more, what is worth least is left out.
const MOST_SESSION_BYTES: usize = 512 << 10;
/// Most bytes of all.
const MOST_BYTES: u64 = 4 << 20;
/// Most entries of the directory that are looked at.
const MOST_ENTRIES: usize = 4096;

/// Keeps what was found.
#[derive(Debug)]
pub(super) struct Sessions {
    place: Place<Directory>,
    retention: Retention,
}

/// How long what was found is kept.
type Retention = Arc<Mutex<Duration>>;

/// The directory, while this process has it.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// This session's file.
    own: String,
    retention: Retention,
    /// What was written last, in short.
    written: Mutex<Option<u64>>,
}

impl Sessions {
    /// Those of a configuration, where it has a place for them. What goes wrong is told: leaks are found all the same.
    pub(super) fn of(config: &HistoryConfig, session_id: &str) -> Option<Self> {
        let directory = config.directory.as_ref()?;
        let retention = Arc::new(Mutex::new(config.retention));
        let (kept_for, session_id) = (Arc::clone(&retention), session_id.to_owned());
        let own = OnceLock::new();
        let place = Place::new(WHAT, directory, move |path| {
            Directory::open(path, &session_id, &own, &kept_for)
        });
        Some(Self { place, retention })
    }

    /// Writes what this session has found until now, if that has changed; says whether it is there. Takes as long as the disk takes.
    pub(super) fn write(&self, found: EarlierSession) -> bool {
        self.place.attempt(|directory| directory.write(found))
    }

    /// From now on it is kept for so long.
    pub(super) fn keep_for(&self, retention: Duration) {
        *lock(&self.retention) = retention;
    }

    /// What earlier sessions found, the latest first. Reads the disk; what cannot be read is left out.
    pub(super) fn earlier(&self, now: SystemTime) -> Vec<EarlierSession> {
        let Some(directory) = self.place.kept() else {
            return Vec::new();
        };
        let retention = *lock(&self.retention);
        let is_recent = |session: &EarlierSession| {
            let written = UNIX_EPOCH + Duration::from_millis(session.last_written);
            // What is of a time to come was written before the clock was set back.
            let age = now.duration_since(written).unwrap_or_default();
            age <= retention
        };
        let names = directory.earlier().unwrap_or_default().into_iter().rev();
        let sessions = names.filter_map(|name| directory.read(&name).ok());
        sessions.filter(is_recent).collect()
    }

    /// Lets go of the directory: another may have it.
    pub(super) fn close(&self) {
        self.place.close();
    }
}

impl Directory {
    /// Opens it, made if there is none, sweeps what was left half-written, and says what cannot be read. The file of this session is named
    /// when that is first possible.
    fn open(
        path: &Path,
        session_id: &str,
        own: &OnceLock<String>,
        retention: &Retention,
    ) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let is_free = |name: &String| !path.join(name).exists();
        let own = own.get_or_init(|| {
            let now = SystemTime::now();
            let names =
                (1..).map(|number| format!("{}{EXTENSION}", Id::new(now, session_id, number)));
            names.into_iter().find(is_free).unwrap_or_default()
        });
        let directory = Self {
            path: path.to_owned(),
            own: own.clone(),
            retention: Arc::clone(retention),
            written: Mutex::default(),
        };
        for name in directory.names()? {
            if name.strip_suffix(NEW).is_some_and(is_session) {
                let _ = fs::remove_file(path.join(name));
            }
        }
        directory.make_room(SystemTime::now(), 0)?;
        for name in directory.earlier()? {
            if let Err(error) = directory.read(&name) {
                let path = path.join(name);
                let path = path.display();
                tracing::warn!(%path, %error, "leak suspects of an earlier session cannot be read");
            }
        }
        Ok(directory)
    }

    fn write(&self, mut found: EarlierSession) -> io::Result<()> {
        let mut hasher = DefaultHasher::new();
        hasher.write(&serde_json::to_vec(&found.content())?);
        let content = Some(hasher.finish());
        let mut written = lock(&self.written);
        if *written == content {
            return Ok(());
        }
        let now = UNIX_EPOCH + Duration::from_millis(found.last_written);
        let mut bytes = serde_json::to_vec(&found)?;
        while bytes.len() > MOST_SESSION_BYTES && !found.is_empty() {
            found.halve();
            bytes = serde_json::to_vec(&found)?;
        }
        self.make_room(now, bytes.len() as u64)?;
        disk::replace(&self.path, &self.own, &bytes)?;
        *written = content;
        Ok(())
    }

    /// Removes what is too much beside so many bytes of this session, and at most one session that is too old: a clock that jumps ahead
    /// for a minute must not cost the past.
    fn make_room(&self, now: SystemTime, own_bytes: u64) -> io::Result<()> {
        let earlier = self.earlier()?.into_iter().filter_map(|name| {
            let metadata = fs::symlink_metadata(self.path.join(&name)).ok()?;
            metadata.is_file().then_some((name, metadata))
        });
        let mut earlier: Vec<_> = earlier.collect();
        let mut bytes: u64 = earlier.iter().map(|(_, metadata)| metadata.len()).sum();
        let retention = *lock(&self.retention);
        let is_old = |metadata: &fs::Metadata| {
            let age = metadata
                .modified()
                .ok()
                .and_then(|time| now.duration_since(time).ok());
            age.is_some_and(|age| age > retention)
        };
        let mut may_forget = true;
        earlier.reverse();
        while let Some((name, metadata)) = earlier.last() {
            let is_too_much = earlier.len() >= MOST_SESSIONS
                || bytes.saturating_add(own_bytes) > MOST_BYTES
                || (may_forget && is_old(metadata));
            if !is_too_much {
                break;
            }
            may_forget &= !is_old(metadata);
            bytes = bytes.saturating_sub(metadata.len());
            match fs::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => earlier.pop(),
            };
        }
        Ok(())
    }

    /// Names of the files of earlier sessions, the oldest first.
    fn earlier(&self) -> io::Result<Vec<String>> {
        let mut names = self.names()?;
        names.retain(|name| is_session(name) && *name != self.own);
        // By time, and what has a number behind what has none.
        names.sort_by(|a, b| {
            let order = |name: &String| (name.get(..TIME_LENGTH).map(str::to_owned), name.len());
            (order(a), a).cmp(&(order(b), b))
        });
        Ok(names)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?.take(MOST_ENTRIES);
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    fn read(&self, name: &str) -> io::Result<EarlierSession> {
        let path = self.path.join(name);
        let metadata = fs::symlink_metadata(&path)?;
        // A link is not followed, and a pipe is not waited for.
        if !metadata.is_file() || metadata.len() > MOST_SESSION_BYTES as u64 {
            let message = "no file, or one of more bytes than are ever written";
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

/// Whether a file is that of a session.
fn is_session(name: &str) -> bool {
    let id = name.strip_suffix(EXTENSION);
    id.is_some_and(|id| Id::parse(id).is_some())
}

#[cfg(test)]
mod tests;
