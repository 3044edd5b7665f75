//! Slack, by an incoming webhook: a header, and below it a coloured attachment with all that is known of each alert.

use std::time::SystemTime;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::header::HeaderMap;
use serde::Serialize;

use crate::catalog::AlertSeverity;
use crate::config::SecretSource;

use super::super::message::{Event, Message, Notice};
use super::post::{Post, json, misconfigured};
use super::secrets::{Secrets, origin};
use super::text::{ELLIPSIS, fitted, line};
use super::{Channel, Failure, Receipt};

/// Slack's own limit for a header.
const MOST_OF_HEADER: usize = 150;
/// Slack takes 3000 characters in the text of a section and 2000 in a field, but refuses a message whose blocks are too long together.
const MOST_OF_SECTION: usize = 1_500;
const MOST_OF_FIELD: usize = 600;
/// Links are never cut; what does not fit into a section is left out.
const MOST_OF_LINKS: usize = 3_000;
/// Slack's own limit of fields in a section.
const MOST_FIELDS: usize = 10;
/// Alerts that are told of one by one. With four blocks for each, a message stays below Slack's limit of 50.
const MOST_ALERTS: usize = 10;
/// Bytes of JSON that hold more than one alert: Slack refuses about 13,000 as `msg_blocks_too_long`.
const MOST_BYTES: usize = 12_000;
/// With these words Slack calls a message bad that it does not want here.
const AMISS: &[&str] = &[
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_team",
    "user_not_found",
];

/// Posts to a channel of Slack.
#[derive(Debug)]
pub(super) struct Slack {
    pub(super) post: Post,
    pub(super) url: SecretSource,
}

impl Slack {
    async fn attempt(&self, message: &Message) -> Result<Receipt, Failure> {
        let mut secrets = Secrets::default();
        let url = secrets.url(&self.url).map_err(misconfigured)?;
        let body = json(&body(message))?;
        let sent = self.post.send(&url, HeaderMap::new(), body, &secrets);
        sent.await.map_err(|failure| failure.late_if_it_says(AMISS))
    }
}

impl Channel for Slack {
    fn send<'a>(&'a self, message: &'a Message) -> BoxFuture<'a, Result<Receipt, Failure>> {
        self.attempt(message).boxed()
    }

    fn target(&self) -> String {
        origin(&self.url)
    }

    fn wants(&self, _message: &Message) -> bool {
        true
    }
}

#[derive(Debug, Serialize)]
struct Body {
    /// For notifications, where there are blocks.
    text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Block>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment>,
}

