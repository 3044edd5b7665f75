//! Directories that are not yet, or no longer, a piece of evidence, and what becomes of them when their writer dies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::disk::sync_directory;

use super::piece::{Id, is_short, short};

/// Begins the name of a temporary directory; pid, session and a number follow.
const PREFIX: &str = ".evidence-";
/// Age from which a temporary directory is left over, whoever made it: writing takes seconds.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);
/// How many names are tried. Names are taken by pieces of the same second and session, of which the watch allows very few.
const MOST_NAMES: u32 = 100;

/// Counts all of this process, so that two stores do not choose the same name.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A directory that is being written. Removed when it is dropped; once published, nothing of that name is left to remove.
#[derive(Debug)]
pub(super) struct Temporary {
    path: PathBuf,
    /// Held while it is written: shows that its writer lives, also to processes that cannot see its pid. `None` = the file system
    /// has no locks.
    _lock: Option<File>,
}

/// Whose temporary directory it is, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Writer {
    process_id: u32,
    session: String,
}

impl Temporary {
    /// An empty one.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn create(directory: &Path, session_id: &str) -> io::Result<Self> {
        let path = fresh(directory, session_id, |path| {
            DirBuilder::new().mode(0o700).create(path)
        })?;
        let mut temporary = Self { path, _lock: None };
        // Waits only while another looks whether this is left over.
        let lock = File::open(&temporary.path)?;
        temporary._lock = lock.lock().is_ok().then_some(lock);
        Ok(temporary)
    }

    /// Adds a file, and waits until it is on disk.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(self.path.join(name))?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Makes it a piece of evidence, in one step, under the first of its names that is free.
    ///
    /// # Errors
    /// What the system says; then nothing of it stays.
    pub(super) fn publish(
        self,
        directory: &Path,
        time: SystemTime,
        session_id: &str,
    ) -> io::Result<Id> {
        sync_directory(&self.path)?;
        let mut number = 1;
        loop {
            let id = Id::new(time, session_id, number);
            // A directory is never renamed over one that is not empty, so nobody's evidence is replaced.
            match fs::rename(&self.path, directory.join(id.as_str())) {
                Ok(()) => return Ok(id),
                Err(error) if number < MOST_NAMES && is_taken(&error) => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "temporary evidence cannot be removed");
        }
    }
}

impl Writer {
    /// The writer of a directory of that name, if it is a temporary one.
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('-');
        let process_id = parts.next()?.parse().ok()?;
        let session = parts.next().filter(|session| is_short(session))?;
        let number = parts.next()?.parse::<u64>();
        (number.is_ok() && parts.next().is_none()).then(|| Self {
            process_id,
            session: session.to_owned(),
        })
    }

    /// Removes the directory at `path` if its writer is dead; says whether it did.
    ///
    /// It is when nobody has written for an hour, or when its process is gone and nobody holds the lock. The pid alone proves
    /// nothing: that of another container means nothing here, and in a container the predecessor had ours.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn sweep(&self, path: &Path, session_id: &str) -> io::Result<bool> {
        let modified = fs::symlink_metadata(path)?.modified()?;
        let age = SystemTime::now().duration_since(modified);
        if age.is_ok_and(|age| age > ABANDONED_AFTER) {
            return remove_all(path).map(|()| true);
        }
        if !self.is_gone(session_id) {
            return Ok(false);
        }
        let lock = File::open(path)?;
        // An empty one may be so new that it is not yet locked; it takes no room.
        if lock.try_lock().is_err() || fs::read_dir(path)?.next().is_none() {
            return Ok(false);
        }
        remove_all(path).map(|()| true)
    }

    fn is_gone(&self, session_id: &str) -> bool {
        if self.process_id == process::id() {
            return self.session != short(session_id);
        }
        // Without procfs nobody is known to be gone.
        let process = Path::new("/proc").join(self.process_id.to_string());
        Path::new("/proc/self").exists() && !process.exists()
    }
}

