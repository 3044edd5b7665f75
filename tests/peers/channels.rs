//! Channels of an exporter in this process, and receivers that fail in every way that a network has: each message arrives in the end, once
//! as far as its receiver says so, and nobody else waits for that.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use crate::outlets::{Fault, Message, Outlets, refusing_url};
use crate::programs::free_port;
use crate::pushing;
use crate::receiver::Receiver;
use crate::receiver::points::{Reading, points};
use crate::telling::{ROUTING_KEY, Telling, entry, event};
use crate::wait::eventually;
use crate::{http, log};

const KINDS: [&str; 3] = ["webhook", "slack", "pagerduty"];
/// `alerts.delivery.timeout`.
const TIMEOUT: Duration = Duration::from_secs(3);
const DELIVERY: &str = "delivery: {timeout: 3s},";

/// Something that a receiver does to the first message, and what is to become of that.
struct Case {
    name: &'static str,
    faults: Vec<Fault>,
    /// Attempts.
    sent: usize,
    /// What is counted of them: as sent, failed and dropped.
    counts: [usize; 3],
}

impl Case {
    /// The message is sent again until it is taken.
    fn again(name: &'static str, faults: impl Into<Vec<Fault>>) -> Self {
        let faults = faults.into();
        Self {
            name,
            sent: faults.len() + 1,
            counts: [1, faults.len(), 0],
            faults,
        }
    }

    /// The message is sent once.
    fn once(name: &'static str, faults: impl Into<Vec<Fault>>, counts: [usize; 3]) -> Self {
        Self {
            name,
            sent: 1,
            counts,
            faults: faults.into(),
        }
    }
}

fn cases(date: &'static str) -> Vec<Case> {
    vec![
        Case::again("slow", [Fault::Slow(TIMEOUT * 2)]),
        Case::again("silent", [Fault::Silent]),
        Case::again("endless", [Fault::Endless]),
        Case::again("hang-up", [Fault::HangUp, Fault::HangUp]),
        Case::again("garbage", [Fault::Garbage]),
        Case::again("error", [Fault::Status(500), Fault::Status(503)]),
        Case::again("seconds", [Fault::RetryAfter(429, "2")]),
        Case::again("date", [Fault::RetryAfter(429, date)]),
        // It said that it takes the message, whatever it said then.
        Case::once("mid-body", [Fault::MidBody], [1, 0, 0]),
        Case::once("refused", [Fault::Status(400)], [0, 1, 1]),
        Case::once("fine", [], [1, 0, 0]),
    ]
}

/// All that came to a path.
fn to(outlets: &Outlets, path: &str) -> Vec<Message> {
    let mut messages = outlets.messages();
    messages.retain(|message| message.path == path);
    messages
}

