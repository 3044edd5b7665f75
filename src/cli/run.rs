//! What the program does without a command: it watches, until it is told to end.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::collector::Target;
use crate::config::{Config, ConfigError, LogFormat, LogLevel, Profile};
use crate::error::Error;
use crate::exporter::Exporter;

use super::log::log_to_stderr;
use super::signals::Signals;

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// Configuration file.
    #[arg(long = "config.file", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Defaults that the file overrides: production or development.
    #[arg(long = "config.profile", value_name = "NAME")]
    profile: Option<Profile>,
    /// Address to listen on; may be repeated, port 0 takes a free one.
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen_address: Vec<SocketAddr>,
    /// Listen on the sockets that systemd hands over, instead of on an address.
    #[arg(long = "web.systemd-socket", conflicts_with = "listen_address")]
    systemd_socket: bool,
    /// Path of the metrics.
    #[arg(long = "web.telemetry-path", value_name = "PATH")]
    telemetry_path: Option<String>,
    /// Web configuration file of Prometheus' exporters: TLS, users, headers, rate limit.
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_config_file: Option<String>,
    /// Answer POST /-/reload, which reads the configuration anew; SIGHUP does so in any case.
    #[arg(long = "web.enable-lifecycle")]
    enable_lifecycle: bool,
    /// Process to watch, by number.
    #[arg(
        long = "target.pid",
        value_name = "PID",
        conflicts_with = "target_name"
    )]
    target_pid: Option<u32>,
    /// Process to watch, by name; after its end the next one of that name is watched.
    #[arg(long = "target.name", value_name = "NAME")]
    target_name: Option<String>,
    /// Least level that is logged: error, warn, info, debug or trace.
    #[arg(long = "log.level", value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Format of the log: text or json.
    #[arg(long = "log.format", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl Run {
    /// The configuration that these flags, the environment and the file make now.
    fn config(&self) -> Result<Config, ConfigError> {
        // Flags are variables that win over the environment, so that a wrong one is reported with everything else.
        let flags = [
            (
                "WEB__LISTEN_ADDRESS",
                (!self.listen_address.is_empty()).then(|| list(&self.listen_address)),
            ),
            ("WEB__TELEMETRY_PATH", self.telemetry_path.clone()),
            (
                "WEB__CONFIG_FILE",
                self.web_config_file
                    .as_ref()
                    .map(|path| format!("{path:?}")),
            ),
            (
                "WEB__ENABLE_LIFECYCLE",
                self.enable_lifecycle.then(|| true.to_string()),
            ),
            (
                "LOG__LEVEL",
                self.log_level.map(|level| level.as_str().to_owned()),
            ),
            (
                "LOG__FORMAT",
                self.log_format.map(|format| format.as_str().to_owned()),
            ),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Config::from_file_and_flags(
            self.profile.unwrap_or_default(),
            self.config_file.as_deref(),
            flags,
        )
    }
}

/// Watches until a signal ends it.
pub(super) fn start(run: Run) -> Result<(), Error> {
    let config = run.config()?;
    let set_level = log_to_stderr(config.log.level, config.log.format);
    let target = match (run.target_pid, &run.target_name) {
        (Some(pid), _) => Target::Pid(pid),
        (None, Some(name)) => Target::Name(name.clone()),
        (None, None) => Target::Own,
    };
    let signals = Signals::listen().map_err(Error::thread)?;
    let listeners = match run.systemd_socket {
        true => handed_over().map_err(Error::sockets)?,
        false => Vec::new(),
    };
    let exporter = Exporter::builder(config)
        .target(target)
        .listeners(listeners)
        .service("memory-exporter", env!("CARGO_PKG_VERSION"))
        .source(move || run.config())
        .applied(move |config| set_level(config.log.level))
        .start()?;
    for address in exporter.addresses() {
        tracing::info!(%address, "listening");
    }
    signals.wait(|| {
        // What came of it stands in the log.
        let _ = exporter.reload();
    });
    tracing::info!("stopping");
    exporter.stop();
    Ok(())
}

/// The sockets of `memory-exporter.socket`.
fn handed_over() -> std::io::Result<Vec<TcpListener>> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..handed.len() {
        listeners.extend(handed.take_tcp_listener(at)?);
    }
    match listeners.is_empty() {
        true => Err(std::io::Error::other("systemd has handed over no socket")),
        false => Ok(listeners),
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|address| format!("{:?}", address.to_string()))
        .collect();
    format!("[{}]", addresses.join(", "))
}
