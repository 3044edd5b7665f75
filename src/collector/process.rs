//! One process as the kernel sees it.
//!
//! On Linux all memory numbers come from one reading of `/proc/PID/status`, so that they belong together, cost one system call and no
//! allocation. `sysinfo` finds processes by name, and reads them where there is no procfs. `smaps` is never read: it stalls the
//! process it describes.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::files::read_small;
use super::{CollectError, Collector};

/// Ticks per second in which the kernel shows times to programs; fixed at 100 on every architecture that we build for.
const USER_HZ: f64 = 100.0;
/// Longest process name that the kernel keeps.
const COMM_BYTES: usize = 15;

/// Which process is watched.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// The process that carries the exporter.
    #[default]
    Own,
    /// One process; when it ends there are no more readings, even if its number is used again.
    Pid(u32),
    /// The oldest process of this name, and after its end the next one.
    Name(String),
}

/// What the kernel says of a process. What it does not say is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct ProcessReading {
    /// Number of the process.
    pub pid: u32,
    /// Resident set size in bytes.
    pub rss: u64,
    /// Virtual size in bytes.
    pub virtual_size: u64,
    /// Resident anonymous bytes.
    pub rss_anon: Option<u64>,
    /// Resident file bytes.
    pub rss_file: Option<u64>,
    /// Resident shared bytes.
    pub rss_shmem: Option<u64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// User and system CPU time in seconds.
    pub cpu_seconds: Option<f64>,
    /// Start in seconds since 1970.
    pub start_time: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Most file descriptors allowed.
    pub max_fds: Option<u64>,
    /// Most virtual memory allowed, in bytes; absent when unlimited.
    pub virtual_max: Option<u64>,
    /// Private writable mappings in bytes, resident or not: what the limit of the data segment counts since Linux 4.7.
    pub data_size: Option<u64>,
    /// Largest data segment allowed, in bytes; absent when unlimited.
    pub data_max: Option<u64>,
}

/// Reads one process.
#[derive(Debug)]
pub struct ProcessCollector {
    proc: PathBuf,
    target: Target,
    found: Option<Found>,
    ended: bool,
    buffer: Vec<u8>,
}

/// The process that the target stands for now, with its paths made once.
#[derive(Debug)]
struct Found {
    pid: u32,
    /// Start in ticks since boot: tells a process from a later one with the same number.
    start_ticks: Option<u64>,
    start_time: Option<f64>,
    status: PathBuf,
    stat: PathBuf,
    limits: PathBuf,
    fds: PathBuf,
}

impl ProcessCollector {
    /// A collector for `target`, with procfs at `proc`.
    pub fn new(target: Target, proc: PathBuf) -> Self {
        Self {
            proc,
            target,
            found: None,
            ended: false,
            buffer: Vec::with_capacity(4 << 10),
        }
    }

    /// Number of the process that is watched now, if there is one.
    pub fn pid(&self) -> Option<u32> {
        self.found.as_ref().map(|found| found.pid)
    }

    fn find(&mut self) -> Result<&Found, CollectError> {
        if self.found.is_none() {
            let pid = match &self.target {
                Target::Own => std::process::id(),
                Target::Pid(_) if self.ended => {
                    return Err(CollectError::NoData("the target process has ended"));
                }
                Target::Pid(pid) => *pid,
                Target::Name(name) => find_by_name(name).ok_or(CollectError::NoData(
                    "no process has the name of the target",
                ))?,
            };
            let dir = match self.target {
                Target::Own => self.proc.join("self"),
                _ => self.proc.join(pid.to_string()),
            };
            self.found = Some(Found {
                pid,
                start_ticks: None,
                start_time: None,
                status: dir.join("status"),
                stat: dir.join("stat"),
                limits: dir.join("limits"),
                fds: dir.join("fd"),
            });
        }
        self.found
            .as_ref()
            .ok_or(CollectError::NoData("the target process is unknown"))
    }

    fn lose(&mut self) -> CollectError {
        self.found = None;
        self.ended = true;
        CollectError::NoData("the target process has ended")
    }

    fn read(&mut self, reading: &mut ProcessReading) -> Result<(), CollectError> {
        self.find()?;
        let Some(found) = &mut self.found else {
            return Err(CollectError::NoData("the target process is unknown"));
        };
        *reading = ProcessReading {
            pid: found.pid,
            ..ProcessReading::default()
        };
        let text = match read_small(&found.status, &mut self.buffer) {
            Ok(text) => text,
            Err(cause) if is_gone(&cause) && self.target != Target::Own => return Err(self.lose()),
            Err(cause) => {
                return Err(CollectError::failed(
                    found.status.display().to_string(),
                    cause,
                ));
            }
        };
        let parsed = parse_status(text, reading);
        // Whose status it is must be known before what it says: a thread of the kernel that has the number now shows no memory.
        if let Some((ticks, cpu)) = read_small(&found.stat, &mut self.buffer)
            .ok()
            .and_then(parse_stat)
        {
            match found.start_ticks {
                Some(before) if before != ticks => return Err(self.lose()),
                Some(_) => {}
                None => {
                    found.start_ticks = Some(ticks);
                    found.start_time = boot_time(&self.proc, &mut self.buffer)
                        .map(|boot| boot + to_seconds(ticks));
                }
            }
            reading.cpu_seconds = Some(cpu);
        }
        parsed.ok_or_else(|| {
            let status = found.status.display().to_string();
            CollectError::malformed(status, "VmRSS or VmSize is missing")
        })?;
        reading.start_time = found.start_time;
        if let Ok(text) = read_small(&found.limits, &mut self.buffer) {
            reading.max_fds = limit(text, "Max open files");
            reading.virtual_max = limit(text, "Max address space");
            reading.data_max = limit(text, "Max data size");
        }
        // Since Linux 6.2 the size of this directory is the number of its entries; before it was 0.
        reading.open_fds = std::fs::metadata(&found.fds)
            .ok()
            .map(|fds| fds.len())
            .filter(|fds| *fds > 0)
            .or_else(|| {
                let entries = std::fs::read_dir(&found.fds).ok()?;
                Some(entries.count() as u64)
            });
        Ok(())
    }
}

