//! The exporter's thread: the parts run side by side, are replaced when the configuration is read anew, and are stopped together.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_blocking;

use crate::alert::Outlets;
use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::exposition::{self, Asked, Bound, Current, Front, Outcome, ReloadError, Reloaded};
#[cfg(feature = "otlp")]
use crate::push::Pusher;
#[cfg(feature = "otlp")]
use crate::snapshot::Snapshot;

use super::parts::{Base, Parts};

/// Where another configuration is read from.
pub(super) type Source = Arc<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;
/// Who is told which configuration is in force from now on.
pub(super) type Applied = Arc<dyn Fn(&Config) + Send + Sync>;

/// Tells a part to stop, and how much time it has for that.
type Stop = oneshot::Sender<Duration>;

/// All that runs.
pub(super) struct Running {
    base: Base,
    parts: Parts,
    current: Current,
    source: Option<Source>,
    applied: Option<Applied>,
    front: watch::Sender<Front>,
    tasks: FuturesUnordered<LocalBoxFuture<'static, ()>>,
    server: Stop,
    ticker: Stop,
    notifier: Option<Notifier>,
    #[cfg(feature = "otlp")]
    pusher: Option<Stop>,
    /// What the last pusher gives back when it has stopped.
    #[cfg(feature = "otlp")]
    acknowledged: oneshot::Receiver<Option<Snapshot>>,
}

/// The channels that messages are sent by.
struct Notifier {
    outlets: Arc<Outlets>,
    stop: Stop,
    /// Ends it at once, whatever is on its way.
    abort: oneshot::Sender<()>,
}

impl Running {
    /// Has everything run as soon as [`until`](Self::until) does.
    pub(super) fn new(
        base: Base,
        parts: Parts,
        current: Current,
        bound: Bound,
        source: Option<Source>,
        applied: Option<Applied>,
    ) -> Self {
        let tasks = FuturesUnordered::new();
        let (front, fronts) = watch::channel(parts.front());
        let (server, stopping) = oneshot::channel();
        let served = exposition::serve(
            bound,
            current.clone(),
            fronts,
            stopped(stopping).map(|_| ()),
        );
        tasks.push(served.boxed_local());
        let (ticker, _) = oneshot::channel();
        #[cfg(feature = "otlp")]
        let (_, acknowledged) = oneshot::channel();
        let mut running = Self {
            base,
            parts,
            current,
            source,
            applied,
            front,
            tasks,
            server,
            ticker,
            notifier: None,
            #[cfg(feature = "otlp")]
            pusher: None,
            #[cfg(feature = "otlp")]
            acknowledged,
        };
        running.tick();
        running.notify();
        #[cfg(feature = "otlp")]
        running.push();
        running
    }

