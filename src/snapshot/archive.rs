//! The past on disk: every moment within the retention, those of the processes before this one too.
//!
//! One file of redb, an embedded store in Rust whose commits survive a kill at any moment, which asks for no directory full of files and
//! keeps its cache small. A moment takes some fifty bytes, so a week of half minutes is one megabyte.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use crate::config::HistoryConfig;

use super::Point;

/// The resident set, the heap and the virtual size in bytes.
type Levels = (Option<u64>, Option<u64>, Option<u64>);

/// Levels by milliseconds since 1970.
const MOMENTS: TableDefinition<'_, u64, Levels> = TableDefinition::new("moments");
const FILE: &str = "history.redb";
/// What could not be read is kept under this name, so that nothing is lost.
const UNREADABLE_FILE: &str = "history.redb.unreadable";
/// Written to see whether there is room again, and how much of it.
const ROOM_FILE: &str = "history.redb.room";
const ROOM_BYTES: usize = 64 << 10;
/// Pages of the file that are kept in memory.
const CACHE_BYTES: usize = 256 << 10;
/// What a moment takes in the file at most, with its share of all that holds the file together: measured.
const MOMENT_BYTES: u64 = 128;
/// Most moments that are forgotten for one that is added: a clock that jumps ahead for a minute must not cost the past.
const MOST_FORGOTTEN: usize = 10;
/// What the file takes when it is empty.
const LEAST_BYTES: u64 = 2 << 20;

/// Keeps moments on disk.
#[derive(Debug)]
pub(crate) struct Archive {
    directory: PathBuf,
    database: RwLock<State>,
    bounds: Mutex<Bounds>,
    /// Whether the last attempt to write failed, which is told once.
    is_failing: Mutex<bool>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    retention: Duration,
    most_moments: u64,
}

impl Bounds {
    fn new(retention: Duration, max_bytes: u64) -> Self {
        Self {
            retention,
            most_moments: max_bytes.saturating_sub(LEAST_BYTES) / MOMENT_BYTES,
        }
    }
}

/// How it stands with the file.
#[derive(Debug)]
enum State {
    Open(Box<Database>),
    /// It could not be written, and is not from then on, whatever becomes of the disk, unless it is opened anew. What can be read of it
    /// still is, until then.
    Failed(Option<Box<Database>>),
    /// Let go of.
    Closed,
}

/// What the store says; it is never more than a reason to go on without.
type Outcome<T> = Result<T, Box<redb::Error>>;

impl Archive {
    /// That of a configuration, where it has a place for one and it can be opened; without it there is still the past in memory.
    pub(crate) fn of(config: &HistoryConfig) -> Option<Self> {
        let directory = config.directory.as_ref()?;
        let opened = Self::open(directory, config.retention, config.max_bytes);
        match opened {
            Ok(archive) => Some(archive),
            Err(error) => {
                let directory = directory.display();
                tracing::error!(%directory, %error, "the history is kept in memory only");
                None
            }
        }
    }

