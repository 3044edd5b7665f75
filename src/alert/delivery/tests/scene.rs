//! Channels that do what they are told, and note what they get.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use tokio::time::sleep;

use super::super::*;
use crate::alert::channel::Retry;
use crate::alert::message::{Event, Group, Notice, Origin};
use crate::catalog::{ALERTS, AlertSeverity};
use crate::config::{Config, Profile};

/// What a channel does with the next messages; after them it takes all.
pub(super) type Script = Arc<Mutex<VecDeque<Behaviour>>>;
/// What it got: when, and what of it was taken.
pub(super) type Got = Arc<Mutex<Vec<(Instant, Message, bool)>>>;

#[derive(Debug, Clone, Copy)]
pub(super) enum Behaviour {
    Refuses(Retry),
    Hangs(Duration),
}

#[derive(Debug)]
pub(super) struct Scripted {
    script: Script,
    got: Got,
}

impl Channel for Scripted {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>> {
        let behaviour = self.script.lock().unwrap().pop_front();
        async move {
            let note = |is_taken| {
                let got = (Instant::now(), message.clone(), is_taken);
                self.got.lock().unwrap().push(got);
            };
            match behaviour {
                Some(Behaviour::Refuses(retry)) => {
                    note(false);
                    let why = "no".to_owned();
                    return Err(Failure { retry, why });
                }
                Some(Behaviour::Hangs(time)) => sleep(time).await,
                None => {}
            }
            note(true);
            let answer = "ok".to_owned();
            Ok(Receipt { answer })
        }
        .boxed()
    }

    fn target(&self) -> String {
        "a test".to_owned()
    }

    fn wants(&self, message: &Message) -> bool {
        message.event != Event::Acknowledged
    }
}

/// Channels under one configuration each.
pub(super) struct Scene {
    pub(super) outlets: Arc<Outlets>,
    pub(super) channels: Vec<(Script, Got)>,
    start: Instant,
    pub(super) end: Option<watch::Sender<()>>,
}

impl Scene {
    /// Each text is an entry of `alerts.channels`, without its name; what it is told is not what its kind would be.
    pub(super) fn of(entries: &[&str], delivery: &str) -> Self {
        let entries: Vec<String> = (0..)
            .zip(entries)
            .map(|(at, entry)| format!("{{name: c{at}, {entry}}}"))
            .collect();
        let yaml = format!(
            "alerts: {{delivery: {{{delivery}}}, channels: [{}]}}",
            entries.join(", ")
        );
        let alerts = Config::load(Profile::Production, &yaml, []).unwrap().alerts;
        let mut outlets = Outlets::default();
        let mut channels = Vec::new();
        for config in &alerts.channels {
            let (script, got) = (Script::default(), Got::default());
            let channel = Scripted {
                script: Arc::clone(&script),
                got: Arc::clone(&got),
            };
            outlets.add(config, alerts.delivery, Box::new(channel), &[]);
            channels.push((script, got));
        }
        Self {
            outlets: Arc::new(outlets),
            channels,
            start: Instant::now(),
            end: None,
        }
    }

    /// Says what a channel does next.
    pub(super) fn script(&self, channel: usize, behaviours: &[Behaviour]) {
        self.channels[channel].0.lock().unwrap().extend(behaviours);
    }

    /// Begins to deliver.
    pub(super) fn run(&mut self) -> tokio::task::JoinHandle<()> {
        let outlets = Arc::clone(&self.outlets);
        let (end, mut ending) = watch::channel(());
        self.end = Some(end);
        tokio::spawn(async move {
            let stopping = async {
                while ending.changed().await.is_ok() {}
                Duration::from_secs(5)
            };
            outlets.run(stopping).await;
        })
    }

    /// What a channel got: after how many seconds, a word on it, and whether it took it.
    pub(super) fn got(&self, channel: usize) -> Vec<(u64, String, bool)> {
        let got = self.channels[channel].1.lock().unwrap();
        let seconds = |at: &Instant| (*at - self.start).as_secs();
        got.iter()
            .map(|(at, message, is_taken)| {
                let word = format!("{:?} {}", message.event, message.notices[0].value);
                (seconds(at), word, *is_taken)
            })
            .collect()
    }

    pub(super) fn taken(&self, channel: usize) -> Vec<String> {
        let got = self.got(channel).into_iter();
        got.filter_map(|(_, word, is_taken)| is_taken.then_some(word))
            .collect()
    }

    pub(super) fn counts(&self, channel: usize) -> (u64, u64, u64) {
        let counts = self.outlets.counts()[channel].read();
        (counts.sent, counts.failed, counts.dropped)
    }

    pub(super) fn offer(&self, event: Event, group: &str, value: &str) {
        let message = message(event, group, &[(value, AlertSeverity::Critical)]);
        self.outlets.offer(&Arc::new(message));
    }
}

pub(super) fn message(event: Event, group: &str, values: &[(&str, AlertSeverity)]) -> Message {
    let now = SystemTime::now();
    let identity = crate::alert::state::Identity::new(&Config::production(), "shop", "a:1");
    let notices = values.iter().map(|(value, severity)| Notice {
        severity: *severity,
        labels: BTreeMap::from([("value".to_owned(), (*value).to_owned())]),
        summary: String::new(),
        description: String::new(),
        value: (*value).to_owned(),
        threshold: None,
        active_at: now,
        fired_at: now,
        resolved_at: (event == Event::Resolved).then_some(now),
        culprit: None,
        recommendation: String::new(),
        acknowledged_by: None,
        links: identity.links_of(&ALERTS[0], None),
    });
    Message {
        id: uuid::Uuid::new_v4().to_string(),
        event,
        group: Arc::new(Group {
            key: group.to_owned(),
            labels: BTreeMap::new(),
        }),
        notices: notices.collect(),
        made_at: now,
        origin: Arc::new(Origin::of(&identity)),
        is_test: false,
    }
}

pub(super) async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
