//! Building the programs that are measured, and talking to them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// All functions begin at a cache line, those of jemalloc too. Where a function happens to lie can be worth several per cent of a
/// tight loop, and it differs between programs that have the same machine code.
const RUST_FLAGS: &str = "-C llvm-args=-align-all-functions=6";
const C_FLAGS: &str = "-falign-functions=64";

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Folder of the programs that [`build`] builds.
const USUAL: &str = "target/contenders";
/// Folder of the programs that [`build_with_frame_pointers`] builds.
const WITH_FRAME_POINTERS: &str = "target/frame-pointers";

/// Where a program is after [`build`].
pub(crate) fn path(program: &str) -> PathBuf {
    path_in(USUAL, program)
}

fn path_in(folder: &str, program: &str) -> PathBuf {
    home().join(folder).join("release").join(program)
}

/// Builds all programs; the one with its own build of jemalloc only if it is wanted, and in a run of its own, so that its features are
/// not unified with those of the others.
pub(crate) fn build(profiler: bool) {
    cargo_build(&["--package", "contenders"], USUAL, "");
    if profiler {
        cargo_build(&["--package", "profiler"], USUAL, "");
    }
}

/// Builds the simulation of leaks, in a run of its own, so that it is built with the analysis alone.
pub(crate) fn build_leaks() {
    cargo_build(&["--package", "leaks"], USUAL, "");
}

/// Builds the program that compares unwinders, one of which needs what is rarely there.
pub(crate) fn build_with_frame_pointers() {
    let what = ["--package", "contenders", "--bin", "unwinders"];
    cargo_build(&what, WITH_FRAME_POINTERS, "-C force-frame-pointers=yes");
}

fn cargo_build(what: &[&str], folder: &str, more_flags: &str) {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--release", "--locked"])
        .args(what)
        .arg("--manifest-path")
        .arg(home().join("Cargo.toml"))
        .arg("--target-dir")
        .arg(home().join(folder))
        .env("RUSTFLAGS", format!("{RUST_FLAGS} {more_flags}"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("CFLAGS", C_FLAGS)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{} could not be built",
        what.join(" ")
    );
}

/// Runs a program that prints its tables itself.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(path(program)).args(arguments).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{program} failed"
    );
}

/// A program that answers each line that it is sent with one line.
pub(crate) struct Program {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(
        program: &str,
        arguments: &[String],
        environment: &[(&str, String)],
    ) -> Self {
        Self::start_in(USUAL, program, arguments, environment)
    }

    pub(crate) fn start_with_frame_pointers(program: &str, arguments: &[String]) -> Self {
        Self::start_in(WITH_FRAME_POINTERS, program, arguments, &[])
    }

    fn start_in(
        folder: &str,
        program: &str,
        arguments: &[String],
        environment: &[(&str, String)],
    ) -> Self {
        let mut child = Command::new(path_in(folder, program))
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        let answers = child.stdout.take().expect("standard output is a pipe");
        Self {
            orders: child.stdin.take(),
            answers: BufReader::new(answers).lines(),
            child,
        }
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("standard input is a pipe");
        writeln!(orders, "{order}").expect("the program listens");
        self.hear().expect("the program answers")
    }

    /// The next line; `None` when the program has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        self.answers.next().and_then(Result::ok)
    }

    /// All that a program has to say, in lines of a name and a number.
    pub(crate) fn numbers(mut self) -> HashMap<String, f64> {
        let mut numbers = HashMap::new();
        while let Some(line) = self.hear() {
            let (name, value) = line.split_once(' ').expect("a name and a value");
            let value: f64 = value.parse().expect("a number");
            numbers.insert(name.to_owned(), value);
        }
        numbers
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The end of its input is the sign for it to end.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// Where and when this is measured.
pub(crate) fn machine() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(home())
            .output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        text.unwrap_or_default()
    };
    let processor = read("/proc/cpuinfo").lines().find_map(|line| {
        Some(
            line.strip_prefix("model name")?
                .split_once(": ")?
                .1
                .to_owned(),
        )
    });
    format!(
        "{} x {}, Linux {}, {}, commit {}, load at the start {}",
        std::thread::available_parallelism().map_or(0, usize::from),
        processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        output("uname", &["-r"]),
        output("rustc", &["--version"]),
        output("git", &["describe", "--always", "--dirty"]),
        read("/proc/loadavg").split(' ').next().unwrap_or_default(),
    )
}
