//! Exporters as child processes: the example, which leaks and knows how much, and the binary, which does nothing else.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::http;
use crate::programs::Program;
use crate::series::{self, Series};
use crate::wait::eventually;

/// How OpenMetrics is asked for.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";
/// How the classic format is asked for.
pub(crate) const CLASSIC: &str = "text/plain;version=0.0.4";

/// What cargo built beside this test.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the path of this test");
    let target = own.ancestors().nth(2).expect("the target directory");
    let path = target.join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo test builds it, cargo test --test peers may not",
        path.display()
    );
    path
}

/// The example, as a program.
pub(crate) fn example() -> PathBuf {
    built("examples/leaky_service")
}

/// The program itself.
pub(crate) fn binary() -> PathBuf {
    built("memory-exporter")
}

/// A command with an environment that holds what it is given and nothing else. It listens on a free port, if the configuration does not say
/// where.
fn command(mut command: Command, config: &str, environment: &[(&str, &str)]) -> (TempDir, Command) {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("config.yaml"), config).expect("its configuration");
    command
        .env_clear()
        .envs(environment.iter().copied())
        .args(["--config.file", "config.yaml"]);
    if !config.contains("listen_address") {
        command.args(["--web.listen-address", "127.0.0.1:0"]);
    }
    (directory, command)
}

/// An exporter in a process of its own.
pub(crate) struct Service {
    pub(crate) program: Program,
    /// `host:port`.
    pub(crate) address: String,
}

impl Service {
    /// The example.
    pub(crate) fn leaky(config: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::leaky_by(Command::new(example()), config, environment, arguments)
    }

    /// The example, started by a command that takes its arguments.
    pub(crate) fn leaky_by(
        starter: Command,
        config: &str,
        environment: &[(&str, &str)],
        arguments: &[&str],
    ) -> Self {
        let (directory, mut command) = command(starter, config, environment);
        command.args(arguments);
        let mut program = Program::start("leaky_service", directory, command);
        let address = address(&mut program, "listening on http://", Program::stdout);
        Self { program, address }
    }

    /// The binary, which watches itself.
    pub(crate) fn alone(config: &str, environment: &[(&str, &str)]) -> Self {
        let mut program = Self::alone_unchecked(config, environment);
        let address = address(&mut program, "listening address=", Program::stderr);
        Self { program, address }
    }

    /// The binary, which may refuse to start.
    pub(crate) fn alone_unchecked(config: &str, environment: &[(&str, &str)]) -> Program {
        let (directory, command) = command(Command::new(binary()), config, environment);
        Program::start("memory-exporter", directory, command)
    }

    pub(crate) fn text(&self, accept: &str) -> http::Answer {
        http::get(&format!("http://{}/metrics", self.address), accept)
    }

    /// A scrape.
    pub(crate) fn series(&self) -> Series {
        series::of_text(&self.text(CLASSIC).body)
    }
}

/// Waits for the line that says where the service listens.
fn address(program: &mut Program, prefix: &str, output: fn(&Program) -> Vec<String>) -> String {
    eventually("the exporter says where it listens", || {
        assert!(
            !program.has_ended(),
            "the exporter ended: {:?}",
            program.stderr()
        );
        let lines = output(program);
        let line = lines.iter().find_map(|line| line.split_once(prefix))?;
        Some(line.1.trim().to_owned())
    })
}