    /// Runs until it is told to stop, and then until everything has.
    pub(super) async fn until(
        mut self,
        stopping: impl Future<Output = ()>,
        mut asked: mpsc::Receiver<Asked>,
    ) {
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                Some(()) = self.tasks.next() => {}
                Some(asked) = asked.recv() => {
                    let outcome = self.reload().await;
                    // Who has gone away meanwhile finds it in the log.
                    let _ = asked.send(outcome);
                }
                () = &mut stopping => break,
            }
        }
        drop(asked);
        self.stop().await;
    }

    async fn stop(mut self) {
        let grace = self.parts.config.web.shutdown_timeout;
        if let Some(alerts) = &self.parts.alerts {
            alerts.finish();
        }
        #[cfg(feature = "otlp")]
        let pusher = self.pusher;
        #[cfg(not(feature = "otlp"))]
        let pusher = None;
        let notifier = self.notifier.map(|notifier| notifier.stop);
        let (server, ticker) = (Some(self.server), Some(self.ticker));
        for stop in [ticker, server, notifier, pusher].into_iter().flatten() {
            // One that has ended already needs not be told.
            let _ = stop.send(grace);
        }
        while self.tasks.next().await.is_some() {}
        if let Some(alerts) = &self.parts.alerts {
            alerts.close();
        }
    }

    /// Reads the configuration anew and puts what it makes in the place of what runs; or changes nothing.
    async fn reload(&mut self) -> Outcome {
        let Some(source) = self.source.clone() else {
            let problem = "it is not known where the configuration is to be read from";
            return Err(ReloadError::new(vec![problem.to_owned()]));
        };
        let (base, parts) = (self.base.clone(), self.parts.clone());
        // Files are read, and locks waited for.
        let made = spawn_blocking(move || {
            let time = SystemTime::now();
            let mut config = source()?;
            let mut reloaded = Reloaded {
                needs_restart: config.keep_fixed(&parts.config),
                ..Reloaded::default()
            };
            reloaded.changed = config.sections_unlike(&parts.config);
            Ok((time, reloaded, parts.next(&base, config)?))
        });
        let made: Result<Result<_, Error>, _> = self.meanwhile(made).await;
        let own = self.base.recorder.own();
        let problems = match made {
            Ok(Ok((time, reloaded, parts))) => {
                own.config_taken(time);
                self.replace(parts);
                let keys = reloaded.needs_restart.iter().map(|fixed| fixed.key);
                let needs_restart: Vec<_> = keys.collect();
                let changed = &reloaded.changed;
                tracing::info!(?changed, ?needs_restart, "configuration reloaded");
                return Ok(reloaded);
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        own.config_refused();
        let problems: Vec<_> = problems.lines().map(str::to_owned).collect();
        for problem in &problems {
            tracing::error!(problem, "configuration not reloaded, the one before stays");
        }
        Err(ReloadError::new(problems))
    }

    /// Waits for something while everything runs on.
    async fn meanwhile<T>(&mut self, wanted: impl Future<Output = T>) -> T {
        tokio::pin!(wanted);
        loop {
            tokio::select! {
                Some(()) = self.tasks.next() => {}
                done = &mut wanted => return done,
            }
        }
    }

    /// Puts parts in the place of those that run.
    fn replace(&mut self, parts: Parts) {
        let before = std::mem::replace(&mut self.parts, parts);
        self.current.replace(self.parts.api(&self.base));
        self.front.send_replace(self.parts.front());
        #[cfg(feature = "otlp")]
        let pushes_anew = before.push != self.parts.push;
        if let Some(applied) = &self.applied {
            applied(&self.parts.config);
        }
        self.tick();
        if let (Some(alerts), None) = (&before.alerts, &self.parts.alerts) {
            alerts.finish();
            alerts.close();
        }
        self.notify();
        #[cfg(feature = "otlp")]
        if pushes_anew {
            self.push();
        }
    }

    /// Has a ticker of these parts run, instead of the one before.
    fn tick(&mut self) {
        let (stop, stopping) = oneshot::channel();
        let ticker = self.parts.ticker(&self.base);
        let run = ticker.run(stopped(stopping).map(|_| ()));
        self.tasks.push(run.boxed_local());
        let _ = std::mem::replace(&mut self.ticker, stop).send(Duration::ZERO);
    }

    /// Has the channels of these parts send, and others no more.
    fn notify(&mut self) {
        let wanted = self.parts.alerts.as_ref();
        let outlets = wanted.map(|alerts| Arc::clone(alerts.outlets()));
        let before = match (self.notifier.take(), &outlets) {
            (Some(before), Some(outlets)) if Arc::ptr_eq(&before.outlets, outlets) => {
                self.notifier = Some(before);
                return;
            }
            (before, _) => before,
        };
        let Some(outlets) = outlets else {
            if let Some(before) = before {
                // Nobody goes on: what is left has its last chance.
                let _ = before.stop.send(self.parts.config.web.shutdown_timeout);
            }
            return;
        };
        if let Some(before) = before {
            let _ = before.abort.send(());
            outlets.inherit(&before.outlets);
        }
        let (stop, stopping) = oneshot::channel();
        let (abort, aborting) = oneshot::channel::<()>();
        let sending = Arc::clone(&outlets);
        let run = async move {
            tokio::select! {
                // Before anything else, so that nobody sends what another has taken over.
                biased;
                Ok(()) = aborting => {}
                () = sending.run(stopped(stopping)) => {}
            }
        };
        self.tasks.push(run.boxed_local());
        self.notifier = Some(Notifier {
            outlets,
            stop,
            abort,
        });
    }

    /// Has a pusher of these parts run, if there is to be one, after the one before has stopped.
    #[cfg(feature = "otlp")]
    fn push(&mut self) {
        if let Some(before) = self.pusher.take() {
            let _ = before.send(self.parts.config.web.shutdown_timeout);
        }
        let Some(settings) = self.parts.push.clone() else {
            return;
        };
        let (stop, stopping) = oneshot::channel();
        let (give, gives) = oneshot::channel();
        let acknowledged = std::mem::replace(&mut self.acknowledged, gives);
        let (recorder, started) = (Arc::clone(&self.base.recorder), self.base.session.started);
        let run = async move {
            let acknowledged = acknowledged.await.ok().flatten();
            let pusher = Pusher::new(settings, recorder, started).after(acknowledged);
            let _ = give.send(pusher.run(stopped(stopping)).await);
        };
        self.tasks.push(run.boxed_local());
        self.pusher = Some(stop);
    }
}

/// Ready when a part is to stop; says how much time it has. Without anybody who could say so, it has none.
async fn stopped(stopping: oneshot::Receiver<Duration>) -> Duration {
    stopping.await.unwrap_or_default()
}
