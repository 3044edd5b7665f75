//! How messages reach people: each channel has a queue and a pace of its own, so that one that is slow or away delays no other.
//!
//! A message is sent until it is taken, refused for good, too old, or pushed out by newer ones; whatever is given up is counted. A message on a
//! group that says the same as one which still waits takes its place, so that nobody finds a flood when the receiver is back. Who
//! decides himself what to do about alerts (Alertmanager) is not sent messages but told, again and again, how all alerts stand.

mod lane;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::config::{Alerts, ChannelConfig, ConfigError, Delivery};
use crate::snapshot::ChannelCounts;

use super::channel::{self, Channel};
#[cfg(feature = "cli")]
use super::channel::{Failure, Receipt};
use super::message::Message;

use lane::Lane;
pub(crate) use lane::LaneView;

/// All channels.
#[derive(Debug, Default)]
pub(crate) struct Outlets {
    lanes: Vec<Lane>,
}

impl Outlets {
    /// The channels of a configuration, of a process that is looked at at every `interval`. Those that are `known` by name go on
    /// counting. Must be called in the runtime that [`run`](Self::run) runs in.
    ///
    /// # Errors
    /// Everything that is wrong with them: secrets that cannot be read, certificates that are none.
    pub(crate) fn open(
        alerts: &Alerts,
        interval: Duration,
        known: &[Arc<ChannelCounts>],
    ) -> Result<Self, ConfigError> {
        let mut delivery = alerts.delivery;
        // Who is told again and again must not forget in between.
        delivery.resend_interval = delivery.resend_interval.max(interval);
        Self::of(alerts.channels.iter().enumerate(), delivery, known)
    }

    /// One channel of a configuration, by its place. See [`open`](Self::open).
    #[cfg(feature = "cli")]
    pub(crate) fn open_one(alerts: &Alerts, at: usize) -> Result<Self, ConfigError> {
        let channels = alerts.channels.iter().enumerate();
        let channels = channels.filter(|(place, _)| *place == at);
        Self::of(channels, alerts.delivery, &[])
    }

    fn of<'a>(
        channels: impl Iterator<Item = (usize, &'a ChannelConfig)>,
        delivery: Delivery,
        known: &[Arc<ChannelCounts>],
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut outlets = Self::default();
        for (at, config) in channels {
            let key = format!("alerts.channels[{at}]");
            for channel in channel::open(config, &delivery, &key, &mut problems) {
                outlets.add(config, delivery, channel, known);
            }
        }
        match problems.is_empty() {
            true => Ok(outlets),
            false => Err(ConfigError::new(problems)),
        }
    }

    /// Adds a channel under its configuration. Several under one name count together.
    fn add(
        &mut self,
        config: &ChannelConfig,
        delivery: Delivery,
        channel: Box<dyn Channel>,
        known: &[Arc<ChannelCounts>],
    ) {
        let own = self.lanes.iter().map(Lane::counts);
        let mut known = own.chain(known);
        let known = known.find(|counts| counts.name() == config.name);
        let counts = known.map_or_else(|| Arc::new(ChannelCounts::new(&config.name)), Arc::clone);
        self.lanes
            .push(Lane::new(config, delivery, channel, counts));
    }

    /// What is counted, once for each name.
    pub(crate) fn counts(&self) -> Vec<Arc<ChannelCounts>> {
        let counts = self.lanes.iter().map(|lane| Arc::clone(lane.counts()));
        let mut counts: Vec<_> = counts.collect();
        counts.dedup_by(|one, other| Arc::ptr_eq(one, other));
        counts
    }

    /// Takes over what waits for channels of the same names elsewhere, where nobody may send any more.
    pub(crate) fn inherit(&self, others: &Self) {
        for other in &others.lanes {
            let same = |lane: &&Lane| lane.name() == other.name() && !lane.takes_all();
            match self.lanes.iter().find(same) {
                Some(lane) => lane.inherit(other),
                None => other.give_up("the channel is gone"),
            }
        }
    }

    /// How each does.
    pub(crate) fn views(&self) -> Vec<LaneView> {
        self.lanes.iter().map(Lane::view).collect()
    }

    /// Sends a message once through the channel of this name, and says where it went and what came back: from each peer, if it has several.
    #[cfg(feature = "cli")]
    pub(super) async fn try_once(
        &self,
        name: &str,
        message: &Message,
    ) -> Vec<(String, Result<Receipt, Failure>)> {
        let lanes = self.lanes.iter().filter(|lane| lane.name() == name);
        join_all(lanes.map(|lane| lane.try_once(message))).await
    }

    /// Has a message sent by every channel that it is for.
    pub(super) fn offer(&self, message: &Arc<Message>) {
        let lanes = self.lanes.iter().filter(|lane| !lane.takes_all());
        lanes.for_each(|lane| lane.offer(message));
    }

    /// Whether there is somebody who wants to know how all alerts stand.
    pub(super) fn want_all(&self) -> bool {
        self.lanes.iter().any(Lane::takes_all)
    }

    /// Tells those who want to know how all alerts stand.
    pub(super) fn offer_all(&self, message: Message) {
        let message = Arc::new(message);
        let lanes = self.lanes.iter().filter(|lane| lane.takes_all());
        lanes.for_each(|lane| lane.offer_all(&message));
    }

    /// Sends what is offered until `stopping` is ready, and then, for as long as that says, what is left.
    pub(crate) async fn run(&self, stopping: impl Future<Output = Duration>) {
        let (end, ending) = watch::channel(false);
        let lanes = join_all(self.lanes.iter().map(|lane| lane.run(ending.clone())));
        tokio::pin!(lanes);
        let grace = tokio::select! {
            _ = &mut lanes => return,
            grace = stopping => grace,
        };
        let _ = end.send(true);
        let deadline = Instant::now() + grace;
        if timeout_at(deadline, lanes).await.is_err() {
            for lane in &self.lanes {
                let messages = lane.waiting();
                if messages > 0 {
                    let channel = lane.name();
                    tracing::warn!(
                        channel,
                        messages,
                        "alerts were not delivered before the end"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
impl Outlets {
    /// One channel that nobody takes messages from but [`drain`](Self::drain).
    pub(super) fn recording() -> Self {
        let mut alerts = crate::Config::production().alerts;
        alerts.delivery.most_waiting = 10_000;
        Self::of(alerts.channels.iter().enumerate(), alerts.delivery, &[]).expect("the log")
    }

    /// What waits, which then does no more.
    pub(super) fn drain(&self) -> Vec<Arc<Message>> {
        self.lanes[0].drain()
    }
}

#[cfg(test)]
mod tests;
