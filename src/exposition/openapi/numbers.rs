//! Requests for numbers, and for the exporter itself.

use std::time::Duration;

use serde_json::json;
use warp::http::StatusCode;

use super::super::json::ErrorView;
use super::super::negotiate::Format;
use super::super::reload::ReloadView;
use super::super::trend::{MOST_POINTS, SECOND};
use super::super::views::{GcView, HealthView, SnapshotView, TrendView};
use super::Document;
use super::operation::{Operation, Parameter};

pub(super) fn add_to(document: &mut Document, telemetry_path: &str, retention: Duration) {
    let error = &document.answer::<ErrorView>();
    let text = &json!({ "type": "string" });

    document.add("numbers", 
        Operation::new(&format!("GET {telemetry_path}"), "metrics", "All metrics, for Prometheus: in the format that `Accept` asks for, compressed if `Accept-Encoding` allows it.")
            .answer(StatusCode::OK, "The metrics.", Format::OpenMetrics.content_type(), text)
            .answer(StatusCode::OK, "The metrics.", Format::Classic.content_type(), text),
    );

    let snapshot = &document.answer::<SnapshotView<'static>>();
    document.add(
        "numbers",
        Operation::new(
            "GET /metrics/memory/snapshot",
            "snapshot",
            "All readings of this moment.",
        )
        .json("The readings.", snapshot)
        .checked(error),
    );

    let trend = &document.answer::<TrendView>();
    let duration = "How far to look back; an hour, if it is not given";
    let interval = format!(
        "Between two points: a duration from 1s to that of the trend, of which there may be up to {MOST_POINTS}; a sixtieth of it, if it is not given."
    );
    document.add(
        "numbers",
        Operation::new(
            "GET /metrics/memory/trend",
            "trend",
            "The past: points, growth, peak.",
        )
        .parameter(Parameter::duration(
            "duration",
            duration,
            (SECOND, retention),
            "1h",
        ))
        .parameter(Parameter::new("interval", &interval, text.clone(), "1m"))
        .json("The points and what they say.", trend)
        .checked(error),
    );

    let health = &document.answer::<HealthView>();
    let critical = "The status is `critical`; or the answer took longer than `web.request_timeout`, and is an error.";
    document.add(
        "numbers",
        Operation::new(
            "GET /metrics/memory/health",
            "health",
            "Whether all is well, why not, and what to do.",
        )
        .json("The status is `healthy` or `warning`.", health)
        .answer(
            StatusCode::SERVICE_UNAVAILABLE,
            critical,
            "application/json",
            health,
        )
        .error(StatusCode::SERVICE_UNAVAILABLE, critical, error)
        .checked(error),
    );

    let release = &document.answer::<GcView>();
    document.add(
        "numbers",
        Operation::new(
            "POST /metrics/memory/gc",
            "release",
            "Gives unused memory back to the kernel.",
        )
        .for_loopback(error)
        .json("What that changed.", release)
        .checked(error)
        .error(
            StatusCode::TOO_MANY_REQUESTS,
            "A release is in progress.",
            error,
        )
        .error(
            StatusCode::NOT_IMPLEMENTED,
            "It is another process, or its allocator is not jemalloc.",
            error,
        ),
    );

    document.add(
        "exporter",
        Operation::new("GET /", "landing", "The landing page: what there is.").answer(
            StatusCode::OK,
            "A page.",
            "text/html; charset=utf-8",
            text,
        ),
    );
    document.add(
        "exporter",
        Operation::new("GET /openapi.json", "openapi", "This document.")
            .json("An OpenAPI document.", &json!({ "type": "object" })),
    );
    document.add(
        "exporter",
        Operation::new("GET /-/healthy", "healthy", "Whether the exporter answers.")
            .text(StatusCode::OK, "It does."),
    );
    document.add(
        "exporter",
        Operation::new(
            "GET /-/ready",
            "ready",
            "Whether the exporter goes on answering.",
        )
        .text(StatusCode::OK, "It does.")
        .text(
            StatusCode::SERVICE_UNAVAILABLE,
            "It is shutting down; or the answer took longer than `web.request_timeout`.",
        )
        .error(StatusCode::SERVICE_UNAVAILABLE, "", error),
    );

    let reload = &document.answer::<ReloadView>();
    for (request, id) in [("POST /-/reload", "reload"), ("PUT /-/reload", "putReload")] {
        let operation = Operation::new(
            request,
            id,
            "Where `web.enable_lifecycle` is set: reads the configuration anew, and takes over all of it that a running process can, or nothing, where any of it is wrong.",
        );
        document.add(
            "exporter",
            operation
                .for_loopback(error)
                .json("What has changed.", reload)
                .checked(error)
                .error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The configuration is wrong, and the one before stays in force.",
                    error,
                )
                .error(
                    StatusCode::NOT_IMPLEMENTED,
                    "The process does not say where its configuration is to be read from.",
                    error,
                ),
        );
    }
}