impl Collector for ProcessCollector {
    type Reading = ProcessReading;

    const NAME: &'static str = "process";

    fn collect(&mut self, reading: &mut ProcessReading) -> Result<(), CollectError> {
        if cfg!(target_os = "linux") {
            self.read(reading)
        } else {
            let pid = self.find()?.pid;
            *reading = read_by_sysinfo(pid).ok_or_else(|| self.lose())?;
            Ok(())
        }
    }
}

fn is_gone(cause: &io::Error) -> bool {
    const NO_SUCH_PROCESS: i32 = 3;
    cause.kind() == io::ErrorKind::NotFound || cause.raw_os_error() == Some(NO_SUCH_PROCESS)
}

/// Fills the memory numbers; `None` when the two that everybody wants are not there (a kernel thread, or not this file).
fn parse_status(text: &str, reading: &mut ProcessReading) -> Option<()> {
    let (mut rss, mut virtual_size) = (None, None);
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let number = || value.split_ascii_whitespace().next()?.parse::<u64>().ok();
        let bytes = || number().map(|kib| kib.saturating_mul(1_024));
        match key {
            "VmRSS" => rss = bytes(),
            "VmSize" => virtual_size = bytes(),
            "VmData" => reading.data_size = bytes(),
            "RssAnon" => reading.rss_anon = bytes(),
            "RssFile" => reading.rss_file = bytes(),
            "RssShmem" => reading.rss_shmem = bytes(),
            "Threads" => reading.threads = number(),
            _ => {}
        }
    }
    (reading.rss, reading.virtual_size) = (rss?, virtual_size?);
    Some(())
}

/// Start in ticks since boot, and CPU seconds. The name in brackets may hold anything, brackets and blanks included.
fn parse_stat(text: &str) -> Option<(u64, f64)> {
    const UTIME: usize = 14 - 3;
    const STIME: usize = 15 - 3;
    const STARTTIME: usize = 22 - 3;
    let (_, behind_name) = text.rsplit_once(')')?;
    let field = |at: usize| {
        behind_name
            .split_ascii_whitespace()
            .nth(at)?
            .parse::<u64>()
            .ok()
    };
    Some((
        field(STARTTIME)?,
        to_seconds(field(UTIME)?.saturating_add(field(STIME)?)),
    ))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "2^53 ticks are three million years"
)]
fn to_seconds(ticks: u64) -> f64 {
    ticks as f64 / USER_HZ
}

fn boot_time(proc: &Path, buffer: &mut Vec<u8>) -> Option<f64> {
    let text = read_small(&proc.join("stat"), buffer).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// The soft limit of a row of `/proc/PID/limits`; `None` when unlimited.
fn limit(text: &str, name: &str) -> Option<u64> {
    let row = text.lines().find_map(|line| line.strip_prefix(name))?;
    row.split_ascii_whitespace().next()?.parse().ok()
}

/// The oldest process of this name, other than this one.
fn find_by_name(name: &str) -> Option<u32> {
    let mut system = System::new().ok()?;
    let what = ProcessRefreshKind::nothing()
        .with_exe(UpdateKind::Always)
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    let short = name.get(..COMM_BYTES).unwrap_or(name);
    let is_named = |process: &sysinfo::Process| match process.exe().and_then(Path::file_name) {
        Some(exe) if exe == OsStr::new(name) => true,
        // A name of full length may have been cut off, and then only the path of the program tells.
        Some(_) if name.len() > COMM_BYTES => false,
        _ => process.name() == OsStr::new(short),
    };
    system
        .processes()
        .values()
        .filter(|process| process.pid().as_u32() != std::process::id() && is_named(process))
        .min_by_key(|process| (process.start_time(), process.pid()))
        .map(|process| process.pid().as_u32())
}

/// For systems without procfs.
fn read_by_sysinfo(pid: u32) -> Option<ProcessReading> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(pid);
    let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let process = system.process(pid)?;
    #[allow(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are far below 2^53"
    )]
    let start_time = process.start_time() as f64;
    Some(ProcessReading {
        pid: pid.as_u32(),
        rss: process.memory(),
        virtual_size: process.virtual_memory(),
        start_time: Some(start_time),
        ..ProcessReading::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_a_stat_line_may_hold_brackets_and_blanks() {
        let line = "42 (a ) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 7 0 12345 999 88 18446744073709551615";
        assert_eq!(parse_stat(line), Some((12_345, 2.0)));
        assert_eq!(parse_stat("42 (short) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn unlimited_is_absent() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 524288               files     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(limit(text, "Max open files"), Some(1_024));
        assert_eq!(limit(text, "Max address space"), None);
    }

    #[test]
    fn sysinfo_and_procfs_agree_about_this_process() {
        let mut reading = ProcessReading::default();
        ProcessCollector::new(Target::Own, "/proc".into())
            .collect(&mut reading)
            .unwrap();
        let other = read_by_sysinfo(std::process::id()).unwrap();
        assert!(
            reading.rss.abs_diff(other.rss) < 16 << 20,
            "{} and {}",
            reading.rss,
            other.rss
        );
        assert!((reading.start_time.unwrap() - other.start_time.unwrap()).abs() < 2.0);
        assert!(reading.threads.unwrap() >= 1 && reading.open_fds.unwrap() >= 3);
    }
}