#[derive(Debug, Serialize)]
struct Attachment {
    color: &'static str,
    blocks: Vec<Block>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Header {
        text: Text,
    },
    Section {
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<Text>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        fields: Vec<Text>,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Text {
    PlainText {
        text: String,
        /// Whether `:8080:` may be a picture.
        emoji: bool,
    },
    Mrkdwn {
        text: String,
        /// Whether `@here` and `#name` in the text are only that.
        verbatim: bool,
    },
}

fn body(message: &Message) -> Body {
    let title = line(&message.title(), MOST_OF_SECTION);
    if message.event == Event::Acknowledged {
        return Body {
            text: format!(
                "{}: {}",
                escaped(&title, MOST_OF_SECTION),
                taken_on(message)
            ),
            blocks: Vec::new(),
            attachments: Vec::new(),
        };
    }
    let header = Text::PlainText {
        text: escaped(&title, MOST_OF_HEADER),
        emoji: false,
    };
    let color = match (message.is_resolved(), message.severity()) {
        (true, _) => "good",
        (false, AlertSeverity::Critical) => "danger",
        (false, AlertSeverity::Warning) => "warning",
    };
    Body {
        text: escaped(&title, MOST_OF_SECTION),
        blocks: vec![Block::Header { text: header }],
        attachments: vec![Attachment {
            color,
            blocks: alerts(message),
        }],
    }
}

/// Who has taken the alerts on, if they said so.
fn taken_on(message: &Message) -> String {
    let mut names: Vec<&str> = Vec::new();
    for notice in message.firing() {
        let by = notice.acknowledged_by.as_deref();
        names.extend(by.filter(|by| !names.contains(by)));
    }
    match names.is_empty() {
        true => "acknowledged".to_owned(),
        false => format!(
            "acknowledged by {}",
            escaped(&line(&names.join(", "), MOST_OF_FIELD), MOST_OF_FIELD)
        ),
    }
}

/// What is known of the alerts, and how many there are that there is no room for.
fn alerts(message: &Message) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut length = 0;
    let mut told = 0;
    for notice in message.notices.iter().take(MOST_ALERTS) {
        let of_this = alert(notice, message.made_at);
        length += serde_json::to_vec(&of_this).map_or(0, |json| json.len());
        if told > 0 && length > MOST_BYTES {
            break;
        }
        blocks.extend(of_this);
        told += 1;
    }
    if told < message.notices.len() {
        let more = format!("and {} more", message.notices.len() - told);
        let page = message.origin.alerts(None);
        blocks.push(section(link(&page, &more)));
    }
    blocks
}

fn alert(notice: &Notice, now: SystemTime) -> Vec<Block> {
    let severity = notice.severity.as_str();
    let summary = escaped(&line(&notice.summary, MOST_OF_FIELD), MOST_OF_FIELD);
    let description = escaped(&notice.description, MOST_OF_SECTION);
    let ended = match notice.resolved_at {
        Some(_) => format!(" resolved after {}", notice.lasted(now)),
        None => String::new(),
    };
    let mut blocks = vec![section(format!(
        "*{summary}* `{severity}`{ended}\n{description}"
    ))];
    // What was to be done, and by what, is of no use any more.
    if notice.resolved_at.is_none() {
        let facts = notice.facts(now).into_iter();
        let facts = facts.filter(|(name, _)| *name != "recommendation");
        let fields = facts.take(MOST_FIELDS).map(|(name, value)| {
            let value = escaped(&value, MOST_OF_FIELD);
            mrkdwn(format!("*{}*\n{value}", capitalized(name)))
        });
        blocks.push(Block::Section {
            text: None,
            fields: fields.collect(),
        });
        let recommendation = escaped(&notice.recommendation, MOST_OF_SECTION);
        if !recommendation.is_empty() {
            blocks.push(section(format!("*Recommendation*\n{recommendation}")));
        }
    }
    let links = links(notice);
    if !links.is_empty() {
        blocks.push(section(links));
    }
    blocks
}

/// Links in a row rather than buttons, for which Slack would want to call back.
fn links(notice: &Notice) -> String {
    let mut row = String::new();
    for (name, url) in notice.links.targets() {
        let link = link(url, name);
        if row.len() + link.len() > MOST_OF_LINKS {
            break;
        }
        if !row.is_empty() {
            row.push_str(" · ");
        }
        row.push_str(&link);
    }
    row
}

fn link(url: &str, name: &str) -> String {
    // A bar would end the URL.
    let url = url.replace('|', "%7C").replace(' ', "%20");
    format!("<{}|{name}>", escaped(&url, MOST_OF_LINKS))
}

fn section(text: String) -> Block {
    Block::Section {
        text: Some(mrkdwn(text)),
        fields: Vec::new(),
    }
}

fn mrkdwn(text: String) -> Text {
    Text::Mrkdwn {
        text,
        verbatim: true,
    }
}

fn capitalized(name: &str) -> String {
    let mut rest = name.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).collect()
}