#[test]
fn a_message_arrives_whatever_happens_to_it_and_delays_no_other() {
    let outlets = Outlets::open();
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(6));
    let date = httpdate::parse_http_date(&soon).expect("a time of whole seconds");
    let cases = cases(soon.leak());
    // Those that never do come first.
    let mut channels = Vec::new();
    let refusing = refusing_url();
    for kind in KINDS {
        channels.push(entry(&refusing, kind, "away"));
        channels.push(entry(&outlets.url, kind, "mute"));
        outlets.script(&format!("/{kind}/mute"), vec![Fault::Silent; 1_000]);
        for case in &cases {
            channels.push(entry(&outlets.url, kind, case.name));
            outlets.script(&format!("/{kind}/{}", case.name), case.faults.clone());
        }
    }
    let telling = Telling::start(&channels, DELIVERY, "", |_| {});
    telling.begin();
    let all = || {
        KINDS
            .into_iter()
            .flat_map(|kind| cases.iter().map(move |case| (kind, case)))
    };
    let metrics = format!("http://{}/metrics", telling.address());
    let mut slowest = Duration::ZERO;
    eventually(
        "the first message has arrived everywhere or was given up",
        || {
            let start = Instant::now();
            http::get(&metrics, "*/*");
            slowest = slowest.max(start.elapsed());
            let is_done = |(kind, case): (&str, &Case)| {
                let counted = |outcome| telling.count(&format!("{kind}-{}", case.name), outcome);
                counted("sent") + counted("dropped") >= 1.0
            };
            all().all(is_done).then_some(())
        },
    );
    assert!(slowest < TIMEOUT, "a scrape took {slowest:?}");
    telling.end();
    for (kind, case) in all() {
        let taken = if case.counts[0] == 1 { 2.0 } else { 1.0 };
        telling.wait_for(&format!("{kind}-{}", case.name), "sent", taken);
    }

    for (kind, case) in all() {
        let path = format!("/{kind}/{}", case.name);
        let messages = to(&outlets, &path);
        let said: Vec<String> = messages.iter().map(event).collect();
        let [begins, ends] = match kind {
            "webhook" => ["firing", "resolved"],
            "slack" => ["FIRING", "RESOLVED"],
            _ => ["trigger", "resolve"],
        };
        let mut expected = vec![begins; case.sent];
        expected.push(ends);
        assert_eq!(said, expected, "{path}");
        let (first, last) = messages.split_at(case.sent);
        // Byte for byte the same each time, and known by the same number.
        let known = |message: &Message| {
            let id = message.headers.get("webhook-id").cloned();
            assert_eq!(id.is_some(), kind == "webhook", "{path}: {id:?}");
            (id, message.raw.clone())
        };
        assert!(
            first
                .iter()
                .all(|message| known(message) == known(&first[0])),
            "{path}: {first:?}"
        );
        assert!(
            kind != "webhook" || known(&last[0]).0 != known(&first[0]).0,
            "{path}: {last:?}"
        );
        if kind == "pagerduty" {
            let keys: Vec<_> = messages
                .iter()
                .map(|message| &message.body["dedup_key"])
                .collect();
            assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        }
        let [sent, failed, dropped] = case.counts;
        for (outcome, count) in [("sent", sent + 1), ("failed", failed), ("dropped", dropped)] {
            let counted = telling.count(&format!("{kind}-{}", case.name), outcome);
            assert_eq!(counted, count as f64, "{path}: {outcome}");
        }
        if case.name == "seconds" {
            let pause = first[1].at - first[0].at;
            assert!(pause >= Duration::from_secs(2), "{path}: {pause:?}");
        }
        if case.name == "date" {
            let came = SystemTime::now() - first[1].at.elapsed();
            assert!(came >= date, "{path}: {came:?}");
        }
    }
    outlets.assert_well_formed();

    // Who can be reached has waited for nobody.
    let begun = outlets.messages()[0].at;
    for kind in KINDS {
        let waited = to(&outlets, &format!("/{kind}/fine"))[0].at - begun;
        assert!(waited < TIMEOUT, "{kind}: {waited:?}");
        for (name, why) in [("away", "refused"), ("mute", "no answer within 3s")] {
            let channel = telling.channel(&format!("{kind}-{name}"));
            assert_eq!(channel["sent"], 0, "{channel}");
            assert_eq!(channel["dropped"], 0, "{channel}");
            // What fired, and that it ended.
            assert_eq!(channel["waiting"], 2, "{channel}");
            let trouble = channel["trouble"].as_str().expect("trouble");
            assert!(trouble.contains(why), "{channel}");
        }
        let fine = telling.channel(&format!("{kind}-fine"));
        assert_eq!(fine.get("trouble"), None, "{fine}");
        assert_eq!(fine["waiting"], 0, "{fine}");
    }
    // The end does not wait for them for longer than it may.
    let start = Instant::now();
    telling.exporter.stop();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn nobody_finds_a_flood_after_an_outage() {
    let port = free_port();
    let away = format!("http://127.0.0.1:{port}");
    let here = Outlets::open();
    let mut channels = vec![entry(&here.url, "webhook", "here")];
    channels.extend(KINDS.map(|kind| entry(&away, kind, "away")));
    let telling = Telling::start(&channels, "cooldown: 0s,", "", |config| {
        config.alerts.repeat_interval = Duration::from_millis(200);
    });
    telling.begin();
    telling.wait_for("webhook-here", "sent", 15.0);
    for kind in KINDS {
        telling.wait_for(&format!("{kind}-away"), "failed", 2.0);
    }
    telling.end();
    eventually("the end is told", || {
        let last = here.messages().pop()?;
        (event(&last) == "resolved").then_some(())
    });
    let outlets = Outlets::open_at(port);
    let told = KINDS.map(|kind| {
        telling.wait_for(&format!("{kind}-away"), "sent", 3.0);
        let messages = to(&outlets, &format!("/{kind}/away"));
        let told: Vec<String> = messages.iter().map(event).collect();
        told.join(", ")
    });
    // That it fires, that it still does, of all the times that this was to be said, and that it is over.
    assert_eq!(
        told,
        [
            "firing, firing, resolved",
            "FIRING, STILL FIRING, RESOLVED",
            "trigger, trigger, resolve"
        ]
    );
    let repeats = here.messages();
    assert!(repeats.len() > 15, "{}", repeats.len());
    let last = |messages: Vec<Message>| messages.last().expect("a message").body["alerts"].clone();
    assert_eq!(last(to(&outlets, "/webhook/away")), last(repeats));
    for outlets in [&here, &outlets] {
        outlets.assert_well_formed();
    }
}

