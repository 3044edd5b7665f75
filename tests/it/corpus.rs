//! Foreign input that once was interesting, fed to every parser again: the corpus of the fuzzers, and small changes of it.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::foreign::{Feed, TARGETS};

/// Most bytes of the corpus of one parser: it is part of the repository.
const MOST_BYTES: usize = 300 << 10;
/// How long each parser is fed with changed input.
const CHANGING: Duration = Duration::from_millis(1_000);

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Names of the entries of a folder, without endings.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| stem(entry.unwrap().path())).collect()
}

/// The corpus of a parser, by file names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let read = |name: String| (name.clone(), fs::read(folder.join(name)).unwrap());
    names(&folder).into_iter().map(read).collect()
}

/// Feeds it, and says with which input it failed.
fn fed(feed: Feed, target: &str, what: &str, bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| feed(bytes))) {
        let shown = String::from_utf8_lossy(bytes);
        eprintln!("{target}: {what}: {shown:?}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_parser_has_a_fuzzer_and_a_small_corpus() {
    let all: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("targets")), all);
    assert_eq!(names(&fuzz().join("corpus")), all);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in &all {
        assert!(manifest.contains(&format!("\npath = \"targets/{target}.rs\"\n")));
        let corpus = corpus(target);
        let bytes: usize = corpus.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!((1..=MOST_BYTES).contains(&bytes), "{target}: {bytes}");
        for (name, bytes) in corpus {
            let text = String::from_utf8_lossy(&bytes);
            let is_of_a_machine = ["/home/", "/root/", "/work/"].iter();
            for path in is_of_a_machine {
                assert!(!text.contains(path), "{target}/{name} names {path}");
            }
        }
    }
}

/// One test for each parser, so that they run side by side.
macro_rules! replayed {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target));
        }
    )*};
}

replayed!(accept alerts cgroup config environment evidence pprof proc recording request values web_file);

fn replay(target: &str) {
    let (_, feed) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let corpus = corpus(target);
    for (name, bytes) in &corpus {
        fed(*feed, target, name, bytes);
    }
    // The same each time: what is new is for the fuzzers to find.
    let mut random = fastrand::Rng::with_seed(7);
    let start = Instant::now();
    while start.elapsed() < CHANGING {
        let bytes = changed(&mut random, &corpus);
        fed(*feed, target, "changed", &bytes);
    }
}

/// A piece of the corpus with some bytes changed, left out, repeated, or taken from another piece.
fn changed(random: &mut fastrand::Rng, corpus: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].1.clone();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(1..9)).min(bytes.len());
        match random.u8(..4) {
            0 => bytes[at..end]
                .iter_mut()
                .for_each(|byte| *byte = random.u8(..)),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let again = bytes[at..end].repeat(random.usize(1..5));
                bytes.splice(at..at, again);
            }
            _ => {
                let other = &corpus[random.usize(..corpus.len())].1;
                let from = random.usize(..=other.len());
                let to = (from + random.usize(1..65)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    bytes
}
