//! One channel: what waits for it, and its own pace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

#[cfg(feature = "cli")]
use crate::alert::channel::Receipt;
use crate::alert::channel::{Channel, Failure, Retry};
use crate::alert::message::{Event, Message};
use crate::catalog::AlertSeverity;
use crate::client::Backoff;
use crate::config::{ChannelConfig, ChannelKind, Delivery, LeastSeverity};
use crate::snapshot::ChannelCounts;

/// Pause before the next attempt where somebody must put something right first.
const UNTIL_PUT_RIGHT: Duration = Duration::from_secs(60);

/// A channel, and what waits for it.
#[derive(Debug)]
pub(super) struct Lane {
    config: ChannelConfig,
    delivery: Delivery,
    channel: Box<dyn Channel>,
    counts: Arc<ChannelCounts>,
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Whether it is told how all alerts stand, instead of what is new.
    takes_all: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Arc<Message>>,
    /// The first is on its way.
    is_under_way: bool,
    /// How all alerts stand.
    all: Option<Arc<Message>>,
    /// Why the last attempt failed, if it did.
    trouble: Option<String>,
    last_sent: Option<SystemTime>,
}

/// How a channel does.
#[derive(Debug, Clone)]
pub(crate) struct LaneView {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    pub(crate) waiting: usize,
    pub(crate) last_sent: Option<SystemTime>,
    pub(crate) trouble: Option<String>,
    pub(crate) counts: Arc<ChannelCounts>,
}

