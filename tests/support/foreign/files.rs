//! What the kernel and processes of before left in files. See the module above.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use memory_exporter::cli;
use memory_exporter::collector::{
    CgroupCollector, CgroupReading, CollectError, Collector, ProcessCollector, ProcessReading,
    Target,
};
use memory_exporter::config::LogFormat;
use memory_exporter::profile::evidence::EvidenceStore;
use memory_exporter::profile::flamegraph::{FlamegraphOptions, svg};
use memory_exporter::profile::{Folded, Frames, Symbolizer, decode};
use tempfile::TempDir;

/// A tree of files, state by state.
fn states(text: &str) -> impl Iterator<Item = Vec<(&str, &str)>> {
    text.split("\n====\n").take(4).map(|state| {
        let files = state.strip_prefix("== ").unwrap_or_default();
        let files = files
            .split("\n== ")
            .filter_map(|file| file.split_once('\n'));
        let is_fine = |path: &str| {
            let mut parts = path.split('/');
            path.len() < 60
                && parts.clone().count() <= 4
                && parts.all(|part| {
                    let is_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                    !part.is_empty() && part != "." && part != ".." && part.chars().all(is_name)
                })
        };
        files.filter(|(path, _)| is_fine(path)).take(30).collect()
    })
}

/// A folder with nothing but these files; what is both file and folder is what came first.
pub(super) fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_tree(folder.path(), files);
    folder
}

fn write_tree(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        let _ = path.parent().map(fs::create_dir_all);
        let _ = fs::write(path, text);
    }
}

/// The same folder in its next state.
fn replace_tree(root: &Path, files: &[(&str, &str)]) {
    for entry in fs::read_dir(root).unwrap().flatten() {
        let path = entry.path();
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
    write_tree(root, files);
}

fn check_failure(error: &CollectError, root: &Path) {
    let root = root.display().to_string();
    match error {
        CollectError::NoData(reason) => assert!(!reason.is_empty()),
        CollectError::Failed { what, .. } => assert!(what.starts_with(&root), "{error}"),
    }
}

fn is_number(number: Option<f64>) -> bool {
    number.is_none_or(|number| number.is_finite() && number >= 0.0)
}

/// procfs: process 42, this process, and its mappings.
pub fn proc(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let root = tree(&[]);
    let mut collectors = [Target::Pid(42), Target::Own]
        .map(|target| ProcessCollector::new(target, root.path().to_owned()));
    let mut has_ended = false;
    for files in states(&text) {
        replace_tree(root.path(), &files);
        for (at, collector) in collectors.iter_mut().enumerate() {
            let mut reading = ProcessReading::default();
            match collector.collect(&mut reading) {
                Ok(()) => {
                    assert_eq!(reading.pid, [42, std::process::id()][at]);
                    assert!(is_number(reading.cpu_seconds), "{reading:?}");
                    assert!(is_number(reading.start_time), "{reading:?}");
                    assert!(at == 1 || !has_ended, "what has ended does not come back");
                }
                Err(error) => {
                    has_ended |= at == 0 && error.to_string().ends_with("has ended");
                    check_failure(&error, root.path());
                }
            }
        }
        // A path that leads to a device could be read for ever.
        if !text.contains("/dev") {
            let symbols = Symbolizer::new(root.path()).symbols([1, 0x5000, u64::MAX]);
            assert!(
                symbols
                    .mappings
                    .iter()
                    .all(|mapping| mapping.start < mapping.limit)
            );
        }
    }
}

/// Control groups of both versions: `self/cgroup` in `proc/`, the hierarchy in `sys/`.
pub fn cgroup(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let root = tree(&[]);
    let (proc, sys) = (root.path().join("proc"), root.path().join("sys"));
    let mut collector = CgroupCollector::new(proc.clone(), sys.clone());
    for files in states(&text) {
        replace_tree(root.path(), &files);
        let mut reading = CgroupReading::default();
        if let Err(error) = collector.collect(&mut reading) {
            check_failure(&error, root.path());
            continue;
        }
        assert!(is_number(reading.pressure_some) && is_number(reading.pressure_full));
        if let Some(limit) = reading.limit {
            assert!(
                limit.level <= 8 && limit.bytes < i64::MAX.unsigned_abs(),
                "{limit:?}"
            );
        }
        // In a tree that has changed under the same name, a nearer group may account for the process by now.
        if !text.contains("\n====\n") {
            let mut again = CgroupReading::default();
            let mut other = CgroupCollector::new(proc.clone(), sys.clone());
            other
                .collect(&mut again)
                .expect("what could be read can be read");
            assert_eq!(again, reading, "who comes later reads the same");
        }
    }
}

/// A profile in pprof's format, gzipped or about to be.
pub fn pprof(bytes: &[u8]) {
    for gz in [bytes.to_vec(), gzip(bytes)] {
        let Ok(decoded) = decode(&gz) else {
            continue;
        };
        for (at, _) in decoded.sample_types.iter().enumerate() {
            let samples = decoded.samples.iter();
            let stacks = samples.map(|sample| {
                (
                    Frames::Condensed.of(sample.frames.clone()),
                    sample.values[at],
                )
            });
            let folded: Folded = stacks.collect();
            for line in folded.to_string().lines() {
                let (stack, value) = line.rsplit_once(' ').expect("stack and value");
                assert!(
                    !stack.is_empty() && value.parse::<i64>().is_ok(),
                    "{line:?}"
                );
            }
            let drawn = svg(&folded, &FlamegraphOptions::default());
            assert!(
                drawn.ends_with("</svg>\n") && !drawn.contains("NaN"),
                "{drawn}"
            );
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A recording of the leak detector, as `memory-exporter analyse` takes it, gzipped or about to be.
pub fn recording(bytes: &[u8]) {
    let folder = tree(&[]);
    let path = folder.path().join("leaks.recording");
    for gz in [bytes.to_vec(), gzip(bytes)] {
        fs::write(&path, gz).unwrap();
        match cli::report_on(&path, None, LogFormat::Json) {
            Ok(report) => {
                let json = serde_json::from_str::<serde_json::Value>(&report).expect("JSON");
                assert!(json["suspects"].is_array(), "{report}");
                cli::report_on(&path, None, LogFormat::Text).expect("read before");
            }
            Err(error) => assert!(error.contains("leaks.recording"), "{error}"),
        }
    }
}

/// The metadata of a piece of evidence.
pub fn evidence(bytes: &[u8]) {
    const ID: &str = "2023-11-14T221320Z-11111111";
    let folder = tree(&[(&format!("{ID}/profile.pb.gz"), "x")]);
    fs::write(folder.path().join(ID).join("evidence.json"), bytes).unwrap();
    let store = EvidenceStore::open(folder.path(), 1 << 20, "fuzz").unwrap();
    for kept in store.all() {
        assert_eq!(kept.id.as_str(), ID);
        assert_eq!(store.profile(ID).unwrap().as_deref(), Some(&b"x"[..]));
    }
}
