//! Programs as child processes: the real peers that `.ci/peers` fetches, the exporter's own binary, and the example. Each is killed and
//! waited for when its guard goes away; what it printed is kept and shown if it dies early.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::http;
use crate::wait::eventually;

/// Where `.ci/peers` puts the programs.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers");

/// A peer, below `target/peers`.
///
/// # Panics
/// When it is not there.
fn peer(path: &str) -> PathBuf {
    let path = Path::new(PEERS).join(path);
    assert!(
        path.exists(),
        "{} is missing: run .ci/peers",
        path.display()
    );
    path
}

pub(crate) fn promtool() -> PathBuf {
    peer("root/usr/bin/promtool")
}

pub(crate) fn amtool() -> PathBuf {
    peer("root/usr/bin/amtool")
}

pub(crate) fn python() -> PathBuf {
    peer("python/bin/python")
}

pub(crate) fn node() -> PathBuf {
    peer("node/node")
}

/// The folder of `profile_pb2`, which reads pprof.
pub(crate) fn pprof_decoder() -> PathBuf {
    peer("decoder")
}

/// A port that was free a moment ago. It lies below those that the kernel gives away, so nobody gets it by chance while it is not in
/// use. Starters try again with another one when somebody was faster.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    eventually("a port is free", || {
        // Two runs at once begin at different places.
        let at = std::process::id() * 7 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + at % COUNT).expect("a port");
        TcpListener::bind(("127.0.0.1", port))
            .is_ok()
            .then_some(port)
    })
}

/// A child process, its output, and a directory of its own.
pub(crate) struct Program {
    name: &'static str,
    command: Command,
    child: Child,
    directory: TempDir,
}

impl Program {
    /// Starts `command` in `directory`, which its output goes to as well.
    pub(crate) fn start(name: &'static str, directory: TempDir, mut command: Command) -> Self {
        let child = spawn(name, &directory, &mut command);
        Self {
            name,
            command,
            child,
            directory,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> Vec<String> {
        self.lines("stdout")
    }

    pub(crate) fn stderr(&self) -> Vec<String> {
        self.lines("stderr")
    }

    fn lines(&self, stream: &str) -> Vec<String> {
        let file = File::open(self.directory.path().join(stream)).expect("the output");
        BufReader::new(file).lines().map_while(Result::ok).collect()
    }

    /// Waits until the program has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let name = self.name;
        eventually(&format!("{name} ends"), || {
            self.child.try_wait().expect("its status")
        })
    }

    /// Asks the program to end, by SIGTERM.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").arg(&pid).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {pid}");
        self.wait()
    }

    /// Ends the program as a crash would, and keeps its directory.
    pub(crate) fn crash(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// `VmRSS` in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("its status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        1024 * kilobytes
            .and_then(|text| text.parse::<u64>().ok())
            .expect("VmRSS in kB")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.crash();
        if std::thread::panicking() {
            for stream in ["stdout", "stderr"] {
                let lines = self.lines(stream);
                let last = &lines[lines.len().saturating_sub(20)..];
                eprintln!("-- {stream} of {}:\n{}", self.name, last.join("\n"));
            }
        }
    }
}

fn spawn(name: &str, directory: &TempDir, command: &mut Command) -> Child {
    let file = |stream| File::create(directory.path().join(stream)).expect("a file for output");
    command
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(file("stdout"))
        .stderr(file("stderr"))
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not start: {error}"))
}

/// A peer that listens.
pub(crate) struct Server {
    pub(crate) program: Program,
    /// What others should talk to.
    pub(crate) url: String,
    /// What answers once the peer is ready.
    ready: String,
}

impl Server {
    /// Starts what `recipe` makes of a free port; once more with another one when it ends, as it does when the port is taken.
    fn start(name: &'static str, ready: &str, recipe: impl Fn(u16, &TempDir) -> Command) -> Self {
        for _ in 0..5 {
            let directory = tempfile::tempdir().expect("a directory");
            let port = free_port();
            let command = recipe(port, &directory);
            let url = format!("http://127.0.0.1:{port}");
            let mut server = Self {
                program: Program::start(name, directory, command),
                ready: format!("{url}{ready}"),
                url,
            };
            if server.becomes_ready() {
                return server;
            }
        }
        panic!("{name} found no free port");
    }

    /// A stranger on the same port may answer too; but then ours ends.
    fn becomes_ready(&mut self) -> bool {
        let ready = self.ready.clone();
        eventually(&format!("{ready} answers"), || {
            let answer = http::try_get(&ready, "*/*");
            let is_ready = answer.is_ok_and(|answer| answer.status < 500);
            (self.program.has_ended() || is_ready).then_some(())
        });
        !self.program.has_ended()
    }

    /// Brings back what crashed, at the same address and with the same data.
    pub(crate) fn revive(&mut self) {
        let program = &mut self.program;
        program.child = spawn(program.name, &program.directory, &mut program.command);
        assert!(self.becomes_ready(), "{} comes back", self.program.name);
    }

