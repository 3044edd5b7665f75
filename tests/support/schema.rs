//! What of JSON Schema the document uses, and not more: a keyword that is not known here is a violation itself. Stricter than JSON Schema in
//! one thing: a field that the schema does not name is a violation too, so that none is answered that nobody described.

use serde_json::Value;

/// Everything of `value` that `schema`, which may refer to `document`, does not allow; with its path.
pub(crate) fn violations(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    // What allows everything.
    let Some(keywords) = schema.as_object().filter(|keywords| !keywords.is_empty()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (keyword, wanted) in keywords {
        found.extend(against(document, keyword, wanted, value));
    }
    if let Some(fields) = value.as_object()
        && let Some(known) = fields_of(schema)
    {
        let unknown = fields.keys().filter(|name| known.get(*name).is_none());
        match schema.get("additionalProperties") {
            Some(schema) => {
                for name in unknown {
                    found.extend(below(name, violations(document, schema, &fields[name])));
                }
            }
            None => found.extend(unknown.map(|name| format!(": field {name} is not described"))),
        }
    }
    found
}

fn against(document: &Value, keyword: &str, wanted: &Value, value: &Value) -> Vec<String> {
    let unless = |is_fine: bool, what: &str| match is_fine {
        true => Vec::new(),
        false => vec![format!(": {value} {what} {wanted}")],
    };
    let list = || wanted.as_array().cloned().unwrap_or(vec![wanted.clone()]);
    match keyword {
        "title" | "description" | "additionalProperties" => Vec::new(),
        // Of what size a number is in Rust.
        "format" if value.is_number() => Vec::new(),
        "format" => {
            let text = value.as_str().unwrap_or_default();
            let is_fine = match wanted.as_str() {
                Some("date-time") => humantime::parse_rfc3339(text).is_ok(),
                Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
                _ => value.is_null(),
            };
            unless(is_fine, "is no")
        }
        "$ref" => {
            let target = wanted.as_str().and_then(|target| target.strip_prefix('#'));
            match target.and_then(|target| document.pointer(target)) {
                Some(schema) => violations(document, schema, value),
                None => vec![format!(": {wanted} is nowhere")],
            }
        }
        "type" => {
            let is_one = |kind: &Value| is_a(kind.as_str().unwrap_or_default(), value);
            unless(list().iter().any(is_one), "is no")
        }
        "enum" => unless(list().contains(value), "is none of"),
        "minimum" => unless(
            !value.is_number() || value.as_f64() >= wanted.as_f64(),
            "is less than",
        ),
        "required" => {
            let list = list();
            let missing = list
                .iter()
                .filter(|name| value.get(name.as_str().unwrap_or_default()).is_none());
            missing.map(|name| format!(": {name} is missing")).collect()
        }
        "anyOf" => {
            let all = list();
            let tried = all.iter().map(|schema| violations(document, schema, value));
            let tried: Vec<_> = tried.collect();
            match tried.iter().any(Vec::is_empty) {
                true => Vec::new(),
                false => tried.concat(),
            }
        }
        "items" => {
            let items = value.as_array().into_iter().flatten().enumerate();
            let found =
                items.map(|(at, item)| below(&at.to_string(), violations(document, wanted, item)));
            found.flatten().collect()
        }
        "properties" => {
            let known = wanted.as_object().into_iter().flatten();
            let given = known.filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
            let found =
                given.map(|(name, schema, value)| below(name, violations(document, schema, value)));
            found.flatten().collect()
        }
        other => vec![format!(": the test does not know the keyword {other}")],
    }
}

fn is_a(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// The fields that an object may have besides those of `additionalProperties`; absent where the schema does not speak of fields.
fn fields_of(schema: &Value) -> Option<Value> {
    let says_more = schema.get("additionalProperties").is_some();
    let none = || says_more.then(|| Value::Object(Default::default()));
    schema.get("properties").cloned().or_else(none)
}

/// What was found in a field or an item.
fn below(name: &str, found: Vec<String>) -> Vec<String> {
    let found = found.into_iter();
    found.map(|what| format!("/{name}{what}")).collect()
}
