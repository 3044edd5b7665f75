//! The control group of a process: limit, usage, pressure and kills. Version 2, else version 1.
//!
//! Every group on the way from the one of the process up to the root of the visible hierarchy may have a limit, and each limit
//! counts what is charged to its own level. The one that holds is the one with the least room left. What the kernel can take back
//! without harm (pages of files, caches of its own) leaves room, so it does not count as used.

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
    /// Bytes charged to the group (`memory.current`): page cache and the other processes in it included.
    pub current: Option<u64>,
    /// The limit with the least room left; absent when there is none.
    pub limit: Option<CgroupLimit>,
    /// Processes of the group that the kernel killed for want of memory, whichever level ran out of it.
    pub oom_kills: Option<u64>,
    /// Seconds since the group was made in which at least one task waited for memory (`memory.pressure`, `some`).
    pub pressure_some: Option<f64>,
    /// Seconds since the group was made in which all tasks waited for memory (`full`).
    pub pressure_full: Option<f64>,
}

/// A limit of a control group or of an ancestor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CgroupLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// Bytes charged to the level of the limit that the kernel cannot reclaim without harm.
    pub used: Option<u64>,
    /// How many levels above the group of the process it stands.
    pub level: u8,
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
struct Files {
    version: &'static Version,
    /// The group of the process, and its ancestors as far as they can be seen.
    levels: Vec<LevelFiles>,
    events: PathBuf,
    pressure: Option<PathBuf>,
}

#[derive(Debug)]
struct LevelFiles {
    limit: PathBuf,
    current: PathBuf,
    stat: PathBuf,
}

/// How a version of control groups names things.
#[derive(Debug)]
struct Version {
    limit: &'static str,
    current: &'static str,
    events: &'static str,
    /// In `memory.stat`, over the whole subtree as the usage is.
    reclaimable: &'static [&'static str],
    /// In `memory.stat`: the lowest limit on the way up, whether that level can be seen or not.
    inherited: Option<&'static str>,
}

static V2: Version = Version {
    limit: "memory.max",
    current: "memory.current",
    events: "memory.events",
    reclaimable: &["active_file", "inactive_file", "slab_reclaimable"],
    inherited: None,
};

static V1: Version = Version {
    limit: "memory.limit_in_bytes",
    current: "memory.usage_in_bytes",
    events: "memory.oom_control",
    reclaimable: &["total_active_file", "total_inactive_file"],
    inherited: Some("hierarchical_memory_limit"),
};

impl CgroupLimit {
    /// A limit of so many bytes, `level` levels up.
    pub fn of(bytes: u64, used: Option<u64>, level: u8) -> Self {
        Self { bytes, used, level }
    }
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
            buffer: Vec::with_capacity(8 << 10),
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

    fn locate(&mut self) -> Result<(), CollectError> {
        let text =
            read_small(&self.membership, &mut self.buffer).map_err(|cause| match cause.kind() {
                io::ErrorKind::NotFound => CollectError::NoData("the system has no control groups"),
                _ => CollectError::failed(self.membership.display().to_string(), cause),
            })?;
        let moved = self.group.as_ref().is_none_or(|group| {
            group.membership != text.as_bytes()
                // Gone under the same name, as when the controller is switched off: an ancestor may account for it now.
                || !group.files.levels.first().is_some_and(|own| own.current.exists())
        });
        if moved {
            self.group = find(text, &self.root).map(|files| Group {
                membership: text.as_bytes().to_vec(),
                files,
            });
        }
        Ok(())
    }
}

impl Collector for CgroupCollector {
    type Reading = CgroupReading;

    const NAME: &'static str = "cgroup";

    fn collect(&mut self, reading: &mut CgroupReading) -> Result<(), CollectError> {
        self.locate()?;
        let Some(Group { files, .. }) = &self.group else {
            return Err(CollectError::NoData(
                "the process is in no control group that accounts for memory",
            ));
        };
        let buffer = &mut self.buffer;
        *reading = CgroupReading::default();
        let own = files.levels.first();
        if let Some(own) = own {
            reading.current = read_number(&own.current, buffer)?;
        }
        reading.limit = tightest(files, reading.current, buffer)?;
        reading.oom_kills = read_keyed(&files.events, "oom_kill", buffer)?;
        if let Some(pressure) = &files.pressure
            && let Ok(text) = read_small(pressure, buffer)
        {
            reading.pressure_some = pressure_seconds(text, "some");
            reading.pressure_full = pressure_seconds(text, "full");
        }
        Ok(())
    }
}

