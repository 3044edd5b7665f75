//! The binary: flags, exit codes, signals, foreign processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::client;

const BINARY: &str = env!("CARGO_BIN_EXE_memory-exporter");

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// A running binary, and where it listens.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--web.listen-address", "127.0.0.1:0"])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = log
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("listening"))
            .unwrap();
        std::thread::spawn(move || log.for_each(drop));
        let at = line.find("127.0.0.1:").unwrap();
        let address = line[at..]
            .chars()
            .take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':'))
            .collect();
        Self { child, address }
    }

    fn get(&self, path: &str) -> String {
        client::get(self.address.parse().unwrap(), path)
    }

    fn value(&self, series: &str) -> Option<f64> {
        let answer = self.get("/metrics");
        answer
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something comes about.
pub(crate) fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_bad_configuration_ends_with_64_and_every_mistake() {
    let bad = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/fixtures/config/every_mistake.bad.yaml");
    let bad = bad.to_str().unwrap();
    for arguments in [vec!["check-config", bad], vec!["--config.file", bad]] {
        let output = run(&arguments, &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{said}");
        for part in [
            "web.listen_address: \"nowhere\"",
            "log.level: \"loud\": allowed: one of error, warn",
            "sampler: unknown key, did you mean sampling?",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.lines().count() >= 15, "{said}");
    }
}

#[test]
fn wrong_usage_ends_with_64() {
    for arguments in [
        vec!["--web.listen-address", "nowhere"],
        vec!["--log.level", "loud"],
        vec!["--no-such-flag"],
        vec!["--target.pid", "1", "--target.name", "x"],
        vec!["check-config"],
        vec!["--config.file", "/does/not/exist.yaml"],
        vec!["--web.telemetry-path", "metrics"],
    ] {
        let output = run(&arguments, &[]);
        assert_eq!(
            output.status.code(),
            Some(64),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.stderr.is_empty());
    }
    let wrong = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere at all"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
    ];
    let output = run(&["--web.listen-address", "127.0.0.1:0"], &wrong);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(
        said.contains("OTEL_EXPORTER_OTLP_ENDPOINT")
            && said.contains("OTEL_METRIC_EXPORT_INTERVAL"),
        "{said}"
    );
}

#[test]
fn both_profiles_check_out_and_help_is_help() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = ["production.yaml", "development.yaml"]
        .map(|name| root.join(name).to_str().unwrap().to_owned());
    let output = run(&["check-config", &files[0], &files[1]], &[]);
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stdout)
                .unwrap()
                .matches(": ok\n")
                .count()
        ),
        (Some(0), 2)
    );
    for flag in ["--help", "--version"] {
        assert_eq!(run(&[flag], &[]).status.code(), Some(0));
    }
}

#[test]
fn a_taken_port_ends_with_1_and_without_a_panic() {
    let first = Running::start(&[]);
    let output = run(&["--web.listen-address", &first.address], &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!(
            "memory-exporter: cannot listen on {}",
            first.address
        )) && !said.contains("panicked"),
        "{said}"
    );
}

#[test]
fn it_watches_itself_and_ends_well_on_sigterm() {
    let mut running = Running::start(&["--log.format", "json"]);
    assert!(running.value("memory_rss_bytes").unwrap() > 1e6);
    assert!(running.value("memory_heap_bytes").unwrap() > 1e4);
    let killed = Command::new("kill")
        .arg(running.child.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    let status = until("the end", || running.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// By name, through a restart of the target: its own copy of `sleep`, whose name nobody else has.
#[test]
fn a_target_by_name_is_followed_through_its_restart() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir
        .path()
        .join(format!("me-target-with-a-long-name-{}", std::process::id()));
    std::fs::copy("/bin/sleep", &program).unwrap();
    let start = || Command::new(&program).arg("60").spawn().unwrap();
    let config = dir.path().join("config.yaml");
    std::fs::write(&config, "sampling: {interval: 1s}").unwrap();
    let running = Running::start(&[
        "--target.name",
        program.file_name().unwrap().to_str().unwrap(),
        "--config.file",
        config.to_str().unwrap(),
    ]);
    assert_eq!(
        running.value("memory_rss_bytes"),
        None,
        "there is no such process yet"
    );
    let json = |path: &str| -> serde_json::Value {
        let answer = running.get(path);
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let pid = || json("/metrics/memory/snapshot")["pid"].as_u64();
    let mut since = String::new();
    for _ in 0..2 {
        let mut target = start();
        until("the target", || {
            (pid() == Some(u64::from(target.id()))).then_some(())
        });
        assert!(running.value("memory_rss_bytes").unwrap() > 0.0);
        assert_eq!(running.value("memory_heap_bytes"), None);
        until("a moment of it", || {
            let trend = json("/metrics/memory/trend?duration=1m&interval=1s");
            let last = trend["points"].as_array()?.last()?.clone();
            last["memory_rss_bytes"].as_f64()
        });
        // What the one before did is not held against it.
        since = until("a past of its own", || {
            let json = json("/metrics/memory/leaks");
            let now = json["observed_since"].as_str()?.to_owned();
            (now > since).then_some(now)
        });
        target.kill().unwrap();
        target.wait().unwrap();
        until("the end of the target", || {
            running.value("memory_rss_bytes").is_none().then_some(())
        });
    }
}

#[test]
fn a_wrong_web_configuration_ends_with_64_and_every_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    let web = web.to_str().unwrap();
    std::fs::write(web, "basic_auth_users: {ada: hunter2}\nrate: {}\n").unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, format!("web: {{config_file: {web:?}}}\n")).unwrap();
    let config = config.to_str().unwrap();
    for (arguments, prefix) in [
        (["--web.config.file", web], "memory-exporter".to_owned()),
        (["--config.file", config], "memory-exporter".to_owned()),
        (["check-config", config], config.to_owned()),
    ] {
        let output = run(&arguments, &[]);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        let lines: Vec<&str> = error.lines().collect();
        for (line, key) in lines
            .iter()
            .zip(["rate: unknown key", "basic_auth_users.ada: "])
        {
            let expected = format!("{prefix}: {web}: {key}");
            assert!(line.starts_with(&expected), "{line}");
        }
        assert!(lines.len() == 2 && !error.contains("hunter2"), "{error}");
    }
    std::fs::write(
        web,
        "http_server_config: {headers: {X-Frame-Options: deny}}\n",
    )
    .unwrap();
    let running = Running::start(&["--web.config.file", web]);
    assert!(
        running
            .get("/metrics")
            .contains("\r\nx-frame-options: deny\r\n")
    );
    assert_eq!(run(&["check-config", config], &[]).status.code(), Some(0));
}
