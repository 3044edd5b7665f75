//! The growth verdict and the time to the limit on real programs: six processes, each of which grows in one of the ways that are told apart (or not at all), are
//! asked over HTTP what grows; and two that leak against a limit, when they will reach it.
#![allow(
    unsafe_code,
    reason = "mappings of the program's own are what two of them are about"
)]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, ptr, thread};

use memory_exporter::config::Profile;
use memory_exporter::{Allocator, Config, Exporter};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

/// Which of the programs a process is.
const PROGRAM: &str = "MEMORY_EXPORTER_TEST_PROGRAM";
const PROGRAMS: [(&str, fn()); 7] = [
    ("stable", stable),
    ("leak", leak),
    ("fragmentation", fragmentation),
    ("retention", retention),
    ("page_cache", page_cache),
    ("non_heap", non_heap),
    ("leak_ever_faster", leak_ever_faster),
];
/// The limit that a process is told of, if any, and so much time it takes to reach it.
const LIMIT: &str = "MEMORY_EXPORTER__LIMITS__MEMORY";
/// Without samples no symbols are read, which takes tens of megabytes for a second, and may reach the limit before its time.
const SAMPLING: &str = "MEMORY_EXPORTER__ALLOCATIONS__SAMPLE_INTERVAL";
const LIMIT_MIB: u64 = 150;
const STEPS_TO_LIMIT: usize = 90;
/// How far predictions are off, as a part of the time that is left: all but so many of them ...
const USUAL_ERROR: f64 = 0.2;
const UNUSUAL: f64 = 0.25;
/// ... and every one. A life here is forty moments, of which the first are the start of the process.
const MOST_ERROR: f64 = 0.4;
/// Time between two steps of a program, each of which adds about a megabyte and a half.
const STEP: Duration = Duration::from_millis(500);
/// A program that is not stopped ends by itself.
const STEPS: usize = 400;
const PAGE: usize = 4 << 10;
const MAPPED: usize = 1 << 30;
const PER_STEP: usize = 3 << 19;
/// Longest until a verdict is right, and how long it must stay so.
const PATIENCE: Duration = Duration::from_secs(90);
const STEADY: Duration = Duration::from_secs(15);

#[test]
fn six_programs_are_told_apart() {
    if let Ok(name) = env::var(PROGRAM) {
        let program = PROGRAMS.iter().find(|(program, _)| *program == name);
        return run(program.unwrap().1);
    }
    let programs: Vec<Program> = PROGRAMS[..6]
        .iter()
        .map(|(name, _)| Program::start(name, &[]))
        .collect();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let watchers: Vec<_> = programs
            .iter()
            .map(|program| scope.spawn(|| program.watch()))
            .collect();
        watchers
            .into_iter()
            .map(|watcher| watcher.join().unwrap())
            .collect()
    });
    let wrong: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A steady leak and one that becomes ever faster: over the last half of their lives, to the last tenth, it is known how much is left.
