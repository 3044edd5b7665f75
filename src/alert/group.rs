//! Who is told when: alerts of one group go into one message, a group is not told of more often than it should be, and what ends is
//! told of at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::GroupBy;

use super::message::{Event, Group};
use super::state::{Alert, Identity};

/// How alerts are grouped and how often people hear of a group.
#[derive(Debug, Clone)]
pub(super) struct Manners {
    pub(super) group_by: Vec<GroupBy>,
    /// Least time between two messages that say that alerts fire.
    pub(super) cooldown: Duration,
    /// After this time people are told again.
    pub(super) repeat_interval: Duration,
}

/// What people know of a group.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) group: Arc<Group>,
    /// When they were last told that it fires, on the manager's clock.
    pub(super) fired: Option<f64>,
    /// Alerts that they were told of and that have ended since the last message.
    pub(super) ended: Vec<Alert>,
    /// Whether they were told that somebody has taken it on.
    pub(super) is_acknowledged: bool,
}

/// A message to be sent: why, and on which alerts.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) group: Arc<Group>,
    pub(super) event: Event,
    pub(super) alerts: Vec<Alert>,
}

impl Manners {
    /// The group of an alert.
    pub(super) fn group(&self, identity: &Identity, alert: &Alert) -> Group {
        let by = |label: GroupBy| self.group_by.contains(&label);
        let component = alert.component.as_deref();
        let mut labels = BTreeMap::new();
        for (name, value, is_wanted) in [
            ("alertname", Some(alert.def.name), by(GroupBy::Alertname)),
            (
                "severity",
                Some(alert.def.severity.as_str()),
                by(GroupBy::Severity),
            ),
            ("component", component, by(GroupBy::Component)),
        ] {
            let value = value.filter(|_| is_wanted);
            labels.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        }
        // Who tells one process from another needs to know both.
        let mut parts = Vec::new();
        for name in ["job", "instance"] {
            parts.push(format!("{name}={:?}", identity.label(name)));
        }
        parts.extend(
            labels
                .iter()
                .map(|(name, value)| format!("{name}={value:?}")),
        );
        let key = format!("{{{}}}", parts.join(","));
        Group { key, labels }
    }

    /// What is to be said of a group of which `alerts` are active, and notes that it was said.
    pub(super) fn due(&self, told: &mut Told, alerts: &mut [&mut Alert], now: f64) -> Option<Due> {
        let since = told.fired.map(|fired| now - fired);
        let is_over = |time: Duration| since.is_none_or(|since| since >= time.as_secs_f64());
        let mut firing = alerts.iter().filter(|alert| alert.is_firing());
        let is_new =
            |alert: &Alert| !alert.is_quiet() && !alert.is_told && alert.acknowledged.is_none();
        let has_new = firing.clone().any(|alert| is_new(alert));
        let is_known = firing.clone().any(|alert| alert.is_told);
        let wants_again =
            firing.any(|alert| alert.is_told && !alert.is_quiet() && alert.acknowledged.is_none());
        let event = if !is_known && !told.ended.is_empty() {
            // What has ended is told of at once, even if something new waits for its turn.
            if has_new && is_over(self.cooldown) {
                Event::Firing
            } else {
                Event::Resolved
            }
        } else if has_new && is_over(self.cooldown) {
            Event::Firing
        } else if (!told.ended.is_empty() && is_over(self.cooldown))
            || (wants_again && is_over(self.repeat_interval))
        {
            Event::StillFiring
        } else {
            return None;
        };
        let mut said = Vec::new();
        if event != Event::Resolved {
            told.fired = Some(now);
            told.is_acknowledged = false;
            for alert in alerts.iter_mut() {
                if alert.is_firing() && (alert.is_told || is_new(alert)) {
                    alert.is_told = true;
                    said.push(alert.clone());
                }
            }
        }
        said.append(&mut told.ended);
        Some(Due {
            group: Arc::clone(&told.group),
            event,
            alerts: said,
        })
    }

    /// What is to be said after somebody has taken an alert of a group on: nothing until all that people know of are.
    pub(super) fn acknowledged(told: &mut Told, alerts: &[&Alert]) -> Option<Due> {
        let known = alerts
            .iter()
            .filter(|alert| alert.is_firing() && alert.is_told);
        let is_all = known.clone().all(|alert| alert.acknowledged.is_some());
        let alerts: Vec<Alert> = known.map(|alert| (*alert).clone()).collect();
        if alerts.is_empty() || !is_all || told.is_acknowledged {
            return None;
        }
        told.is_acknowledged = true;
        Some(Due {
            group: Arc::clone(&told.group),
            event: Event::Acknowledged,
            alerts,
        })
    }
}
