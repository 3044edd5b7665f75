//! The evidence that is kept on disk, of this session and of earlier ones, within a budget.

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::disk::sync_directory;

use super::budget::{Budget, eviction_order, total};
use super::piece::{
    Evidence, Id, Kept, LEAKS_FILE, METADATA_FILE, MOST_TEXT_BYTES, Metadata, PROFILE_FILE,
    read_file, representable,
};
use super::temporary::{self, Temporary, Writer};

/// Most pieces of evidence that are kept, however small: bounds the list in memory.
const MOST_PIECES: usize = 256;
/// Most pieces that go because of their age when one is kept: a clock that jumps ahead for a minute must not cost the past.
const MOST_FORGOTTEN: usize = 10;
/// Most entries of the directory that are looked at. More is a directory that serves for something else too.
const MOST_ENTRIES: usize = 4096;
/// How long one waits for another process that makes room in the same directory. It takes milliseconds; one that is frozen must not
/// cost the evidence.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Keeps evidence in a directory, which may be shared with other processes.
///
/// Every piece is whole or not there, whenever this process is killed. All functions but [`EvidenceStore::all`] read or write files
/// and block.
#[derive(Debug)]
pub struct EvidenceStore {
    directory: PathBuf,
    budget: Mutex<Budget>,
    session_id: String,
    program: String,
    /// Held by the one who changes the directory.
    changing: Mutex<()>,
    /// Newest first.
    kept: Mutex<Vec<Kept>>,
}

impl EvidenceStore {
    /// Opens a directory, creates it where it is missing, and reads what is there. What is damaged or foreign is logged and left alone,
    /// and counts nowhere; what dead writers left half-written is removed. `max_bytes` is the most that is kept; while a piece is
    /// written the directory needs room for that piece beside it.
    ///
    /// # Errors
    /// An empty session, or one of more than 256 bytes; a directory that cannot be created or read, with path and cause.
    pub fn open(
        directory: impl Into<PathBuf>,
        max_bytes: u64,
        session_id: &str,
    ) -> io::Result<Self> {
        let budget = Budget {
            max_bytes,
            max_pieces: MOST_PIECES,
            max_age: Duration::MAX,
        };
        Self::within(directory, budget, session_id)
    }