    /// Opens the file in a directory, made if there is none. What is no such file is put aside.
    ///
    /// # Errors
    /// It cannot be opened: another process has it, or the file system does not let us.
    pub(crate) fn open(directory: &Path, retention: Duration, max_bytes: u64) -> Outcome<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            database: RwLock::new(State::Open(Box::new(database(directory)?))),
            bounds: Mutex::new(Bounds::new(retention, max_bytes)),
            is_failing: Mutex::new(false),
        })
    }

    /// From now on no more than this is kept; what is too much goes with the moments that are added.
    pub(crate) fn rebound(&self, retention: Duration, max_bytes: u64) {
        *self.bounds() = Bounds::new(retention, max_bytes);
    }

    fn bounds(&self) -> MutexGuard<'_, Bounds> {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the file, after what is under way: another may open it. What is added from now on is not kept.
    pub(crate) fn close(&self) {
        *self.state() = State::Closed;
    }

    /// The file, for whoever opens or closes it.
    fn state(&self) -> RwLockWriteGuard<'_, State> {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the database, unless there is none now.
    fn with<T: Default>(&self, work: impl FnOnce(&Database) -> Outcome<T>) -> Outcome<T> {
        let state = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Open(database) | State::Failed(Some(database)) => work(database),
            State::Failed(None) | State::Closed => Ok(T::default()),
        }
    }

    /// Opens the file anew, if it has failed before.
    fn recover(&self) -> Outcome<()> {
        let state = &mut *self.state();
        if let State::Failed(database) = state {
            // While there is no room it would not open either, and then nothing could be read.
            try_room(&self.directory).map_err(|error| failed(redb::Error::Io(error)))?;
            // Only one may have it at a time.
            drop(database.take());
            *state = State::Open(Box::new(self::database(&self.directory)?));
        }
        Ok(())
    }

    /// Remembers that the file must be opened anew.
    fn fail(&self) {
        let state = &mut *self.state();
        if let State::Open(_) = state
            && let State::Open(database) = std::mem::replace(state, State::Closed)
        {
            *state = State::Failed(Some(database));
        }
    }

    /// Whether somebody adds a moment now: where the disk hangs, those who wait for it must not become ever more.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.is_failing.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Adds a moment, and forgets what is too old or too much. What goes wrong is told once; says whether it stands there now.
    pub(crate) fn add(&self, point: &Point) -> bool {
        let mut is_failing = self
            .is_failing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let added = self.recover().and_then(|()| self.try_add(point));
        if added.is_err() {
            self.fail();
        }
        if let (Err(error), false) = (&added, *is_failing) {
            let path = self.directory.join(FILE);
            let path = path.display();
            tracing::error!(%path, %error, "the history cannot be written, will go on trying");
        }
        if added.is_ok() && *is_failing {
            tracing::info!("the history is written again");
        }
        *is_failing = added.is_err();
        added.is_ok()
    }

    fn try_add(&self, point: &Point) -> Outcome<()> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the mean of one moment is a whole number of bytes"
        )]
        let bytes = |level: Option<super::Level>| level.map(|level| level.mean as u64);
        let now = milliseconds(point.time);
        let levels = (
            bytes(point.rss),
            bytes(point.heap),
            bytes(point.virtual_size),
        );
        self.with(|database| self.insert(database, now, levels))
    }

    fn insert(&self, database: &Database, now: u64, levels: Levels) -> Outcome<()> {
        let bounds = *self.bounds();
        let transaction = database.begin_write().map_err(failed)?;
        {
            let mut moments = transaction.open_table(MOMENTS).map_err(failed)?;
            moments.insert(now, levels).map_err(failed)?;
            let oldest = now.saturating_sub(milliseconds(UNIX_EPOCH + bounds.retention));
            for _ in 0..MOST_FORGOTTEN {
                let first = moments.first().map_err(failed)?;
                let first = first.map(|(time, _)| time.value());
                let is_too_much = moments.len().map_err(failed)? > bounds.most_moments.max(1);
                let Some(first) = first.filter(|first| *first < oldest || is_too_much) else {
                    break;
                };
                moments.remove(first).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }

    /// Gives each moment between two times to `take`, the oldest first.
    ///
    /// # Errors
    /// The file cannot be read; what was read before was given.
    pub(crate) fn read(
        &self,
        from: SystemTime,
        to: SystemTime,
        mut take: impl FnMut(Point),
    ) -> Outcome<()> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let moments = transaction.open_table(MOMENTS).map_err(failed)?;
            let range = milliseconds(from)..milliseconds(to);
            for moment in moments.range(range).map_err(failed)? {
                let (time, levels) = moment.map_err(failed)?;
                let time = UNIX_EPOCH + Duration::from_millis(time.value());
                let (rss, heap, virtual_size) = levels.value();
                take(Point::of_levels(time, rss, heap, virtual_size));
            }
            Ok(())
        })
    }
}

