//! What a configuration makes, and what a reload makes of it: everything that can go wrong is tried before anything is changed.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::alert::{AlertManager, Outlets};
use crate::analysis;
use crate::collector::{Roots, Target};
use crate::config::{Config, Resource};
use crate::error::Error;
use crate::exposition::{Api, Front, Gate, Reload, Session, TextOptions, Watched};
use crate::heap::{self, SamplingOptions};
use crate::profile::Profiler;
use crate::snapshot::{Archive, History, Recorder, SamplerOptions};
use crate::ticker::Ticker;
use crate::watch::{Guard, LeakWatch};

/// What lasts as long as the exporter.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) session: Session,
    pub(super) target: Target,
    /// `host:port`, where the configuration gives no other instance.
    pub(super) instance: String,
    /// Whether there is a server of our own.
    pub(super) serves: bool,
    pub(super) recorder: Arc<Recorder>,
    pub(super) profiler: Option<Arc<Profiler>>,
    pub(super) leaks: Arc<LeakWatch>,
    /// How another configuration is asked for, where it is known where to find one.
    pub(super) reload: Option<Reload>,
}

impl Base {
    pub(super) fn new(
        config: &Config,
        target: Target,
        roots: Roots,
        addresses: &[SocketAddr],
        serves: bool,
        reload: Option<Reload>,
    ) -> Self {
        let session = Session::start();
        let profiler = (target == Target::Own && heap::is_installed()).then(|| {
            sample(config);
            Profiler::of_session(config, &roots.proc, &session.id)
        });
        let options = SamplerOptions {
            target: target.clone(),
            roots,
            max_components: config.allocations.max_components,
            limit: config.limits.memory.given(),
        };
        let history = History::new(config.sampling.max_samples, config.history.retention);
        let leaks = Arc::new(LeakWatch::new(config, profiler.clone(), &session.id));
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
        Self {
            session,
            target,
            instance: super::instance(addresses),
            serves,
            recorder: Arc::new(recorder),
            profiler,
            leaks,
            reload,
        }
    }
}

/// What is made from a configuration.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) config: Config,
    resource: Resource,
    gate: Arc<Gate>,
    guard: Option<Arc<Guard>>,
    pub(super) alerts: Option<Arc<AlertManager>>,
    #[cfg(feature = "otlp")]
    pub(super) push: Option<crate::push::Settings>,
}

impl Parts {
    /// Those of the start.
    ///
    /// # Errors
    /// Whatever cannot be opened or read.
    pub(super) fn first(base: &Base, config: Config, gate: Arc<Gate>) -> Result<Self, Error> {
        Self::make(base, config, gate, None)
    }

    /// Those in the place of these, of which what has not changed is used again. After an error these are as they were.
    ///
    /// # Errors
    /// As [`first`](Self::first).
    pub(super) fn next(&self, base: &Base, config: Config) -> Result<Self, Error> {
        let guarded_by = |config: &Config| {
            let web = &config.web;
            (web.config_file.clone(), web.auth_exempt_paths.clone())
        };
        let gate = match guarded_by(&self.config) == guarded_by(&config) {
            true => Arc::clone(&self.gate),
            false => gate(base.serves, &config)?,
        };
        let next = Self::make(base, config, gate, Some(self))?;
        let (old, new) = (&self.config, &next.config);
        if (&old.sampling, &old.limits, &old.history) != (&new.sampling, &new.limits, &new.history)
        {
            base.recorder.rebound(new);
        }
        if (&old.leaks, &old.history) != (&new.leaks, &new.history) {
            base.leaks.reconfigure(old, new);
        }
        if let Some(profiler) = &base.profiler {
            profiler.reconfigure(new);
            let sampling = |config: &Config| {
                let allocations = &config.allocations;
                (allocations.sample_interval, allocations.max_live_samples)
            };
            // What was asked for by POST /debug/sampling stays, unless the file says something new.
            if sampling(old) != sampling(new) {
                sample(new);
            }
        }
        Ok(next)
    }

