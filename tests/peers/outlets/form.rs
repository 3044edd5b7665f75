//! Documents as the tables of a documentation state them: which fields there are, which must be there, and what stands in them.
//! The judges are such tables; what a table cannot say, they say themselves.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

/// Of a request, names in lower case.
pub(crate) type Headers = BTreeMap<String, String>;

/// What stands in a field.
pub(super) enum Kind {
    /// A text of so many characters.
    Text(RangeInclusive<usize>),
    /// A text of a form that has a name.
    Like(&'static str, fn(&str) -> bool),
    OneOf(&'static [&'static str]),
    Flag,
    /// A number without sign and fraction.
    Count,
    /// An object with whatever is in it.
    Object,
    /// An object of texts.
    Texts,
    Form(&'static [Field]),
    /// So many of a kind.
    List(RangeInclusive<usize>, &'static Kind),
    /// What takes more than a table.
    Judged(fn(&str, &Value, &mut Vec<String>)),
}

/// A line of the table.
pub(super) struct Field {
    name: &'static str,
    is_required: bool,
    kind: Kind,
}

pub(super) const fn must(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        is_required: true,
        kind,
    }
}

pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        is_required: false,
        kind,
    }
}

/// A text without a bound that is documented.
pub(super) const ANY: Kind = Kind::Text(0..=usize::MAX);
pub(super) const URL: Kind = Kind::Like("a URL", is_url);
pub(super) const TIME: Kind = Kind::Like("a time of RFC 3339", |text| time(text).is_some());

impl Kind {
    /// Notes what is wrong with the value of the field `at`.
    pub(super) fn check(&self, at: &str, value: &Value, problems: &mut Vec<String>) {
        let wrong = match (self, value) {
            (Self::Text(lengths), Value::String(text)) => {
                let length = text.chars().count();
                outside(lengths, length, "characters")
            }
            (Self::Like(form, is_like), Value::String(text)) => {
                (!is_like(text)).then(|| format!("{text:?} is not {form}"))
            }
            (Self::OneOf(allowed), Value::String(text)) => {
                let is_allowed = allowed.contains(&text.as_str());
                (!is_allowed).then(|| format!("{text:?} is not one of {}", allowed.join(", ")))
            }
            (Self::Flag, Value::Bool(_)) | (Self::Object, Value::Object(_)) => None,
            (Self::Count, Value::Number(number)) => {
                (!number.is_u64()).then(|| format!("{number} is not a count"))
            }
            (Self::Texts, Value::Object(texts)) => {
                for (name, text) in texts {
                    ANY.check(&format!("{at}.{name}"), text, problems);
                }
                None
            }
            (Self::Form(fields), Value::Object(object)) => {
                check_fields(at, fields, object, problems);
                None
            }
            (Self::List(lengths, kind), Value::Array(list)) => {
                for (index, value) in list.iter().enumerate() {
                    kind.check(&format!("{at}[{index}]"), value, problems);
                }
                outside(lengths, list.len(), "elements")
            }
            (Self::Judged(judge), value) => {
                judge(at, value, problems);
                None
            }
            (kind, _) => Some(format!("not {}", kind.name())),
        };
        problems.extend(wrong.map(|wrong| format!("{at}: {wrong}")));
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Like(..) | Self::OneOf(_) => "a text",
            Self::Flag => "true or false",
            Self::Count => "a number",
            Self::Object | Self::Texts | Self::Form(_) => "an object",
            Self::List(..) => "a list",
            Self::Judged(_) => "what is documented",
        }
    }
}

fn outside(allowed: &RangeInclusive<usize>, count: usize, of: &str) -> Option<String> {
    (!allowed.contains(&count)).then(|| match (allowed.start(), allowed.end()) {
        (least, &usize::MAX) => format!("{count} {of}, allowed: {least} or more"),
        (least, most) => format!("{count} {of}, allowed: {least} to {most}"),
    })
}

/// Fields that are missing, wrong, and not documented.
fn check_fields(
    at: &str,
    fields: &[Field],
    object: &Map<String, Value>,
    problems: &mut Vec<String>,
) {
    let below = |name: &str| match at {
        "" => name.to_owned(),
        at => format!("{at}.{name}"),
    };
    for field in fields {
        match object.get(field.name) {
            Some(value) => field.kind.check(&below(field.name), value, problems),
            None if field.is_required => problems.push(format!("{}: missing", below(field.name))),
            None => {}
        }
    }
    let is_documented = |name: &str| fields.iter().any(|field| field.name == name);
    let unknown = object.keys().filter(|name| !is_documented(name));
    problems.extend(unknown.map(|name| format!("{}: not documented", below(name))));
}

