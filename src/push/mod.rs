//! Floor 6: show, by push. Families become OTLP and go out by gRPC or http/protobuf.
//!
//! The OpenTelemetry SDK cannot carry histograms that are counted already, so messages and transport are our own;
//! `opentelemetry-otlp` gives the names of the variables, and in the tests it is the oracle.
//!
//! | file | holds |
//! |---|---|
//! | `settings.rs` | configuration and the standard variables become one set of settings |
//! | `encode.rs` | families become an export request |
//! | `transport.rs` | a request goes out once |
//!
//! What is in memory is one request, however long the receiver is away: counters are sent as totals, and a delta counts from the last
//! snapshot that was acknowledged, so an outage loses no increment.

mod encode;
mod settings;
mod transport;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use crate::client::{Backoff, shown};
use crate::snapshot::{Recorder, Snapshot};

use encode::Encoder;
use transport::{Failure, Transport};

pub(crate) use settings::Settings;

/// Pushes at an interval.
pub(crate) struct Pusher {
    settings: Settings,
    encoder: Encoder,
    transport: Transport,
    recorder: Arc<Recorder>,
    /// The last snapshot that the receiver acknowledged; kept where deltas are sent.
    acknowledged: Option<Snapshot>,
    /// The receiver asked not to be called before.
    not_before: Option<Instant>,
    backoff: Backoff,
    is_failing: bool,
    is_rejecting: bool,
}

impl Pusher {
    /// A pusher; must be made in the runtime that it will run in.
    pub(crate) fn new(settings: Settings, recorder: Arc<Recorder>, started: SystemTime) -> Self {
        Self {
            encoder: Encoder::new(&settings, started),
            transport: Transport::new(&settings),
            settings,
            recorder,
            acknowledged: None,
            not_before: None,
            backoff: Backoff::default(),
            is_failing: false,
            is_rejecting: false,
        }
    }

    /// Goes on where another pusher of this process has stopped.
    pub(crate) fn after(mut self, acknowledged: Option<Snapshot>) -> Self {
        self.acknowledged = acknowledged.filter(|_| self.encoder.needs_baseline());
        self
    }

    /// Pushes now and at every interval until `shutdown` is ready, then once more. From then on it takes at most as long as that says. Gives
    /// back what another one needs to go on.
    pub(crate) async fn run(
        mut self,
        shutdown: impl Future<Output = Duration>,
    ) -> Option<Snapshot> {
        tokio::pin!(shutdown);
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let under_way = Cell::new(false);
        let end = loop {
            let export = async {
                ticks.tick().await;
                if self
                    .not_before
                    .is_none_or(|moment| Instant::now() >= moment)
                {
                    let deadline = Instant::now() + self.settings.export_timeout;
                    self.export(deadline, &under_way).await;
                }
            };
            tokio::pin!(export);
            let grace = tokio::select! {
                () = &mut export => continue,
                grace = &mut shutdown => grace,
            };
            let end = Instant::now() + grace;
            // The receiver may have taken what is on its way, and the last push must not count it again.
            if under_way.get() {
                let _ = timeout(grace / 2, export).await;
            }
            break end;
        };
        let _ = timeout_at(end, self.export(Instant::now(), &under_way)).await;
        self.acknowledged
    }

    /// Sends a fresh snapshot, again and again until it is acknowledged, refused for good, or `deadline` has passed. At least once.
    /// Says whether a request is under way.
    async fn export(&mut self, deadline: Instant, under_way: &Cell<bool>) {
        let snapshot = self.recorder.snapshot();
        let request = self.encoder.request(&snapshot, self.acknowledged.as_ref());
        loop {
            under_way.set(true);
            let sent = timeout(self.settings.timeout, self.transport.send(&request)).await;
            under_way.set(false);
            let failure = match sent {
                Ok(Ok(accepted)) => return self.succeeded(snapshot, &accepted),
                Ok(Err(failure)) => failure,
                Err(_elapsed) => Failure::retryable(
                    None,
                    format!("no answer within {:?}", self.settings.timeout),
                ),
            };
            let Some(hint) = failure.retry else {
                return self.failed(&failure.why);
            };
            let pause = hint.unwrap_or_default().max(self.backoff.next());
            if Instant::now() + pause > deadline {
                self.not_before = hint.map(|hint| Instant::now() + hint);
                return self.failed(&failure.why);
            }
            sleep(pause).await;
        }
    }

    fn succeeded(&mut self, snapshot: Snapshot, accepted: &transport::Accepted) {
        self.recorder.own().otlp_succeeded(accepted.rejected_points);
        let (points, message) = (accepted.rejected_points, accepted.message.as_str());
        if points > 0 && !self.is_rejecting {
            tracing::warn!(points, message, "the OTLP receiver rejected points");
        }
        self.is_rejecting = points > 0;
        if self.is_failing {
            tracing::info!("the OTLP receiver takes exports again");
        }
        self.is_failing = false;
        self.backoff.reset();
        self.not_before = None;
        if self.encoder.needs_baseline() {
            self.acknowledged = Some(snapshot);
        }
    }

    /// Told once, however long it lasts.
    fn failed(&mut self, why: &str) {
        self.recorder.own().otlp_failed();
        if self.is_failing {
            tracing::debug!(why, "OTLP export failed again");
        } else {
            let endpoint = shown(&self.settings.endpoint);
            tracing::warn!(why, endpoint, "OTLP export failed, will go on trying");
        }
        self.is_failing = true;
    }
}