#[test]
fn what_somebody_puts_right_is_used_for_what_waits() {
    let outlets = Outlets::open();
    let folder = tempfile::tempdir().expect("a directory");
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a secret");
        path.display().to_string()
    };
    let url = |kind: &str, secret: &str| format!("{}/{kind}/{secret}", outlets.url);
    let old = ["webhook", "slack"].map(|kind| {
        outlets.script(&format!("/{kind}/old-s3cret"), [Fault::Status(404)]);
        put(kind, &url(kind, "old-s3cret"))
    });
    let channels = [
        format!("{{name: webhook, kind: webhook, url_file: {}}}", old[0]),
        format!("{{name: slack, kind: slack, url_file: {}}}", old[1]),
        format!(
            "{{name: pagerduty, kind: pagerduty, routing_key_file: {}, url: '{}'}}",
            put("pagerduty", "old-s3cret"),
            url("pagerduty", "a")
        ),
    ];
    let telling = Telling::start(&channels, "", "", |_| {});
    telling.begin();
    for kind in KINDS {
        telling.wait_for(kind, "failed", 1.0);
        let channel = telling.channel(kind);
        let trouble = channel["trouble"].as_str().expect("trouble");
        assert!(trouble.starts_with("40"), "{channel}");
        assert!(!channel.to_string().contains("s3cret"), "{channel}");
    }
    put("webhook", &url("webhook", "new-s3cret"));
    put("slack", &url("slack", "new-s3cret"));
    put("pagerduty", ROUTING_KEY);
    // What waits for somebody has a last chance at the end.
    telling.exporter.stop();
    let told = ["/webhook/new-s3cret", "/slack/new-s3cret", "/pagerduty/a"].map(|path| {
        let taken = outlets.taken(path);
        let told: Vec<String> = taken.iter().map(event).collect();
        told.join(", ")
    });
    assert_eq!(
        told,
        ["firing, resolved", "FIRING, RESOLVED", "trigger, resolve"]
    );
    assert_eq!(outlets.messages().len(), 9);
    let mut problems = outlets.messages();
    problems.retain(|message| !message.problems.is_empty());
    let [refused] = &problems[..] else {
        panic!("one that was wrong: {problems:?}");
    };
    assert_eq!(refused.body["routing_key"], json!("old-s3cret"));
    assert_eq!(log::lines_with("s3cret"), [""; 0]);
}

#[test]
fn what_became_of_messages_is_pushed_too() {
    let outlets = Outlets::open();
    let receiver = Receiver::start(pushing::PROTOCOLS[1]);
    let channels = [
        entry(&outlets.url, "webhook", "fine"),
        entry(&outlets.url, "slack", "failing"),
        entry(&outlets.url, "pagerduty", "refused"),
    ];
    outlets.script("/slack/failing", [Fault::Status(500)]);
    outlets.script("/pagerduty/refused", [Fault::Status(400)]);
    let push = format!(
        "otlp: {{enabled: true, endpoint: '{}', protocol: http/protobuf, interval: 1s, compression: none}}",
        receiver.url()
    );
    let telling = Telling::start(&channels, "", &push, |_| {});
    telling.begin();
    telling.wait_for("slack-failing", "sent", 1.0);
    telling.wait_for("pagerduty-refused", "dropped", 1.0);
    telling.end();
    let told = [
        ("webhook-fine", [2, 0, 0]),
        ("slack-failing", [2, 1, 0]),
        ("pagerduty-refused", [1, 1, 1]),
    ];
    for (channel, counts) in told {
        telling.wait_for(channel, "sent", f64::from(counts[0]));
    }
    // The last push comes with the stop.
    telling.exporter.stop();
    let deliveries = receiver.deliveries().clone();
    let points = points(&deliveries.last().expect("a push").request);
    let counted = |channel: &str, outcome: &str| {
        let mut own = points.iter().filter(|point| {
            point.name == "memory.exporter.notifications"
                && point.has("channel", channel)
                && point.has("outcome", outcome)
        });
        own.next().map(|point| point.reading.clone())
    };
    for (channel, counts) in told {
        for (outcome, count) in ["sent", "failed", "dropped"].into_iter().zip(counts) {
            let pushed = counted(channel, outcome);
            let expected = Some(Reading::Integer(count.into()));
            assert_eq!(pushed, expected, "{channel}: {outcome}");
        }
    }
}