/// What is wrong with a whole body and its type.
pub(super) fn document(headers: &Headers, body: &Value, fields: &'static [Field]) -> Vec<String> {
    let mut problems = Vec::new();
    let content_type = headers.get("content-type").map_or("", String::as_str);
    let essence = content_type.split(';').next().unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        problems.push(format!(
            "content-type: {content_type:?} is not application/json"
        ));
    }
    match body {
        Value::Object(object) => check_fields("", fields, object, &mut problems),
        _ => problems.push("the body is not an object of JSON".to_owned()),
    }
    problems
}

pub(super) fn is_url(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

/// A time of RFC 3339, with any offset.
pub(super) fn time(text: &str) -> Option<SystemTime> {
    if text.ends_with('Z') {
        return humantime::parse_rfc3339(text).ok();
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let local = humantime::parse_rfc3339(&format!("{local}Z")).ok()?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let two_digits = |text: &str| match text.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(u64::from(tens - b'0') * 10 + u64::from(ones - b'0'))
        }
        _ => None,
    };
    let hours = two_digits(hours).filter(|hours| *hours < 24)?;
    let minutes = two_digits(minutes).filter(|minutes| *minutes < 60)?;
    let offset_by = Duration::from_secs(hours * 3600 + minutes * 60);
    match offset.as_bytes()[0] {
        b'+' => local.checked_sub(offset_by),
        b'-' => local.checked_add(offset_by),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod planted {
    //! Mistakes, planted into what is right.

    use serde_json::Value;

    /// At which JSON pointer, what stands there instead (nothing, if none), and what is said of it: all that is said.
    pub(in super::super) type Mistake = (&'static str, Option<Value>, &'static str);

    /// The example with another value at the pointer.
    pub(in super::super) fn with(example: &Value, pointer: &str, value: Option<Value>) -> Value {
        let mut document = example.clone();
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        match (
            document.pointer_mut(parent).expect("what is around it"),
            value,
        ) {
            (Value::Object(object), Some(value)) => {
                object.insert(name.to_owned(), value);
            }
            (Value::Object(object), None) => {
                object.remove(name).expect("what is taken away");
            }
            (Value::Array(list), value) => {
                let index: usize = name.parse().expect("an index");
                list.splice(index..=index, value);
            }
            (other, _) => panic!("{pointer} is in {other}"),
        }
        document
    }

    /// Asserts that the judge finds nothing in the example, and each mistake.
    pub(in super::super) fn are_found(
        example: &Value,
        judge: impl Fn(&Value) -> Vec<String>,
        mistakes: impl IntoIterator<Item = Mistake>,
    ) {
        assert_eq!(judge(example), Vec::<String>::new(), "{example:#}");
        for (pointer, value, complaint) in mistakes {
            let document = with(example, pointer, value);
            assert_eq!(judge(&document), [complaint], "{pointer}: {document:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_offset() {
        let noon = time("2026-03-01T12:00:00Z").expect("a time");
        for same in [
            "2026-03-01T14:00:00+02:00",
            "2026-03-01T08:30:00.000-03:30",
            "2026-03-01T12:00:00.000000000Z",
        ] {
            assert_eq!(time(same), Some(noon), "{same}");
        }
        for wrong in [
            "",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01 12:00:00Z",
            "2026-03-01T12:00:00+0200",
            "2026-03-01T12:00:00*02:00",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00+02:60",
            "2026-13-01T12:00:00Z",
            "1772366400",
            "é6-03-01T12:00:00ö02:00",
        ] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn urls_lead_somewhere() {
        for (text, expected) in [
            ("https://example.org/a?b=c#d", true),
            ("http://127.0.0.1:1", true),
            ("", false),
            ("/graph", false),
            ("example.org/a", false),
            ("javascript:alert(1)", false),
        ] {
            assert_eq!(is_url(text), expected, "{text}");
        }
    }

    #[test]
    fn a_type_of_content_may_have_parameters() {
        const NONE: &[Field] = &[];
        let body = Value::Object(Map::new());
        let of = |content_type: &str| {
            let headers = Headers::from([("content-type".to_owned(), content_type.to_owned())]);
            document(&headers, &body, NONE)
        };
        assert_eq!(of("application/json; charset=utf-8"), [""; 0]);
        assert_eq!(
            of("text/plain"),
            ["content-type: \"text/plain\" is not application/json"]
        );
        assert_eq!(
            document(&Headers::new(), &Value::Null, NONE),
            [
                "content-type: \"\" is not application/json",
                "the body is not an object of JSON"
            ]
        );
    }
}
