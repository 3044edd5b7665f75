//! The disk is full, may not be written, or is gone: what was to be kept is not, which is told once and counted, and everything else goes
//! on. When the disk can be written again, it is.
//!
//! What a full disk answers is what a process is answered whose files may not grow.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::program::Program;
use crate::cli::until;

/// What happens to the directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Full,
    ReadOnly,
    Removed,
}

const HISTORY_FAILS: &str = "the history cannot be written, will go on trying";
const ALERTS_FAIL: &str = "cannot be kept on disk, will go on trying what=\"alerts\"";
const EVIDENCE_FAILS: &str = "evidence cannot be kept";
/// More than one cooldown and a tick.
const AGAIN: Duration = Duration::from_millis(2_500);

/// One that writes everything that it can every second, so near its limit that evidence is due.
fn program(limit: &str, folder: &Path) -> Program {
    let (history, evidence) = (folder.join("history"), folder.join("evidence"));
    let config = format!(
        "sampling: {{interval: 1s}}\nhistory: {{directory: {history:?}}}\n\
         limits: {{memory: 128MiB, evidence: {{directory: {evidence:?}, above: 0.1, cooldown: 1s}}}}\n"
    );
    Program::start(limit, &config)
}

fn permit(folder: &Path, mode: u32) {
    fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
}

fn begin(fault: Fault, program: &Program, folder: &Path) {
    match fault {
        Fault::Full => program.limit("--fsize=0:unlimited"),
        Fault::ReadOnly => permit(folder, 0o500),
        Fault::Removed => fs::remove_dir_all(folder).unwrap(),
    }
}

fn end(fault: Fault, program: &Program, folder: &Path) {
    match fault {
        Fault::Full => program.limit("--fsize=unlimited:unlimited"),
        Fault::ReadOnly => permit(folder, 0o700),
        Fault::Removed => fs::create_dir(folder).unwrap(),
    }
}

/// Asks for a silence, which is to be kept, and says its id.
fn silence(program: &Program) -> u64 {
    let path = "/metrics/memory/alerts/silences?matcher=alertname%3Da&duration=1h";
    let answer = program.post(path);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let json: serde_json::Value =
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    json["id"].as_u64().unwrap()
}

fn has_silence(folder: &Path, id: u64) -> bool {
    let text = fs::read_to_string(folder.join("alerts.json")).unwrap_or_default();
    text.contains(&format!("{{\"id\":{id},\"matchers\""))
}

fn failures(program: &Program) -> f64 {
    program
        .value("memory_exporter_history_failures_total")
        .unwrap()
}

/// In the middle of a run.
fn midway(fault: Fault) {
    let folder = tempfile::tempdir().unwrap();
    let program = program("RLIMIT_FSIZE=unlimited", folder.path());
    let history = folder.path().join("history");
    let first = silence(&program);
    until("the first alerts on disk", || {
        has_silence(&history, first).then_some(())
    });
    assert_eq!(failures(&program), 0.0);

    begin(fault, &program, &history);
    let second = silence(&program);
    until("word of the fault", || program.said(ALERTS_FAIL).pop());
    // More than one attempt later.
    until("counted failures", || {
        (failures(&program) >= 4.0).then_some(())
    });
    // Everything is answered all the while, from memory.
    let listed = program.json("/metrics/memory/alerts/silences");
    assert_eq!(listed["silences"].as_array().unwrap().len(), 2, "{listed}");
    let trend = program.json("/metrics/memory/trend?duration=1h&interval=1s");
    assert!(!trend["points"].as_array().unwrap().is_empty());
    assert!(!has_silence(&history, second));

    end(fault, &program, &history);
    until("the alerts on disk", || {
        has_silence(&history, second).then_some(())
    });
    let lost = failures(&program);
    if fault == Fault::Full {
        until("the history on disk", || {
            program.said("the history is written again").pop()
        });
        assert_eq!(program.said(HISTORY_FAILS).len(), 1);
        assert!(lost >= 4.0);
    }
    assert_eq!(program.said(ALERTS_FAIL).len(), 1);
}

#[test]
fn a_disk_that_fills_up_costs_what_would_have_been_kept_meanwhile() {
    midway(Fault::Full);
}

#[test]
fn a_directory_that_becomes_read_only_does_too() {
    midway(Fault::ReadOnly);
}

#[test]
fn a_directory_that_is_removed_does_too() {
    midway(Fault::Removed);
}

/// From the start. Then history and alerts stay in memory, as they cannot be opened, and evidence is kept as soon as it can be.
fn from_the_start(fault: Fault) {
    let folder = tempfile::tempdir().unwrap();
    let [history, evidence] = ["history", "evidence"].map(|name| folder.path().join(name));
    for directory in [&history, &evidence] {
        fs::create_dir(directory).unwrap();
        if fault == Fault::ReadOnly {
            permit(directory, 0o500);
        }
    }
    let limit = match fault {
        Fault::Full => "RLIMIT_FSIZE=0",
        _ => "RLIMIT_FSIZE=unlimited",
    };
    let program = program(limit, folder.path());
    until("word of the evidence", || {
        program.said(EVIDENCE_FAILS).pop()
    });
    assert_eq!(program.said("the history is kept in memory only").len(), 1);
    assert!(program.value("memory_rss_bytes").unwrap() > 0.0);
    silence(&program);
    let profiles = || program.json("/metrics/memory/profiles")["profiles"].clone();
    assert_eq!(profiles(), serde_json::json!([]));

    std::thread::sleep(AGAIN);
    end(fault, &program, &evidence);
    let kept = until("evidence", || {
        let profiles = profiles();
        profiles.get(0).is_some().then_some(profiles)
    });
    assert_eq!(kept[0]["trigger"], "limit");
    assert_eq!(program.said(EVIDENCE_FAILS).len(), 1, "told once");
}

#[test]
fn a_disk_that_is_full_from_the_start_is_used_when_it_can_be() {
    from_the_start(Fault::Full);
}

#[test]
fn a_directory_that_is_read_only_from_the_start_is_too() {
    from_the_start(Fault::ReadOnly);
}