/// Text in which nothing is a link or calls anybody. Slack counts it as it is written here, in units of UTF-16 as its clients do.
fn escaped(text: &str, most: usize) -> String {
    let mut written = String::new();
    let mut length = 0;
    // Up to where an ellipsis still fits.
    let mut fits = 0;
    for c in fitted(text, most).chars() {
        let before = written.len();
        match c {
            '&' => written.push_str("&amp;"),
            '<' => written.push_str("&lt;"),
            '>' => written.push_str("&gt;"),
            c => written.push(c),
        }
        length += written[before..].encode_utf16().count();
        if length > most {
            written.truncate(fits);
            written.push(ELLIPSIS);
            break;
        }
        if length < most {
            fits = written.len();
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, to_value};

    use crate::config::Secret;

    use super::super::super::fixture::{crowd, message, notice};
    use super::super::receiver::{answer, post, receiver};
    use super::*;

    fn written(message: &Message) -> Value {
        to_value(body(message)).unwrap()
    }

    fn text(text: &str) -> Value {
        json!({"type": "mrkdwn", "text": text, "verbatim": true})
    }

    fn section(words: &str) -> Value {
        json!({"type": "section", "text": text(words)})
    }

    #[test]
    fn it_says_what_is_wrong_where_and_what_to_do() {
        let title = "[FIRING:1] MemoryLeak critical shop at shop-1:9100";
        let expected = json!({
            "text": title,
            "blocks": [{"type": "header", "text": {"type": "plain_text", "text": title, "emoji": false}}],
            "attachments": [{
                "color": "danger",
                "blocks": [
                    section("*Memory is leaking fast.* `critical`\nshop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m."),
                    {
                        "type": "section",
                        "fields": [
                            text("*Value*\n72.0 MB/h"),
                            text("*Threshold*\n50 MB/h"),
                            text("*Since*\n2026-01-02T03:00:00Z (10m)"),
                            text("*Component*\ncart"),
                            text("*Top call site*\nshop::cart::Cart&lt;T&gt;::add (src/cart.rs:42)"),
                            text("*It grows by*\n72.0 MB/h"),
                            text("*It holds*\n100MiB"),
                        ],
                    },
                    section("*Recommendation*\nlook at the flame graph &amp; bound the cache"),
                    section("<http://shop-1:9100/debug/flamegraph?since=1h|Flame graph> · <https://grafana.example.org/d/leaks?var-job=shop|Dashboard> · <https://wiki.example.org/runbook#memoryleak|Runbook>"),
                ],
            }],
        });
        assert_eq!(written(&message(Event::Firing)), expected);
    }

    #[test]
    fn the_colour_says_how_bad_it_is() {
        let mut message = message(Event::StillFiring);
        assert_eq!(written(&message)["attachments"][0]["color"], "danger");
        message.notices[0].severity = AlertSeverity::Warning;
        assert_eq!(written(&message)["attachments"][0]["color"], "warning");
    }

    #[test]
    fn an_end_says_how_long_it_lasted() {
        let written = written(&message(Event::Resolved));
        assert_eq!(
            written["text"],
            "[RESOLVED] MemoryLeak critical shop at shop-1:9100"
        );
        let attachment = &written["attachments"][0];
        assert_eq!(attachment["color"], "good");
        assert_eq!(
            attachment["blocks"][0],
            section(
                "*Memory is leaking fast.* `critical` resolved after 10m\nshop-1:9100 (shop) leaks 72.0 MB/h, above 50 MB/h for 5m."
            )
        );
        assert_eq!(attachment["blocks"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn who_takes_it_on_is_one_line() {
        let mut message = message(Event::Acknowledged);
        let title = "[ACKNOWLEDGED] MemoryLeak critical shop at shop-1:9100";
        let by = |by: &str| json!({"text": format!("{title}: acknowledged{by}")});
        assert_eq!(written(&message), by(" by Ann"));
        message.notices.push(notice());
        message.notices.push(message.notices[0].clone());
        message.notices[1].acknowledged_by = Some("<!channel> &\nBo".to_owned());
        assert_eq!(written(&message), by(" by Ann, &lt;!channel&gt; &amp; Bo"));
        for notice in &mut message.notices {
            notice.acknowledged_by = None;
        }
        assert_eq!(written(&message), by(""));
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let mut message = message(Event::Firing);
        message.is_test = true;
        let title = "[TEST] [FIRING:1] MemoryLeak critical shop at shop-1:9100";
        assert_eq!(written(&message)["text"], title);
        assert_eq!(written(&message)["blocks"][0]["text"]["text"], title);
    }

    #[test]
    fn what_leads_nowhere_is_left_out() {
        let mut message = message(Event::Firing);
        let links = &mut message.notices[0].links;
        links.runbook = "RUNBOOK.md#memoryleak".to_owned();
        links.dashboard = Some(format!("https://x/{}", "a".repeat(5_000)));
        links.flamegraph = Some("http://x/?a=b|c&d=<e>".to_owned());
        assert_eq!(
            written(&message)["attachments"][0]["blocks"][3],
            section("<http://x/?a=b%7Cc&amp;d=&lt;e&gt;|Flame graph>")
        );
        message.notices[0].links.flamegraph = None;
        message.notices[0].culprit = None;
        let blocks = written(&message)["attachments"][0]["blocks"].clone();
        assert_eq!(blocks.as_array().unwrap().len(), 3);
        assert_eq!(blocks[1]["fields"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn of_hundreds_of_alerts_some_are_told_of_and_the_rest_is_counted() {
        let written = written(&crowd(Event::Firing, 300));
        let blocks = written["attachments"][0]["blocks"].as_array().unwrap();
        let told = blocks.len() / 4;
        assert!((5..=10).contains(&told), "{told}");
        assert_eq!(
            blocks.last().unwrap(),
            &section(&format!(
                "<http://shop-1:9100/metrics/memory/alerts|and {} more>",
                300 - told
            ))
        );
        assert!(written.to_string().len() < 13_000);
    }

    #[test]
    fn nothing_is_longer_than_slack_takes() {
        let mut message = message(Event::Firing);
        let long = "<&😀\u{7}".repeat(2_000);
        let notice = &mut message.notices[0];
        notice.summary = long.clone();
        notice.description = long.clone();
        notice.recommendation = long.clone();
        notice.acknowledged_by = Some(long.clone());
        notice.labels.insert("component".to_owned(), long.clone());
        let culprit = notice.culprit.as_mut().unwrap();
        culprit.call_site = long.clone();
        let second = notice.clone();
        message.notices.push(second);
        let written = written(&message);
        let units = |value: &Value| value.as_str().unwrap().encode_utf16().count();
        assert!(units(&written["blocks"][0]["text"]["text"]) <= 150);
        let blocks = written["attachments"][0]["blocks"].as_array().unwrap();
        for block in blocks {
            if let Some(text) = block.get("text") {
                assert!(units(&text["text"]) <= 3_000);
            }
            for field in block["fields"].as_array().into_iter().flatten() {
                assert!(units(&field["text"]) <= 2_000);
            }
        }
        // The first is told of whatever its length, and no other.
        assert_eq!(blocks.len(), 5);
        let shown = written.to_string();
        assert!(!shown.contains("\\u0007") && shown.contains('…'));
    }

    #[tokio::test]
    async fn it_is_sent_to_the_webhook() {
        let (url, received) = receiver(&answer("200 OK", "", "ok")).await;
        let source = Secret::new(format!("{url}/services/T0/B0/s3cret-token"));
        let slack = Slack {
            post: post(),
            url: SecretSource::Value(source),
        };
        let message = message(Event::Firing);
        let receipt = slack.send(&message).await.unwrap();
        assert_eq!(receipt.answer, "200 OK: ok");
        let received = received.await.unwrap();
        assert_eq!(received.line, "POST /services/T0/B0/s3cret-token HTTP/1.1");
        let sent: Value = serde_json::from_str(&received.body).unwrap();
        assert_eq!(sent, written(&message));
        assert_eq!(slack.target(), url);
    }

    #[test]
    fn a_text_is_cut_before_what_does_not_fit() {
        assert_eq!(escaped("a<b", 6), "a&lt;b");
        assert_eq!(escaped("a<bc", 6), "a&lt;…");
        assert_eq!(escaped("<<", 6), "&lt;…");
        assert_eq!(escaped("<<", 4), "…");
        assert_eq!(escaped("😀😀", 4), "😀😀");
        assert_eq!(escaped("😀😀😀", 4), "😀…");
        assert_eq!(escaped("<script>", 100), "&lt;script&gt;");
        assert_eq!(escaped("", 4), "");
    }
}
