//! The control group of a process: limit, usage, pressure and kills. Version 2, else version 1.
//!
//! The limit that holds is the lowest one on the way from the group of the process up to the root of the hierarchy that is visible.

use std::io;
use std::path::{Path, PathBuf};

use super::files::{keyed, read_small};
use super::{CollectError, Collector};

/// In version 1 "no limit" is a number of this size or above (the largest multiple of the page size).
const V1_UNLIMITED: u64 = 0x7fff_ffff_0000_0000;
const MICROSECONDS: f64 = 1e6;

/// What a control group says of its memory. What its kernel does not say is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct CgroupReading {
    /// Bytes charged to the group.
    pub current: Option<u64>,
    /// The lowest limit in bytes; absent when there is none.
    pub limit: Option<u64>,
    /// Processes killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Seconds in which at least one task waited for memory.
    pub pressure_some: Option<f64>,
    /// Seconds in which all tasks waited for memory.
    pub pressure_full: Option<f64>,
}

/// Reads the control group of one process.
#[derive(Debug)]
pub struct CgroupCollector {
    proc: PathBuf,
    root: PathBuf,
    membership: PathBuf,
    pid: Option<u32>,
    group: Option<Group>,
    buffer: Vec<u8>,
}

/// Where the files of the group are.
#[derive(Debug)]
struct Group {
    /// The content of `/proc/PID/cgroup` that led here; when it changes the process has moved.
    membership: Vec<u8>,
    files: Files,
}

#[derive(Debug)]
enum Files {
    V2 {
        limits: Vec<PathBuf>,
        current: PathBuf,
        events: PathBuf,
        pressure: PathBuf,
    },
    V1 {
        stat: PathBuf,
        limit: PathBuf,
        current: PathBuf,
        oom: PathBuf,
    },
}

impl CgroupCollector {
    /// A collector with procfs and the hierarchy at these roots, for this process until [`follow`](Self::follow) says otherwise.
    pub fn new(proc: PathBuf, root: PathBuf) -> Self {
        let membership = proc.join("self/cgroup");
        Self {
            proc,
            root,
            membership,
            pid: None,
            group: None,
            buffer: Vec::with_capacity(4 << 10),
        }
    }

    /// Reads the group of another process from now on.
    pub fn follow(&mut self, pid: u32) {
        if self.pid != Some(pid) {
            self.pid = Some(pid);
            self.membership = self.proc.join(pid.to_string()).join("cgroup");
            self.group = None;
        }
    }

    fn locate(&mut self) -> Result<&Files, CollectError> {
        let text =
            read_small(&self.membership, &mut self.buffer).map_err(|cause| match cause.kind() {
                io::ErrorKind::NotFound => CollectError::NoData("the system has no control groups"),
                _ => CollectError::failed(self.membership.display().to_string(), cause),
            })?;
        let moved = self
            .group
            .as_ref()
            .is_none_or(|group| group.membership != text.as_bytes());
        if moved {
            self.group = find(text, &self.root).map(|files| Group {
                membership: text.as_bytes().to_vec(),
                files,
            });
        }
        match &self.group {
            Some(group) => Ok(&group.files),
            None => Err(CollectError::NoData(
                "the process is in no control group that accounts for memory",
            )),
        }
    }
}

impl Collector for CgroupCollector {
    type Reading = CgroupReading;

    const NAME: &'static str = "cgroup";

    fn collect(&mut self, reading: &mut CgroupReading) -> Result<(), CollectError> {
        self.locate()?;
        let Some(group) = &self.group else {
            return Err(CollectError::NoData("the process is in no control group"));
        };
        let buffer = &mut self.buffer;
        *reading = CgroupReading::default();
        match &group.files {
            Files::V2 {
                limits,
                current,
                events,
                pressure,
            } => {
                reading.current = read_number(current, buffer)?;
                for limit in limits {
                    let limit = read_number(limit, buffer)?;
                    reading.limit = [reading.limit, limit].into_iter().flatten().min();
                }
                reading.oom_kills = read_keyed(events, "oom_kill", buffer)?;
                if let Ok(text) = read_small(pressure, buffer) {
                    reading.pressure_some = pressure_seconds(text, "some");
                    reading.pressure_full = pressure_seconds(text, "full");
                }
            }
            Files::V1 {
                stat,
                limit,
                current,
                oom,
            } => {
                reading.current = read_number(current, buffer)?;
                let own = read_number(limit, buffer)?;
                let inherited = read_keyed(stat, "hierarchical_memory_limit", buffer)?;
                reading.limit = [own, inherited]
                    .into_iter()
                    .flatten()
                    .filter(|limit| *limit < V1_UNLIMITED)
                    .min();
                reading.oom_kills = read_keyed(oom, "oom_kill", buffer)?;
            }
        }
        Ok(())
    }
}

/// The files of the group that `/proc/PID/cgroup` names.
fn find(membership: &str, root: &Path) -> Option<Files> {
    let path_of = |wanted: &dyn Fn(&str, &str) -> bool| {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            wanted(hierarchy, controllers).then_some(path)
        })
    };
    let v1 = path_of(&|_, controllers| {
        controllers
            .split(',')
            .any(|controller| controller == "memory")
    });
    if let Some(path) = v1 {
        let dir = existing(&root.join("memory"), path, "memory.usage_in_bytes")?;
        return Some(Files::V1 {
            stat: dir.join("memory.stat"),
            limit: dir.join("memory.limit_in_bytes"),
            current: dir.join("memory.usage_in_bytes"),
            oom: dir.join("memory.oom_control"),
        });
    }
    let path = path_of(&|hierarchy, controllers| hierarchy == "0" && controllers.is_empty())?;
    let dir = existing(root, path, "memory.current")?;
    let limits = dir
        .ancestors()
        .take_while(|dir| dir.starts_with(root))
        .map(|dir| dir.join("memory.max"))
        .collect();
    Some(Files::V2 {
        limits,
        current: dir.join("memory.current"),
        events: dir.join("memory.events"),
        pressure: dir.join("memory.pressure"),
    })
}

/// The directory of a group. Inside a container the path of the host may stand in `/proc` while only the container's own group is
/// mounted, as the root.
fn existing(root: &Path, path: &str, file: &str) -> Option<PathBuf> {
    let relative = path.trim_start_matches('/');
    let climbs = Path::new(relative)
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    let dir = root.join(relative);
    [dir, root.to_owned()]
        .into_iter()
        .skip(usize::from(climbs))
        .find(|dir| dir.join(file).exists())
}

/// A file of one number; `max` and a file that does not exist are none.
fn read_number(path: &Path, buffer: &mut Vec<u8>) -> Result<Option<u64>, CollectError> {
    match read_small(path, buffer).map(str::trim) {
        Ok("max") => Ok(None),
        Ok(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(CollectError::malformed(
                path.display().to_string(),
                "not a number",
            )),
        },
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(CollectError::failed(path.display().to_string(), cause)),
    }
}

fn read_keyed(path: &Path, key: &str, buffer: &mut Vec<u8>) -> Result<Option<u64>, CollectError> {
    match read_small(path, buffer) {
        Ok(text) => Ok(keyed(text, key)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(CollectError::failed(path.display().to_string(), cause)),
    }
}

/// The total of a line such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, which is in microseconds.
fn pressure_seconds(text: &str, kind: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
    let total: f64 = line
        .split_ascii_whitespace()
        .find_map(|field| field.strip_prefix("total="))?
        .parse()
        .ok()?;
    Some(total / MICROSECONDS)
}
