//! The OpenAPI document against the server: every path, method, parameter, status, content type and field of one is in the other.

#[path = "../support/schema.rs"]
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::api::{Answer, exporter, get, send};

const LOOPBACK: &str = "127.0.0.1:9";
const FAR: &str = "10.0.0.1:9";

/// What no other test of this process must notice.
const LEFT_OUT: [(&str, &str); 1] = [("sampling", "interval")];

/// The document, as an exporter serves it.
async fn document(exporter: &Exporter) -> Value {
    let request = warp::test::request().path("/openapi.json");
    let answer = request.reply(&exporter.routes()).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    serde_json::from_slice(answer.body()).unwrap()
}

/// An operation of the document.
struct Operation<'a> {
    document: &'a Value,
    method: String,
    path: &'a str,
    value: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let methods = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods
            .iter()
            .map(move |(method, value)| (path, method, value))
    });
    let operations = methods.map(|(path, method, value)| Operation {
        document,
        method: method.to_uppercase(),
        path,
        value,
    });
    operations.collect()
}

impl Operation<'_> {
    fn parameters(&self, place: &str) -> impl Iterator<Item = &Value> {
        let all = self.value["parameters"].as_array().into_iter().flatten();
        all.filter(move |parameter| parameter["in"] == place)
    }

    /// The path and the query with what has to be given, the examples of it, and some more.
    fn target(&self, more: &[(&str, &str)]) -> String {
        let mut path = self.path.to_owned();
        for parameter in self.parameters("path") {
            let name = parameter["name"].as_str().unwrap();
            path = path.replace(&format!("{{{name}}}"), &text(&parameter["example"]));
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let is_given = |name: &str| more.iter().any(|(more, _)| *more == name);
        for parameter in self.parameters("query") {
            let name = parameter["name"].as_str().unwrap();
            if parameter["required"] == true && !is_given(name) {
                query.append_pair(name, &text(&parameter["example"]));
            }
        }
        format!("{path}?{}", query.extend_pairs(more).finish())
    }

    /// From loopback, again while something else is being built.
    async fn ask(&self, exporter: &Exporter, more: &[(&str, &str)]) -> Answer {
        let target = self.target(more);
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = send(exporter, &self.method, &target, LOOPBACK, &[]).await;
            if answer.status != 429 {
                return answer;
            }
            assert!(Instant::now() < deadline, "{target} is never answered");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn violations(&self, answer: &Answer) -> Vec<String> {
        let status = answer.status.to_string();
        let Some(mut response) = self.value["responses"].get(&status) else {
            return vec![format!(": status {status} is not described")];
        };
        if let Some(target) = response["$ref"].as_str() {
            response = self.document.pointer(&target[1..]).unwrap();
        }
        let headers = response["headers"].as_object().into_iter().flatten();
        for (name, _) in headers {
            if !answer.headers.contains_key(name.as_str()) {
                return vec![format!(": header {name} is missing")];
            }
        }
        let kind = answer.headers["content-type"].to_str().unwrap();
        let Some(content) = response["content"].get(kind) else {
            return vec![format!(
                ": content type {kind} is not described for {status}"
            )];
        };
        if kind != "application/json" || answer.body.is_empty() {
            return Vec::new();
        }
        schema::violations(self.document, &content["schema"], &answer.json())
    }
}

/// As it stands in a query.
fn text(example: &Value) -> String {
    match example {
        Value::String(text) => text.clone(),
        Value::Array(all) => text(&all[0]),
        other => other.to_string(),
    }
}

fn is_template_of(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template
            .zip(path)
            .all(|(wanted, part)| wanted == part || wanted.starts_with('{'))
}

/// What every answer in these tests has to pass.
///
/// # Panics
/// When the document does not have it.
pub(crate) async fn check(exporter: &Exporter, method: &str, target: &str, answer: &Answer) {
    static DOCUMENT: OnceCell<Value> = OnceCell::const_new();
    let document = DOCUMENT.get_or_init(|| document(exporter)).await;
    let path = target.split('?').next().unwrap();
    let all = operations(document);
    // A path without a placeholder comes first, as in the routes.
    let here = |exact: bool| {
        let of_path = |operation: &&Operation| match exact {
            true => operation.path == path,
            false => is_template_of(operation.path, path),
        };
        let here: Vec<_> = all.iter().filter(of_path).collect();
        Some(here).filter(|here| !here.is_empty())
    };
    let Some(here) = here(true).or_else(|| here(false)) else {
        assert_eq!(answer.status, 404, "{path} is not described");
        return;
    };
    let asked = if method == "HEAD" { "GET" } else { method };
    let operation = here.iter().find(|operation| operation.method == asked);
    // Of a method that it does not have, every path says the same.
    let violations = operation.unwrap_or(&here[0]).violations(answer);
    assert!(
        operation.is_some() || answer.status == 405,
        "{method} {path} is not described"
    );
    assert_eq!(violations, Vec::<String>::new(), "{method} {target}");
}

/// `warp::path!("a" / String / "b")` as `/a/{id}/b`.
fn paths_of_the_routes() -> BTreeSet<String> {
    let path = |code: &str| {
        let parts = code.split_once(')').unwrap().0.split('/');
        let parts = parts.map(|part| match part.trim() {
            "String" => "/{id}".to_owned(),
            literal => format!("/{}", literal.trim_matches('"')),
        });
        parts.collect::<String>()
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/exposition/routes");
    let files = std::fs::read_dir(folder).unwrap();
    let code: String = files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    let coded = code.split("warp::path!(").skip(1).map(path);
    // The landing page, and the one that the configuration may move.
    coded
        .chain(["/".to_owned(), "/metrics".to_owned()])
        .collect()
}

#[tokio::test]
async fn every_path_and_method_of_the_server_is_in_the_document_and_the_reverse() {
    let exporter = exporter();
    let document = document(&exporter).await;
    let mut documented: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for operation in operations(&document) {
        let methods = documented.entry(operation.path).or_default();
        if operation.method == "GET" {
            methods.insert("HEAD".to_owned());
        }
        methods.insert(operation.method);
    }
    let known: BTreeSet<_> = documented.keys().map(|path| (*path).to_owned()).collect();
    assert_eq!(known, paths_of_the_routes());
    assert!(known.len() >= 18, "{known:?}");
    for (path, methods) in documented {
        let path = path.replace("{id}", "1");
        let answer = send(&exporter, "PATCH", &path, LOOPBACK, &[]).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.headers["allow"].to_str().unwrap().split(", ");
        let allowed: BTreeSet<_> = allowed.map(str::to_owned).collect();
        assert_eq!(methods, allowed, "{path}");
    }
}

/// [`check`] compares each answer with the document.
#[tokio::test]
async fn every_documented_value_is_taken() {
    let exporter = exporter();
    let document = document(&exporter).await;
    let mut asked = 0;
    for operation in operations(&document) {
        let id = operation.value["operationId"].as_str().unwrap();
        let parameters = operation.parameters("query").map(|parameter| {
            let values = parameter["schema"]["enum"].as_array().cloned();
            let values = values.unwrap_or_else(|| vec![parameter["example"].clone()]);
            (parameter["name"].as_str().unwrap(), values)
        });
        let parameters = parameters.filter(|(name, _)| !LEFT_OUT.contains(&(id, name)));
        let parameters: Vec<_> = parameters.collect();
        // All parameters at once, each with its next value: profiles are dear. And none.
        let most = parameters.iter().map(|(_, values)| values.len()).max();
        let nth = |at: usize| {
            let nth = parameters
                .iter()
                .map(|(name, values)| (*name, text(&values[at % values.len()])));
            nth.collect::<Vec<_>>()
        };
        let queries = (0..most.unwrap_or(0)).map(nth).chain([Vec::new()]);
        for query in queries {
            let query: Vec<_> = query
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let answer = operation.ask(&exporter, &query).await;
            let target = operation.target(&query);
            // What a placeholder stands for is not there, and the past is short.
            let may_be_missing = operation.path.contains('{') || target.contains("since=");
            assert!(
                answer.status < 300 || (answer.status == 404 && may_be_missing),
                "{} {target}: {}",
                operation.method,
                String::from_utf8_lossy(&answer.body)
            );
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
}

/// What the server says is allowed is what the document says.
#[tokio::test]
async fn every_other_value_and_name_is_refused() {
    let exporter = exporter();
    let document = document(&exporter).await;
    let (mut choices, mut ranges) = (0, 0);
    for operation in operations(&document) {
        if operation.value["responses"].get("400").is_none() {
            assert_eq!(operation.parameters("query").count(), 0);
            let answer = operation.ask(&exporter, &[("no-such", "1")]).await;
            assert_eq!(answer.status, 200, "{}", operation.path);
            continue;
        }
        let names = operation
            .parameters("query")
            .map(|parameter| text(&parameter["name"]));
        let names: BTreeSet<_> = names.collect();
        let answer = operation.ask(&exporter, &[("no-such", "1")]).await;
        let help = text(&answer.json()["help"]);
        let allowed = help
            .strip_prefix("allowed: ")
            .map(|names| names.split(", "));
        let allowed = allowed.into_iter().flatten().map(str::to_owned).collect();
        assert_eq!((answer.status, names), (400, allowed), "{}", operation.path);
        for parameter in operation.parameters("query") {
            let about = parameter["description"].as_str().unwrap();
            let choice = parameter["schema"]["enum"].as_array();
            let allowed = match (choice, about.split_once("; allowed: ")) {
                (Some(values), None) => {
                    choices += 1;
                    values.iter().map(text).collect::<Vec<_>>().join(", ")
                }
                (None, Some((_, allowed))) => {
                    ranges += 1;
                    allowed.to_owned()
                }
                _ => continue,
            };
            let name = parameter["name"].as_str().unwrap();
            let answer = operation.ask(&exporter, &[(name, "no such")]).await;
            assert_eq!(answer.status, 400, "{} {name}", operation.path);
            assert_eq!(answer.json()["help"], format!("allowed: {allowed}"));
        }
    }
    assert!(
        choices >= 11 && ranges >= 6,
        "{choices} choices, {ranges} ranges"
    );
}

#[tokio::test]
async fn what_is_for_loopback_is_said_to_be() {
    let exporter = exporter();
    let document = document(&exporter).await;
    for operation in operations(&document) {
        let is_for_loopback = operation.value["description"].is_string();
        let answer = send(
            &exporter,
            &operation.method,
            &operation.target(&[]),
            FAR,
            &[],
        )
        .await;
        assert_eq!(answer.status == 403, is_for_loopback, "{}", operation.path);
    }
}

/// Other answers than the usual ones; each is compared by [`check`].
#[tokio::test]
async fn answers_of_other_processes_are_in_the_document_too() {
    let yaml = "alerts: {enabled: false, thresholds: {usage_warning_mb: 1, usage_critical_mb: 1}}";
    let config = Config::load(Profile::Production, yaml, []).unwrap();
    let silent = Exporter::builder(config).without_server().start().unwrap();
    assert_eq!(get(&silent, "/metrics/memory/alerts").await.status, 501);
    assert_eq!(get(&silent, "/metrics/memory/health").await.status, 503);

    let exporter = exporter();
    let path = "/metrics/memory/alerts/silences";
    let query = "matcher=alertname=none&duration=1h&by=ada&comment=why";
    let answer = send(&exporter, "POST", &format!("{path}?{query}"), LOOPBACK, &[]).await;
    assert_eq!(answer.status, 201);
    let one = format!("{path}/{}", answer.json()["id"]);
    assert_eq!(
        get(&exporter, path).await.json()["silences"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        send(&exporter, "DELETE", &one, LOOPBACK, &[]).await.status,
        200
    );
}

/// A telemetry path of one's own, and the history that the configuration wants.
#[tokio::test]
async fn it_follows_the_configuration() {
    let yaml = "{web: {telemetry_path: /stats}, history: {retention: 3h}}";
    let config = Config::load(Profile::Production, yaml, []).unwrap();
    let exporter = Exporter::builder(config).without_server().start().unwrap();
    let document = document(&exporter).await;
    let paths = &document["paths"];
    assert!(
        paths.get("/metrics").is_none() && paths.get("/stats").is_some(),
        "{document:#}"
    );
    let trend = &paths["/metrics/memory/trend"]["get"]["parameters"][0];
    assert!(
        text(&trend["description"]).ends_with("from 1s to 3h"),
        "{trend}"
    );
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Who reads a field has to be told what it is: its unit, where it comes from, when there is none.
#[tokio::test]
async fn every_field_is_described() {
    let document = document(&exporter()).await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(
                schema.get("description").is_some(),
                "{name}.{field}: {schema}"
            );
        }
        assert!(
            name.chars().all(|c| c.is_ascii_alphabetic()),
            "{name}: two types of one name"
        );
    }
}

#[test]
fn what_is_not_allowed_is_found() {
    let document = json!({ "a": { "type": "object", "properties": { "n": { "type": "integer", "minimum": 0 } }, "required": ["n"] } });
    let schema =
        json!({ "type": "array", "items": { "anyOf": [{ "$ref": "#/a" }, { "type": "null" }] } });
    let found = |value| schema::violations(&document, &schema, &value).concat();
    assert_eq!(found(json!([{ "n": 1 }, null])), "");
    for (value, violation) in [
        (json!({}), "is no \"array\""),
        (json!([{}]), "/0: \"n\" is missing"),
        (json!([{ "n": -1 }]), "/0/n: -1 is less than 0"),
        (json!([{ "n": 1.5 }]), "/0/n: 1.5 is no \"integer\""),
        (json!([{ "n": 1, "m": 1 }]), "/0: field m is not described"),
    ] {
        assert!(found(value.clone()).contains(violation), "{value}");
    }
    for (schema, value) in [
        (json!({ "format": "date-time" }), json!("yesterday")),
        (json!({ "format": "uuid" }), json!("1")),
        (json!({ "enum": ["a", "b"] }), json!("c")),
        (
            json!({ "additionalProperties": { "type": "number" } }),
            json!({ "a": "b" }),
        ),
        (json!({ "$ref": "#/b" }), json!(1)),
        (json!({ "const": 1 }), json!(1)),
    ] {
        let found = schema::violations(&document, &schema, &value);
        assert_eq!(found.len(), 1, "{schema}: {found:?}");
    }
}