/// Opens the file in a directory, made if there is none. What is no such file is put aside.
fn database(directory: &Path) -> Outcome<Database> {
    let path = directory.join(FILE);
    fs::create_dir_all(directory).map_err(|error| failed(redb::Error::Io(error)))?;
    let database = match create(&path) {
        Err(error) if is_no_database(&error) => {
            let shown = path.display();
            tracing::error!(path = %shown, %error, "the history cannot be read, and is put aside");
            let aside = directory.join(UNREADABLE_FILE);
            fs::rename(&path, aside).map_err(|error| failed(redb::Error::Io(error)))?;
            create(&path)
        }
        opened => opened,
    };
    let database = database.map_err(failed)?;
    // Made now, so that reading finds the table.
    let transaction = database.begin_write().map_err(failed)?;
    transaction.open_table(MOMENTS).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    Ok(database)
}

/// Whether more can be written, behind what is there, than was written: tried in a file of its own, which leaves no trace.
fn try_room(directory: &Path) -> io::Result<()> {
    let path = directory.join(ROOM_FILE);
    let taken = fs::metadata(directory.join(FILE)).map_or(0, |file| file.len());
    let tried = fs::File::create(&path).and_then(|mut file| {
        io::Seek::seek(&mut file, io::SeekFrom::Start(taken))?;
        io::Write::write_all(&mut file, &[0; ROOM_BYTES])?;
        file.sync_all()
    });
    let _ = fs::remove_file(&path);
    tried
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    redb::Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create(path)
}

/// Whether the file is not, or no more, a database that this version can read.
fn is_no_database(error: &DatabaseError) -> bool {
    match error {
        DatabaseError::UpgradeRequired(_) | DatabaseError::RepairAborted => true,
        DatabaseError::Storage(redb::StorageError::Corrupted(_)) => true,
        DatabaseError::Storage(redb::StorageError::Io(error)) => {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        }
        _ => false,
    }
}

