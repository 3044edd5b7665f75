//! Readings from trees of our own making.

use std::fs;
use std::path::Path;

use memory_exporter::collector::{
    CgroupCollector, CgroupLimit, CgroupReading, CollectError, Collector, ProcessCollector,
    ProcessReading, Roots, Target,
};
use memory_exporter::snapshot::LimitKind;
use memory_exporter::{Config, Exporter};
use tempfile::TempDir;

const STATUS: &str = "Name:\tservice\nVmPeak:\t  900 kB\nVmSize:\t  800 kB\nVmRSS:\t  300 kB\nVmData:\t  500 kB\nRssAnon:\t  200 kB\nRssFile:\t   60 kB\n\
                      RssShmem:\t   40 kB\nThreads:\t7\n";
const STAT: &str = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 7 0 12345 999 88 18446744073709551615";

fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(dir.path(), path, text);
    }
    dir
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn process(
    root: &Path,
    target: Target,
) -> (ProcessCollector, Result<ProcessReading, CollectError>) {
    let mut collector = ProcessCollector::new(target, root.to_owned());
    let mut reading = ProcessReading::default();
    let outcome = collector.collect(&mut reading).map(|()| reading);
    (collector, outcome)
}

#[test]
fn a_process_is_read_whole() {
    let root = tree(&[
        ("42/status", STATUS),
        ("42/stat", STAT),
        (
            "42/limits",
            "Max open files            1024                 524288               files\nMax data size             5000                 unlimited            bytes\n",
        ),
        ("42/fd/0", ""),
        ("stat", "cpu 1 2 3\nbtime 1000\n"),
    ]);
    let (_, reading) = process(root.path(), Target::Pid(42));
    let reading = reading.unwrap();
    assert_eq!(
        (reading.pid, reading.rss, reading.virtual_size),
        (42, 300 << 10, 800 << 10)
    );
    assert_eq!(
        (reading.rss_anon, reading.rss_file, reading.rss_shmem),
        (Some(200 << 10), Some(60 << 10), Some(40 << 10))
    );
    assert_eq!(
        (reading.threads, reading.cpu_seconds, reading.start_time),
        (Some(7), Some(2.0), Some(1_123.45))
    );
    assert_eq!((reading.max_fds, reading.virtual_max), (Some(1_024), None));
    assert_eq!(
        (reading.data_size, reading.data_max),
        (Some(500 << 10), Some(5_000))
    );
    assert!(reading.open_fds.is_some());
}

#[test]
fn what_a_kernel_does_not_say_is_absent() {
    let root = tree(&[("42/status", "VmSize:\t800 kB\nVmRSS:\t300 kB\n")]);
    let reading = process(root.path(), Target::Pid(42)).1.unwrap();
    assert_eq!(
        (
            reading.rss,
            reading.rss_anon,
            reading.threads,
            reading.cpu_seconds
        ),
        (300 << 10, None, None, None)
    );
    assert_eq!(
        (reading.start_time, reading.open_fds, reading.max_fds),
        (None, None, None)
    );
}

