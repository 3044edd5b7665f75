//! What an operator is given beside the binary: units, completions, manual pages, a socket that is open already.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use memory_exporter::Config;
use memory_exporter::config::Profile;

use crate::client;

const BINARY: &str = env!("CARGO_BIN_EXE_memory-exporter");

fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/deploy")
        .join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn said(arguments: &[&str]) -> String {
    let output = Command::new(BINARY).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn completions_and_manual_pages_know_every_command_and_flag() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let completions = said(&["completions", shell]);
        for word in ["test-alert", "web.listen-address", "config.file"] {
            assert!(completions.contains(word), "{shell}: {word}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man");
    said(&["man", "--out", pages.to_str().unwrap()]);
    let page = std::fs::read_to_string(pages.join("memory-exporter.1")).unwrap();
    let pages: Vec<_> = std::fs::read_dir(pages).unwrap().collect();
    assert!(pages.len() > 5, "{pages:?}");
    assert!(page.contains("web.systemd\\-socket"), "{page}");
    let missing = Command::new(BINARY)
        .args(["man", "--out", "/proc/none"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn the_units_start_what_there_is() {
    let help = said(&["--help"]);
    let unit = shipped("systemd/memory-exporter.service");
    let start = unit
        .lines()
        .find(|line| line.starts_with("ExecStart="))
        .unwrap();
    let defaults = shipped("systemd/memory-exporter.default");
    let socket = shipped("systemd/memory-exporter.socket");
    for text in [start, &defaults, &socket] {
        let words = text.split([' ', '"', '=', '`', '\n']);
        for flag in words.filter(|word| word.starts_with("--") && word.len() > 2) {
            let flag = flag.trim_end_matches('.');
            assert!(help.contains(flag) || flag == "--help", "{flag} is no flag");
        }
    }
    let yaml = shipped("systemd/config.yaml");
    let environment = unit
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::load(Profile::Production, &yaml, environment).unwrap();
}

/// As systemd does it: descriptor 3 is a socket that listens, and two variables say so.
#[test]
fn a_socket_that_is_open_already_is_served() {
    const HAND_OVER: &str = "
import os, socket, sys
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
print(s.getsockname()[1], flush=True)
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], sys.argv[1:] + ['--web.systemd-socket'])
";
    let mut child = Command::new("python3")
        .args(["-c", HAND_OVER, BINARY])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let output = child.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut port).unwrap();
    let address: SocketAddr = format!("127.0.0.1:{}", port.trim()).parse().unwrap();
    // Who comes before the exporter waits for it.
    let answer = client::get(address, "/-/healthy");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();

    let alone = Command::new(BINARY)
        .arg("--web.systemd-socket")
        .env_remove("LISTEN_FDS")
        .output()
        .unwrap();
    assert_eq!(alone.status.code(), Some(1));
    let error = String::from_utf8(alone.stderr).unwrap();
    assert!(
        error.contains("systemd has handed over no socket"),
        "{error}"
    );
}
