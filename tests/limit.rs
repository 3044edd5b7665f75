//! A process that leaks below a memory limit until the kernel kills it: when it said that it would happen, and what the process that comes
//! after it finds and serves.
//!
//! The control group is a real one where such a thing can be made (version 2 or 1). Elsewhere it is a folder that looks like one: the
//! test plays the kernel, keeps its files, and kills.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use memory_exporter::collector::Roots;
use memory_exporter::config::Profile;
use memory_exporter::{Allocator, Config, Exporter};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

/// What a child does, where its evidence goes, the group that it enters, and the roots that it reads.
const PROGRAM: &str = "MEMORY_EXPORTER_TEST_PROGRAM";
const EVIDENCE: &str = "MEMORY_EXPORTER_TEST_EVIDENCE";
const GROUP: &str = "MEMORY_EXPORTER_TEST_GROUP";
const ROOT: &str = "MEMORY_EXPORTER_TEST_ROOT";

const LIMIT: u64 = 400 << 20;
/// The leak takes about 70 seconds to the limit.
const STEP: Duration = Duration::from_millis(20);
const LEAKED: usize = 128 << 10;
/// Longest that a program may take.
const PATIENCE: Duration = Duration::from_secs(240);

const CONFIG: &str = "
web: {listen_address: [127.0.0.1:0]}
sampling: {interval: 1s}
allocations: {sample_interval: 64KiB}
leaks: {warm_up: 2s, window: 10s}
limits: {evidence: {directory: DIRECTORY, cooldown: 2s}}
";

#[inline(never)]
fn pile_up(pile: &mut Vec<Vec<u8>>) {
    pile.push(vec![7; LEAKED]);
}

fn child(program: &str) {
    if let Ok(group) = env::var(GROUP) {
        fs::write(
            Path::new(&group).join("cgroup.procs"),
            process::id().to_string(),
        )
        .unwrap();
    }
    let config = CONFIG.replace("DIRECTORY", &env::var(EVIDENCE).unwrap());
    let config = Config::load(Profile::Production, &config, []).unwrap();
    let mut builder = Exporter::builder(config);
    if let Ok(root) = env::var(ROOT) {
        let root = Path::new(&root);
        builder = builder.roots(Roots {
            proc: root.join("proc"),
            cgroup: root.join("cgroup"),
        });
    }
    let exporter = builder.start().unwrap();
    println!("\nat {}", exporter.addresses()[0]);
    let mut pile = Vec::new();
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if program == "leak" {
            pile_up(&mut pile);
        }
        sleep(STEP);
    }
}

