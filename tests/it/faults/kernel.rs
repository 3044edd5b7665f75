//! What the kernel says vanishes, is malformed, or is of another process, in the middle of a run.

use std::fs;
use std::path::Path;

use memory_exporter::collector::Roots;
use memory_exporter::{Config, Exporter, Target};
use tempfile::TempDir;

use super::program::value;
use crate::client::get;

const STATUS: &str = "Name:\tservice\nVmSize:\t800 kB\nVmRSS:\t300 kB\nThreads:\t7\n";
const STAT: &str = "42 (a) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 7 0 12345 999 88 1";

/// A kernel of our own: `proc` and `sys`, and an exporter that believes in it.
struct World {
    folder: TempDir,
    exporter: Exporter,
}

impl World {
    fn new(target: Target, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            write(folder.path(), path, text);
        }
        let roots = Roots {
            proc: folder.path().join("proc"),
            cgroup: folder.path().join("sys"),
        };
        let mut config = Config::production();
        config.web.listen_address = vec!["127.0.0.1:0".parse().unwrap()];
        let exporter = Exporter::builder(config).target(target).roots(roots);
        Self {
            folder,
            exporter: exporter.start().unwrap(),
        }
    }

    fn write(&self, path: &str, text: &str) {
        write(self.folder.path(), path, text);
    }

    fn remove(&self, path: &str) {
        let path = self.folder.path().join(path);
        fs::remove_dir_all(&path)
            .or_else(|_| fs::remove_file(&path))
            .unwrap();
    }

    /// A scrape, which must succeed whatever the kernel says.
    fn scrape(&self) -> String {
        let answer = get(self.exporter.addresses()[0], "/metrics");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("NaN"), "{answer}");
        answer
    }

    fn value(&self, series: &str) -> Option<f64> {
        value(&self.scrape(), series)
    }

    fn success(&self, collector: &str) -> Option<f64> {
        self.value(&format!(
            "memory_exporter_collector_success{{collector=\"{collector}\"}}"
        ))
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

const RSS: &str = "memory_rss_bytes";
const LIMIT: &str = "memory_limit_bytes";
const CURRENT: &str = "memory_cgroup_current_bytes";

#[test]
fn what_vanishes_or_is_malformed_takes_its_own_metrics_away_until_it_is_back() {
    let world = World::new(
        Target::Own,
        &[
            ("proc/self/status", STATUS),
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/a/memory.max", "777\n"),
            ("sys/a/memory.current", "7\n"),
        ],
    );
    let whole = || {
        assert_eq!(
            (world.value(RSS), world.success("process")),
            (Some(307_200.0), Some(1.0))
        );
        assert_eq!(
            (world.value(LIMIT), world.value(CURRENT)),
            (Some(777.0), Some(7.0))
        );
        assert_eq!(world.success("cgroup"), Some(1.0));
    };
    whole();
    for malformed in [
        "",
        "VmRSS:\n",
        "VmRSS: x\nVmSize: 1 kB\n",
        "VmRSS:\t-1 kB\nVmSize:\t1 kB\n",
    ] {
        world.write("proc/self/status", malformed);
        assert_eq!(
            (world.value(RSS), world.success("process")),
            (None, Some(0.0))
        );
        assert_eq!(
            world.value(LIMIT),
            Some(777.0),
            "the other collector reads on"
        );
        world.write("proc/self/status", STATUS);
        whole();
    }
    for malformed in ["", "lots\n", "-1\n", "99999999999999999999\n", "1 2\n"] {
        world.write("sys/a/memory.current", malformed);
        assert_eq!(
            (world.value(CURRENT), world.success("cgroup")),
            (None, Some(0.0)),
            "{malformed}"
        );
        assert_eq!(
            world.value(RSS),
            Some(307_200.0),
            "the other collector reads on"
        );
        world.write("sys/a/memory.current", "7\n");
        whole();
    }
    // A folder where a file was, and nothing at all.
    world.remove("proc/self/status");
    world.write("proc/self/status/x", "");
    assert_eq!(
        (world.value(RSS), world.success("process")),
        (None, Some(0.0))
    );
    world.remove("proc");
    world.remove("sys");
    assert_eq!((world.value(RSS), world.value(LIMIT)), (None, None));
    for (path, text) in [
        ("proc/self/status", STATUS),
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/a/memory.max", "777\n"),
        ("sys/a/memory.current", "7\n"),
    ] {
        world.write(path, text);
    }
    whole();
}

#[test]
fn a_process_that_is_moved_to_another_control_group_is_followed() {
    let files = |group: &str, max: &str| {
        [
            (format!("sys/{group}/memory.max"), max.to_owned()),
            (format!("sys/{group}/memory.current"), "7\n".to_owned()),
        ]
    };
    let world = World::new(
        Target::Own,
        &[
            ("proc/self/status", STATUS),
            ("proc/self/cgroup", "0::/a\n"),
        ],
    );
    for (path, text) in files("a", "100\n").iter().chain(&files("b/c", "200\n")) {
        world.write(path, text);
    }
    assert_eq!(world.value(LIMIT), Some(100.0));
    world.write("proc/self/cgroup", "0::/b/c\n");
    assert_eq!(world.value(LIMIT), Some(200.0));
    // The old group is gone, and the new one's parent gets a limit.
    world.remove("sys/a");
    world.write("sys/b/memory.max", "50\n");
    world.write("sys/b/memory.current", "7\n");
    assert_eq!(world.value(LIMIT), Some(50.0));
    // Into one that is not there yet, and into the root, which accounts for nothing.
    world.write("proc/self/cgroup", "0::/d\n");
    assert_eq!(world.value(LIMIT), None);
    world.write("sys/d/memory.max", "300\n");
    world.write("sys/d/memory.current", "7\n");
    assert_eq!(
        world.value(LIMIT),
        Some(300.0),
        "it has come into being since"
    );
    world.write("proc/self/cgroup", "0::/\n");
    assert_eq!(world.value(LIMIT), None);
    // Into a hierarchy of version 1.
    world.write("sys/memory/e/memory.limit_in_bytes", "400\n");
    world.write("sys/memory/e/memory.usage_in_bytes", "7\n");
    world.write("proc/self/cgroup", "4:memory:/e\n0::/\n");
    assert_eq!(world.value(LIMIT), Some(400.0));
}

/// Whatever carries the number now is another process: nothing of it is shown, neither its memory nor its control group.
#[test]
fn a_number_that_is_used_again_is_another_process() {
    for (what, between) in [
        ("at once", None),
        ("after a gap", Some("")),
        (
            "after a zombie",
            Some("Name:\tservice\nState:\tZ (zombie)\n"),
        ),
    ] {
        let world = World::new(
            Target::Pid(42),
            &[
                ("proc/42/status", STATUS),
                ("proc/42/stat", STAT),
                ("proc/42/cgroup", "0::/a\n"),
                ("sys/a/memory.max", "777\n"),
                ("sys/a/memory.current", "7\n"),
                ("sys/b/memory.max", "888\n"),
                ("sys/b/memory.current", "8\n"),
            ],
        );
        assert_eq!(
            (world.value(RSS), world.value(LIMIT)),
            (Some(307_200.0), Some(777.0))
        );
        match between {
            Some("") => {
                world.remove("proc/42");
                assert_eq!(
                    (world.value(RSS), world.value(LIMIT)),
                    (None, None),
                    "{what}"
                );
            }
            Some(zombie) => {
                world.write("proc/42/status", zombie);
                assert_eq!(world.value(RSS), None, "{what}");
            }
            None => {}
        }
        for (status, kind) in [
            ("Name:\tkthread\n", "a thread of the kernel"),
            (
                "Name:\tother\nVmSize:\t9000 kB\nVmRSS:\t5000 kB\n",
                "a process",
            ),
        ] {
            world.write("proc/42/status", status);
            world.write("proc/42/stat", &STAT.replace("12345", "99999"));
            world.write("proc/42/cgroup", "0::/b\n");
            for _ in 0..2 {
                let found = (world.value(RSS), world.value(LIMIT), world.value(CURRENT));
                assert_eq!(found, (None, None, None), "{what}: {kind}");
            }
        }
    }
}
