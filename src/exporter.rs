//! Floor 7: compose. The builder and the exporter.
//!
//! The exporter lives on a thread of its own with a runtime of its own, so that it answers while the host's runtime is stuck.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::SystemTime;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::alert::{AlertManager, Outlets};
use crate::analysis;
use crate::collector::{Roots, Target};
use crate::config::{Auto, Config, Resource};
use crate::error::Error;
use crate::exposition::{self, Api, Bound, Gate, MemoryCollector, Session, TextOptions, Watched};
use crate::heap::{self, Component, SamplingOptions};
use crate::profile::Profiler;
use crate::snapshot::{Archive, History, Recorder, SamplerOptions, Snapshot};
use crate::ticker::Ticker;
use crate::watch::{Guard, LeakWatch};

/// What the exporter itself allocates counts for this component.
static OWN: Component = Component::new(heap::OWN_COMPONENT);

/// Makes an [`Exporter`].
#[derive(Debug, Clone)]
pub struct Builder {
    config: Config,
    target: Target,
    roots: Roots,
    service: Option<(String, String)>,
    serve: bool,
    listeners: Vec<Arc<TcpListener>>,
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
        } = self;
        let _own = OWN.enter();
        for (key, value) in service
            .into_iter()
            .flat_map(|(name, version)| [("service.name", name), ("service.version", version)])
        {
            config.otlp.resource.entry(key.to_owned()).or_insert(value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Threads for what takes long: left only when they end.
            .on_thread_start(|| std::mem::forget(OWN.enter()))
            .build()
            .map_err(Error::thread)?;
        let gate = if serve {
            Gate::open(&config.web)?
        } else {
            Gate::default()
        };
        let bound = {
            let _runtime = runtime.enter();
            match (serve, listeners.is_empty()) {
                (false, _) => exposition::bind(&[])?,
                (true, true) => exposition::bind(&config.web.listen_address)?,
                (true, false) => exposition::take(&listeners)?,
            }
        };
        let addresses = bound.addresses();
        let resource = Resource::resolve(&config.otlp, instance(&addresses), variable);
        let text = TextOptions::new(&config, &resource);
        let session = Session::start();
        let profiler = start_sampling(&config, &target, &roots.proc, &session.id);
        let options = sampler_options(&config, target.clone(), roots);
        let history = History::new(config.sampling.max_samples, config.history.retention);
        let leaks = Arc::new(LeakWatch::new(&config, profiler.clone(), &session.id));
        let guard = match &profiler {
            Some(profiler) => Guard::open(&config.limits.evidence, profiler, &session.id),
            None => Ok(None),
        };
        let guard = guard.map_err(Error::evidence)?.map(Arc::new);
        let found = Arc::clone(&leaks);
        let archive = Archive::of(&config.history).map(Arc::new);
        let recorder =
            Recorder::new(options, history)
                .keeping(archive)
                .deriving(move |snapshot, history| {
                    let mut derived = analysis::derive(snapshot, history);
                    derived.leaks = Some(found.reading());
                    derived
                });
        let recorder = Arc::new(recorder);
        let alerts = match config.alerts.enabled {
            true => {
                let _runtime = runtime.enter();
                let outlets = Arc::new(Outlets::open(&config.alerts, config.sampling.interval)?);
                recorder.own().count_channels(outlets.counts());
                let (job, instance) = (resource.job(), resource.instance());
                Some(Arc::new(AlertManager::new(
                    &config, &job, instance, outlets,
                )))
            }
            false => None,
        };
        let api = Arc::new(Api::new(
            &config,
            Arc::clone(&recorder),
            Watched {
                profiler: profiler.clone(),
                leaks: Arc::clone(&leaks),
                guard: guard.clone(),
                alerts: alerts.clone(),
            },
            &target,
            session.clone(),
            &text,
        ));
        let (stop, stopping) = watch::channel(());
        let parts = Parts {
            #[cfg(feature = "otlp")]
            push: crate::push::Settings::resolve(&config, resource, variable)?,
            bound,
            gate,
            api: Arc::clone(&api),
            ticker: Ticker {
                recorder: Arc::clone(&recorder),
                profiler,
                leaks,
                guard,
                alerts,
                interval: config.sampling.interval,
                guard_from: config.limits.evidence.above / 2.0,
            },
            started: session.started,
            config,
        };
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("memory-exporter".to_owned())
            .spawn(move || {
                parts.ticker.recorder.own().claim_thread();
                // Nobody waits any more if `start` was unwound meanwhile.
                let _ = ready.send(());
                parts.run(&runtime, stopping);
                // A name look-up that hangs must not hold up the stop.
                runtime.shutdown_background();
            })
            .map_err(Error::thread)?;
        // From here on the thread's cost is known, so that the first scrape has it.
        let _ = is_ready.recv();
        Ok(Exporter {
            recorder,
            api,
            text,
            addresses,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A running exporter. Dropping it stops it, as [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct Exporter {
    recorder: Arc<Recorder>,
    api: Arc<Api>,
    text: TextOptions,
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
        self.api.render(accept)
    }

    /// The metrics as a collector for a registry of the host's own. Labels and prefix are then the registry's business, and
    /// `target_info` is left to it.
    pub fn collector(&self) -> MemoryCollector {
        MemoryCollector::new(Arc::clone(&self.recorder), &self.text)
    }

    /// All endpoints as a warp filter for a server of the host's own. Requests for other paths are left to other routes.
    ///
    /// TLS, users and limits are the host's business there: `web.config_file` concerns the exporter's own server only.
    pub fn routes(&self) -> BoxedFilter<(Response,)> {
        exposition::routes(Arc::clone(&self.api))
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

/// What the thread needs.
struct Parts {
    config: Config,
    ticker: Ticker,
    api: Arc<Api>,
    bound: Bound,
    gate: Gate,
    started: SystemTime,
    #[cfg(feature = "otlp")]
    push: Option<crate::push::Settings>,
}

impl Parts {
    fn run(self, runtime: &Runtime, stopping: watch::Receiver<()>) {
        let _own = OWN.enter();
        let Self {
            config,
            ticker,
            api,
            bound,
            gate,
            started,
            ..
        } = self;
        let recorder = Arc::clone(&ticker.recorder);
        let (alerts, leaks) = (ticker.alerts.clone(), Arc::clone(&ticker.leaks));
        let grace = config.web.shutdown_timeout;
        let ticker = ticker.run(stopped(stopping.clone()));
        let server = exposition::serve(bound, api, gate, &config.web, stopped(stopping.clone()));
        let notifier = async {
            if let Some(alerts) = alerts {
                let finished = async {
                    stopped(stopping.clone()).await;
                    alerts.finish();
                };
                alerts.outlets().run(finished, grace).await;
                alerts.close();
            }
        };
        let pusher = async {
            #[cfg(feature = "otlp")]
            if let Some(settings) = self.push {
                let pusher = crate::push::Pusher::new(settings, Arc::clone(&recorder), started);
                pusher.run(stopped(stopping.clone()), grace).await;
            }
            #[cfg(not(feature = "otlp"))]
            let _ = started;
        };
        runtime.block_on(async { tokio::join!(ticker, server, notifier, pusher) });
        recorder.close();
        leaks.close();
    }
}

/// Ready when the exporter was told to stop.
async fn stopped(mut stopping: watch::Receiver<()>) {
    // The sender never sends; it goes away.
    while stopping.changed().await.is_ok() {}
}

/// Begins to sample, where our allocator serves the process.
fn start_sampling(
    config: &Config,
    target: &Target,
    proc: &Path,
    session: &str,
) -> Option<Arc<Profiler>> {
    if *target != Target::Own || !heap::is_installed() {
        return None;
    }
    let allocations = &config.allocations;
    let mut options = SamplingOptions::every(allocations.sample_interval);
    options.max_live_samples = allocations.max_live_samples;
    heap::sample(options);
    Some(Profiler::of_session(config, proc, session))
}

fn sampler_options(config: &Config, target: Target, roots: Roots) -> SamplerOptions {
    SamplerOptions {
        target,
        roots,
        max_components: config.allocations.max_components,
        limit: match config.limits.memory {
            Auto::Auto => None,
            Auto::Set(bytes) => Some(bytes),
        },
    }
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