    /// As [`open`](Self::open), with other bounds.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn within(
        directory: impl Into<PathBuf>,
        budget: Budget,
        session_id: &str,
    ) -> io::Result<Self> {
        if !(1..=MOST_TEXT_BYTES).contains(&session_id.len()) {
            let message = format!("a session id has 1 to {MOST_TEXT_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let directory = directory.into();
        let mut builder = DirBuilder::new();
        let created = builder.recursive(true).mode(0o700).create(&directory);
        created.map_err(at("cannot create evidence directory", &directory))?;
        let program = env::current_exe().unwrap_or_default();
        let program = program.file_name().unwrap_or_default().to_string_lossy();
        let store = Self {
            directory,
            budget: Mutex::new(budget),
            session_id: session_id.to_owned(),
            program: cut(&program),
            changing: Mutex::default(),
            kept: Mutex::default(),
        };
        let kept = store.scan(|path, reason| {
            let path = path.display();
            tracing::warn!(%path, reason, "entry of the evidence directory ignored");
        })?;
        *lock(&store.kept) = kept;
        Ok(store)
    }

    /// From now on no more than this is kept; what is too much goes with the next piece.
    pub(crate) fn set_budget(&self, budget: Budget) {
        *lock(&self.budget) = budget;
    }

    fn budget(&self) -> Budget {
        *lock(&self.budget)
    }

    /// Keeps evidence. Where it does not fit beside what is there, the oldest go first, and the highest of each session after all
    /// others. Takes as long as the disk takes.
    ///
    /// # Errors
    /// File too large: the evidence alone exceeds the budget. Else what the system says, with the path; nothing of the evidence stays
    /// then, but room may have been made for it.
    pub fn keep(&self, evidence: &Evidence<'_>) -> io::Result<Id> {
        let metadata = self.metadata(evidence);
        let written = serde_json::to_vec_pretty(&metadata)?;
        let bytes = [metadata.profile_bytes, metadata.leaks_bytes.unwrap_or(0)]
            .into_iter()
            .fold(written.len() as u64, u64::saturating_add);
        if bytes > self.budget().max_bytes {
            let most = self.budget().max_bytes;
            let message = format!("evidence of {bytes} bytes exceeds the budget of {most} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        let _changing = lock(&self.changing);
        let failed = at("cannot write evidence in", &self.directory);
        let temporary = self.write(evidence, &written).map_err(&failed)?;

        let making_room = self.lock_directory();
        // Others may have come and gone meanwhile. What is ignored was logged when the directory was opened.
        let mut kept = self.scan(|_, _| {})?;
        let room = self.make_room(&mut kept, &metadata, bytes);
        lock(&self.kept).clone_from(&kept);
        room?;
        let published = temporary.publish(&self.directory, metadata.time, &self.session_id);
        let id = published.map_err(failed)?;
        drop(making_room);
        if let Err(error) = sync_directory(&self.directory) {
            let path = self.directory.display();
            tracing::warn!(%path, %error, "evidence may not survive a power cut");
        }
        kept.push(Kept {
            id: id.clone(),
            bytes,
            metadata,
        });
        kept.sort_by(|a, b| b.order().cmp(&a.order()));
        *lock(&self.kept) = kept;
        Ok(id)
    }

    /// Removes what is too old, a few pieces at a time. Reads the directory only if there is something.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub(crate) fn forget(&self, now: SystemTime) -> io::Result<()> {
        if !self.is_forgetting_due(now) {
            return Ok(());
        }
        let _changing = lock(&self.changing);
        let _making_room = self.lock_directory();
        let mut kept = self.scan(|_, _| {})?;
        let forgotten = self.forget_among(&mut kept, now);
        *lock(&self.kept) = kept;
        forgotten
    }

    /// Whether anything is too old.
    pub(crate) fn is_forgetting_due(&self, now: SystemTime) -> bool {
        let is_old = |piece: &Kept| self.budget().is_old(piece, now);
        lock(&self.kept).iter().any(is_old)
    }

    /// All that is kept, newest first, as of the last look into the directory. At most 4096.
    pub fn all(&self) -> Vec<Kept> {
        lock(&self.kept).clone()
    }

    /// Number of pieces that are kept.
    pub(crate) fn count(&self) -> usize {
        lock(&self.kept).len()
    }

    /// Bytes on disk of all that is kept.
    pub fn bytes(&self) -> u64 {
        total(&lock(&self.kept))
    }

    /// Looks into the directory again, for what other processes have kept or removed.
    ///
    /// # Errors
    /// The directory cannot be read; the list stays as it was.
    pub fn refresh(&self) -> io::Result<()> {
        let _changing = lock(&self.changing);
        let kept = self.scan(|_, _| {})?;
        *lock(&self.kept) = kept;
        Ok(())
    }

    /// A heap profile, gzipped and in pprof's format. `None`: nothing of that id is kept, or no longer.
    ///
    /// # Errors
    /// It cannot be read, or is no longer as long as it was written.
    pub fn profile(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        self.read(id, PROFILE_FILE, |metadata| Some(metadata.profile_bytes))
    }

    /// A leak report in JSON. `None`: nothing of that id is kept, or no longer, or there was no report.
    ///
    /// # Errors
    /// It cannot be read, or is no longer as long as it was written.
    pub fn leaks(&self, id: &str) -> io::Result<Option<Vec<u8>>> {
        self.read(id, LEAKS_FILE, |metadata| metadata.leaks_bytes)
    }

    fn metadata(&self, evidence: &Evidence<'_>) -> Metadata {
        Metadata {
            time: representable(evidence.time),
            session_id: self.session_id.clone(),
            trigger: cut(evidence.trigger),
            usage: evidence.usage,
            live_bytes: evidence.live_bytes,
            sample_interval: evidence.sample_interval,
            process_id: process::id(),
            program: self.program.clone(),
            has_symbols: evidence.has_symbols,
            profile_bytes: evidence.profile.len() as u64,
            leaks_bytes: evidence.leaks.map(|leaks| leaks.len() as u64),
        }
    }

    fn write(&self, evidence: &Evidence<'_>, metadata: &[u8]) -> io::Result<Temporary> {
        let temporary = Temporary::create(&self.directory, &self.session_id)?;
        temporary.write(PROFILE_FILE, evidence.profile)?;
        if let Some(leaks) = evidence.leaks {
            temporary.write(LEAKS_FILE, leaks)?;
        }
        temporary.write(METADATA_FILE, metadata)?;
        Ok(temporary)
    }

    /// Removes what is too old, and what has to go for so many bytes more.
    fn make_room(&self, kept: &mut Vec<Kept>, new: &Metadata, bytes: u64) -> io::Result<()> {
        self.forget_among(kept, new.time)?;
        for id in eviction_order(kept, new) {
            if self.budget().has_room(kept, bytes) {
                break;
            }
            self.remove(kept, &id)?;
        }
        Ok(())
    }

    fn forget_among(&self, kept: &mut Vec<Kept>, now: SystemTime) -> io::Result<()> {
        let old = kept
            .iter()
            .rev()
            .filter(|piece| self.budget().is_old(piece, now));
        let old: Vec<_> = old
            .take(MOST_FORGOTTEN)
            .map(|piece| piece.id.clone())
            .collect();
        old.iter().try_for_each(|id| self.remove(kept, id))
    }

    fn remove(&self, kept: &mut Vec<Kept>, id: &Id) -> io::Result<()> {
        let path = self.directory.join(id.as_str());
        temporary::remove(&self.directory, id, &self.session_id)
            .map_err(at("cannot remove old evidence", &path))?;
        kept.retain(|piece| piece.id != *id);
        Ok(())
    }

    /// What is in the directory, newest first. Sweeps what dead writers left.
    fn scan(&self, ignored: impl Fn(&Path, &str)) -> io::Result<Vec<Kept>> {
        let failed = || at("cannot read evidence directory", &self.directory);
        let mut kept = Vec::new();
        for (number, entry) in fs::read_dir(&self.directory).map_err(failed())?.enumerate() {
            let entry = entry.map_err(failed())?;
            let path = entry.path();
            if number >= MOST_ENTRIES {
                ignored(&path, "too many entries: this and all after it");
                break;
            }
            // A link is not followed: it counts as foreign.
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            let name = name.to_str().filter(|_| is_directory).unwrap_or_default();
            if let Some(writer) = Writer::of(name) {
                if let Err(error) = writer.sweep(&path, &self.session_id)
                    && path.exists()
                {
                    ignored(&path, &error.to_string());
                }
            } else if let Some(id) = Id::parse(name) {
                match Kept::read(&self.directory, id) {
                    Ok(piece) => kept.push(piece),
                    // Another process may have removed it since it was listed.
                    Err(error) if path.exists() => ignored(&path, &error.to_string()),
                    Err(_) => {}
                }
            } else {
                ignored(&path, "no evidence");
            }
        }
        kept.sort_by(|a, b| b.order().cmp(&a.order()));
        Ok(kept)
    }

    fn read(
        &self,
        id: &str,
        file: &str,
        length: impl Fn(&Metadata) -> Option<u64>,
    ) -> io::Result<Option<Vec<u8>>> {
        let listed = lock(&self.kept)
            .iter()
            .find(|kept| kept.id.as_str() == id)
            .map(|kept| (kept.id.clone(), length(&kept.metadata)));
        let Some((id, Some(length))) = listed else {
            return Ok(None);
        };
        let path = self.directory.join(id.as_str()).join(file);
        match read_file(&path, length) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                lock(&self.kept).retain(|kept| kept.id != id);
                Ok(None)
            }
            Err(error) => Err(at("cannot read evidence", &path)(error)),
        }
    }

    /// Keeps other processes from making room at the same time, until it is dropped. `None`: one of them takes too long, or there are
    /// no locks here; then the budget may be exceeded by what both keep at that moment, until the next piece is kept.
    fn lock_directory(&self) -> Option<File> {
        let directory = File::open(&self.directory).ok()?;
        for _ in 0..LOCK_TRIES {
            match directory.try_lock() {
                Ok(()) => return Some(directory),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }
}

/// The begin of a text, as long as metadata may be.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(MOST_TEXT_BYTES)].to_owned()
}

/// Says what failed and where.
fn at(what: &str, path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

/// A poisoned lock means that some thread panicked while it held plain data, which is still plain data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::Instant;

    use tempfile::TempDir;

    use super::super::piece::Usage;
    use super::*;

    const SESSION: &str = "1a2b3c4d-0000";
    const EARLIER: &str = "0e0e0e0e-0000";

    fn evidence(seconds: u64, used_bytes: u64) -> Evidence<'static> {
        Evidence {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            trigger: "near_limit",
            usage: Some(Usage {
                used_bytes,
                limit_bytes: 1000,
            }),
            live_bytes: 500,
            sample_interval: 512,
            has_symbols: true,
            profile: &[7; 10_000],
            leaks: Some(b"{}"),
        }
    }

    fn open(directory: &TempDir, max_bytes: u64, session_id: &str) -> EvidenceStore {
        EvidenceStore::open(directory.path(), max_bytes, session_id).unwrap()
    }

    /// Room for so many pieces, with half a piece to spare.
    fn room(pieces: u64) -> u64 {
        pieces * 10_500 + 5_000
    }

    fn used(store: &EvidenceStore) -> Vec<u64> {
        let all = store.all();
        let used = |kept: &Kept| kept.metadata.usage.unwrap().used_bytes;
        all.iter().map(used).collect()
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn listed(store: &EvidenceStore) -> BTreeSet<String> {
        let all = store.all();
        all.iter().map(|kept| kept.id.to_string()).collect()
    }

    fn ignored(store: &EvidenceStore) -> BTreeSet<String> {
        let ignored = RefCell::new(BTreeSet::new());
        let note = |path: &Path, _: &str| {
            let name = path.file_name().unwrap().to_str().unwrap();
            ignored.borrow_mut().insert(name.to_owned());
        };
        store.scan(note).unwrap();
        ignored.into_inner()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_was_kept_is_served_after_a_restart_under_its_old_session() {
        let directory = TempDir::new().unwrap();
        let earlier = open(&directory, room(9), EARLIER);
        let id = earlier.keep(&evidence(1, 900)).unwrap();
        let without_report = Evidence {
            leaks: None,
            ..evidence(2, 800)
        };
        let second = earlier.keep(&without_report).unwrap();
        let all = earlier.all();
        drop(earlier);

        let store = open(&directory, room(9), SESSION);
        assert_eq!(store.all(), all);
        assert_eq!(used(&store), [800, 900], "newest first");
        assert_eq!(id.as_str(), "1970-01-01T000001Z-0e0e0e0e");
        let kept = &store.all()[1];
        assert_eq!(kept.id, id);
        assert_eq!(kept.metadata.session_id, EARLIER);
        assert_eq!(kept.metadata.process_id, process::id());
        assert!(!kept.metadata.program.is_empty());
        assert_eq!(store.profile(id.as_str()).unwrap().unwrap(), [7; 10_000]);
        assert_eq!(store.leaks(id.as_str()).unwrap().unwrap(), b"{}");
        assert_eq!(store.leaks(second.as_str()).unwrap(), None);
        let on_disk: u64 = all
            .iter()
            .flat_map(|kept| fs::read_dir(directory.path().join(kept.id.as_str())).unwrap())
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(store.bytes(), on_disk);
    }

    #[test]
    fn only_the_owner_may_read() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("a/b");
        let store = EvidenceStore::open(&path, room(1), SESSION).unwrap();
        let id = store.keep(&evidence(1, 900)).unwrap();
        let piece = path.join(id.as_str());
        assert_eq!([mode(&path), mode(&piece)], [0o700; 2]);
        for name in [PROFILE_FILE, LEAKS_FILE, METADATA_FILE] {
            assert_eq!(mode(&piece.join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn pieces_of_one_second_have_different_names() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(9), SESSION);
        let ids: Vec<_> = (0..3)
            .map(|number| store.keep(&evidence(1, 900 + number)).unwrap().to_string())
            .collect();
        let name = "1970-01-01T000001Z-1a2b3c4d";
        assert_eq!(
            ids,
            [name.to_owned(), format!("{name}-2"), format!("{name}-3")]
        );
        assert_eq!(used(&store), [902, 901, 900]);
    }

    #[test]
    fn the_oldest_small_ones_go_first() {
        let directory = TempDir::new().unwrap();
        let earlier = open(&directory, room(4), EARLIER);
        for (seconds, used) in [(1, 950), (2, 810), (3, 820)] {
            earlier.keep(&evidence(seconds, used)).unwrap();
        }
        let store = open(&directory, room(4), SESSION);
        let mut seen = Vec::new();
        for (seconds, used_bytes) in [(4, 900), (5, 850), (6, 860), (7, 910), (8, 800)] {
            store.keep(&evidence(seconds, used_bytes)).unwrap();
            assert!(store.bytes() <= room(4));
            assert_eq!(names(directory.path()), listed(&store));
            seen.push(used(&store));
        }
        let expected: [&[u64]; 5] = [
            &[900, 820, 810, 950],
            &[850, 900, 820, 950],
            &[860, 850, 900, 950],
            &[910, 860, 850, 950],
            &[800, 910, 860, 950],
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn peaks_go_when_there_is_nothing_else_and_the_newest_stays() {
        let directory = TempDir::new().unwrap();
        for (seconds, session) in [(1, "a"), (2, "b"), (3, "c")] {
            let store = open(&directory, room(2), session);
            store.keep(&evidence(seconds, 1000 - seconds)).unwrap();
        }
        let store = open(&directory, room(2), "d");
        assert_eq!(used(&store), [997, 998]);
        // The clock was set back: the new one has the oldest time and the least usage, and stays all the same.
        store.keep(&evidence(0, 1)).unwrap();
        assert_eq!(used(&store), [997, 1]);
        let large = vec![0; 25_000];
        let large = Evidence {
            profile: &large,
            ..evidence(0, 2)
        };
        store.keep(&large).unwrap();
        assert_eq!(used(&store), [2]);
    }

    #[test]
    fn of_equal_peaks_the_newest_is_kept_longest() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(3), SESSION);
        for (seconds, used) in [(1, 900), (2, 900), (3, 800)] {
            store.keep(&evidence(seconds, used)).unwrap();
        }
        let new = store.metadata(&evidence(4, 850));
        let order = eviction_order(&store.all(), &new);
        let order: Vec<_> = order.iter().map(|id| &id.as_str()[16..17]).collect();
        assert_eq!(order, ["1", "3", "2"]);
    }

    #[test]
    fn what_exceeds_the_budget_alone_is_refused_and_nothing_goes_for_it() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(1), SESSION);
        store.keep(&evidence(1, 900)).unwrap();
        let large = vec![0; 20_000];
        let large = Evidence {
            profile: &large,
            ..evidence(2, 950)
        };
        let error = store.keep(&large).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let message = error.to_string();
        assert!(
            message.ends_with("exceeds the budget of 15500 bytes"),
            "{message}"
        );
        assert_eq!(used(&store), [900]);
        assert_eq!(names(directory.path()).len(), 1);
    }

    #[test]
    fn a_budget_that_shrank_holds_from_the_next_piece_on() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(5), EARLIER);
        for seconds in 0..5 {
            store.keep(&evidence(seconds, 900)).unwrap();
        }
        let store = open(&directory, room(2), SESSION);
        assert_eq!(store.all().len(), 5);
        store.keep(&evidence(6, 800)).unwrap();
        assert_eq!(used(&store), [800, 900]);
    }

    #[test]
    fn the_number_of_pieces_is_bounded() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, u64::MAX, SESSION);
        let id = store.keep(&evidence(0, 900)).unwrap();
        let mut kept = vec![store.all()[0].clone(); MOST_PIECES];
        for (number, piece) in (2..).zip(&mut kept) {
            piece.id = Id::new(piece.metadata.time, SESSION, number);
        }
        kept[0].id = id.clone();
        let new = store.metadata(&evidence(1, 950));
        store.make_room(&mut kept, &new, 1).unwrap();
        assert_eq!(kept.len(), MOST_PIECES - 1);
        assert!(names(directory.path()).is_empty());
    }

    /// As it is kept at intervals, whatever the limit.
    fn regular(seconds: u64) -> Evidence<'static> {
        Evidence {
            usage: None,
            leaks: None,
            ..evidence(seconds, 0)
        }
    }

    fn times(store: &EvidenceStore) -> Vec<u64> {
        let seconds = |kept: &Kept| kept.metadata.time.duration_since(SystemTime::UNIX_EPOCH);
        let all = store.all();
        all.iter()
            .map(|kept| seconds(kept).unwrap().as_secs())
            .collect()
    }

    #[test]
    fn what_is_kept_at_intervals_goes_by_number_and_age() {
        let directory = TempDir::new().unwrap();
        let budget = Budget {
            max_bytes: u64::MAX,
            max_pieces: 3,
            max_age: Duration::from_secs(100),
        };
        let store = EvidenceStore::within(directory.path(), budget, SESSION).unwrap();
        for seconds in 1..6 {
            store.keep(&regular(seconds)).unwrap();
        }
        assert_eq!(times(&store), [5, 4, 3]);
        store.keep(&regular(105)).unwrap();
        assert_eq!(times(&store), [105, 5]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!store.is_forgetting_due(at(105)) && store.is_forgetting_due(at(106)));
        store.forget(at(105)).unwrap();
        assert_eq!(times(&store), [105, 5]);
        store.forget(at(106)).unwrap();
        assert_eq!(
            (times(&store), names(directory.path()).len()),
            (vec![105], 1)
        );
        // The clock is set back: what is of a time to come is not kept for ever.
        (10..14).for_each(|seconds| drop(store.keep(&regular(seconds)).unwrap()));
        assert_eq!(times(&store), [13, 12, 11]);
    }

    #[test]
    fn a_clock_that_jumps_ahead_costs_little() {
        let directory = TempDir::new().unwrap();
        let budget = Budget {
            max_bytes: u64::MAX,
            max_pieces: 1000,
            max_age: Duration::from_secs(100),
        };
        let store = EvidenceStore::within(directory.path(), budget, SESSION).unwrap();
        (0..30).for_each(|seconds| drop(store.keep(&regular(seconds)).unwrap()));
        store.keep(&regular(1_000_000)).unwrap();
        assert_eq!(store.all().len(), 21);
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(1), SESSION);
        let trigger = format!("x{}", "ä".repeat(200));
        let long = Evidence {
            trigger: &trigger,
            ..evidence(1, 900)
        };
        store.keep(&long).unwrap();
        assert_eq!(store.all()[0].metadata.trigger, trigger[..255]);
    }

    #[test]
    fn only_listed_ids_are_read() {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join(PROFILE_FILE), "secret").unwrap();
        let path = directory.path().join("evidence");
        let store = EvidenceStore::open(&path, room(2), SESSION).unwrap();
        let id = store.keep(&evidence(1, 900)).unwrap();
        fs::create_dir(path.join("foreign")).unwrap();
        fs::write(path.join("foreign").join(PROFILE_FILE), "secret").unwrap();
        let absolute = path.join(id.as_str()).display().to_string();
        for id in [
            "",
            ".",
            "..",
            "../",
            "foreign",
            "../evidence/foreign",
            "1970-01-01T000002Z-1a2b3c4d",
            &format!("{id}/"),
            &format!("{id}/../foreign"),
            &format!("{id}\0"),
            &absolute,
        ] {
            assert_eq!(store.profile(id).unwrap(), None, "{id}");
            assert_eq!(store.leaks(id).unwrap(), None, "{id}");
        }
        assert!(store.profile(id.as_str()).unwrap().is_some());
    }

    #[test]
    fn what_is_damaged_or_foreign_is_ignored_and_left_alone() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(99), EARLIER);
        let piece = |seconds| {
            let id = store.keep(&evidence(seconds, 900)).unwrap();
            directory.path().join(id.as_str())
        };
        let truncate = |path: PathBuf, bytes| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_len(bytes).unwrap();
        };
        truncate(piece(1).join(PROFILE_FILE), 9_999);
        truncate(piece(2).join(LEAKS_FILE), 1);
        truncate(piece(3).join(METADATA_FILE), 100);
        truncate(piece(4).join(METADATA_FILE), 0);
        fs::remove_file(piece(5).join(PROFILE_FILE)).unwrap();
        fs::remove_file(piece(6).join(LEAKS_FILE)).unwrap();
        fs::remove_file(piece(7).join(METADATA_FILE)).unwrap();
        let metadata = piece(8).join(METADATA_FILE);
        let content = fs::read_to_string(&metadata).unwrap();
        fs::write(&metadata, content + &" ".repeat(8 << 10)).unwrap();
        let linked = piece(9).join(PROFILE_FILE);
        fs::rename(&linked, directory.path().join("elsewhere")).unwrap();
        symlink("../elsewhere", linked).unwrap();
        let metadata = piece(10).join(METADATA_FILE);
        let content = fs::read_to_string(&metadata).unwrap();
        fs::write(&metadata, content.replace("1970-", "19700-")).unwrap();
        fs::create_dir(directory.path().join("1970-01-01T000011Z-0e0e0e0e")).unwrap();
        fs::write(directory.path().join("1970-01-01T000012Z-0e0e0e0e"), "").unwrap();
        fs::write(directory.path().join(".evidence-4294967295-0e0e0e0e-1"), "").unwrap();
        fs::create_dir(directory.path().join("lost+found")).unwrap();
        let good = piece(20);
        symlink(&good, directory.path().join("1970-01-01T000021Z-0e0e0e0e")).unwrap();

        let before = names(directory.path());
        let store = open(&directory, room(1), SESSION);
        assert_eq!(used(&store), [900]);
        let good = good.file_name().unwrap().to_str().unwrap().to_owned();
        let mut bad = before.clone();
        assert!(bad.remove(&good));
        assert_eq!(bad.len(), 16);
        assert_eq!(ignored(&store), bad);
        // They neither count nor go when room is made.
        store.keep(&evidence(30, 910)).unwrap();
        assert!(names(directory.path()).is_superset(&bad));
        assert_eq!(used(&store), [910]);
    }

    #[test]
    fn a_name_that_is_taken_by_something_else_is_not_replaced() {
        let directory = TempDir::new().unwrap();
        let name = directory.path().join("1970-01-01T000001Z-1a2b3c4d");
        fs::write(&name, "mine").unwrap();
        fs::create_dir(format!("{}-2", name.display())).unwrap();
        fs::write(format!("{}-2/file", name.display()), "mine").unwrap();
        let store = open(&directory, room(1), SESSION);
        let id = store.keep(&evidence(1, 900)).unwrap();
        assert_eq!(id.as_str(), "1970-01-01T000001Z-1a2b3c4d-3");
        assert_eq!(fs::read(&name).unwrap(), b"mine");
    }

    #[test]
    fn a_piece_that_vanished_is_dropped_from_the_list() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(3), SESSION);
        let ids = [1, 2, 3].map(|seconds| store.keep(&evidence(seconds, 900)).unwrap());
        for id in &ids[..2] {
            fs::remove_dir_all(directory.path().join(id.as_str())).unwrap();
        }
        assert_eq!(store.profile(ids[0].as_str()).unwrap(), None);
        assert_eq!(store.all().len(), 2);
        store.refresh().unwrap();
        assert_eq!(store.all().len(), 1);
        store.keep(&evidence(4, 900)).unwrap();
        assert_eq!(store.all().len(), 2);
    }

    #[test]
    fn a_piece_that_was_cut_since_is_an_error_with_its_path() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(1), SESSION);
        let id = store.keep(&evidence(1, 900)).unwrap();
        let path = directory.path().join(id.as_str()).join(PROFILE_FILE);
        for content in [vec![7; 9_999], vec![7; 10_001]] {
            fs::write(&path, content).unwrap();
            let error = store.profile(id.as_str()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
    }

    #[test]
    fn two_stores_share_a_directory_and_its_budget() {
        let directory = TempDir::new().unwrap();
        let stores = ["aaaa", "bbbb"].map(|session| open(&directory, room(6), session));
        let most = std::thread::scope(|scope| {
            let writers = stores.each_ref().map(|store| {
                scope.spawn(|| {
                    let seconds = 0..30;
                    let keep = |seconds| {
                        store.keep(&evidence(seconds, 800 + seconds)).unwrap();
                        store.bytes()
                    };
                    seconds.map(keep).max().unwrap()
                })
            });
            writers.map(|writer| writer.join().unwrap())
        });
        assert!(most.iter().all(|bytes| *bytes <= room(6)), "{most:?}");
        for store in &stores {
            store.refresh().unwrap();
            assert_eq!(
                names(directory.path()),
                listed(store),
                "nothing half-written"
            );
            assert!(ignored(store).is_empty());
            let sessions = store.all().into_iter().map(|kept| kept.metadata.session_id);
            assert_eq!(
                sessions.collect::<BTreeSet<_>>().len(),
                2,
                "both have peaks"
            );
            for kept in store.all() {
                assert!(store.profile(kept.id.as_str()).unwrap().is_some());
            }
        }
    }

    #[test]
    fn room_is_made_by_one_process_at_a_time() {
        let directory = TempDir::new().unwrap();
        let elsewhere = TempDir::new().unwrap();
        let other = open(&elsewhere, room(1), EARLIER);
        let id = other.keep(&evidence(1, 900)).unwrap();
        let store = open(&directory, room(1), SESSION);
        let making_room = File::open(directory.path()).unwrap();
        making_room.lock().unwrap();
        std::thread::scope(|scope| {
            let keep = scope.spawn(|| store.keep(&evidence(2, 800)).unwrap());
            let is_written =
                |name: &String| directory.path().join(name).join(METADATA_FILE).exists();
            let deadline = Instant::now() + Duration::from_secs(10);
            while !names(directory.path()).iter().any(is_written) {
                assert!(Instant::now() < deadline, "nothing is written");
                std::thread::yield_now();
            }
            let [from, to] = [&elsewhere, &directory].map(|at| at.path().join(id.as_str()));
            fs::rename(from, to).unwrap();
            drop(making_room);
            keep.join().unwrap();
        });
        store.refresh().unwrap();
        assert_eq!(used(&store), [800], "the other's piece made room");
    }

    #[test]
    fn another_process_that_is_frozen_does_not_cost_the_evidence() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(1), SESSION);
        let making_room = File::open(directory.path()).unwrap();
        making_room.lock().unwrap();
        store.keep(&evidence(1, 900)).unwrap();
        assert_eq!(used(&store), [900]);
    }

    #[test]
    fn what_dead_writers_left_is_swept_and_never_listed() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(2), EARLIER);
        let id = store.keep(&evidence(1, 900)).unwrap();
        let whole = directory.path().join(id.as_str());
        let left = directory.path().join(".evidence-4294967295-0e0e0e0e-0");
        // Killed after the last file and before the rename, or while it was removed.
        fs::rename(whole, &left).unwrap();
        let kinds = [PROFILE_FILE, LEAKS_FILE, METADATA_FILE];
        for number in 1..3 {
            let path = directory
                .path()
                .join(format!(".evidence-4294967295-0e0e0e0e-{number}"));
            fs::create_dir(&path).unwrap();
            for name in &kinds[..number] {
                fs::copy(left.join(name), path.join(name)).unwrap();
            }
        }
        let own = directory
            .path()
            .join(format!(".evidence-{}-1a2b3c4d-9999", process::id()));
        fs::create_dir(&own).unwrap();
        fs::write(own.join(PROFILE_FILE), "being written").unwrap();
        let store = open(&directory, room(2), SESSION);
        assert!(store.all().is_empty());
        assert!(ignored(&store).is_empty(), "no warning about the living");
        assert_eq!(names(directory.path()).len(), 1);
        assert!(own.exists());
    }

    #[test]
    fn a_directory_that_cannot_be_is_an_error_with_path_and_cause() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = EvidenceStore::open(&path, room(1), SESSION).unwrap_err();
            let message = error.to_string();
            let begin = format!("cannot create evidence directory {}: ", path.display());
            assert!(
                message.starts_with(&begin) && message.len() > begin.len(),
                "{message}"
            );
        }
        for session in ["", &"x".repeat(257)] {
            let error = EvidenceStore::open(directory.path(), 1, session).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_directory_that_went_away_is_an_error_and_the_list_stays() {
        let parent = TempDir::new().unwrap();
        let path = parent.path().join("evidence");
        let store = EvidenceStore::open(&path, room(1), SESSION).unwrap();
        let id = store.keep(&evidence(1, 900)).unwrap();
        let moved = parent.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        fs::write(&path, "a file in its place").unwrap();
        let error = store.keep(&evidence(2, 900)).unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert!(store.refresh().is_err());
        assert!(store.profile(id.as_str()).is_err());
        assert_eq!(used(&store), [900]);
        fs::remove_file(&path).unwrap();
        fs::rename(&moved, &path).unwrap();
        assert!(store.keep(&evidence(2, 900)).is_ok());
    }

    #[test]
    fn what_cannot_be_made_visible_leaves_nothing() {
        let directory = TempDir::new().unwrap();
        let store = open(&directory, room(1), SESSION);
        for number in 1..=100 {
            let id = Id::new(evidence(1, 0).time, SESSION, number);
            fs::write(directory.path().join(id.as_str()), "").unwrap();
        }
        let before = names(directory.path());
        assert!(store.keep(&evidence(1, 900)).is_err());
        assert_eq!(names(directory.path()), before);
        assert!(store.all().is_empty());
        assert!(store.keep(&evidence(2, 900)).is_ok());
    }
}