/// The limit with the least room left, of all levels.
fn tightest(
    files: &Files,
    current: Option<u64>,
    buffer: &mut Vec<u8>,
) -> Result<Option<CgroupLimit>, CollectError> {
    let mut found: Option<CgroupLimit> = None;
    let mut consider = |limit: CgroupLimit| {
        let room = |limit: &CgroupLimit| limit.bytes.saturating_sub(limit.used.unwrap_or(0));
        if found
            .as_ref()
            .is_none_or(|other| room(&limit) < room(other))
        {
            found = Some(limit);
        }
    };
    let mut lowest = V1_UNLIMITED;
    for (level, paths) in (0_u8..).zip(&files.levels) {
        let limit = read_number(&paths.limit, buffer)?.filter(|limit| *limit < V1_UNLIMITED);
        if let Some(bytes) = limit {
            lowest = lowest.min(bytes);
            // A level that does not say what it uses uses at least what the group of the process does.
            let used = used(files.version, paths, buffer)?.or(current);
            consider(CgroupLimit { bytes, used, level });
        }
    }
    if let (Some(key), Some(own), Some(top)) = (
        files.version.inherited,
        files.levels.first(),
        files.levels.last(),
    ) && let Some(bytes) = read_keyed(&own.stat, key, buffer)?
        && bytes < lowest
    {
        // Set above what can be seen: the uppermost level that can comes closest to what it counts.
        let used = used(files.version, top, buffer)?.or(current);
        let level = u8::try_from(files.levels.len()).unwrap_or(u8::MAX);
        consider(CgroupLimit { bytes, used, level });
    }
    Ok(found)
}

/// What is charged to a level and cannot be reclaimed without harm.
fn used(
    version: &Version,
    level: &LevelFiles,
    buffer: &mut Vec<u8>,
) -> Result<Option<u64>, CollectError> {
    let Some(current) = read_number(&level.current, buffer)? else {
        return Ok(None);
    };
    let reclaimable = match read_small(&level.stat, buffer) {
        Ok(text) => version
            .reclaimable
            .iter()
            .filter_map(|key| keyed(text, key))
            .fold(0, u64::saturating_add),
        Err(_) => 0,
    };
    Ok(Some(current.saturating_sub(reclaimable)))
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
    let unified = path_of(&|hierarchy, controllers| hierarchy == "0" && controllers.is_empty());
    let v1 = path_of(&|_, controllers| {
        controllers
            .split(',')
            .any(|controller| controller == "memory")
    });
    let (version, root, path) = match v1 {
        Some(path) => (&V1, &root.join("memory"), path),
        None => (&V2, &root.to_owned(), unified?),
    };
    let dir = existing(root, path, version.current)?;
    let is_bound_from_above = |dir: &Path| {
        !std::fs::read(dir.join("memory.use_hierarchy")).is_ok_and(|text| text.starts_with(b"0"))
    };
    let mut levels = Vec::new();
    for (level, dir) in dir
        .ancestors()
        .take_while(|dir| dir.starts_with(root))
        .enumerate()
    {
        // Version 1 once knew groups that do not count for their parents.
        if level > 0 && !is_bound_from_above(dir) {
            break;
        }
        levels.push(LevelFiles {
            limit: dir.join(version.limit),
            current: dir.join(version.current),
            stat: dir.join("memory.stat"),
        });
    }
    Some(Files {
        version,
        levels,
        events: dir.join(version.events),
        // Version 1 has no pressure by group.
        pressure: v1.is_none().then(|| dir.join("memory.pressure")),
    })
}

/// The directory of a group, or of the nearest ancestor that accounts for memory. Inside a container the path of the host may stand
/// in `/proc` while only the container's own group is mounted, as the root.
fn existing(root: &Path, path: &str, file: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let climbs = relative
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    let dir = if climbs {
        root.to_owned()
    } else {
        root.join(relative)
    };
    dir.ancestors()
        .take_while(|dir| dir.starts_with(root))
        .find(|dir| dir.join(file).exists())
        .map(Path::to_owned)
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