    /// A Prometheus with this configuration.
    pub(crate) fn prometheus(config: &str) -> Self {
        Self::prometheus_with(config, &[], "")
    }

    /// A Prometheus with this configuration, further arguments, and a past in OpenMetrics.
    pub(crate) fn prometheus_with(config: &str, arguments: &[&str], past: &str) -> Self {
        Self::start("prometheus", "/-/ready", |port, directory| {
            let file = |name| directory.path().join(name);
            std::fs::write(file("prometheus.yml"), config).expect("its configuration");
            if !past.is_empty() {
                std::fs::write(file("past.txt"), past).expect("the past");
                let made = Command::new(promtool())
                    .current_dir(directory.path())
                    .args([
                        "tsdb",
                        "create-blocks-from",
                        "openmetrics",
                        "past.txt",
                        "data",
                    ])
                    .output()
                    .expect("promtool starts");
                assert!(made.status.success(), "{made:?}");
            }
            let mut command = Command::new(peer("root/usr/bin/prometheus"));
            command.env_clear().args(arguments).args([
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                &format!("--web.listen-address=127.0.0.1:{port}"),
            ]);
            command
        })
    }

    /// An Alertmanager with this configuration.
    pub(crate) fn alertmanager(config: &Path) -> Self {
        Self::start("alertmanager", "/-/ready", |port, directory| {
            for template in ["default.tmpl", "email.tmpl"] {
                let own = format!("root/usr/share/prometheus/alertmanager/{template}");
                std::fs::copy(peer(&own), directory.path().join(template)).expect("a template");
            }
            let mut command = Command::new(peer("root/usr/bin/prometheus-alertmanager"));
            command.env_clear().args([
                &format!("--config.file={}", config.display()),
                "--storage.path=data",
                &format!("--web.listen-address=127.0.0.1:{port}"),
                // Else it opens a port for others of its kind.
                "--cluster.listen-address=",
            ]);
            command
        })
    }

    /// An agent that takes pushes and writes them to the Prometheus at `store`.
    pub(crate) fn vmagent(store: &str) -> Self {
        Self::start("vmagent", "/health", |port, _| {
            let mut command = Command::new(peer("root/usr/bin/vmagent"));
            command.env_clear().args([
                "-remoteWrite.tmpDataPath=data",
                "-remoteWrite.flushInterval=200ms",
                &format!("-remoteWrite.url={store}/api/v1/write"),
                &format!("-httpListenAddr=127.0.0.1:{port}"),
                "-opentelemetry.usePrometheusNaming",
            ]);
            command
        })
    }

    /// A VictoriaMetrics; `translates` says whether it gives OpenTelemetry's names the form of Prometheus.
    pub(crate) fn victoria(translates: bool) -> Self {
        Self::start("victoria-metrics", "/health", |port, _| {
            let mut command = Command::new(peer("root/usr/bin/victoria-metrics"));
            command.env_clear().args([
                "-storageDataPath=data",
                "-search.latencyOffset=0s",
                &format!("-httpListenAddr=127.0.0.1:{port}"),
                &format!("-opentelemetry.usePrometheusNaming={translates}"),
            ]);
            command
        })
    }

    /// An OTLP collector that takes gRPC and forwards to the VictoriaMetrics at `store`.
    pub(crate) fn rotel(store: &str) -> Self {
        let grpc = Cell::new(0);
        let mut server = Self::start("rotel", "/", |port, _| {
            grpc.set(free_port());
            rotel(port, grpc.get(), store)
        });
        server.url = format!("http://127.0.0.1:{}", grpc.get());
        server
    }
}

fn rotel(http: u16, grpc: u16, store: &str) -> Command {
    let library = peer("python/lib");
    let python = std::fs::read_dir(&library).expect("a directory").flatten();
    let agents = python.map(|version| version.path().join("site-packages/rotel/rotel-agent"));
    let agent = agents
        .into_iter()
        .find(|agent| agent.exists())
        .unwrap_or_else(|| panic!("no rotel below {}: run .ci/peers", library.display()));
    let mut command = Command::new(agent);
    command.env_clear().args([
        "start",
        "--otlp-grpc-endpoint",
        &format!("127.0.0.1:{grpc}"),
        "--otlp-http-endpoint",
        &format!("127.0.0.1:{http}"),
        "--exporter",
        "otlp",
        "--otlp-exporter-protocol",
        "http",
        "--otlp-exporter-metrics-endpoint",
        &format!("{store}/opentelemetry/v1/metrics"),
        "--otlp-exporter-traces-endpoint",
        &format!("{store}/none"),
        "--otlp-exporter-logs-endpoint",
        &format!("{store}/none"),
        "--batch-timeout",
        "200ms",
    ]);
    command
}
