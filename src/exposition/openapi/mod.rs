//! `GET /openapi.json`: the HTTP interface, described for machines.
//!
//! Schemas of JSON answers come from the types that are answered with, and what a parameter may be from the tables that the handlers
//! check, so that neither can differ. What cannot be derived is written here, and tests ask the server whether it is so.
//!
//! | file | holds |
//! |---|---|
//! | `operation.rs` | the parts of an operation: parameters, answers, errors |
//! | `numbers.rs` | requests for numbers, and for the exporter itself |
//! | `origins.rs` | requests for where memory comes from: leaks, allocations, profiles |
//! | `alerts.rs` | requests for alerts and silences |

mod alerts;
mod numbers;
mod operation;
mod origins;

use std::time::Duration;

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use warp::reply::Response;

use super::handlers::Api;
use super::json::{Envelope, ErrorView};
use operation::Operation;

const ABOUT: &str = "What a process does with its memory: which line of code holds it, whether it is a leak, and when it will end the process.

Every JSON answer carries `timestamp` and `session_id`. GET may be asked as HEAD. A request for loopback is answered to clients on the \
machine of the process, and to users and certificates if `web.config_file` asks for them; and to no page of another origin but those in \
`web.cors_allowed_origins`.";

/// What the endpoint answers.
pub(super) fn openapi(api: &Api) -> Response {
    let retention = api.recorder.history().retention();
    let text = document(&api.telemetry_path, retention).to_string() + "\n";
    super::graphs::document(text.into_bytes(), "application/json")
}

/// What all operations are gathered in.
struct Document {
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Document {
    /// The schema of an answer with this in it.
    fn answer<T: JsonSchema>(&mut self) -> Value {
        self.schema::<Envelope<'static, T>>()
    }

    /// The schema of what is answered as it is.
    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }

    fn add(&mut self, tag: &str, operation: Operation) {
        let path = self.paths.entry(operation.path.clone());
        let path = path.or_insert_with(|| json!({}));
        let method = operation.method.clone();
        path[method] = operation.into_value(tag);
    }
}

fn document(telemetry_path: &str, retention: Duration) -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
    let mut document = Document {
        schemas: settings.with_transform(NoNull).into_generator(),
        paths: Map::new(),
    };
    numbers::add_to(&mut document, telemetry_path, retention);
    origins::add_to(&mut document);
    alerts::add_to(&mut document);
    let error = document.answer::<ErrorView>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "memory-exporter",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "tags": [
            { "name": "numbers", "description": "How much memory, how it grows, and what that means." },
            { "name": "origins", "description": "Which lines of code hold and ask for memory." },
            { "name": "alerts", "description": "What people are told." },
            { "name": "exporter", "description": "The exporter itself." },
        ],
        "security": [{}, { "basic": [] }],
        "paths": document.paths,
        "components": {
            "schemas": document.schemas.take_definitions(true),
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "Where the web configuration file has users.",
                },
            },
            "responses": operation::usual_errors(&error),
        },
    })
}

/// A field that is left out when there is nothing to say is never `null`: the schema of an `Option` does not know that.
#[derive(Clone)]
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let required = schema.get("required").and_then(Value::as_array).cloned();
        let required = required.unwrap_or_default();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        let left_out = properties
            .into_iter()
            .flatten()
            .filter(|(name, _)| !required.contains(&Value::from(name.as_str())));
        for (_, property) in left_out {
            without_null(property);
        }
    }
}

fn without_null(schema: &mut Value) {
    let is_null = |kind: &Value| kind == "null" || kind["type"] == "null";
    for key in ["type", "anyOf"] {
        let Some(kinds) = schema.get_mut(key).and_then(Value::as_array_mut) else {
            continue;
        };
        kinds.retain(|kind| !is_null(kind));
        let [only] = kinds.as_slice() else { continue };
        let only = only.clone();
        if key == "type" {
            schema["type"] = only;
        } else if let (Some(schema), Value::Object(only)) = (schema.as_object_mut(), only) {
            schema.remove("anyOf");
            schema.extend(only);
        }
    }
}
