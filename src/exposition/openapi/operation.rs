//! The parts of an operation: parameters, answers, errors.

use std::time::Duration;

use serde_json::{Map, Value, json};
use warp::http::StatusCode;

use super::super::query::{names, range};

/// Said of what not everybody may ask.
const FOR_LOOPBACK: &str =
    "For loopback, or for users and certificates that the web configuration file asks for.";

/// Errors that every request may be answered with, whatever it asks for.
const USUAL_ERRORS: [(StatusCode, &str); 7] = [
    (
        StatusCode::UNAUTHORIZED,
        "The web configuration file has users, and the request is of none of them.",
    ),
    (
        StatusCode::FORBIDDEN,
        "A page of this origin may not ask; `web.cors_allowed_origins` says which may.",
    ),
    (
        StatusCode::METHOD_NOT_ALLOWED,
        "The path has no such method.",
    ),
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        "The request has a body, which nothing reads.",
    ),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "The web configuration file has a rate limit, which all clients together exceed.",
    ),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "The request could not be answered; the log of the process says why.",
    ),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "The answer took longer than `web.request_timeout`.",
    ),
];

/// The bodies of [`USUAL_ERRORS`], by the names under which operations refer to them.
pub(super) fn usual_errors(error: &Value) -> Map<String, Value> {
    let response = |(status, about): (StatusCode, &str)| {
        let mut response = json!({
            "description": about,
            "content": { "application/json": { "schema": error } },
        });
        if let Some(headers) = headers(status) {
            response["headers"] = headers;
        }
        (name(status), response)
    };
    USUAL_ERRORS.map(response).into_iter().collect()
}

fn name(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    reason.split(' ').collect()
}

/// What else an error of this status says.
fn headers(status: StatusCode) -> Option<Value> {
    let (name, about) = match status {
        StatusCode::UNAUTHORIZED => ("WWW-Authenticate", "How to say who one is: `Basic`."),
        StatusCode::METHOD_NOT_ALLOWED => ("Allow", "The methods that the path has."),
        StatusCode::TOO_MANY_REQUESTS => ("Retry-After", "After how many seconds to try again."),
        _ => return None,
    };
    let header = json!({ "description": about, "required": true, "schema": { "type": "string" } });
    Some(json!({ name: header }))
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    summary: &'static str,
    id: &'static str,
    is_for_loopback: bool,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
}

impl Operation {
    /// What answers a request line such as `GET /metrics`; `id` is what programs call it.
    pub(super) fn new(request: &str, id: &'static str, summary: &'static str) -> Self {
        let (method, path) = request.split_once(' ').unwrap_or_default();
        let usual = USUAL_ERRORS.map(|(status, _)| {
            let reference = format!("#/components/responses/{}", name(status));
            (status.as_u16().to_string(), json!({ "$ref": reference }))
        });
        Self {
            method: method.to_ascii_lowercase(),
            path: path.to_owned(),
            summary,
            id,
            is_for_loopback: false,
            parameters: Vec::new(),
            responses: usual.into_iter().collect(),
        }
    }

    pub(super) fn for_loopback(mut self, error: &Value) -> Self {
        self.is_for_loopback = true;
        let about = "The request comes from another machine and from nobody who is known, or from a page of another origin.";
        self.error(StatusCode::FORBIDDEN, about, error)
    }

    /// A parameter of the query that need not be given.
    pub(super) fn parameter(self, parameter: Parameter) -> Self {
        self.parameter_in("query", parameter)
    }

    /// The `{id}` of the path.
    pub(super) fn identified(self, parameter: Parameter) -> Self {
        self.parameter_in("path", parameter.needed())
    }

    fn parameter_in(mut self, place: &str, Parameter(mut parameter): Parameter) -> Self {
        parameter["in"] = place.into();
        self.parameters.push(parameter);
        self
    }

    /// An answer in this form, beside others of the same status.
    pub(super) fn answer(
        mut self,
        status: StatusCode,
        about: &str,
        content_type: &str,
        schema: &Value,
    ) -> Self {
        let response = self.response(status, about);
        let content = &mut response["content"][content_type];
        match content.get_mut("schema") {
            // What the status is answered with for another reason.
            Some(other) => *other = json!({ "anyOf": [other.take(), schema] }),
            None => *content = json!({ "schema": schema }),
        }
        self
    }

    pub(super) fn json(self, about: &str, schema: &Value) -> Self {
        self.answer(StatusCode::OK, about, "application/json", schema)
    }

    pub(super) fn text(self, status: StatusCode, about: &str) -> Self {
        let schema = json!({ "type": "string" });
        self.answer(status, about, "text/plain; charset=utf-8", &schema)
    }

    pub(super) fn error(self, status: StatusCode, about: &str, error: &Value) -> Self {
        let mut operation = self.answer(status, about, "application/json", error);
        if let Some(headers) = headers(status) {
            operation.response(status, about)["headers"] = headers;
        }
        operation
    }

    /// 400, for who has a query that is checked.
    pub(super) fn checked(self, error: &Value) -> Self {
        let about = "A parameter is unknown, given twice, or of a value that is not allowed; the help says what is.";
        self.error(StatusCode::BAD_REQUEST, about, error)
    }

    /// What is said of a status, of which only what is usual was said before.
    fn response(&mut self, status: StatusCode, about: &str) -> &mut Value {
        let response = self
            .responses
            .entry(status.as_str().to_owned())
            .or_insert_with(|| json!({}));
        if response.get("content").is_none() {
            *response = json!({ "description": about, "content": {} });
        }
        response
    }

    pub(super) fn into_value(self, tag: &str) -> Value {
        let mut value = json!({
            "operationId": self.id,
            "tags": [tag],
            "summary": self.summary,
            "responses": self.responses,
        });
        if self.is_for_loopback {
            value["description"] = FOR_LOOPBACK.into();
        }
        if !self.parameters.is_empty() {
            value["parameters"] = self.parameters.into();
        }
        value
    }
}

/// A parameter.
pub(super) struct Parameter(Value);

impl Parameter {
    pub(super) fn new(name: &str, about: &str, schema: Value, example: impl Into<Value>) -> Self {
        Self(json!({
            "name": name,
            "description": about,
            "schema": schema,
            "example": example.into(),
        }))
    }

    /// One of a few names.
    pub(super) fn choice<T>(name: &str, about: &str, choices: &[(&str, T)]) -> Self {
        let names = names(choices);
        let schema = json!({ "type": "string", "enum": names });
        Self::new(name, about, schema, names[0])
    }

    pub(super) fn duration(
        name: &str,
        about: &str,
        (shortest, longest): (Duration, Duration),
        example: &str,
    ) -> Self {
        let about = format!("{about}; allowed: {}", range(shortest, longest));
        Self::new(name, &about, json!({ "type": "string" }), example)
    }

    /// What people write.
    pub(super) fn words(name: &str, about: &str, longest: usize, example: &str) -> Self {
        let schema = json!({
            "type": "string",
            "minLength": 1,
            "maxLength": longest,
            "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
        });
        Self::new(name, about, schema, example)
    }

    pub(super) fn needed(mut self) -> Self {
        self.0["required"] = true.into();
        self
    }
}
