//! Slack: what its documentation says of a message that is sent to an incoming webhook, and how it answers.

use hyper::Response;
use serde_json::Value;

use super::blocks::BLOCKS;
use super::form::{ANY, Field, Headers, Kind, URL, document, may, must};
use super::mrkdwn;
use super::server::{Answer, answer};

/// The last ones are of webhooks as they were before there were apps, to which Alertmanager still writes.
const MESSAGE: &[Field] = &[
    may("text", Kind::Judged(marked::<40_000>)),
    may("blocks", BLOCKS),
    may(
        "attachments",
        Kind::List(0..=100, &Kind::Judged(attachment)),
    ),
    may("mrkdwn", Kind::Flag),
    may("thread_ts", ANY),
    may("unfurl_links", Kind::Flag),
    may("unfurl_media", Kind::Flag),
    may("channel", Kind::Text(1..=usize::MAX)),
    may("username", ANY),
    may("icon_emoji", ANY),
    may("icon_url", URL),
    may("link_names", Kind::Flag),
];

const ATTACHMENT: &[Field] = &[
    may("blocks", BLOCKS),
    may(
        "color",
        Kind::Like("good, warning, danger or #rrggbb", is_colour),
    ),
    may("fallback", ANY),
    may("pretext", Kind::Judged(marked::<{ usize::MAX }>)),
    may("author_name", ANY),
    may("author_link", URL),
    may("author_icon", URL),
    may("title", Kind::Text(0..=1024)),
    may("title_link", URL),
    may("text", Kind::Judged(marked::<{ usize::MAX }>)),
    may("fields", Kind::List(0..=usize::MAX, &Kind::Form(FIELD))),
    may("image_url", URL),
    may("thumb_url", URL),
    may("footer", Kind::Text(0..=300)),
    may("footer_icon", URL),
    may("ts", Kind::Count),
    may("mrkdwn_in", Kind::List(0..=usize::MAX, &MARKED)),
    may("callback_id", ANY),
    may("actions", Kind::List(0..=5, &Kind::Form(ACTION))),
];

/// What may be formatted. The fallback is not documented; Alertmanager names it, and Slack does not mind.
const MARKED: Kind = Kind::OneOf(&["text", "pretext", "fields", "fallback"]);

const FIELD: &[Field] = &[
    may("title", ANY),
    may("value", Kind::Judged(marked::<{ usize::MAX }>)),
    may("short", Kind::Flag),
];

const ACTION: &[Field] = &[
    must("type", Kind::OneOf(&["button"])),
    must("text", ANY),
    may("name", ANY),
    may("value", ANY),
    may("url", URL),
    may("style", Kind::OneOf(&["default", "primary", "danger"])),
    may("confirm", Kind::Object),
];

/// Said of a message that has nothing to say.
const NO_TEXT: &str = "no text, attachments or blocks";

pub(super) fn problems(headers: &Headers, body: &Value) -> Vec<String> {
    let mut problems = document(headers, body, MESSAGE);
    let is_empty = |name: &str| match &body[name] {
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        value => value.is_null(),
    };
    if body.is_object() && ["text", "attachments", "blocks"].into_iter().all(is_empty) {
        problems.push(NO_TEXT.to_owned());
    }
    problems
}

pub(super) fn respond(_: &Value, problems: &[String]) -> Response<Answer> {
    let (status, word) = match problems {
        [] => (200, "ok"),
        [problem] if problem == NO_TEXT => (400, "no_text"),
        problems if problems.iter().all(|problem| is_of_blocks(problem)) => (400, "invalid_blocks"),
        _ => (400, "invalid_payload"),
    };
    answer(status, "text/html", word.to_owned())
}

fn is_of_blocks(problem: &str) -> bool {
    let at = problem.split(':').next().unwrap_or_default();
    at.split(['.', '[']).any(|name| name == "blocks")
}

fn attachment(at: &str, value: &Value, problems: &mut Vec<String>) {
    Kind::Form(ATTACHMENT).check(at, value, problems);
    let says = |name: &str| value[name].as_str().is_some_and(|text| !text.is_empty());
    if value.is_object() && value.get("blocks").is_none() && !says("fallback") && !says("text") {
        problems.push(format!("{at}: neither fallback nor text nor blocks"));
    }
}

/// A text with markup.
fn marked<const MOST: usize>(at: &str, value: &Value, problems: &mut Vec<String>) {
    Kind::Text(0..=MOST).check(at, value, problems);
    let problem = value.as_str().and_then(mrkdwn::problem);
    problems.extend(problem.map(|problem| format!("{at}: {problem}")));
}

