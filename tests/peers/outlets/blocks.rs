//! Blocks of a message to Slack, as the reference of its Block Kit states them: those that a message of ours may be made of.

use serde_json::Value;

use super::form::{ANY, Field, Kind, is_url, may, must};
use super::mrkdwn;

/// All of a message, or of an attachment.
pub(super) const BLOCKS: Kind = Kind::List(1..=50, &Kind::Judged(block));

const ID: Kind = Kind::Text(1..=255);
/// What a block is has been seen when its table was chosen.
const TYPE: Field = must("type", ANY);
const LINK: Kind = Kind::Like("a URL of at most 3000 characters", |text| {
    is_url(text) && text.chars().count() <= 3000
});

const HEADER: &[Field] = &[
    TYPE,
    must("text", Kind::Judged(plain::<150>)),
    may("block_id", ID),
];

const SECTION: &[Field] = &[
    TYPE,
    may("text", Kind::Judged(text::<3000>)),
    may("fields", Kind::List(1..=10, &Kind::Judged(text::<2000>))),
    may("accessory", Kind::Judged(element)),
    may("expand", Kind::Flag),
    may("block_id", ID),
];

const CONTEXT: &[Field] = &[
    TYPE,
    must("elements", Kind::List(1..=10, &Kind::Judged(remark))),
    may("block_id", ID),
];

const ACTIONS: &[Field] = &[
    TYPE,
    must("elements", Kind::List(1..=25, &Kind::Judged(element))),
    may("block_id", ID),
];

const DIVIDER: &[Field] = &[TYPE, may("block_id", ID)];

const BUTTON: &[Field] = &[
    TYPE,
    must("text", Kind::Judged(plain::<75>)),
    may("action_id", ID),
    may("url", LINK),
    may("value", Kind::Text(1..=2000)),
    may("style", Kind::OneOf(&["primary", "danger"])),
    may("confirm", Kind::Object),
    may("accessibility_label", Kind::Text(1..=75)),
];

const IMAGE: &[Field] = &[TYPE, must("image_url", LINK), must("alt_text", ANY)];

const TEXT: &[Field] = &[
    must("type", Kind::OneOf(&["plain_text", "mrkdwn"])),
    must("text", ANY),
    may("emoji", Kind::Flag),
    may("verbatim", Kind::Flag),
];

/// Tables by what stands in `type`.
type Types = &'static [(&'static str, &'static [Field])];

fn block(at: &str, value: &Value, problems: &mut Vec<String>) {
    let types: Types = &[
        ("header", HEADER),
        ("section", SECTION),
        ("context", CONTEXT),
        ("actions", ACTIONS),
        ("divider", DIVIDER),
    ];
    by_type(types, at, value, problems);
    let has_neither = value.get("text").is_none() && value.get("fields").is_none();
    if value["type"] == "section" && has_neither {
        problems.push(format!("{at}: neither text nor fields"));
    }
}

fn element(at: &str, value: &Value, problems: &mut Vec<String>) {
    by_type(&[("button", BUTTON), ("image", IMAGE)], at, value, problems);
}

/// An element of a context.
fn remark(at: &str, value: &Value, problems: &mut Vec<String>) {
    if value["type"] == "image" {
        Kind::Form(IMAGE).check(at, value, problems);
    } else {
        text::<3000>(at, value, problems);
    }
}

fn by_type(types: Types, at: &str, value: &Value, problems: &mut Vec<String>) {
    let found = types.iter().find(|(name, _)| value["type"] == *name);
    match found {
        Some((_, fields)) => Kind::Form(fields).check(at, value, problems),
        None => {
            let names: Vec<_> = types.iter().map(|(name, _)| *name).collect();
            problems.push(format!(
                "{at}.type: {} is not one of {}",
                value["type"],
                names.join(", ")
            ));
        }
    }
}

/// A text object.
fn text<const MOST: usize>(at: &str, value: &Value, problems: &mut Vec<String>) {
    Kind::Form(TEXT).check(at, value, problems);
    let Some(text) = value["text"].as_str() else {
        return;
    };
    Kind::Text(1..=MOST).check(&format!("{at}.text"), &value["text"], problems);
    let foreign = if value["type"] == "mrkdwn" {
        let problem = mrkdwn::problem(text);
        problems.extend(problem.map(|problem| format!("{at}.text: {problem}")));
        "emoji"
    } else {
        "verbatim"
    };
    if value.get(foreign).is_some() {
        problems.push(format!("{at}.{foreign}: not for {}", value["type"]));
    }
}

