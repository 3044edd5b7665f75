//! Floor 1: what a process leaves on disk for the next one. A place is one process's at a time, and what is wrong with it is told once.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// That this process, and no other, writes something below a directory. Given up when it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    lock: File,
}

impl Claim {
    /// Claims what is called `what` in a directory, which is made if there is none.
    ///
    /// # Errors
    /// Another process has it, or what the system says.
    pub(crate) fn take(directory: &Path, what: &str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{what}.lock"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process keeps its own there"),
            TryLockError::Error(error) => error,
        })?;
        Ok(Self { path, lock })
    }

    /// # Errors
    /// The directory went away, so that another process could claim the same.
    pub(crate) fn check(&self) -> io::Result<()> {
        let (own, there) = (self.lock.metadata()?, fs::symlink_metadata(&self.path)?);
        if (own.dev(), own.ino()) == (there.dev(), there.ino()) {
            Ok(())
        } else {
            Err(io::Error::other("the directory was replaced"))
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A child of a fork has the file too, and would hold the lock.
        let _ = self.lock.unlock();
    }
}

/// Writes a file anew: whoever dies meanwhile leaves what was there before.
///
/// # Errors
/// What the system says; then what was there before is there.
pub(crate) fn replace(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let new = directory.join(format!("{name}{NEW}"));
    let mut options = OpenOptions::new();
    // It names places in the program.
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&new).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(name))
    });
    if written.is_err() {
        // Half a file would take room on a disk that is full.
        let _ = fs::remove_file(&new);
    }
    written?;
    sync_directory(directory)
}

/// Ends the name of a file that is being written.
pub(crate) const NEW: &str = ".new";

/// Waits until the names in a directory are on disk. Some file systems cannot, and have nothing to wait for.
///
/// # Errors
/// What the system says.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Whether the last attempt to write failed, which is told once.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    is_failing: bool,
}

impl Trouble {
    /// Tells the first failure of a row, and its end; says whether there was none now.
    pub(crate) fn note(&mut self, what: &str, directory: &Path, outcome: &io::Result<()>) -> bool {
        let directory = directory.display();
        match (outcome, self.is_failing) {
            (Err(error), false) => {
                tracing::warn!(what, %directory, %error, "cannot be kept on disk, will go on trying");
            }
            (Ok(()), true) => tracing::info!(what, %directory, "kept on disk again"),
            _ => {}
        }
        self.is_failing = outcome.is_err();
        outcome.is_ok()
    }
}

/// Opens what is kept in a directory, which may have to be made first.
type Opener<T> = Box<dyn Fn(&Path) -> io::Result<T> + Send + Sync>;

/// Something that is kept in a directory below another, by one process at a time.
///
/// It is opened when that is possible, given up when its directory goes away, and opened again at the next attempt to write.
pub(crate) struct Place<T> {
    what: &'static str,
    directory: PathBuf,
    opener: Opener<T>,
    /// Held while it is written to.
    writing: Mutex<Writing>,
    open: Mutex<Option<Arc<T>>>,
}

#[derive(Debug, Default)]
struct Writing {
    claim: Option<Claim>,
    trouble: Trouble,
    is_closed: bool,
}

impl<T> Place<T> {
    /// That of what is called `what`, below `directory`. What goes wrong is told, and tried again at each attempt to write.
    pub(crate) fn new(
        what: &'static str,
        directory: &Path,
        opener: impl Fn(&Path) -> io::Result<T> + Send + Sync + 'static,
    ) -> Self {
        let place = Self {
            what,
            directory: directory.to_owned(),
            opener: Box::new(opener),
            writing: Mutex::default(),
            open: Mutex::default(),
        };
        place.attempt(|_| Ok(()));
        place
    }

    /// Does something with what is kept, while nobody else does; says whether nothing went wrong. Once it was closed nothing is done.
    pub(crate) fn attempt(&self, work: impl FnOnce(&T) -> io::Result<()>) -> bool {
        let writing = &mut *lock(&self.writing);
        if writing.is_closed {
            return true;
        }
        let outcome = self.opened(writing).and_then(|kept| work(&kept));
        let is_lost = |claim: &Claim| claim.check().is_err();
        if outcome.as_ref().is_err_and(is_away) || writing.claim.as_ref().is_some_and(is_lost) {
            self.let_go(writing);
        }
        writing.trouble.note(self.what, &self.directory, &outcome)
    }