#[test]
fn the_kill_is_foretold_and_the_evidence_survives_it() {
    if let Ok(program) = env::var(PROGRAM) {
        return child(&program);
    }
    let folder = tempfile::tempdir().unwrap();
    let evidence = folder.path().join("evidence");
    let group = Group::new(folder.path());
    println!("control group: {group:?}");

    let mut leaking = Program::start("leak", &evidence, &group);
    let session = leaking.json("/metrics/memory/snapshot")["session_id"].clone();
    let start = Instant::now();
    let mut told = Vec::new();
    let status = loop {
        if let Some(status) = leaking.end() {
            break status;
        }
        assert!(start.elapsed() < PATIENCE, "it was not killed");
        group.be_the_kernel(&leaking);
        if let Some(seconds) = leaking.exhaustion() {
            told.push((start.elapsed().as_secs_f64(), seconds));
        }
        sleep(Duration::from_millis(500));
    };
    let died = start.elapsed().as_secs_f64();
    assert_eq!(status.signal(), Some(9), "{status}");

    // In the last half of its life the end was foretold to a fifth of the time that was left, and to the half second of a look.
    let late: Vec<_> = told.iter().filter(|(at, _)| *at > died / 2.0).collect();
    assert!(late.len() > 20, "hardly anything was foretold: {told:?}");
    let miss = |(at, seconds): &(f64, f64)| (at + seconds - died).abs() / (died - at);
    let is_near = |told: &&&(f64, f64)| miss(told) <= 0.2 || (told.0 + told.1 - died).abs() < 2.0;
    let near = late.iter().filter(is_near).count();
    let mut misses: Vec<f64> = late.iter().map(|told| miss(told)).collect();
    misses.sort_by(f64::total_cmp);
    println!(
        "lived for {died:.1} s; foretold {} times in the last half, {near} within 20 %, median miss {:.0} %",
        late.len(),
        misses[misses.len() / 2] * 100.0
    );
    assert!(near * 10 >= late.len() * 9, "{late:?}");

    // The next process finds what the dead one left.
    let after = Program::start("idle", &evidence, &Group::None);
    let listed = after.json("/metrics/memory/profiles");
    assert_ne!(listed["session_id"], session);
    let left: Vec<&Value> = listed["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|profile| profile["session_id"] == session)
        .collect();
    assert!(!left.is_empty(), "{listed:#}");
    println!("{} pieces of evidence; the last: {:#}", left.len(), left[0]);
    let used = left[0]["limit"]["used_bytes"].as_u64().unwrap();
    assert!(used > LIMIT * 8 / 10 && used <= LIMIT, "{:#}", left[0]);
    assert_eq!(left[0]["limit"]["limit_bytes"], LIMIT);
    assert_eq!(left[0]["trigger"], "limit");
    let named = left
        .iter()
        .find(|profile| profile["has_symbols"] == true)
        .expect("there was room for symbols");
    let stacks = after.get(&format!(
        "{}?format=folded",
        named["pprof"].as_str().unwrap()
    ));
    let heaviest = stacks.lines().max_by_key(|line| {
        let (_, bytes) = line.rsplit_once(' ').unwrap();
        bytes.parse::<u64>().unwrap()
    });
    assert!(heaviest.unwrap().contains("pile_up"), "{stacks}");
    let report = after.json(left[0]["leaks"].as_str().unwrap());
    let suspect = &report["suspects"][0];
    assert!(
        suspect["function"].as_str().unwrap().ends_with("pile_up"),
        "{report:#}"
    );
    assert!(
        suspect["bytes"].as_f64().unwrap() > LIMIT as f64 / 2.0,
        "{report:#}"
    );
}

/// The control group that the leaking process lives in.
#[derive(Debug)]
enum Group {
    /// A real one, removed at the end.
    Real(PathBuf),
    /// A folder with `proc` and `cgroup` that looks like one.
    Pretended(PathBuf),
    None,
}

impl Group {
    fn new(folder: &Path) -> Self {
        let name = format!("memory-exporter-test-{}", process::id());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let v1 = own.lines().find_map(|line| line.split_once(":memory:"));
        let v2 = own.lines().find_map(|line| line.strip_prefix("0::"));
        let candidates = [
            v1.map(|(_, path)| {
                (
                    PathBuf::from("/sys/fs/cgroup/memory").join(&path[1..]),
                    "memory.limit_in_bytes",
                )
            }),
            v1.map(|_| {
                (
                    PathBuf::from("/sys/fs/cgroup/memory"),
                    "memory.limit_in_bytes",
                )
            }),
            v2.map(|path| {
                (
                    PathBuf::from("/sys/fs/cgroup").join(&path[1..]),
                    "memory.max",
                )
            }),
            v2.map(|_| (PathBuf::from("/sys/fs/cgroup"), "memory.max")),
        ];
        for (parent, limit) in candidates.into_iter().flatten() {
            let group = parent.join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let made = Self::Real(group.clone());
            // Not where swap could take what does not fit.
            let _ = fs::write(group.join("memory.swap.max"), "0");
            if group.join(limit).exists() && fs::write(group.join(limit), LIMIT.to_string()).is_ok()
            {
                return made;
            }
        }
        let cgroup = folder.join("cgroup/test");
        let proc = folder.join("proc/self");
        fs::create_dir_all(&cgroup).unwrap();
        fs::create_dir_all(&proc).unwrap();
        fs::write(proc.join("cgroup"), "0::/test\n").unwrap();
        fs::write(cgroup.join("memory.max"), LIMIT.to_string()).unwrap();
        fs::write(cgroup.join("memory.current"), "0").unwrap();
        for file in ["status", "stat", "limits", "maps"] {
            fs::copy(format!("/proc/self/{file}"), proc.join(file)).unwrap();
        }
        Self::Pretended(folder.to_owned())
    }

    /// What the kernel does in a real group: it counts, and kills.
    fn be_the_kernel(&self, program: &Program) {
        let Self::Pretended(folder) = self else {
            return;
        };
        let process = program.process.id();
        for file in ["status", "stat", "limits", "maps"] {
            if let Ok(text) = fs::read(format!("/proc/{process}/{file}")) {
                fs::write(folder.join("proc/self").join(file), text).unwrap();
            }
        }
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let Some(kib) =
            resident.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        else {
            return;
        };
        fs::write(
            folder.join("cgroup/test/memory.current"),
            (kib << 10).to_string(),
        )
        .unwrap();
        if kib << 10 >= LIMIT {
            Command::new("kill")
                .args(["-9", &process.to_string()])
                .status()
                .unwrap();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Self::Real(group) = self {
            // The kernel may need a moment to see that the process is gone.
            for _ in 0..50 {
                if fs::remove_dir(&group).is_ok() {
                    return;
                }
                sleep(Duration::from_millis(100));
            }
        }
    }
}

/// A child of this test, killed at its end.
struct Program {
    process: Child,
    address: SocketAddr,
    /// Kept open, or the child could not write to it.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(program: &str, evidence: &Path, group: &Group) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "the_kill_is_foretold_and_the_evidence_survives_it",
                "--nocapture",
            ])
            .env(PROGRAM, program)
            .env(EVIDENCE, evidence)
            .stdout(Stdio::piped());
        match group {
            Group::Real(group) => command.env(GROUP, group),
            Group::Pretended(root) => command.env(ROOT, root),
            Group::None => &mut command,
        };
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = output.find_map(|line| line.unwrap().strip_prefix("at ")?.parse().ok());
        Self {
            process,
            address: address.expect("the program says where it listens"),
            _output: output,
        }
    }

    fn end(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().unwrap()
    }

    /// Seconds to the limit, as scraped; absent while nothing is foretold.
    fn exhaustion(&self) -> Option<f64> {
        let metrics = self.try_get("/metrics")?;
        let series = "memory_limit_exhaustion_seconds ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(series))?;
        Some(value.parse().unwrap())
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).unwrap()
    }

    fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap()
    }

    /// HTTP/1.0, so that the body ends with the connection; nothing where the process died meanwhile.
    fn try_get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n",
            self.address
        )
        .ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