#[test]
fn a_malformed_file_is_a_failure_that_names_it() {
    for text in [
        "",
        "VmRSS:\n",
        "VmRSS:\tmany kB\nVmSize:\t1 kB\n",
        "\u{fffd}garbage",
    ] {
        let root = tree(&[("42/status", text)]);
        let error = process(root.path(), Target::Pid(42))
            .1
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("42/status: VmRSS or VmSize is missing"),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn a_process_that_ended_is_gone_even_if_its_number_lives_on() {
    let root = tree(&[
        ("42/status", STATUS),
        ("42/stat", STAT),
        ("stat", "btime 1000\n"),
    ]);
    let (mut collector, reading) = process(root.path(), Target::Pid(42));
    reading.unwrap();
    write(root.path(), "42/stat", &STAT.replace("12345", "99999"));
    for _ in 0..2 {
        let error = collector
            .collect(&mut ProcessReading::default())
            .unwrap_err();
        assert!(
            matches!(error, CollectError::NoData("the target process has ended")),
            "{error}"
        );
    }
}

fn cgroup(proc: &Path, root: &Path) -> Result<CgroupReading, String> {
    let mut reading = CgroupReading::default();
    CgroupCollector::new(proc.to_owned(), root.to_owned())
        .collect(&mut reading)
        .map(|()| reading)
        .map_err(|error| error.to_string())
}

#[test]
fn version_2_takes_the_lowest_limit_on_the_way_up() {
    let proc = tree(&[("self/cgroup", "0::/shop.slice/web\n")]);
    let root = tree(&[
        ("cgroup.controllers", "memory\n"),
        ("shop.slice/memory.max", "5000\n"),
        ("shop.slice/web/memory.max", "max\n"),
        ("shop.slice/web/memory.current", "1234\n"),
        (
            "shop.slice/web/memory.events",
            "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n",
        ),
        (
            "shop.slice/web/memory.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
        ),
    ]);
    let reading = cgroup(proc.path(), root.path()).unwrap();
    assert_eq!(
        (reading.current, reading.limit, reading.oom_kills),
        (Some(1_234), limit(5_000, 1_234, 1), Some(3))
    );
    assert_eq!(
        (reading.pressure_some, reading.pressure_full),
        (Some(2.5), Some(0.5))
    );
    write(root.path(), "shop.slice/web/memory.max", "4000\n");
    let own = cgroup(proc.path(), root.path()).unwrap().limit;
    assert_eq!(own, limit(4_000, 1_234, 0));
}

/// Each level's limit counts what is charged to that level, less what its kernel can take back; the least room holds.
#[test]
fn version_2_takes_the_limit_with_the_least_room_of_all_levels() {
    let proc = tree(&[("self/cgroup", "0::/shop.slice/web/worker\n")]);
    let root = tree(&[
        ("shop.slice/memory.max", "9000\n"),
        ("shop.slice/memory.current", "8900\n"),
        (
            "shop.slice/memory.stat",
            "anon 5000\nfile 3900\nactive_file 1000\ninactive_file 2000\nslab_reclaimable 300\nslab 999\n",
        ),
        ("shop.slice/web/memory.max", "6000\n"),
        ("shop.slice/web/memory.current", "3000\n"),
        (
            "shop.slice/web/memory.stat",
            "active_file 100\ninactive_file 200\n",
        ),
        ("shop.slice/web/worker/memory.max", "max\n"),
        ("shop.slice/web/worker/memory.current", "500\n"),
    ]);
    let found = || cgroup(proc.path(), root.path()).unwrap().limit;
    assert_eq!(found(), limit(6_000, 2_700, 1), "3300 left, and 3400");
    let stat = "active_file 1000\ninactive_file 2000\nslab_reclaimable 100\n";
    write(root.path(), "shop.slice/memory.stat", stat);
    assert_eq!(found(), limit(9_000, 5_800, 2), "3300 left, and 3200");
    let stat = "active_file 9000\ninactive_file 9000\n";
    write(root.path(), "shop.slice/web/memory.stat", stat);
    write(root.path(), "shop.slice/memory.max", "max\n");
    assert_eq!(found(), limit(6_000, 0, 1), "never below zero");
}

/// A group for which the memory controller is not switched on belongs to the nearest ancestor for which it is.
#[test]
fn version_2_accounts_at_the_nearest_level_that_can() {
    let proc = tree(&[("self/cgroup", "0::/user.slice/app/inner\n")]);
    let root = tree(&[
        ("user.slice/app/inner/cgroup.procs", "1\n"),
        ("user.slice/app/memory.current", "70\n"),
        ("user.slice/app/memory.max", "100\n"),
    ]);
    let reading = cgroup(proc.path(), root.path()).unwrap();
    assert_eq!(
        (reading.current, reading.limit),
        (Some(70), limit(100, 70, 0))
    );
}

fn limit(bytes: u64, used: u64, level: u8) -> Option<CgroupLimit> {
    Some(CgroupLimit::of(bytes, Some(used), level))
}

#[test]
fn inside_a_container_the_own_group_is_the_root() {
    let root = tree(&[("memory.max", "777\n"), ("memory.current", "7\n")]);
    for membership in [
        "0::/\n",
        "0::/system.slice/docker-abc.scope\n",
        "0::/../../elsewhere\n",
    ] {
        let proc = tree(&[("self/cgroup", membership)]);
        let reading = cgroup(proc.path(), root.path()).unwrap();
        assert_eq!(
            (
                reading.current,
                reading.limit,
                reading.oom_kills,
                reading.pressure_some
            ),
            (Some(7), limit(777, 7, 0), None, None)
        );
    }
}

#[test]
fn version_1_knows_no_limit_from_a_limit() {
    let proc = tree(&[("self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/web\n0::/web\n")]);
    let root = tree(&[
        ("memory/web/memory.usage_in_bytes", "55\n"),
        ("memory/web/memory.limit_in_bytes", "9223372036854771712\n"),
        (
            "memory/web/memory.stat",
            "cache 1\nhierarchical_memory_limit 9223372036854771712\n",
        ),
        (
            "memory/web/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        ),
    ]);
    let reading = cgroup(proc.path(), root.path()).unwrap();
    assert_eq!(
        (reading.current, reading.limit, reading.oom_kills),
        (Some(55), None, Some(2))
    );
    write(
        root.path(),
        "memory/web/memory.stat",
        "hierarchical_memory_limit 4096\n",
    );
    let inherited = cgroup(proc.path(), root.path()).unwrap().limit;
    assert_eq!(
        inherited,
        limit(4_096, 55, 2),
        "set where it cannot be seen"
    );
}

#[test]
fn version_1_takes_the_limit_with_the_least_room_too() {
    let proc = tree(&[("self/cgroup", "4:memory:/shop/web\n")]);
    let root = tree(&[
        ("memory/memory.usage_in_bytes", "99999\n"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("memory/memory.use_hierarchy", "1\n"),
        ("memory/shop/memory.usage_in_bytes", "4000\n"),
        ("memory/shop/memory.limit_in_bytes", "5000\n"),
        ("memory/shop/memory.use_hierarchy", "1\n"),
        (
            "memory/shop/memory.stat",
            "active_file 1\ninactive_file 2\nhierarchical_memory_limit 5000\ntotal_active_file 200\ntotal_inactive_file 300\n",
        ),
        ("memory/shop/web/memory.usage_in_bytes", "900\n"),
        ("memory/shop/web/memory.limit_in_bytes", "3000\n"),
        (
            "memory/shop/web/memory.stat",
            "hierarchical_memory_limit 3000\ntotal_active_file 0\ntotal_inactive_file 100\n",
        ),
    ]);
    let found = || cgroup(proc.path(), root.path()).unwrap().limit;
    assert_eq!(found(), limit(5_000, 3_500, 1), "2200 left, and 1500");
    write(root.path(), "memory/shop/memory.use_hierarchy", "0\n");
    assert_eq!(
        found(),
        limit(3_000, 800, 0),
        "the parent does not count it"
    );
}

#[test]
fn a_group_that_cannot_be_read_says_why() {
    let nothing = tree(&[]);
    assert_eq!(
        cgroup(nothing.path(), nothing.path()).unwrap_err(),
        "the system has no control groups"
    );
    let proc = tree(&[("self/cgroup", "0::/web\n")]);
    assert_eq!(
        cgroup(proc.path(), nothing.path()).unwrap_err(),
        "the process is in no control group that accounts for memory"
    );
    let root = tree(&[("web/memory.current", "lots\n")]);
    assert!(
        cgroup(proc.path(), root.path())
            .unwrap_err()
            .ends_with("web/memory.current: not a number")
    );
}

#[test]
fn a_process_that_moves_is_followed() {
    let proc = tree(&[("self/cgroup", "0::/a\n")]);
    let root = tree(&[("a/memory.current", "1\n"), ("b/memory.current", "2\n")]);
    let mut collector = CgroupCollector::new(proc.path().to_owned(), root.path().to_owned());
    let mut reading = CgroupReading::default();
    collector.collect(&mut reading).unwrap();
    assert_eq!(reading.current, Some(1));
    write(proc.path(), "self/cgroup", "0::/b\n");
    collector.collect(&mut reading).unwrap();
    assert_eq!(reading.current, Some(2));
}

/// A broken procfs takes its own metrics away and nothing else; the scrape goes on and says so.
#[test]
fn one_failing_collector_does_not_break_the_others() {
    let proc = tree(&[
        ("self/status", "not what it should be\n"),
        ("self/cgroup", "0::/\n"),
    ]);
    let root = tree(&[("memory.max", "777\n"), ("memory.current", "7\n")]);
    let roots = Roots {
        proc: proc.path().to_owned(),
        cgroup: root.path().to_owned(),
    };
    let exporter = Exporter::builder(Config::production())
        .roots(roots)
        .without_server()
        .start()
        .unwrap();
    let (text, _) = exporter.render("").unwrap();
    assert!(!text.contains("memory_rss_bytes"), "{text}");
    for line in [
        "memory_limit_bytes 777",
        "memory_cgroup_current_bytes 7",
        "memory_exporter_collector_success{collector=\"process\"} 0",
        "memory_exporter_collector_success{collector=\"cgroup\"} 1",
        "memory_exporter_collector_success{collector=\"heap\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

/// The limit that holds, wherever it comes from, in a scrape.
#[test]
fn a_resource_limit_is_a_memory_limit() {
    let proc = tree(&[
        ("self/status", STATUS),
        (
            "self/limits",
            "Max data size             600000               unlimited            bytes\n\
             Max address space         1000000              unlimited            bytes\n",
        ),
    ]);
    let nothing = tree(&[]);
    let roots = Roots {
        proc: proc.path().to_owned(),
        cgroup: nothing.path().to_owned(),
    };
    let exporter = Exporter::builder(Config::production())
        .roots(roots)
        .without_server()
        .start()
        .unwrap();
    let limit = exporter.snapshot().limit().unwrap();
    // 512000 of 600000, and 819200 of 1000000.
    assert_eq!(
        (limit.bytes, limit.used, limit.kind),
        (600_000, Some(512_000), LimitKind::Data)
    );
    let (text, _) = exporter.render("").unwrap();
    assert!(text.contains("\nmemory_limit_bytes 600000\n"), "{text}");
    assert!(!text.contains("memory_limit_exhaustion_seconds"), "{text}");
}