/// A text object without markup.
fn plain<const MOST: usize>(at: &str, value: &Value, problems: &mut Vec<String>) {
    text::<MOST>(at, value, problems);
    if value["type"] == "mrkdwn" {
        problems.push(format!("{at}.type: \"mrkdwn\" is not plain_text"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::form::planted;
    use super::*;

    /// Of the reference, one of each.
    fn example() -> Value {
        json!([
            {"type": "header", "text": {"type": "plain_text", "text": "A message *with some bold text* & more", "emoji": true}},
            {
                "type": "section",
                "block_id": "section567",
                "text": {"type": "mrkdwn", "text": "This is a section block with an accessory image, &lt;here&gt;."},
                "accessory": {"type": "image", "image_url": "https://pbs.twimg.com/profile_images/6.jpg", "alt_text": "cute cat"},
            },
            {
                "type": "section",
                "fields": [{"type": "mrkdwn", "text": "*Priority*", "verbatim": false}, {"type": "plain_text", "text": "High"}],
            },
            {
                "type": "context",
                "elements": [
                    {"type": "image", "image_url": "https://image.freepik.com/free-photo/red-drawing-pin_1156-445.jpg", "alt_text": "images"},
                    {"type": "mrkdwn", "text": "Location: <https://example.org/?a=b&c=d|Dogpatch>"},
                ],
            },
            {"type": "divider"},
            {
                "type": "actions",
                "elements": [{
                    "type": "button", "text": {"type": "plain_text", "text": "Click Me"}, "url": "https://example.org",
                    "value": "click_me_123", "action_id": "button", "style": "primary",
                }],
            },
        ])
    }

    fn judge(blocks: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        BLOCKS.check("blocks", blocks, &mut problems);
        problems
    }

    #[test]
    fn mistakes_are_found() {
        let text = |length: usize| Some(Value::from("é".repeat(length)));
        let many = |count: usize, of: Value| Some(Value::from(vec![of; count]));
        let field = json!({"type": "plain_text", "text": "High"});
        let button = json!({"type": "button", "text": {"type": "plain_text", "text": "Go"}});
        let mistakes = [
            (
                "/0/type",
                Some("headline".into()),
                "blocks[0].type: \"headline\" is not one of header, section, context, actions, divider",
            ),
            (
                "/0/text/text",
                text(151),
                "blocks[0].text.text: 151 characters, allowed: 1 to 150",
            ),
            (
                "/0/text",
                Some(json!({"type": "mrkdwn", "text": "a"})),
                "blocks[0].text.type: \"mrkdwn\" is not plain_text",
            ),
            ("/0/text", Some("a".into()), "blocks[0].text: not an object"),
            ("/0/text/text", None, "blocks[0].text.text: missing"),
            (
                "/0/text/verbatim",
                Some(true.into()),
                "blocks[0].text.verbatim: not for \"plain_text\"",
            ),
            ("/1/text/text", text(3000), ""),
            (
                "/1/text/text",
                text(3001),
                "blocks[1].text.text: 3001 characters, allowed: 1 to 3000",
            ),
            (
                "/1/text/text",
                Some("Vec<u8>".into()),
                "blocks[1].text.text: \"<u8>\" is neither an entity nor a link",
            ),
            (
                "/1/text/emoji",
                Some(true.into()),
                "blocks[1].text.emoji: not for \"mrkdwn\"",
            ),
            (
                "/1/accessory/alt_text",
                None,
                "blocks[1].accessory.alt_text: missing",
            ),
            (
                "/1/block_id",
                text(256),
                "blocks[1].block_id: 256 characters, allowed: 1 to 255",
            ),
            ("/2/fields", None, "blocks[2]: neither text nor fields"),
            (
                "/2/fields",
                many(11, field),
                "blocks[2].fields: 11 elements, allowed: 1 to 10",
            ),
            (
                "/2/fields/1/text",
                text(2001),
                "blocks[2].fields[1].text: 2001 characters, allowed: 1 to 2000",
            ),
            (
                "/3/elements",
                many(11, json!({"type": "mrkdwn", "text": "a"})),
                "blocks[3].elements: 11 elements, allowed: 1 to 10",
            ),
            (
                "/3/elements/1/type",
                Some("button".into()),
                "blocks[3].elements[1].type: \"button\" is not one of plain_text, mrkdwn",
            ),
            (
                "/4/text",
                Some("-".into()),
                "blocks[4].text: not documented",
            ),
            (
                "/5/elements",
                many(26, button),
                "blocks[5].elements: 26 elements, allowed: 1 to 25",
            ),
            (
                "/5/elements/0/text/text",
                text(76),
                "blocks[5].elements[0].text.text: 76 characters, allowed: 1 to 75",
            ),
            (
                "/5/elements/0/url",
                Some("/graph".into()),
                "blocks[5].elements[0].url: \"/graph\" is not a URL of at most 3000 characters",
            ),
            (
                "/5/elements/0/style",
                Some("good".into()),
                "blocks[5].elements[0].style: \"good\" is not one of primary, danger",
            ),
        ];
        let (right, wrong): (Vec<_>, Vec<_>) = mistakes
            .into_iter()
            .partition(|(_, _, complaint)| complaint.is_empty());
        planted::are_found(&example(), judge, wrong);
        for (pointer, value, _) in right {
            assert_eq!(judge(&planted::with(&example(), pointer, value)), [""; 0]);
        }
    }

    #[test]
    fn there_are_at_most_fifty() {
        let dividers = |count: usize| Value::from(vec![json!({"type": "divider"}); count]);
        assert_eq!(judge(&dividers(50)), [""; 0]);
        for (count, found) in [(0, "0 elements"), (51, "51 elements")] {
            let complaint = format!("blocks: {found}, allowed: 1 to 50");
            assert_eq!(judge(&dividers(count)), [complaint]);
        }
    }

    #[test]
    fn an_address_has_at_most_3000_characters() {
        let button = |length: usize| {
            let url = format!("https://example.org/{}", "a".repeat(length - 20));
            planted::with(&example(), "/5/elements/0/url", Some(url.into()))
        };
        assert_eq!(judge(&button(3000)), [""; 0]);
        assert_eq!(judge(&button(3001)).len(), 1);
    }
}
