//! `memory-exporter test-alert`: a message that says that it is a test arrives wherever one would, or people read why not.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::outlets::{Fault, Message, Outlets, refusing_url, signature_holds};
use crate::service::binary;

const ROUTING_KEY: &str = "s3cr3t00k3y00of00pagerduty000000";
const TOKEN: &str = "t0k3n-s3cret";
const SIGNING_SECRET: &str = "whsec_czNjcmV0b2Z0aGV3ZWJob29rMDAx";
/// Below each kind's own path.
const SECRET_PATH: &str = "T00S3CRET/XXXXs3cretXXXX";

/// A configuration with a channel of each kind, and its secrets: one from a file, one from a variable, the others as they are.
struct Scene {
    outlets: Outlets,
    folder: TempDir,
}

/// What a command did.
struct Done {
    code: Option<i32>,
    printed: String,
}

impl Scene {
    fn new() -> Self {
        let outlets = Outlets::open();
        let folder = tempfile::tempdir().expect("a directory");
        let key = folder.path().join("key");
        std::fs::write(&key, ROUTING_KEY).expect("a secret");
        let (url, nobody) = (&outlets.url, refusing_url());
        let config = format!(
            "web: {{listen_address: ['127.0.0.1:9']}}\n\
             log: {{level: trace}}\n\
             alerts:\n  \
               labels: {{job: shop, instance: 'shop:1'}}\n  \
               channels:\n  \
               - {{name: log, kind: log}}\n  \
               - {{name: hook, kind: webhook, url: '{url}/webhook/{SECRET_PATH}', token: {TOKEN}, signing_secret: {SIGNING_SECRET}}}\n  \
               - {{name: team, kind: slack, url_env: SLACK_URL}}\n  \
               - {{name: on-call, kind: pagerduty, routing_key_file: '{}', url: '{url}/pagerduty'}}\n  \
               - {{name: cluster, kind: alertmanager, urls: ['{nobody}']}}\n  \
               - {{name: away, kind: webhook, url: '{nobody}/{SECRET_PATH}'}}\n",
            key.display()
        );
        std::fs::write(folder.path().join("config.yaml"), config).expect("its configuration");
        Self { outlets, folder }
    }

    fn slack(&self) -> String {
        format!("{}/slack/{SECRET_PATH}", self.outlets.url)
    }

    /// Tries a channel. Whatever comes of it, no secret is seen.
    fn try_channel(&self, channel: &str, more: &[&str]) -> Done {
        self.try_with(channel, more, &[("SLACK_URL", &self.slack())])
    }

    fn try_with(&self, channel: &str, more: &[&str], environment: &[(&str, &str)]) -> Done {
        let config: &Path = &self.folder.path().join("config.yaml");
        let output: Output = Command::new(binary())
            .env_clear()
            .envs(environment.iter().copied())
            .args(["test-alert", "--channel", channel, "--config.file"])
            .arg(config)
            .args(more)
            .output()
            .expect("it starts");
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).expect("text");
        for secret in [
            ROUTING_KEY,
            "t0k3n",
            "czNjcmV0b2Z0aGV3ZWJob29rMDAx",
            "XXXXs3cretXXXX",
        ] {
            assert!(!printed.contains(secret), "{printed}");
        }
        Done {
            code: output.status.code(),
            printed,
        }
    }

    /// The one message at a path.
    fn message(&self, path: &str) -> Message {
        let messages = self.outlets.taken(path);
        let [message] = &messages[..] else {
            panic!("one message: {messages:?}");
        };
        message.clone()
    }
}

