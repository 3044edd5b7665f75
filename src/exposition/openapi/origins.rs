//! Requests for where memory comes from: leaks, allocations, profiles.

use serde_json::json;
use warp::http::StatusCode;

use crate::profile::flamegraph;
use crate::watch::LeakReport;

use super::super::json::ErrorView;
use super::super::kept::{self, ProfilesView};
use super::super::profiles::{
    self, DAY, DEBUG, FRAMES, HOUR, INTERVALS, SECOND, SECONDS, SamplingView, TYPES,
};
use super::super::views::AllocationsView;
use super::Document;
use super::operation::{Operation, Parameter};

const PROFILE: &str = "application/octet-stream";
const FOLDED: &str = "text/plain; charset=utf-8";

pub(super) fn add_to(document: &mut Document) {
    let error = &document.answer::<ErrorView>();
    let for_loopback = |operation: Operation| operation.for_loopback(error).checked(error);
    let built = |operation: Operation| {
        let operation = for_loopback(operation);
        operation
            .error(
                StatusCode::TOO_MANY_REQUESTS,
                "Another profile is being built.",
                error,
            )
            .error(
                StatusCode::NOT_IMPLEMENTED,
                "The call sites of the process cannot be seen.",
                error,
            )
    };
    // Raw bytes have no schema in OpenAPI 3.1.
    let (text, bytes) = (&json!({ "type": "string" }), &json!({}));

    let leaks = &document.answer::<LeakReport>();
    let get = Operation::new(
        "GET /metrics/memory/leaks",
        "leaks",
        "Leak suspects: which line, how much, how fast, since when.",
    );
    document.add(
        "origins",
        for_loopback(get).json("The report.", leaks).error(
            StatusCode::TOO_MANY_REQUESTS,
            "A profile is being built.",
            error,
        ),
    );

    let allocations = &document.answer::<AllocationsView<'static>>();
    let get = Operation::new(
        "GET /metrics/memory/allocations",
        "allocations",
        "Who asks for memory, who holds it, and what could be changed.",
    );
    document.add("origins", built(get).json("The report.", allocations));

    for (path, id, summary) in [
        (
            "/debug/pprof/heap",
            "heapProfile",
            "A profile of what is live, for `go tool pprof`, Parca and Pyroscope.",
        ),
        (
            "/debug/pprof/allocs",
            "allocsProfile",
            "The same profile, of which readers show first what was allocated.",
        ),
    ] {
        let get = Operation::new(&format!("GET {path}"), id, summary);
        document.add(
            "origins",
            built(get)
                .parameter(seconds())
                .parameter(Parameter::choice(
                    "debug",
                    "Whether it is text for people; 0, if it is not given.",
                    &DEBUG,
                ))
                .parameter(Parameter::new(
                    "gc",
                    "As Go has it; there is never garbage in a profile.",
                    json!({ "type": "string" }),
                    "1",
                ))
                .parameter(component())
                .answer(StatusCode::OK, "The profile.", PROFILE, bytes)
                .answer(StatusCode::OK, "The profile.", FOLDED, text),
        );
    }

    let get = Operation::new(
        "GET /debug/flamegraph",
        "flamegraph",
        "Which line of code holds the memory, or what grew.",
    );
    document.add(
        "origins",
        built(get)
            .parameter(kind())
            .parameter(Parameter::duration(
                "since",
                "Only what changed since then",
                (SECOND, DAY),
                "10m",
            ))
            .parameter(component())
            .parameter(Parameter::choice(
                "format",
                "How it is answered; `svg`, if it is not given.",
                &profiles::FORMS,
            ))
            .parameter(frames())
            .answer(StatusCode::OK, "The graph.", flamegraph::CONTENT_TYPE, text)
            .answer(StatusCode::OK, "The graph.", FOLDED, text)
            .error(
                StatusCode::NOT_FOUND,
                "No earlier moment is known yet.",
                error,
            ),
    );

    let sampling = &document.answer::<SamplingView>();
    let post = Operation::new(
        "POST /debug/sampling",
        "sampling",
        "Changes how often is sampled, or says how often that is.",
    );
    document.add(
        "origins",
        for_loopback(post)
            .parameter(Parameter::new(
                "interval",
                &format!(
                    "Mean number of bytes asked for between two samples; allowed: {INTERVALS}"
                ),
                json!({ "type": "string" }),
                "512KiB",
            ))
            .json("What holds from now on.", sampling)
            .error(
                StatusCode::NOT_IMPLEMENTED,
                "The call sites of the process cannot be seen.",
                error,
            ),
    );

    let list = &document.answer::<ProfilesView>();
    let get = Operation::new(
        "GET /metrics/memory/profiles",
        "profiles",
        "Profiles that are kept, those from before the last restart among them.",
    );
    document.add(
        "origins",
        for_loopback(get).json("The list.", list).error(
            StatusCode::NOT_IMPLEMENTED,
            "The call sites of the process cannot be seen.",
            error,
        ),
    );

    let report = &document.schema::<LeakReport>();
    let get = Operation::new(
        "GET /metrics/memory/profiles/{id}",
        "profile",
        "A profile that is kept.",
    );
    document.add("origins", 
        built(get)
            .identified(Parameter::new("id", "As the list has it.", json!({ "type": "string" }), "1"))
            .parameter(Parameter::choice("format", "How it is answered, `leaks` for the leak report of then; `pprof`, if it is not given.", &kept::FORMS))
            .parameter(kind())
            .parameter(frames())
            .answer(StatusCode::OK, "The profile.", PROFILE, bytes)
            .answer(StatusCode::OK, "The profile.", flamegraph::CONTENT_TYPE, text)
            .answer(StatusCode::OK, "The profile.", FOLDED, text)
            .answer(StatusCode::OK, "The profile.", "application/json", report)
            .error(StatusCode::NOT_FOUND, "No such profile is kept, or no leak report with it.", error),
    );
}

fn seconds() -> Parameter {
    let about =
        format!("What changed in so many seconds, which are waited for; allowed: {SECONDS}");
    let schema = json!({ "type": "integer", "minimum": 0, "maximum": HOUR.as_secs() });
    Parameter::new("seconds", &about, schema, 0)
}

fn component() -> Parameter {
    let about = "Only what belongs to this component; which there are follows from the program";
    Parameter::new("component", about, json!({ "type": "string" }), "other")
}

fn kind() -> Parameter {
    Parameter::choice(
        "type",
        "What is counted; `inuse`, if it is not given.",
        &TYPES,
    )
}

fn frames() -> Parameter {
    let about = "Whether frames that nobody looks for are drawn as one; `condensed` for `svg`, else `all`, if it is not given.";
    Parameter::choice("frames", about, &FRAMES)
}
