//! The log: a line for each alert.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::catalog::AlertSeverity;

use super::super::message::{Event, Message, Notice};
use super::{Channel, Failure, Receipt};

/// Writes to whatever takes the events of `tracing`.
#[derive(Debug)]
pub(super) struct Log;

impl Channel for Log {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>> {
        for notice in &message.notices {
            write(message, notice);
        }
        let answer = "written to the log".to_owned();
        std::future::ready(Ok(Receipt { answer })).boxed()
    }

    fn target(&self) -> String {
        "the log".to_owned()
    }

    fn wants(&self, _message: &Message) -> bool {
        true
    }
}

fn write(message: &Message, notice: &Notice) {
    let is_test = message.is_test.then_some(true);
    let label = |name: &str| notice.labels.get(name).map(String::as_str);
    let (alert, component) = (label("alertname"), label("component"));
    let severity = notice.severity.as_str();
    if notice.resolved_at.is_some() {
        tracing::info!(alert, severity, component, is_test, "alert resolved");
        return;
    }
    if message.event == Event::Acknowledged {
        let by = notice.acknowledged_by.as_deref();
        tracing::info!(alert, severity, component, by, "alert acknowledged");
        return;
    }
    let description = notice.description.as_str();
    let culprit = notice.culprit.as_ref();
    let call_site = culprit.map(|culprit| culprit.call_site.as_str());
    let recommendation = notice.recommendation.as_str();
    let is_new = message.event == Event::Firing;
    // The level of an event is part of its place in the program.
    macro_rules! write_at {
        ($level:ident) => {
            tracing::$level!(
                alert,
                severity,
                component,
                description,
                call_site,
                recommendation,
                is_new,
                is_test,
                "alert firing"
            )
        };
    }
    match notice.severity {
        AlertSeverity::Critical => write_at!(error),
        AlertSeverity::Warning => write_at!(warn),
    }
}