/// All that is printed, in order.
fn assert_says(done: &Done, code: i32, parts: &[&str]) {
    let printed = &done.printed;
    assert_eq!(done.code, Some(code), "{printed}");
    let mut rest = printed.as_str();
    for part in parts {
        let at = rest.find(part);
        let at = at.unwrap_or_else(|| panic!("no {part:?} in {printed}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn each_kind_gets_a_message_that_says_what_it_is() {
    let scene = Scene::new();
    let url = scene.outlets.url.clone();
    let title = "message: [TEST] [FIRING:1] MemoryTest";

    let done = scene.try_channel("hook", &[]);
    let to = format!("to: {url}\n");
    assert_says(
        &done,
        0,
        &["channel: hook (webhook)", &to, title, "answer: 200 OK: ok"],
    );
    let hook = scene.message(&format!("/webhook/{SECRET_PATH}"));
    let alert = &hook.body["alerts"][0];
    assert_eq!(alert["labels"]["test"], "true", "{alert}");
    assert_eq!(alert["labels"]["job"], "shop", "{alert}");
    assert!(
        alert["annotations"]["summary"]
            .to_string()
            .contains("[TEST]"),
        "{alert}"
    );
    assert!(signature_holds(SIGNING_SECRET, &hook));
    assert_eq!(hook.authorization, format!("Bearer {TOKEN}"));

    let done = scene.try_channel("team", &[]);
    assert_says(
        &done,
        0,
        &["channel: team (slack)", &to, title, "answer: 200 OK: ok"],
    );
    let slack = scene.message(&format!("/slack/{SECRET_PATH}")).body;
    let text = slack["text"].as_str().unwrap_or_default();
    assert!(
        text.starts_with("[TEST] [FIRING:1] MemoryTest warning shop"),
        "{slack}"
    );

    let done = scene.try_channel("on-call", &[]);
    let to = format!("to: {url}/pagerduty\n");
    let answer = "answer: 202 Accepted: {";
    assert_says(
        &done,
        0,
        &[
            "channel: on-call (pagerduty)",
            &to,
            title,
            answer,
            "Event processed",
        ],
    );
    let page = scene.message("/pagerduty").body;
    assert_eq!(page["event_action"], "trigger");
    assert_eq!(page["routing_key"], ROUTING_KEY);
    assert_eq!(page["payload"]["custom_details"]["labels"]["test"], "true");
    assert!(
        page["payload"]["summary"].to_string().contains("[TEST]"),
        "{page}"
    );

    let done = scene.try_channel("log", &[]);
    let line = [
        "channel: log (log)",
        title,
        "answer: written to the log",
        "alert firing",
        "MemoryTest",
    ];
    assert_says(&done, 0, &line);

    // Its end ends just that.
    let done = scene.try_channel("on-call", &["--resolve"]);
    assert_says(&done, 0, &["message: [TEST] [RESOLVED] MemoryTest", answer]);
    let pages = scene.outlets.taken("/pagerduty");
    assert_eq!(pages.len(), 2);
    assert_eq!(pages[1].body["event_action"], "resolve");
    assert_eq!(pages[1].body["dedup_key"], page["dedup_key"]);
    assert_ne!(page["dedup_key"], Value::Null);
    scene.outlets.assert_well_formed();
}

#[test]
fn people_read_why_a_message_does_not_arrive() {
    let scene = Scene::new();
    scene.outlets.script("/pagerduty", [Fault::Status(429)]);
    let done = scene.try_channel("on-call", &[]);
    let why = [
        "failed: 429 Too Many Requests: not now",
        "would be tried again soon",
    ];
    assert_says(&done, 1, &why);

    scene.outlets.script(
        &format!("/slack/{SECRET_PATH}"),
        [Fault::Word(403, "invalid_token")],
    );
    let done = scene.try_channel("team", &[]);
    let why = [
        "failed: 403 Forbidden: invalid_token",
        "would be tried again every minute",
    ];
    assert_says(&done, 1, &why);

    scene
        .outlets
        .script(&format!("/webhook/{SECRET_PATH}"), [Fault::Status(400)]);
    let done = scene.try_channel("hook", &[]);
    let why = ["failed: 400 Bad Request: not now", "would be given up"];
    assert_says(&done, 1, &why);

    for channel in ["cluster", "away"] {
        let done = scene.try_channel(channel, &[]);
        assert_says(
            &done,
            1,
            &[
                "failed: no answer: ",
                "refused",
                "would be tried again soon",
            ],
        );
    }
}

#[test]
fn what_is_configured_wrong_is_said_with_its_key() {
    let scene = Scene::new();
    let done = scene.try_channel("nobody", &[]);
    let names = "\"nobody\" in alerts.channels: allowed: log, hook, team, on-call, cluster, away";
    assert_says(&done, 64, &[names]);

    let done = scene.try_with("team", &[], &[]);
    let why = "alerts.channels[2].url_env: the environment variable SLACK_URL is not set";
    assert_says(&done, 64, &[why]);
    std::fs::remove_file(scene.folder.path().join("key")).expect("a file");
    let done = scene.try_channel("on-call", &[]);
    assert_says(
        &done,
        64,
        &[
            "alerts.channels[3].routing_key_file: cannot read ",
            "No such file",
        ],
    );
    // Of those that are not tried, nothing matters.
    let done = scene.try_with("hook", &[], &[]);
    assert_says(&done, 0, &["answer: 200 OK: ok"]);
    assert_eq!(scene.outlets.messages().len(), 1);
}
