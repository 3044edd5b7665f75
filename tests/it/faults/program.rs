//! Not tests: the binary in a world that can be made hostile, and what it logs.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::client;

/// Takes from root what lets it write where nobody may, has the kernel answer where it would kill, and becomes the program.
const BECOME: &str = "
import ctypes, os, resource, signal, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
name, soft = sys.argv[1].split('=')
what = getattr(resource, name)
soft = resource.RLIM_INFINITY if soft == 'unlimited' else int(soft)
resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))
os.execv(sys.argv[2], sys.argv[2:])
";

/// A running binary, killed at the end.
pub(super) struct Program {
    process: Child,
    pub(super) address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Starts it under a resource limit such as `RLIMIT_FSIZE=0`, with a configuration.
    pub(super) fn start(limit: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, config).unwrap();
        let mut process = Command::new("python3")
            .args(["-c", BECOME, limit, env!("CARGO_BIN_EXE_memory-exporter")])
            .args(["--web.listen-address", "127.0.0.1:0", "--config.file"])
            .arg(&file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let keep = |log: &Mutex<Vec<String>>, line: String| {
            log.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        };
        let address = loop {
            let line = lines.next().expect("it says where it listens").unwrap();
            keep(&log, line.clone());
            let address = line.split_once("listening address=");
            if let Some((_, address)) = address {
                break address.trim().parse().unwrap();
            }
        };
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| keep(&kept, line))
        });
        Self {
            process,
            address,
            log,
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Changes a resource limit of the running program.
    pub(super) fn limit(&self, limit: &str) {
        let id = self.id().to_string();
        let status = Command::new("prlimit").args(["--pid", &id, limit]).status();
        assert!(status.unwrap().success(), "prlimit {limit}");
    }

    /// Lines of its log that hold a text.
    pub(super) fn said(&self, text: &str) -> Vec<String> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let found = log.iter().filter(|line| line.contains(text));
        found.cloned().collect()
    }

    pub(super) fn lines(&self) -> usize {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    pub(super) fn get(&self, path: &str) -> String {
        client::get(self.address, path)
    }

    pub(super) fn post(&self, path: &str) -> String {
        client::request(self.address, "POST", path)
    }

    pub(super) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// A value as it is scraped.
    pub(super) fn value(&self, series: &str) -> Option<f64> {
        value(&self.get("/metrics"), series)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A value in the text of a scrape.
pub(super) fn value(text: &str, series: &str) -> Option<f64> {
    let find = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    text.lines().find_map(find)
}
