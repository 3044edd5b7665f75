//! Every fault that the exporter must survive, and the tests that show that it does: `table.rs`. What is missing elsewhere stands in the
//! files beside this one, by what fails:
//!
//! | file | fault |
//! |---|---|
//! | `table.rs` | the table of faults and their tests |
//! | `disk.rs` | the disk is full, may not be written, is gone |
//! | `kernel.rs` | `/proc` and control groups vanish, are malformed, are of another process |
//! | `descriptors.rs` | no file descriptors are left |
//! | `requests.rs` | too many requests, slow ones, broken ones |
//! | `program.rs` | no fault: the binary in a hostile world |

mod descriptors;
mod disk;
mod kernel;
mod program;
mod requests;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use table::{FAULTS, Fault};

/// What is wrong with a table: faults without a test, and tests that do not exist.
fn mistakes(table: &[Fault], root: &Path) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut known = BTreeSet::new();
    for (fault, files) in table {
        if !known.insert(fault) {
            mistakes.push(format!("{fault}: stands there twice"));
        }
        if files.iter().all(|(_, tests)| tests.is_empty()) {
            mistakes.push(format!("{fault}: has no test"));
        }
        for (path, tests) in *files {
            let text = fs::read_to_string(root.join(path)).unwrap_or_default();
            for test in *tests {
                if !is_test(&text, test) {
                    mistakes.push(format!("{fault}: {path} has no test {test}"));
                }
            }
        }
    }
    mistakes
}

/// Whether a text has a test of that name: a function without arguments, right below an attribute that makes it a test.
fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}() ");
    let mut above = "";
    text.lines().any(|line| {
        let (line, attribute) = (line.trim(), std::mem::replace(&mut above, line.trim()));
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&head) && attribute.starts_with("#[") && attribute.contains("test")
    })
}

#[test]
fn every_fault_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(mistakes(FAULTS, root), [""; 0]);
}

#[test]
fn a_test_that_is_gone_is_missed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table: &[Fault] = &[
        ("nobody tests it", &[]),
        ("the file is gone", &[("tests/none.rs", &["x"])]),
        (
            "no test",
            &[("tests/it/faults/mod.rs", &["mistakes", "is_test"])],
        ),
        (
            "a test",
            &[("tests/it/faults/mod.rs", &["a_test_that_is_gone_is_missed"])],
        ),
        (
            "a test",
            &[("tests/it/history.rs", &["the_past_outlives_the_process"])],
        ),
    ];
    let found = mistakes(table, root);
    let expected = [
        "nobody tests it: has no test",
        "the file is gone: tests/none.rs has no test x",
        "no test: tests/it/faults/mod.rs has no test mistakes",
        "no test: tests/it/faults/mod.rs has no test is_test",
        "a test: stands there twice",
    ];
    assert_eq!(found, expected);
}
