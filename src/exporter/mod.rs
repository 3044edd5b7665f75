//! Floor 7: compose. The builder and the exporter.
//!
//! | file | holds |
//! |---|---|
//! | `parts.rs` | what a configuration makes, and what a reload makes of it |
//! | `running.rs` | the thread: the parts run, are replaced, and are stopped |
//! | `runtime.rs` | the runtime of that thread |
//!
//! The exporter lives on a thread of its own with a runtime of its own, so that it answers while the host's runtime is stuck.

mod parts;
mod running;
mod runtime;

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::watch;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::collector::{Roots, Target};
#[cfg(feature = "cli")]
use crate::config::Resource;
use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::exposition::{self, Current, MemoryCollector, Reload, ReloadError, Reloaded};
use crate::heap::{self, Component};
use crate::snapshot::{Recorder, Snapshot};

use parts::{Base, Parts};
use running::{Applied, Running, Source};
use runtime::OwnRuntime;

/// What the exporter itself allocates counts for this component.
static OWN: Component = Component::new(heap::OWN_COMPONENT);

/// Makes an [`Exporter`].
#[derive(Clone)]
pub struct Builder {
    config: Config,
    target: Target,
    roots: Roots,
    service: Option<(String, String)>,
    serve: bool,
    listeners: Vec<Arc<TcpListener>>,
    source: Option<Source>,
    applied: Option<Applied>,
}

impl Builder {
    /// Watches another process: then nothing is known of its heap, only what the kernel says. Default: this process.
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Reads procfs and the control groups below other directories. Default: `/proc` and `/sys/fs/cgroup`.
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Name and version of the service, for `service.name` and `service.version` where neither the configuration nor the
    /// environment gives them. Default: `unknown_service:` with the name of the program, and no version.
    pub fn service(mut self, name: &str, version: &str) -> Self {
        self.service = Some((name.to_owned(), version.to_owned()));
        self
    }

    /// Opens no port: the metrics are shown by the host, through [`Exporter::routes`], [`Exporter::collector`] or
    /// [`Exporter::render`]. Default: serves on `web.listen_address`.
    pub fn without_server(mut self) -> Self {
        self.serve = false;
        self
    }

    /// Serves on listeners that are open already, as systemd hands them over, instead of on `web.listen_address`.
    pub fn listeners(mut self, listeners: Vec<TcpListener>) -> Self {
        self.listeners = listeners.into_iter().map(Arc::new).collect();
        self
    }