impl Lane {
    pub(super) fn new(
        config: &ChannelConfig,
        delivery: Delivery,
        channel: Box<dyn Channel>,
        counts: Arc<ChannelCounts>,
    ) -> Self {
        Self {
            takes_all: config.target.kind() == ChannelKind::Alertmanager,
            config: config.clone(),
            delivery,
            channel,
            counts,
            waiting: Mutex::default(),
            wake: Notify::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn counts(&self) -> &Arc<ChannelCounts> {
        &self.counts
    }

    /// Whether it is told how all alerts stand, instead of what is new.
    pub(super) fn takes_all(&self) -> bool {
        self.takes_all
    }

    /// Sends a message once, whatever waits; says where to, and what came back.
    #[cfg(feature = "cli")]
    pub(super) async fn try_once(&self, message: &Message) -> (String, Result<Receipt, Failure>) {
        (self.channel.target(), self.channel.send(message).await)
    }

    /// Has a message sent, if it is for this channel.
    pub(super) fn offer(&self, message: &Arc<Message>) {
        if let Some(message) = self.wanted(message) {
            self.push(message);
        }
    }

    /// Has the channel told how all alerts stand.
    pub(super) fn offer_all(&self, message: &Arc<Message>) {
        self.lock().all = self.heard(message);
        self.wake.notify_one();
    }

    /// Takes over what waits for another. What was on its way there may have arrived; it is sent again, under its old id.
    pub(super) fn inherit(&self, other: &Self) {
        let before = std::mem::take(&mut *other.lock());
        let waiting = &mut *self.lock();
        let mine = std::mem::replace(&mut waiting.messages, before.messages);
        waiting.messages.extend(mine);
        waiting.trouble = before.trouble;
        waiting.last_sent = before.last_sent;
        self.wake.notify_one();
    }

    /// Gives up all that waits.
    pub(super) fn give_up(&self, why: &str) {
        let messages = std::mem::take(&mut self.lock().messages);
        messages.iter().for_each(|_| self.drop_one(why));
    }

    /// How many messages wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().messages.len()
    }

    /// The message as it is for this channel, if there is anything in it for it.
    fn wanted(&self, message: &Arc<Message>) -> Option<Arc<Message>> {
        let message = self.heard(message)?;
        let is_unwanted = message.is_resolved() && !self.config.send_resolved;
        (self.channel.wants(&message) && !is_unwanted).then_some(message)
    }

    /// The message without alerts that are beneath the channel.
    fn heard(&self, message: &Arc<Message>) -> Option<Arc<Message>> {
        let is_heard = |severity: AlertSeverity| {
            self.config.severity == LeastSeverity::Warning || severity == AlertSeverity::Critical
        };
        if message
            .notices
            .iter()
            .all(|notice| is_heard(notice.severity))
        {
            return (!message.notices.is_empty()).then(|| Arc::clone(message));
        }
        let mut message = Message::clone(message);
        message.notices.retain(|notice| is_heard(notice.severity));
        if message.firing().next().is_none() && message.event != Event::Acknowledged {
            message.event = Event::Resolved;
        }
        (!message.notices.is_empty()).then(|| Arc::new(message))
    }

    /// Has a message wait.
    fn push(&self, message: Arc<Message>) {
        let waiting = &mut *self.lock();
        let fires = |message: &Message| matches!(message.event, Event::Firing | Event::StillFiring);
        let first = usize::from(waiting.is_under_way);
        let of_group = |other: &&mut Arc<Message>| other.group.key == message.group.key;
        let last = waiting.messages.iter_mut().skip(first).rev().find(of_group);
        match last.filter(|last| fires(last) && fires(&message)) {
            Some(last) => {
                // To those who have not heard of the first it is the first, and as old.
                let mut message = Message::clone(&message);
                message.event = last.event;
                message.made_at = last.made_at;
                *last = Arc::new(message);
            }
            None => {
                if waiting.messages.len() >= self.delivery.most_waiting.saturating_add(first) {
                    let _ = waiting.messages.remove(first);
                    self.drop_one("more wait than may");
                }
                waiting.messages.push_back(message);
            }
        }
        self.wake.notify_one();
    }

    /// Sends what it is offered, until the end has come and nothing is left.
    pub(super) async fn run(&self, mut ending: watch::Receiver<bool>) {
        match self.takes_all {
            true => self.run_all(&mut ending).await,
            false => self.run_queue(&mut ending).await,
        }
    }

    /// Sends message after message until there is none and the end has come.
    async fn run_queue(&self, ending: &mut watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        loop {
            let Some(message) = self.take() else {
                if *ending.borrow() {
                    return;
                }
                tokio::select! {
                    () = self.wake.notified() => {}
                    _ = ending.changed() => {}
                }
                continue;
            };
            let age = message.made_at.elapsed().unwrap_or_default();
            if age > self.delivery.give_up_after {
                self.leave();
                self.drop_one("it is too old");
                continue;
            }
            let Err(failure) = self.attempt(&message).await else {
                self.leave();
                backoff.reset();
                continue;
            };
            let pause = match failure.retry {
                Retry::Soon(hint) => hint.unwrap_or_default().max(backoff.next()),
                Retry::Late => UNTIL_PUT_RIGHT,
                Retry::Never => {
                    self.leave();
                    self.drop_one(&failure.why);
                    continue;
                }
            };
            rest(pause, ending).await;
        }
    }

    /// Tells how all alerts stand whenever that changes, and else at every interval; once more at the end.
    async fn run_all(&self, ending: &mut watch::Receiver<bool>) {
        let mut backoff = Backoff::default();
        let mut told: Option<Arc<Message>> = None;
        let mut next = Instant::now();
        loop {
            let is_ending = *ending.borrow();
            let all = self.lock().all.clone();
            let is_news = match (&all, &told) {
                (Some(all), Some(told)) => !all.stands_as(told),
                (all, _) => all.is_some(),
            };
            let is_due = all.is_some() && Instant::now() >= next;
            if let Some(message) = all.filter(|_| is_news || is_due) {
                match self.attempt(&message).await {
                    Ok(()) => {
                        backoff.reset();
                        told = Some(message);
                        next = Instant::now() + self.delivery.resend_interval;
                    }
                    Err(failure) => {
                        let pause = match failure.retry {
                            Retry::Soon(hint) => hint.unwrap_or_default().max(backoff.next()),
                            Retry::Late | Retry::Never => UNTIL_PUT_RIGHT,
                        };
                        rest(pause, ending).await;
                    }
                }
                continue;
            }
            if is_ending {
                return;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                _ = ending.changed() => {}
                () = sleep_until(next), if told.is_some() && next > Instant::now() => {}
            }
        }
    }

    async fn attempt(&self, message: &Message) -> Result<(), Failure> {
        let sent = self.channel.send(message).await;
        match &sent {
            Ok(_) => self.succeeded(),
            Err(failure) => self.failed(&failure.why),
        }
        sent.map(|_receipt| ())
    }

    /// The first that waits, which is then under way.
    fn take(&self) -> Option<Arc<Message>> {
        let waiting = &mut *self.lock();
        let first = waiting.messages.front().cloned();
        waiting.is_under_way = first.is_some();
        first
    }

    /// The one under way waits no more.
    fn leave(&self) {
        let waiting = &mut *self.lock();
        waiting.messages.pop_front();
        waiting.is_under_way = false;
    }

    fn succeeded(&self) {
        self.counts.sent();
        let waiting = &mut *self.lock();
        waiting.last_sent = Some(SystemTime::now());
        if waiting.trouble.take().is_some() {
            let channel = self.config.name.as_str();
            let target = self.channel.target();
            tracing::info!(channel, target, "the alert channel takes messages again");
        }
    }

    /// Told once, however long it lasts.
    fn failed(&self, why: &str) {
        self.counts.failed();
        let channel = self.config.name.as_str();
        let before = self.lock().trouble.replace(why.to_owned());
        if before.is_none() {
            let target = self.channel.target();
            tracing::warn!(channel, target, why, "an alert could not be delivered");
        } else {
            tracing::debug!(channel, why, "an alert could not be delivered again");
        }
    }

    fn drop_one(&self, why: &str) {
        self.counts.dropped();
        let channel = self.config.name.as_str();
        tracing::error!(channel, why, "an alert was given up");
    }

    pub(super) fn view(&self) -> LaneView {
        let waiting = self.lock();
        LaneView {
            name: self.config.name.clone(),
            kind: self.config.target.kind().as_str(),
            target: self.channel.target(),
            waiting: waiting.messages.len(),
            last_sent: waiting.last_sent,
            trouble: waiting.trouble.clone(),
            counts: Arc::clone(&self.counts),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits, but not beyond the moment at which the end comes: what is left gets one more chance then.
async fn rest(pause: Duration, ending: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(pause) => {}
        _ = ending.changed() => {}
    }
}

#[cfg(test)]
impl Lane {
    /// Takes everything out that waits.
    pub(super) fn drain(&self) -> Vec<Arc<Message>> {
        self.lock().messages.drain(..).collect()
    }
}
