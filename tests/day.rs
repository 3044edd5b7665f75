//! A day of ticks at the interval of production, 2880 of them, as fast as they can be had: with the leak watch, the alert manager and the
//! history on disk, by the exporter's own ticker. What the exporter holds does not grow. A process of its own, so that nobody else allocates.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::time::{Duration, Instant};

use memory_exporter::{Allocator, Config, Exporter};
use redb::{ReadableDatabase, ReadableTableMetadata, TableDefinition};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

type Levels = (Option<u64>, Option<u64>, Option<u64>);

/// As in `src/snapshot/archive.rs`.
const MOMENTS: TableDefinition<'_, u64, Levels> = TableDefinition::new("moments");
/// Moments of a day, half a minute apart.
const DAY: u64 = 2_880;
/// Of them those after which everything has its size: the ring is full, and every buffer was used.
const SETTLED: u64 = 1_440;
const INTERVAL: Duration = Duration::from_millis(5);
/// What comes and goes with threads that take their time, and far less than a kilobyte for each tick would be.
const SLACK: u64 = 1 << 20;
/// Longest that it may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_day_of_ticks_does_not_grow_the_exporter() {
    // A real disk takes longer than a tick that is six thousand times too short, and what waits for it would be counted.
    let memory = Path::new("/dev/shm");
    let directory = match memory.exists() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let directory = directory.unwrap();
    let mut config = Config::production();
    config.sampling.interval = INTERVAL;
    config.sampling.max_samples = 200;
    config.history.directory = Some(directory.path().to_owned());
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    let start = Instant::now();
    let settled = wait(&exporter, start, SETTLED);
    let grown = wait(&exporter, start, DAY);
    println!(
        "{settled} bytes after {SETTLED} ticks, {grown} after {DAY}, in {:?}",
        start.elapsed()
    );
    assert!(grown <= settled + SLACK, "{settled} bytes became {grown}");
    exporter.stop();
    // One moment for each tick.
    let history = redb::Database::open(directory.path().join("history.redb")).unwrap();
    let moments = history.begin_read().unwrap().open_table(MOMENTS).unwrap();
    let ticks = moments.len().unwrap();
    println!("{ticks} moments on disk");
    assert!(ticks >= DAY, "{ticks} ticks");
}

/// Waits for a tick, and says how many bytes the program holds then.
fn wait(exporter: &Exporter, start: Instant, tick: u64) -> u64 {
    // A tick that is late delays those after it: a quarter more time is enough, or the count on disk says so.
    let due = INTERVAL * u32::try_from(tick * 5 / 4).unwrap();
    while start.elapsed() < due {
        std::thread::sleep(Duration::from_millis(50));
        assert!(start.elapsed() < PATIENCE);
    }
    let bytes = |_| {
        std::thread::sleep(Duration::from_millis(10));
        exporter.snapshot().heap_bytes().unwrap()
    };
    // The least of some hundred ticks: when nothing is under way.
    (0..150).map(bytes).min().unwrap()
}