    fn make(
        base: &Base,
        config: Config,
        gate: Arc<Gate>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        // What stays if this is the same in both configurations.
        let same = |is_same: fn(&Config, &Config) -> bool| {
            before.filter(|before| is_same(&before.config, &config))
        };
        let guard = match same(|old, new| old.limits.evidence == new.limits.evidence) {
            Some(before) => before.guard.clone(),
            None => open_guard(base, &config)?,
        };
        let resource = Resource::resolve(&config.otlp, base.instance.clone(), super::variable);
        #[cfg(feature = "otlp")]
        let push = crate::push::Settings::resolve(&config, resource.clone(), super::variable)?;
        let outlets = match same(|old, new| {
            let of = |config: &Config| (config.alerts.delivery, config.sampling.interval);
            let channels = &new.alerts.channels;
            // Certificates may have changed, although the files have the names of before.
            let has_files = channels.iter().any(|one| one.target.has_certificates());
            of(old) == of(new) && old.alerts.channels == *channels && !has_files
        }) {
            _ if !config.alerts.enabled => None,
            Some(Self {
                alerts: Some(alerts),
                ..
            }) => Some(Arc::clone(alerts.outlets())),
            _ => {
                let known = base.recorder.own().channel_counts();
                let interval = config.sampling.interval;
                Some(Arc::new(Outlets::open(&config.alerts, interval, &known)?))
            }
        };
        // From here on nothing can go wrong.
        let alerts = outlets.map(|outlets| {
            let (job, instance) = (resource.job(), resource.instance());
            base.recorder.own().count_channels(outlets.counts());
            match before.and_then(|before| before.alerts.as_ref()) {
                None => Arc::new(AlertManager::new(&config, &job, instance, outlets)),
                Some(alerts)
                    if Arc::ptr_eq(alerts.outlets(), &outlets)
                        && same(|old, new| old.alerts == new.alerts).is_some() =>
                {
                    Arc::clone(alerts)
                }
                Some(alerts) => Arc::new(AlertManager::succeeding(
                    alerts, &config, &job, instance, outlets,
                )),
            }
        });
        if alerts.is_none() {
            base.recorder.own().count_channels(Vec::new());
        }
        Ok(Self {
            config,
            resource,
            gate,
            guard,
            alerts,
            #[cfg(feature = "otlp")]
            push,
        })
    }

    /// What stands before the endpoints.
    pub(super) fn front(&self) -> Front {
        Front {
            gate: Arc::clone(&self.gate),
            web: self.config.web.clone(),
        }
    }

    /// The endpoints.
    pub(super) fn api(&self, base: &Base) -> Api {
        Api::new(
            &self.config,
            Arc::clone(&base.recorder),
            Watched {
                profiler: base.profiler.clone(),
                leaks: Arc::clone(&base.leaks),
                guard: self.guard.clone(),
                alerts: self.alerts.clone(),
            },
            &base.target,
            base.session.clone(),
            TextOptions::new(&self.config, &self.resource),
            base.reload.clone(),
        )
    }

    /// What happens at intervals.
    pub(super) fn ticker(&self, base: &Base) -> Ticker {
        Ticker {
            recorder: Arc::clone(&base.recorder),
            profiler: base.profiler.clone(),
            leaks: Arc::clone(&base.leaks),
            guard: self.guard.clone(),
            alerts: self.alerts.clone(),
            interval: self.config.sampling.interval,
            guard_from: self.config.limits.evidence.above / 2.0,
        }
    }
}

/// Samples as a configuration says.
pub(super) fn sample(config: &Config) {
    let allocations = &config.allocations;
    let mut options = SamplingOptions::every(allocations.sample_interval);
    options.max_live_samples = allocations.max_live_samples;
    heap::sample(options);
}

/// What stands before a server of our own.
///
/// # Errors
/// Every mistake in the web configuration file.
pub(super) fn gate(serves: bool, config: &Config) -> Result<Arc<Gate>, Error> {
    match serves {
        true => Ok(Arc::new(Gate::open(&config.web)?)),
        false => Ok(Arc::default()),
    }
}

fn open_guard(base: &Base, config: &Config) -> Result<Option<Arc<Guard>>, Error> {
    let Some(profiler) = &base.profiler else {
        return Ok(None);
    };
    let guard = Guard::open(&config.limits.evidence, profiler, &base.session.id);
    Ok(guard.map_err(Error::evidence)?.map(Arc::new))
}