fn is_colour(text: &str) -> bool {
    let is_hex =
        |digits: &str| digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    ["good", "warning", "danger"].contains(&text) || text.strip_prefix('#').is_some_and(is_hex)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::form::planted;
    use super::*;

    /// Of the reference of attachments, with a block of the introduction to incoming webhooks.
    fn example() -> Value {
        json!({
            "text": "Danny Torrence left a 1 star review for your property.",
            "blocks": [
                {"type": "section", "text": {"type": "mrkdwn", "text": "Danny Torrence left the following review for your property:"}},
            ],
            "attachments": [{
                "mrkdwn_in": ["text"],
                "color": "#36a64f",
                "pretext": "Optional pre-text that appears above the attachment block",
                "author_name": "author_name",
                "author_link": "http://flickr.com/bobby/",
                "author_icon": "https://placeimg.com/16/16/people",
                "title": "title",
                "title_link": "https://api.slack.com/",
                "text": "Optional `text` that appears within the attachment",
                "fields": [
                    {"title": "A field's title", "value": "This field's value", "short": false},
                    {"title": "A short field's title", "value": "A short field's value", "short": true},
                ],
                "thumb_url": "http://placekitten.com/g/200/200",
                "footer": "footer",
                "footer_icon": "https://platform.slack-edge.com/img/default_application_icon.png",
                "ts": 123_456_789,
            }],
        })
    }

    fn judge(body: &Value) -> Vec<String> {
        let headers = Headers::from([("content-type".to_owned(), "application/json".to_owned())]);
        problems(&headers, body)
    }

    #[test]
    fn mistakes_are_found() {
        let text = |length: usize| Some(Value::from("é".repeat(length)));
        let mistakes = [
            ("/text", Some(1.into()), "text: not a text"),
            (
                "/text",
                text(40_001),
                "text: 40001 characters, allowed: 0 to 40000",
            ),
            (
                "/text",
                Some("a -> b".into()),
                "text: \"> b\" is neither an entity nor a link",
            ),
            ("/message", Some("a".into()), "message: not documented"),
            (
                "/icon_url",
                Some(":bell:".into()),
                "icon_url: \":bell:\" is not a URL",
            ),
            (
                "/blocks/0/text/text",
                text(3001),
                "blocks[0].text.text: 3001 characters, allowed: 1 to 3000",
            ),
            (
                "/attachments",
                Some(vec![json!({"text": "a"}); 101].into()),
                "attachments: 101 elements, allowed: 0 to 100",
            ),
            (
                "/attachments/0",
                Some(json!({"title": "a", "text": ""})),
                "attachments[0]: neither fallback nor text nor blocks",
            ),
            (
                "/attachments/0/color",
                Some("red".into()),
                "attachments[0].color: \"red\" is not good, warning, danger or #rrggbb",
            ),
            (
                "/attachments/0/color",
                Some("#36a64".into()),
                "attachments[0].color: \"#36a64\" is not good, warning, danger or #rrggbb",
            ),
            (
                "/attachments/0/title_link",
                Some("".into()),
                "attachments[0].title_link: \"\" is not a URL",
            ),
            (
                "/attachments/0/text",
                Some("1 < 2".into()),
                "attachments[0].text: \"< 2\" is neither an entity nor a link",
            ),
            (
                "/attachments/0/fields/1/value",
                Some("a & b".into()),
                "attachments[0].fields[1].value: \"& b\" is neither an entity nor a link",
            ),
            (
                "/attachments/0/fields/0/short",
                Some("true".into()),
                "attachments[0].fields[0].short: not true or false",
            ),
            (
                "/attachments/0/mrkdwn_in/0",
                Some("title".into()),
                "attachments[0].mrkdwn_in[0]: \"title\" is not one of text, pretext, fields, fallback",
            ),
            (
                "/attachments/0/footer",
                text(301),
                "attachments[0].footer: 301 characters, allowed: 0 to 300",
            ),
            (
                "/attachments/0/ts",
                Some("123456789".into()),
                "attachments[0].ts: not a number",
            ),
            (
                "/attachments/0/colour",
                Some("good".into()),
                "attachments[0].colour: not documented",
            ),
            (
                "/attachments/0/blocks",
                Some(json!([{"type": "divider"}, {}])),
                "attachments[0].blocks[1].type: null is not one of header, section, context, actions, divider",
            ),
        ];
        planted::are_found(&example(), judge, mistakes);
    }

    #[test]
    fn a_word_says_what_is_wrong() {
        let answer_to = |body: Value| {
            let problems = judge(&body);
            let response = respond(&body, &problems);
            let (status, body) = (response.status(), response.into_body());
            (status.as_u16(), format!("{body:?}"))
        };
        for (body, status, word) in [
            (example(), 200, "ok"),
            (json!({"attachments": [{"fallback": "a"}]}), 200, "ok"),
            (json!({"blocks": [{"type": "divider"}]}), 200, "ok"),
            (json!({}), 400, "no_text"),
            (json!({"text": "", "attachments": []}), 400, "no_text"),
            (json!({"text": "a", "blocks": [{}]}), 400, "invalid_blocks"),
            (
                json!({"attachments": [{"blocks": [{"type": "section"}]}]}),
                400,
                "invalid_blocks",
            ),
            (json!({"text": "<a"}), 400, "invalid_payload"),
            (
                json!({"text": "<a", "blocks": [{}]}),
                400,
                "invalid_payload",
            ),
            (json!("a"), 400, "invalid_payload"),
            (Value::Null, 400, "invalid_payload"),
        ] {
            let (found, answer) = answer_to(body.clone());
            assert_eq!(found, status, "{body}");
            assert!(answer.contains(&format!("b{word:?}")), "{body}: {answer}");
        }
    }
}