fn failed(error: impl Into<redb::Error>) -> Box<redb::Error> {
    Box::new(error.into())
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(30);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn at(step: u32) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + STEP * step
    }

    fn point(step: u32) -> Point {
        Point::of_levels(at(step), Some(u64::from(step) << 20), None, Some(1 << 40))
    }

    fn steps(archive: &Archive, from: u32, to: u32) -> Vec<u64> {
        let mut steps = Vec::new();
        let read = archive.read(at(from), at(to), |point| {
            assert_eq!((point.moments, point.heap), (1, None));
            steps.push(point.rss.unwrap().max >> 20);
        });
        read.unwrap();
        steps
    }

    #[test]
    fn what_was_added_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper");
        let archive = Archive::open(&path, WEEK, 64 << 20).unwrap();
        (0..10).for_each(|step| assert!(archive.add(&point(step))));
        // Another process keeps out.
        let error = Archive::open(&path, WEEK, 64 << 20).unwrap_err();
        assert!(error.to_string().contains("already open"), "{error}");
        drop(archive);
        let archive = Archive::open(&path, WEEK, 64 << 20).unwrap();
        assert_eq!(steps(&archive, 0, 100), (0..10).collect::<Vec<_>>());
        assert_eq!(steps(&archive, 3, 6), [3, 4, 5]);
    }

    #[test]
    fn what_is_too_old_or_too_much_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::open(directory.path(), STEP * 5, 64 << 20).unwrap();
        (0..20).for_each(|step| assert!(archive.add(&point(step))));
        assert_eq!(steps(&archive, 0, 100), [14, 15, 16, 17, 18, 19]);
        drop(archive);
        let most = LEAST_BYTES + 3 * MOMENT_BYTES;
        let archive = Archive::open(directory.path(), WEEK, most).unwrap();
        (20..22).for_each(|step| assert!(archive.add(&point(step))));
        assert_eq!(steps(&archive, 0, 100), [19, 20, 21]);
    }

    #[test]
    fn a_clock_that_jumps_costs_little() {
        let directory = tempfile::tempdir().unwrap();
        let archive = Archive::open(directory.path(), STEP * 1_000, 64 << 20).unwrap();
        (0..100).for_each(|step| assert!(archive.add(&point(step))));
        // Ahead by months, and back.
        assert!(archive.add(&point(1_000_000)));
        (100..103).for_each(|step| assert!(archive.add(&point(step))));
        let kept = steps(&archive, 0, 200);
        assert_eq!(kept, (10..103).collect::<Vec<_>>());
        // Back by an hour: what is written again is written over.
        (50..60).for_each(|step| assert!(archive.add(&point(step))));
        assert_eq!(steps(&archive, 0, 200), kept);
    }

    #[test]
    fn whoever_closes_it_lets_another_open_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Archive::open(directory.path(), WEEK, 64 << 20).unwrap();
        assert!(first.add(&point(1)));
        first.close();
        let second = Archive::open(directory.path(), WEEK, 64 << 20).unwrap();
        assert!(first.add(&point(2)), "it is not kept, and no failure");
        assert_eq!(steps(&first, 0, 100), [0; 0]);
        assert_eq!(steps(&second, 0, 100), [1]);
    }

    #[test]
    fn the_file_stays_within_its_bound() {
        let directory = tempfile::tempdir().unwrap();
        let most: u64 = 4 << 20;
        let archive = Archive::open(directory.path(), WEEK * 1_000, most).unwrap();
        let state = archive.database.read().unwrap();
        let State::Open(database) = &*state else {
            panic!("{state:?}");
        };
        let transaction = database.begin_write().unwrap();
        {
            // As many as there may be, at once: each by itself would be waited for.
            let mut moments = transaction.open_table(MOMENTS).unwrap();
            for step in 0..u32::try_from(archive.bounds().most_moments).unwrap() {
                let bytes = Some(u64::MAX);
                moments
                    .insert(milliseconds(at(step)), (bytes, bytes, bytes))
                    .unwrap();
            }
        }
        transaction.commit().unwrap();
        drop(state);
        let full = u32::try_from(archive.bounds().most_moments).unwrap();
        (full..full + 500).for_each(|step| assert!(archive.add(&point(step))));
        let bytes = fs::metadata(directory.path().join(FILE)).unwrap().len();
        assert!(bytes <= most, "{bytes} bytes");
        let kept = archive.with(|database| {
            let moments = database.begin_read().map_err(failed)?.open_table(MOMENTS);
            moments.map_err(failed)?.len().map_err(failed)
        });
        assert_eq!(kept.unwrap(), archive.bounds().most_moments);
    }

    #[test]
    fn what_is_no_history_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        for garbage in [vec![7; 100_000], b"not a database".to_vec()] {
            fs::write(&file, &garbage).unwrap();
            let archive = Archive::open(directory.path(), WEEK, 64 << 20).unwrap();
            assert!(archive.add(&point(1)));
            assert_eq!(steps(&archive, 0, 100), [1]);
            drop(archive);
            assert_eq!(
                fs::read(directory.path().join(UNREADABLE_FILE)).unwrap(),
                garbage
            );
            fs::remove_file(&file).unwrap();
        }
    }

    /// Set for a process that writes until it is killed: the directory that it writes to.
    const VICTIM: &str = "MEMORY_EXPORTER_TEST_VICTIM";

    /// Set for a process whose files may not grow.
    const CRAMPED: &str = "MEMORY_EXPORTER_TEST_CRAMPED";

    #[test]
    fn a_kill_loses_nothing_that_was_written() {
        if let Some(directory) = std::env::var_os(VICTIM) {
            write_until_killed(Path::new(&directory));
        }
        let directory = tempfile::tempdir().unwrap();
        let mut written = 0;
        for kill in 0..200 {
            let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["snapshot::archive::tests::a_kill_loses_nothing_that_was_written"])
                .args(["--exact", "--nocapture"])
                .env(VICTIM, directory.path())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let (first, lines) = said(victim.stdout.take().unwrap());
            assert!(first.recv().is_ok(), "kill {kill}: nothing was written");
            std::thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
            victim.kill().unwrap();
            victim.wait().unwrap();
            let last = lines.join().unwrap();
            let archive = Archive::open(directory.path(), WEEK, 64 << 20).unwrap();
            let kept = steps(&archive, 0, u32::MAX);
            assert!(
                kept.iter().copied().eq(0..kept.len() as u64),
                "kill {kill}: {kept:?}"
            );
            // What was being written when it was killed may be there or not.
            assert!(kept.len() as u64 > last, "kill {kill}: {last} was lost");
            assert!(last >= written, "kill {kill}: nothing was added");
            written = last;
        }
    }

    /// What a full disk answers is what a process is answered whose files may not grow.
    #[test]
    fn a_full_disk_costs_moments_and_nothing_else() {
        if let Some(directory) = std::env::var_os(CRAMPED) {
            write_until_full(Path::new(&directory));
            return;
        }
        const CRAMP: &str = "
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
";
        let directory = tempfile::tempdir().unwrap();
        drop(Archive::open(directory.path(), WEEK, 64 << 20).unwrap());
        let bytes = fs::metadata(directory.path().join(FILE)).unwrap().len();
        let output = std::process::Command::new("python3")
            .args(["-c", CRAMP, &bytes.to_string()])
            .arg(std::env::current_exe().unwrap())
            .args(["snapshot::archive::tests::a_full_disk_costs_moments_and_nothing_else"])
            .args(["--exact", "--nocapture"])
            .env(CRAMPED, directory.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        let (_, kept) = said.split_once("kept ").expect("how many were kept");
        let kept: u64 = kept.lines().next().unwrap().parse().unwrap();
        // There is room again: what was kept is there, and more can be added.
        let archive = Archive::open(directory.path(), WEEK, 64 << 20).unwrap();
        assert!(steps(&archive, 0, u32::MAX).into_iter().eq(0..kept));
        assert!(archive.add(&point(u32::try_from(kept).unwrap())));
    }

    /// Adds moments, many at once, until there is no room; then it must still be possible to read.
    fn write_until_full(directory: &Path) {
        let archive = Archive::open(directory, WEEK, 64 << 20).unwrap();
        let mut step = 0;
        while archive.add(&point(step)) {
            step += 1;
            assert!(step < 1_000_000, "there is no end of room");
        }
        assert!(!archive.add(&point(step)));
        let kept = steps(&archive, 0, u32::MAX);
        assert!(
            kept.iter().copied().eq(0..u64::from(step)),
            "{} of {step}",
            kept.len()
        );
        println!("kept {step}");
    }

    /// Adds one moment after the other, and says which are there.
    fn write_until_killed(directory: &Path) -> ! {
        let archive = Archive::open(directory, WEEK, 64 << 20).unwrap();
        let begin = steps(&archive, 0, u32::MAX).len();
        let mut step = u32::try_from(begin).unwrap();
        loop {
            assert!(archive.add(&point(step)));
            println!("written {step}");
            step += 1;
        }
    }

    /// Tells when a first moment was written, and in the end which was the last.
    fn said(
        output: std::process::ChildStdout,
    ) -> (std::sync::mpsc::Receiver<()>, std::thread::JoinHandle<u64>) {
        let (tell, told) = std::sync::mpsc::channel();
        let lines = std::thread::spawn(move || {
            let mut last = 0;
            for line in io::BufRead::lines(io::BufReader::new(output)).map_while(Result::ok) {
                if let Some(step) = line
                    .split_once("written ")
                    .and_then(|(_, step)| step.parse().ok())
                {
                    last = step;
                    let _ = tell.send(());
                }
            }
            last
        });
        (told, lines)
    }
}