/// Removes a piece of evidence, so that at no moment a part of it looks like one. One that is gone already is no error.
///
/// # Errors
/// What the system says. The piece may be out of sight by then, and is swept later.
pub(super) fn remove(directory: &Path, id: &Id, session_id: &str) -> io::Result<()> {
    let piece = directory.join(id.as_str());
    match fresh(directory, session_id, |path| fs::rename(&piece, path)) {
        Ok(path) => remove_all(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a temporary directory in the way given, under a name that is free.
fn fresh(
    directory: &Path,
    session_id: &str,
    make: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let mut tries = 1;
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let session = short(session_id);
        let path = directory.join(format!("{PREFIX}{}-{session}-{number}", process::id()));
        match make(&path) {
            Ok(()) => return Ok(path),
            Err(error) if tries < MOST_NAMES && is_taken(&error) => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Whether something else has that name.
fn is_taken(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(
        error.kind(),
        AlreadyExists | DirectoryNotEmpty | NotADirectory
    )
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::parent_id;

    use tempfile::TempDir;

    use super::*;

    const SESSION: &str = "aaaa";
    const NO_PROCESS: u32 = u32::MAX;

    /// What the writer of that pid and session left in a directory, and whether it is swept.
    fn is_swept(process_id: u32, session: &str, content: Option<&str>, age: Duration) -> bool {
        let directory = TempDir::new().unwrap();
        let (path, writer) = left(&directory, process_id, session, content);
        let handle = File::open(&path).unwrap();
        handle.set_modified(SystemTime::now() - age).unwrap();
        let is_swept = writer.sweep(&path, SESSION).unwrap();
        assert_eq!(is_swept, !path.exists());
        is_swept
    }

    fn left(
        directory: &TempDir,
        process_id: u32,
        session: &str,
        content: Option<&str>,
    ) -> (PathBuf, Writer) {
        let name = format!(".evidence-{process_id}-{session}-0");
        let path = directory.path().join(&name);
        fs::create_dir(&path).unwrap();
        if let Some(content) = content {
            fs::write(path.join("file"), content).unwrap();
        }
        (path, Writer::of(&name).unwrap())
    }

    #[test]
    fn only_names_of_ours_are_temporary() {
        let writer = Writer {
            process_id: 12,
            session: "1a".to_owned(),
        };
        assert_eq!(Writer::of(".evidence-12-1a-3"), Some(writer));
        for name in [
            "",
            ".evidence-",
            ".evidence-12-1a",
            ".evidence-12-1a-",
            ".evidence-12-1a-x",
            ".evidence-12-1a-3-4",
            ".evidence-x-1a-3",
            ".evidence-12-1A-3",
            "evidence-12-1a-3",
            "2026-11-25T222300Z-1a",
        ] {
            assert_eq!(Writer::of(name), None, "{name}");
        }
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_the_living_write_is_not() {
        let young = Duration::ZERO;
        let old = ABANDONED_AFTER + Duration::from_secs(60);
        let just_not = ABANDONED_AFTER - Duration::from_secs(60);
        let file = Some("content");
        assert!(is_swept(NO_PROCESS, "bbbb", file, young));
        assert!(!is_swept(parent_id(), "bbbb", file, young), "it lives");
        assert!(!is_swept(parent_id(), "bbbb", file, just_not));
        assert!(is_swept(parent_id(), "bbbb", file, old));
        assert!(
            !is_swept(NO_PROCESS, "bbbb", None, young),
            "perhaps just made"
        );
        assert!(is_swept(NO_PROCESS, "bbbb", None, old));
    }

    #[test]
    fn a_predecessor_with_our_pid_is_dead_and_we_are_not() {
        let file = Some("content");
        assert!(is_swept(process::id(), "bbbb", file, Duration::ZERO));
        assert!(!is_swept(process::id(), SESSION, file, Duration::ZERO));
    }

    #[test]
    fn a_writer_that_cannot_be_seen_is_known_by_its_lock() {
        let directory = TempDir::new().unwrap();
        let (path, writer) = left(&directory, NO_PROCESS, "bbbb", Some("content"));
        let lock = File::open(&path).unwrap();
        lock.lock().unwrap();
        assert!(!writer.sweep(&path, SESSION).unwrap());
        drop(lock);
        assert!(writer.sweep(&path, SESSION).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_being_written_is_locked_and_removed_when_given_up() {
        let directory = TempDir::new().unwrap();
        let temporary = Temporary::create(directory.path(), "bbbb").unwrap();
        temporary.write("file", b"content").unwrap();
        assert!(temporary.write("file", b"again").is_err());
        let path = temporary.path.clone();
        let writer = Writer::of(path.file_name().unwrap().to_str().unwrap()).unwrap();
        assert!(!writer.sweep(&path, SESSION).unwrap());
        assert!(path.exists());
        drop(temporary);
        assert!(!path.exists());
    }

    #[test]
    fn a_piece_that_is_gone_is_removed_without_error() {
        let directory = TempDir::new().unwrap();
        let id = Id::new(SystemTime::UNIX_EPOCH, SESSION, 1);
        let path = directory.path().join(id.as_str());
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "content").unwrap();
        for _ in 0..2 {
            remove(directory.path(), &id, SESSION).unwrap();
            assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
        }
    }
}