    /// Says how the configuration is read anew, by [`Exporter::reload`] and, where `web.enable_lifecycle` is set, by `POST /-/reload`: from a
    /// file, with [`Config::from_file`], or from wherever the host keeps it. Default: it cannot be.
    pub fn source(
        mut self,
        source: impl Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Has something told of each configuration that is in force after a reload.
    #[cfg(feature = "cli")]
    pub(crate) fn applied(mut self, applied: impl Fn(&Config) + Send + Sync + 'static) -> Self {
        self.applied = Some(Arc::new(applied));
        self
    }

    /// Opens the ports, starts the thread, and returns.
    ///
    /// # Errors
    /// A standard variable that makes no sense, a port that cannot be opened, or no thread to be had.
    pub fn start(self) -> Result<Exporter, Error> {
        let Self {
            mut config,
            target,
            roots,
            service,
            serve,
            listeners,
            source,
            applied,
        } = self;
        let _own = OWN.enter();
        name(&mut config, service.as_ref());
        let source = source.map(|source| -> Source {
            Arc::new(move || {
                let mut config = source()?;
                name(&mut config, service.as_ref());
                Ok(config)
            })
        });
        // On threads for what takes long the component is left only when they end.
        let in_own = || std::mem::forget(OWN.enter());
        let runtime = OwnRuntime::new(in_own).map_err(Error::thread)?;
        // Before a port is open that nobody would guard.
        let gate = parts::gate(serve, &config)?;
        let entered = runtime.enter();
        let bound = match (serve, listeners.is_empty()) {
            (false, _) => exposition::bind(&[])?,
            (true, true) => exposition::bind(&config.web.listen_address)?,
            (true, false) => exposition::take(&listeners)?,
        };
        let addresses = bound.addresses();
        let (reload, asked) = Reload::channel();
        let base = Base::new(
            &config,
            target,
            roots,
            &addresses,
            serve,
            source.is_some().then(|| reload.clone()),
        );
        let parts = Parts::first(&base, config, gate)?;
        let recorder = Arc::clone(&base.recorder);
        recorder.own().config_taken(base.session.started);
        let current = Current::new(parts.api(&base));
        let (stop, stopping) = watch::channel(());
        let (ready, is_ready) = mpsc::sync_channel(1);
        let serving = current.clone();
        drop(entered);
        let thread = std::thread::Builder::new()
            .name("memory-exporter".to_owned())
            .spawn(move || {
                let _own = OWN.enter();
                let (recorder, leaks) = (Arc::clone(&base.recorder), Arc::clone(&base.leaks));
                recorder.own().claim_thread();
                // Nobody waits any more if `start` was unwound meanwhile.
                let _ = ready.send(());
                runtime.block_on(async {
                    let running = Running::new(base, parts, serving, bound, source, applied);
                    running.until(stopped(stopping), asked).await;
                });
                recorder.close();
                leaks.close();
            })
            .map_err(Error::thread)?;
        // From here on the thread's cost is known, so that the first scrape has it.
        let _ = is_ready.recv();
        Ok(Exporter {
            recorder,
            current,
            reload,
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// A running exporter. Dropping it stops it, as [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct Exporter {
    recorder: Arc<Recorder>,
    current: Current,
    reload: Reload,
    addresses: Vec<SocketAddr>,
    stop: Option<watch::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts an exporter for this process.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start(config: Config) -> Result<Self, Error> {
        Self::builder(config).start()
    }

    /// An exporter with other options than the configuration has.
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            target: Target::Own,
            roots: Roots::default(),
            service: None,
            serve: true,
            listeners: Vec::new(),
            source: None,
            applied: None,
        }
    }

    /// Where the server listens; with port 0 this says which port it became. Empty without a server.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All readings of now.
    pub fn snapshot(&self) -> Snapshot {
        self.recorder.snapshot()
    }

    /// The metrics as text, in the format that an `Accept` header asks for, with its content type: for any server.
    ///
    /// # Errors
    /// When the encoder fails, which no reading can make it do.
    pub fn render(&self, accept: &str) -> Result<(String, &'static str), std::fmt::Error> {
        self.current.api().render(accept)
    }

    /// The metrics as a collector for a registry of the host's own. Labels and prefix are then the registry's business, and
    /// `target_info` is left to it. A reload does not rename what a collector shows.
    pub fn collector(&self) -> MemoryCollector {
        self.current.api().collector()
    }

    /// All endpoints as a warp filter for a server of the host's own. Requests for other paths are left to other routes.
    ///
    /// TLS, users and limits are the host's business there: `web.config_file` concerns the exporter's own server only.
    pub fn routes(&self) -> BoxedFilter<(Response,)> {
        exposition::routes(self.current.clone())
    }

    /// Reads the configuration anew, as [`Builder::source`] says, and takes over all that a running process can change: thresholds, channels,
    /// limits, intervals, the push. Keys that cannot are named in what is given back, and stay as they are. Waits until it is done, which
    /// takes some milliseconds.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, or that there is no source: then nothing has changed.
    pub fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reload.ask_blocking()
    }

    /// Stops: closes the ports, lets open requests finish, pushes once more. Returns after `web.shutdown_timeout` at the latest,
    /// and a little.
    pub fn stop(mut self) {
        self.stop_now();
    }

    fn stop_now(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the exporter's thread panicked");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// Gives the service a name and a version where the configuration does not.
fn name(config: &mut Config, service: Option<&(String, String)>) {
    let pairs =
        service.map(|(name, version)| [("service.name", name), ("service.version", version)]);
    for (key, value) in pairs.into_iter().flatten() {
        let attribute = config.otlp.resource.entry(key.to_owned());
        attribute.or_insert_with(|| value.clone());
    }
}

/// Ready when the exporter was told to stop.
async fn stopped(mut stopping: watch::Receiver<()>) {
    // The sender never sends; it goes away.
    while stopping.changed().await.is_ok() {}
}

/// `host:port` of the listener, the shape of a scraped `instance`, which survives a restart; without a listener a new UUID.
fn instance(addresses: &[SocketAddr]) -> String {
    match (addresses.first(), sysinfo::System::host_name().ok()) {
        (Some(address), Some(host)) => format!("{host}:{}", address.port()),
        (Some(address), None) => address.to_string(),
        (None, _) => uuid::Uuid::new_v4().to_string(),
    }
}

/// The labels `job` and `instance` of a process that is started with this configuration.
#[cfg(feature = "cli")]
pub(crate) fn identity(config: &Config) -> (String, String) {
    let instance = instance(&config.web.listen_address);
    let resource = Resource::resolve(&config.otlp, instance, variable);
    (resource.job(), resource.instance().to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