#[test]
fn the_end_is_foretold() {
    let limit = format!("{LIMIT_MIB}MiB");
    let wrong: Vec<String> = thread::scope(|scope| {
        let watchers = ["leak", "leak_ever_faster"].map(|name| {
            let limit = &limit;
            scope.spawn(move || Program::start(name, &[(LIMIT, limit), (SAMPLING, "0")]).foretold())
        });
        watchers
            .into_iter()
            .filter_map(|watcher| watcher.join().unwrap())
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One of the programs, running; it is killed when this is dropped.
struct Program {
    name: &'static str,
    child: Child,
    /// Kept open: a test that runs for a minute says so, and must be able to.
    _output: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
}

impl Program {
    fn start(name: &'static str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "six_programs_are_told_apart", "--nocapture"])
            .env(PROGRAM, name)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped());
        if name == "retention" {
            command.env("_RJEM_MALLOC_CONF", "dirty_decay_ms:-1,muzzy_decay_ms:-1");
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| Some(line.unwrap().strip_prefix("listens on ")?.parse().unwrap()));
        Self {
            name,
            child,
            _output: lines,
            address: address.unwrap(),
        }
    }

    /// Waits until the verdict is right, and sees that it stays so.
    fn watch(&self) -> Result<(), String> {
        let start = Instant::now();
        let mut since = None;
        let mut trend = Value::Null;
        while start.elapsed() < PATIENCE {
            thread::sleep(STEP);
            trend = serde_json::from_str(&self.get("/metrics/memory/trend")).unwrap();
            let states = self.states();
            let holding: Vec<_> = states
                .iter()
                .filter(|(_, value)| value == "1")
                .map(|(state, _)| state.as_str())
                .collect();
            assert!(
                states.is_empty() || (states.len() == 6 && holding.len() == 1),
                "{}: {states:?}",
                self.name
            );
            let is_right = trend["growth"]["verdict"] == self.name && holding == [self.name];
            since = if is_right {
                Some(since.unwrap_or_else(Instant::now))
            } else {
                None
            };
            if since.is_some_and(|since| since.elapsed() >= STEADY) {
                let growth = &trend["growth"];
                println!(
                    "{}: after {:.0?}, over {} s, {growth}",
                    self.name,
                    start.elapsed() - STEADY,
                    growth["window_seconds"]
                );
                return self.check(growth);
            }
        }
        Err(format!("{}: {:#}", self.name, trend["growth"]))
    }

    /// What else the right verdict must come with.
    fn check(&self, growth: &Value) -> Result<(), String> {
        if self.name == "stable" {
            return Ok(());
        }
        let part = &growth["parts"][self.name];
        let rate = growth["bytes_per_second"].as_f64().unwrap();
        let is_right = part["share"].as_f64() > Some(0.5)
            && rate > 0.0
            && growth["lowest_bytes_per_second"].as_f64() > Some(0.0);
        if is_right {
            Ok(())
        } else {
            Err(format!("{}: {growth:#}", self.name))
        }
    }

    /// What it said of its end until it came, and where that was wrong.
    fn foretold(&self) -> Option<String> {
        let start = Instant::now();
        let (mut levels, mut said) = (Vec::new(), Vec::new());
        let end = loop {
            thread::sleep(STEP);
            let text = self.get("/metrics");
            let at = start.elapsed().as_secs_f64();
            let number = |series: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(series));
                line.map(|value| value.trim().parse::<f64>().unwrap())
            };
            let [used, limit] = ["memory_rss_bytes ", "memory_limit_bytes "].map(number);
            if used.unwrap() >= limit.unwrap() {
                break at;
            }
            levels.push(used.unwrap() / 1_024.0);
            said.push((at, number("memory_limit_exhaustion_seconds ")));
            assert!(start.elapsed() < PATIENCE, "{}: {used:?}", self.name);
        };
        let errors: Vec<f64> = said
            .into_iter()
            .filter(|(at, _)| (0.5..0.9).contains(&(at / end)))
            .map(|(at, said)| {
                let left = end - at;
                said.map_or(f64::INFINITY, |said| said / left - 1.0)
            })
            .collect();
        let beyond = |most: f64| errors.iter().filter(|error| error.abs() > most).count();
        println!(
            "{}: {end:.0} s; {} of {} predictions off by more than 20 %: {errors:.2?}",
            self.name,
            beyond(USUAL_ERROR),
            errors.len()
        );
        let is_right =
            beyond(MOST_ERROR) == 0 && beyond(USUAL_ERROR) as f64 <= UNUSUAL * errors.len() as f64;
        (!is_right).then(|| format!("{}: {errors:.2?}, levels in KiB: {levels:?}", self.name))
    }

    /// The states of the verdict in a scrape, and their values.
    fn states(&self) -> Vec<(String, String)> {
        let text = self.get("/metrics");
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("memory_growth_verdict{verdict=\""));
        lines
            .map(|line| {
                let (state, value) = line.split_once("\"} ").unwrap();
                (state.to_owned(), value.to_owned())
            })
            .collect()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        if head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked")
        {
            return unchunked(body);
        }
        body.to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    text
}

