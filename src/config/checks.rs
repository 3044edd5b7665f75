//! What a value must be beyond its kind; each check says what is allowed.

use crate::catalog::ALL;

use super::knob::{Auto, Secret};

/// The name of a component: it becomes the value of a label.
pub(super) fn is_component(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
        Err("a name of 1 to 100 characters".to_owned())
    } else {
        Ok(())
    }
}

/// What matches functions.
pub(super) fn is_pattern(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        Err(
            "the start of a function's name, such as shop::cart, or one with * for any characters"
                .to_owned(),
        )
    } else {
        Ok(())
    }
}

/// An absolute path that is not taken by another endpoint.
pub(super) fn is_path(path: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    let taken = path == "/"
        || path == "/openapi.json"
        || path.starts_with("/metrics/memory")
        || path.starts_with("/-/")
        || path.starts_with("/debug");
    if path.starts_with('/')
        && !path.ends_with('/')
        && !path.contains("//")
        && path.chars().all(plain)
        && !taken
    {
        Ok(())
    } else {
        Err("a path such as /metrics: letters, digits and - _ . ~ behind slashes, not /openapi.json and not below /metrics/memory, /debug or /-".to_owned())
    }
}

/// The path of a request, as it is sent.
pub(super) fn is_request_path(path: &str) -> Result<(), String> {
    let is_sent = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
    if path.starts_with('/') && path.chars().all(is_sent) {
        Ok(())
    } else {
        Err("a path as it is sent, such as /-/healthy".to_owned())
    }
}

pub(super) fn is_origin(origin: &str) -> Result<(), String> {
    let is_plain =
        || url::Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == origin);
    if origin == "*" || is_plain() {
        Ok(())
    } else {
        Err("\"*\" or an origin such as https://dash.example.org, without a path".to_owned())
    }
}

pub(super) fn is_endpoint(endpoint: &Auto<String>) -> Result<(), String> {
    match endpoint {
        Auto::Auto => Ok(()),
        Auto::Set(endpoint) => is_url(endpoint),
    }
}

/// A URL that can be pushed to.
pub(crate) fn is_url(endpoint: &str) -> Result<(), String> {
    match url::Url::parse(endpoint) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => Ok(()),
        _ => Err("a URL such as http://localhost:4317 or https://otlp.example.org".to_owned()),
    }
}

/// A URL below which there is something, or empty.
pub(super) fn is_base_url(text: &str) -> Result<(), String> {
    if text.is_empty() || (is_url(text).is_ok() && is_link(text).is_ok()) {
        Ok(())
    } else {
        Err("empty, or a URL such as https://grafana.example.org".to_owned())
    }
}

/// A URL in which `{instance}` stands for a label.
pub(super) fn is_exporter_url(text: &str) -> Result<(), String> {
    let example = text.replace("{instance}", "localhost:1");
    if is_url(&example).is_ok() && is_link(&example).is_ok() {
        Ok(())
    } else {
        Err(
            "a URL such as http://{instance}, where {instance} is the label of that name"
                .to_owned(),
        )
    }
}

/// A URL or a path, which can stand in a template and to which an anchor can be added.
pub(super) fn is_link(text: &str) -> Result<(), String> {
    let disturbs = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | '"' | '<' | '>' | '#');
    if text.is_empty() || text.contains(disturbs) {
        Err("a URL or a path, without spaces, braces, quotes and #".to_owned())
    } else {
        Ok(())
    }
}

/// A header name of HTTP; the value may hold anything visible.
pub(super) fn is_header(name: &str, value: &Secret) -> Result<(), String> {
    if hyper::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err("a header name: letters, digits and -".to_owned());
    }
    hyper::header::HeaderValue::from_str(value.reveal())
        .map(|_| ())
        .map_err(|_| "a header value: visible characters only".to_owned())
}

/// A URL that messages are sent to.
pub(crate) fn is_channel_url(text: &str) -> Result<(), String> {
    match url::Url::parse(text) {
        Ok(url)
            if is_url(text).is_ok() && url.username().is_empty() && url.password().is_none() =>
        {
            Ok(())
        }
        _ => Err(
            "a URL such as https://hooks.example.org/alerts, without user and password".to_owned(),
        ),
    }
}

/// The URL of an Alertmanager, to which the path of the API is added.
pub(super) fn is_peer(text: &str) -> Result<(), String> {
    let has_query = |url: url::Url| url.query().is_some() || url.fragment().is_some();
    if is_channel_url(text).is_ok() && !url::Url::parse(text).is_ok_and(has_query) {
        Ok(())
    } else {
        Err("a URL such as http://alertmanager:9093, without user, password and query".to_owned())
    }
}

/// The name in `Authorization: Basic`.
pub(super) fn is_username(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
        Err("a name without a colon".to_owned())
    } else {
        Ok(())
    }
}

/// What can stand behind `Authorization: Bearer`.
pub(super) fn is_token(token: &Secret) -> Result<(), String> {
    hyper::header::HeaderValue::from_str(token.reveal())
        .map(|_| ())
        .map_err(|_| "a token of visible characters only".to_owned())
}

pub(super) fn is_attribute(name: &str, _value: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("an attribute name such as service.name".to_owned())
    } else {
        Ok(())
    }
}

pub(super) fn is_namespace(namespace: &str) -> Result<(), String> {
    if namespace.is_empty()
        || (is_name(namespace) && !namespace.ends_with('_') && !namespace.contains("__"))
    {
        Ok(())
    } else {
        Err(
            "empty, or letters, digits and single _ between them, not starting with a digit"
                .to_owned(),
        )
    }
}

/// A label name that an alert may have beside its own: `job` and `instance` say how others name this process.
pub(super) fn is_alert_label(name: &str, value: &str) -> Result<(), String> {
    let ours = ["alertname", "severity", "component", "origin"];
    if !is_name(name) || name.starts_with("__") || ours.contains(&name) {
        Err("a label name: letters, digits and _, not starting with a digit or __, and not alertname, severity, component or origin".to_owned())
    } else if value.is_empty() {
        Err("a label value that is not empty".to_owned())
    } else {
        Ok(())
    }
}

/// A label name that Prometheus takes and no metric of ours has.
pub(super) fn is_label(name: &str, _value: &str) -> Result<(), String> {
    let ours = ALL
        .iter()
        .flat_map(|def| def.labels)
        .any(|label| label.name == name);
    if is_name(name) && !name.starts_with("__") && !ours && name != "le" {
        Ok(())
    } else {
        Err("a label name: letters, digits and _, not starting with a digit or __, and none that a metric has already".to_owned())
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
