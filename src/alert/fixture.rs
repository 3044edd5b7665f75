//! A message for the tests of the channels: a fast leak in a shop.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::analysis::Culprit;
use crate::catalog::AlertSeverity;

use super::links::Links;
use super::message::{Event, Group, Message, Notice, Origin};

/// A time that is written as RFC 3339.
pub(super) fn time(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).expect("a time")
}

/// One alert, 10 minutes after it began.
pub(super) fn message(event: Event) -> Message {
    let mut notice = notice();
    match event {
        Event::Firing | Event::StillFiring => {}
        Event::Acknowledged => notice.acknowledged_by = Some("Ann".to_owned()),
        Event::Resolved => notice.resolved_at = Some(time("2026-01-02T03:10:00Z")),
    }
    Message {
        id: "msg_1".to_owned(),
        event,
        group: Arc::new(Group {
            key: "shop/shop-1:9100/MemoryLeak/critical".to_owned(),
            labels: labels(&[("alertname", "MemoryLeak"), ("severity", "critical")]),
        }),
        notices: vec![notice],
        made_at: time("2026-01-02T03:10:00Z"),
        origin: Arc::new(Origin {
            job: "shop".to_owned(),
            instance: "shop-1:9100".to_owned(),
            url: "http://shop-1:9100".to_owned(),
        }),
        is_test: false,
    }
}

pub(super) fn notice() -> Notice {
    Notice {
        severity: AlertSeverity::Critical,
        labels: labels(&[
            ("alertname", "MemoryLeak"),
            ("severity", "critical"),
            ("job", "shop"),
            ("instance", "shop-1:9100"),
            ("origin", "embedded"),
            ("zone", ""),
        ]),
        summary: "Memory is leaking fast.".to_owned(),
        description: "shop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m.".to_owned(),
        value: "72.0 MB/h".to_owned(),
        threshold: Some("50 MB/h".to_owned()),
        active_at: time("2026-01-02T03:00:00Z"),
        fired_at: time("2026-01-02T03:02:00Z"),
        resolved_at: None,
        culprit: Some(Culprit {
            is_suspect: true,
            component: "cart".to_owned(),
            call_site: "shop::cart::Cart<T>::add (src/cart.rs:42)".to_owned(),
            bytes: 104_857_600.0,
            growth_mb_per_hour: Some(72.0),
            advice: "bound the cache".to_owned(),
        }),
        recommendation: "look at the flame graph & bound the cache".to_owned(),
        acknowledged_by: None,
        links: Links {
            runbook: "https://wiki.example.org/runbook#memoryleak".to_owned(),
            dashboard: Some("https://grafana.example.org/d/leaks?var-job=shop".to_owned()),
            flamegraph: Some("http://shop-1:9100/debug/flamegraph?since=1h".to_owned()),
        },
    }
}

/// An alert of the same group, in another component and without anybody to blame.
pub(super) fn other(component: &str) -> Notice {
    let mut notice = notice();
    notice
        .labels
        .insert("component".to_owned(), component.to_owned());
    notice.culprit = None;
    notice
}

/// As many alerts as one asks for, each in a component of its own.
pub(super) fn crowd(event: Event, count: usize) -> Message {
    let mut message = message(event);
    message.notices = (0..count).map(|at| other(&format!("c{at}"))).collect();
    message
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