/// A process that is one of the programs.
fn run(program: fn()) {
    let mut config = Config::from_file(Profile::Production, None).unwrap();
    config.sampling.interval = Duration::from_secs(1);
    config.web.listen_address = vec![([127, 0, 0, 1], 0).into()];
    let exporter = Exporter::start(config).unwrap();
    println!("\nlistens on {}", exporter.addresses()[0]);
    std::io::stdout().flush().unwrap();
    program();
}

/// One step after the other.
fn steps() -> impl Iterator<Item = usize> {
    (0..STEPS).inspect(|_| thread::sleep(STEP))
}

/// Takes and gives back, and keeps nothing.
fn stable() {
    let mut held: Vec<Vec<u8>> = (0..64).map(|_| Vec::new()).collect();
    for step in steps() {
        for round in 0..64 {
            let at = (step * 7 + round * 11) % held.len();
            held[at] = vec![1; 1_000 + (step * 31 + round * 7_919) % 60_000];
        }
    }
}

/// Takes, and keeps.
fn leak() {
    let mut held: Vec<Box<[u8]>> = Vec::new();
    for _ in steps() {
        held.extend((0..PER_STEP / 1_024).map(|_| vec![1_u8; 1_024].into_boxed_slice()));
    }
    std::hint::black_box(held);
}

/// Takes more each time, and keeps it.
fn leak_ever_faster() {
    let mut held: Vec<Box<[u8]>> = Vec::new();
    for step in steps() {
        let bytes = PER_STEP * 2 * step / STEPS_TO_LIMIT;
        held.extend((0..bytes / 1_024).map(|_| vec![1_u8; 1_024].into_boxed_slice()));
    }
    std::hint::black_box(held);
}

/// Takes ever more small blocks at once, and of each page of them keeps one.
fn fragmentation() {
    let mut held: Vec<Box<[u8; 256]>> = Vec::new();
    for step in steps() {
        let wanted = (step + 1) * PER_STEP / 256;
        held.extend((held.len()..wanted).map(|_| Box::new([1; 256])));
        held.retain(|block| ptr::from_ref(&**block).addr() % PAGE == 256);
    }
    std::hint::black_box(held);
}

/// Takes ever more at once, and gives all of it back.
fn retention() {
    for step in steps() {
        let blocks: Vec<Vec<u8>> = (0..=step).map(|_| vec![1; PER_STEP]).collect();
        drop(std::hint::black_box(blocks));
    }
}

/// Reads ever more of a file that it has mapped.
fn page_cache() {
    let file = tempfile::tempfile().unwrap();
    file.set_len(MAPPED as u64).unwrap();
    let start = map(libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd());
    for page in pages(start) {
        // SAFETY: a page of the mapping, which is never unmapped and as long as the file.
        std::hint::black_box(unsafe { page.read_volatile() });
    }
}

/// Writes to ever more of a mapping of its own.
fn non_heap() {
    let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let start = map(libc::PROT_READ | libc::PROT_WRITE, anonymous, -1);
    for page in pages(start) {
        // SAFETY: a page of the mapping, which is writable, never unmapped and known to nobody else.
        unsafe { page.write_volatile(1) };
    }
}

fn map(protection: i32, flags: i32, file: i32) -> *mut u8 {
    // SAFETY: a new mapping where the kernel likes it, over nothing that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), MAPPED, protection, flags, file, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

/// The pages of a mapping, so many of them per step.
fn pages(start: *mut u8) -> impl Iterator<Item = *mut u8> {
    let pages = |step| (step * PER_STEP..(step + 1) * PER_STEP).step_by(PAGE);
    steps()
        .take(MAPPED / PER_STEP)
        .flat_map(pages)
        .map(move |at| start.wrapping_add(at))
}
