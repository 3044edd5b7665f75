//! Requests for alerts and silences.

use serde_json::json;
use warp::http::StatusCode;

use crate::catalog::alert_names;

use super::super::alerts::{AlertView, AlertsView, LONGEST_NAME, SEVERITIES, STATES};
use super::super::json::ErrorView;
use super::super::silences::{
    LONGEST, LONGEST_COMMENT, MOST_MATCHERS, SHORTEST, SilenceView, SilencesView,
};
use super::Document;
use super::operation::{Operation, Parameter};

pub(super) fn add_to(document: &mut Document) {
    let error = &document.answer::<ErrorView>();
    let usual = |operation: Operation| {
        operation.for_loopback(error).checked(error).error(
            StatusCode::NOT_IMPLEMENTED,
            "`alerts.enabled` is false.",
            error,
        )
    };

    let alerts = &document.answer::<AlertsView>();
    let names: Vec<_> = alert_names().into_iter().map(|name| (name, ())).collect();
    let get = Operation::new(
        "GET /metrics/memory/alerts",
        "alerts",
        "Alerts that are pending, fire, or did, and who was told.",
    );
    document.add(
        "alerts",
        usual(get)
            .parameter(Parameter::choice(
                "state",
                "Only those in this state.",
                &STATES,
            ))
            .parameter(Parameter::choice(
                "severity",
                "Only those of this severity.",
                &SEVERITIES,
            ))
            .parameter(Parameter::choice(
                "name",
                "Only those of this name.",
                &names,
            ))
            .parameter(Parameter::new(
                "component",
                "Only those of this component.",
                json!({ "type": "string" }),
                "cache",
            ))
            .parameter(matchers(None))
            .json("The alerts.", alerts),
    );

    let alert = &document.answer::<AlertView>();
    let post = Operation::new(
        "POST /metrics/memory/alerts/{id}/acknowledge",
        "acknowledge",
        "Says that somebody has taken an alert on: nobody is told of it again.",
    );
    document.add(
        "alerts",
        usual(post)
            .identified(id())
            .parameter(Parameter::words("by", "Who.", LONGEST_NAME, "anna"))
            .json("The alert.", alert)
            .error(StatusCode::NOT_FOUND, "There is no such alert.", error)
            .error(StatusCode::CONFLICT, "The alert has ended.", error),
    );

    let path = "/metrics/memory/alerts/silences";
    let silences = &document.answer::<SilencesView>();
    let get = Operation::new(
        &format!("GET {path}"),
        "silences",
        "Of what nobody is told for a time.",
    );
    document.add("alerts", usual(get).json("The silences.", silences));

    let silence = &document.answer::<SilenceView>();
    let post = Operation::new(
        &format!("POST {path}"),
        "silence",
        "Lets nobody be told of some alerts for a time.",
    );
    let lasts = Parameter::duration("duration", "For how long", (SHORTEST, LONGEST), "2h");
    document.add(
        "alerts",
        usual(post)
            .parameter(lasts.needed())
            .parameter(matchers(Some(MOST_MATCHERS)).needed())
            .parameter(Parameter::words(
                "by",
                "Who wants it.",
                LONGEST_NAME,
                "anna",
            ))
            .parameter(Parameter::words(
                "comment",
                "Why.",
                LONGEST_COMMENT,
                "the cache is being filled",
            ))
            .answer(
                StatusCode::CREATED,
                "The silence.",
                "application/json",
                silence,
            )
            .error(
                StatusCode::TOO_MANY_REQUESTS,
                "There are as many silences as there may be.",
                error,
            ),
    );

    let delete = Operation::new(
        "DELETE /metrics/memory/alerts/silences/{id}",
        "unsilence",
        "Ends a silence.",
    );
    document.add(
        "alerts",
        usual(delete)
            .identified(id())
            .json("The silence, which has ended.", silence)
            .error(StatusCode::NOT_FOUND, "There is no such silence.", error),
    );
}

fn id() -> Parameter {
    let schema = json!({ "type": "integer", "minimum": 0 });
    Parameter::new("id", "As the list has it.", schema, 1)
}

fn matchers(most: Option<usize>) -> Parameter {
    let about =
        "A condition on labels, as Alertmanager writes it; given several times, all of them hold.";
    let mut schema = json!({ "type": "array", "items": { "type": "string" } });
    if let Some(most) = most {
        schema["minItems"] = 1.into();
        schema["maxItems"] = most.into();
    }
    Parameter::new("matcher", about, schema, json!(["severity=warning"]))
}