    /// What is kept, for reading; absent while it cannot be opened.
    pub(crate) fn kept(&self) -> Option<Arc<T>> {
        lock(&self.open).clone()
    }

    /// Lets go of it, after what is under way: another may open it.
    pub(crate) fn close(&self) {
        let writing = &mut *lock(&self.writing);
        writing.is_closed = true;
        self.let_go(writing);
    }

    fn opened(&self, writing: &mut Writing) -> io::Result<Arc<T>> {
        if let (Some(claim), Some(kept)) = (&writing.claim, self.kept()) {
            return claim.check().map(|()| kept);
        }
        let claim = Claim::take(&self.directory, self.what)?;
        let kept = Arc::new((self.opener)(&self.directory.join(self.what))?);
        writing.claim = Some(claim);
        *lock(&self.open) = Some(Arc::clone(&kept));
        Ok(kept)
    }

    fn let_go(&self, writing: &mut Writing) {
        lock(&self.open).take();
        writing.claim = None;
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("what", &self.what)
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Whether an error says that there is no such place, or no more.
pub(crate) fn is_away(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod victim;

#[cfg(test)]
mod tests {
    use super::victim::logged;
    use super::*;

    const FILE: &str = "file";

    /// A place for one file.
    fn place(directory: &Path) -> Place<PathBuf> {
        Place::new("texts", directory, |path| {
            fs::create_dir_all(path)?;
            Ok(path.to_owned())
        })
    }

    fn write(place: &Place<PathBuf>, text: &str) -> bool {
        place.attempt(|path| replace(path, FILE, text.as_bytes()))
    }

    fn read(directory: &Path) -> String {
        fs::read_to_string(directory.join("texts").join(FILE)).unwrap()
    }

    #[test]
    fn a_place_is_one_process_s_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = place(&directory.path().join("deeper"));
        let path = directory.path().join("deeper");
        assert!(write(&first, "first"));
        let second = place(&path);
        assert!(second.kept().is_none() && !write(&second, "second"));
        assert_eq!(read(&path), "first");
        first.close();
        assert!(first.kept().is_none());
        assert!(write(&second, "second"), "it was let go");
        assert!(write(&first, "first"), "closed: not done, and no failure");
        assert_eq!(read(&path), "second");
        drop(second);
        assert!(write(&place(&path), "third"));
    }

    #[test]
    fn what_goes_wrong_is_told_once_until_it_is_well_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kept");
        let count = |log: &str, what: &str| log.matches(what).count();
        let log = logged(|| {
            fs::write(&path, "in its place").unwrap();
            let place = place(&path);
            (0..5).for_each(|_| assert!(!write(&place, "a")));
            fs::remove_file(&path).unwrap();
            (0..3).for_each(|_| assert!(write(&place, "b")));
            // It goes away while it is used: that is one failure, and then it is made anew.
            fs::remove_dir_all(&path).unwrap();
            assert!(!write(&place, "c"));
            assert!(write(&place, "d"));
            assert_eq!(read(&path), "d");
            // Only what is in it.
            fs::remove_dir_all(path.join("texts")).unwrap();
            assert!(!write(&place, "e"));
            assert!(write(&place, "f"));
        });
        assert_eq!(count(&log, "cannot be kept on disk"), 3, "{log}");
        assert_eq!(count(&log, "kept on disk again"), 3, "{log}");
    }

    #[test]
    fn who_lost_the_directory_does_not_write_into_that_of_another() {
        let directory = tempfile::tempdir().unwrap();
        let first = place(directory.path());
        fs::remove_dir_all(directory.path()).unwrap();
        let second = place(directory.path());
        assert!(write(&second, "second"));
        (0..3).for_each(|_| assert!(!write(&first, "first")));
        assert_eq!(read(directory.path()), "second");
    }

    #[test]
    fn what_cannot_be_replaced_stays_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        replace(directory.path(), FILE, b"before").unwrap();
        let taken = directory.path().join(format!("{FILE}{NEW}"));
        fs::create_dir(&taken).unwrap();
        assert!(replace(directory.path(), FILE, b"after").is_err());
        fs::remove_dir(&taken).unwrap();
        let content = || fs::read(directory.path().join(FILE)).unwrap();
        assert_eq!(content(), b"before");
        replace(directory.path(), FILE, b"after").unwrap();
        assert_eq!(content(), b"after");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
