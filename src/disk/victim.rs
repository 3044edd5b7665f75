//! For tests: processes that are killed while they write, or find no room to write to, and what they say.
//!
//! Such a process is the test itself, started anew: [`role`] tells it so.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

/// Set for such a process: the directory that it writes to.
const VARIABLE: &str = "MEMORY_EXPORTER_TEST_VICTIM_OF_DISK";
/// Begins what it says, which may stand behind what the harness says.
const MARK: &str = "written ";
/// Longest time between its first word and its end.
const LONGEST_MICROSECONDS: u64 = 8_000;

/// Makes files of more than so many bytes impossible, which a process is told as it is told of a full disk.
const CRAMP: &str = "
import os, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
";

/// The directory to write to, if this process is one of them.
pub(crate) fn role() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Says something to the test.
pub(crate) fn say(number: u64) {
    println!("{MARK}{number}");
}

/// Starts a test as such a process, kills it some time after it first said something, and returns the last number that it said.
pub(crate) fn kill(test: &str, directory: &Path) -> u64 {
    let mut victim = command(
        Command::new(std::env::current_exe().unwrap()),
        test,
        directory,
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let (tell, told) = mpsc::channel();
    let lines = thread::spawn(move || {
        let numbers = output
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| number(&line));
        let tell = |_: &u64| {
            let _ = tell.send(());
        };
        numbers.inspect(tell).last()
    });
    assert!(told.recv().is_ok(), "nothing was written");
    thread::sleep(Duration::from_micros(fastrand::u64(
        0..LONGEST_MICROSECONDS,
    )));
    victim.kill().unwrap();
    victim.wait().unwrap();
    lines.join().unwrap().unwrap()
}

/// Runs a test as a process whose files may have so many bytes.
pub(crate) fn cramp(test: &str, directory: &Path, bytes: u64) {
    let mut python = Command::new("python3");
    python.args(["-c", CRAMP, &bytes.to_string()]);
    python.arg(std::env::current_exe().unwrap());
    let output = command(python, test, directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

fn command(mut command: Command, test: &str, directory: &Path) -> Command {
    command
        .args([test, "--exact", "--nocapture"])
        .env(VARIABLE, directory);
    command
}

fn number(line: &str) -> Option<u64> {
    let (_, number) = line.split_once(MARK)?;
    number.parse().ok()
}

/// What `work` writes to the log.
pub(crate) fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}
