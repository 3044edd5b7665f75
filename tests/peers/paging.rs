//! From a leak to the page without anybody between: the example leaks, and tells PagerDuty, Slack, a webhook and its log by itself. One page
//! says which function it is, and is over when the leak is. Whatever it says elsewhere, it never says a secret.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::outlets::{Message, Outlets, signature_holds};
use crate::programs::{Program, free_port};
use crate::series::value;
use crate::service::Service;
use crate::telling::{ONLY_USED, event};
use crate::wait::within;

/// 3 MB a second, for long enough.
const LEAK: [&str; 4] = ["--leak-mb-per-hour", "10800", "--leak-seconds", "40"];
/// Longest wait for the page, and for its end.
const PATIENCE: Duration = Duration::from_secs(120);

/// From a file, as long as PagerDuty wants it.
const ROUTING_KEY: &str = "s3cr3t00k3y00of00pagerduty000000";
/// From a variable: the address is the secret.
const SLACK_PATH: &str = "/slack/T00S3CRET/B00S3CRET/XXXXs3cretXXXX";
/// From the configuration.
const HOOK_PATH: &str = "/webhook/hook-s3cret";
const TOKEN: &str = "t0k3n-s3cret";
const SIGNING_SECRET: &str = "whsec_czNjcmV0b2Z0aGV3ZWJob29rMDAx";
/// What must be seen nowhere: all of them, and the parts by which they would be known again.
const SECRETS: [&str; 7] = [
    ROUTING_KEY,
    SLACK_PATH,
    "XXXXs3cretXXXX",
    HOOK_PATH,
    "t0k3n",
    "czNjcmV0b2Z0aGV3ZWJob29rMDAx",
    "s3cretofthewebhook001",
];
/// Each of what is shown of a service.
const ENDPOINTS: [&str; 13] = [
    "/",
    "/metrics",
    "/metrics/memory/alerts",
    "/metrics/memory/alerts?state=resolved",
    "/metrics/memory/alerts/silences",
    "/metrics/memory/snapshot",
    "/metrics/memory/trend",
    "/metrics/memory/health",
    "/metrics/memory/allocations",
    "/metrics/memory/leaks",
    "/metrics/memory/profiles",
    "/-/healthy",
    "/-/ready",
];

/// The configuration of a service that tells these outlets, and the environment and the file with its secrets.
struct Secretive {
    config: String,
    slack: String,
    _folder: TempDir,
}

impl Secretive {
    fn of(outlets: &Outlets, address: &str, thresholds: &str) -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let key = folder.path().join("routing-key");
        std::fs::write(&key, format!("{ROUTING_KEY}\n")).expect("a secret");
        let url = &outlets.url;
        let config = format!(
            "web: {{listen_address: ['{address}']}}\n\
             sampling: {{interval: 1s}}\n\
             allocations: {{sample_interval: 16KiB}}\n\
             leaks: {{warm_up: 2s, window: 10s, close_after: 8s}}\n\
             alerts:\n  \
               shorten: 120\n  \
               cooldown: 1s\n  \
               labels: {{job: shop, instance: '{address}', team: checkout}}\n  \
               links: {{dashboard: https://grafana.example.org, runbook: https://wiki.example.org/memory}}\n  \
               thresholds: {{{thresholds}, {ONLY_USED}}}\n  \
               channels:\n  \
               - {{name: log, kind: log}}\n  \
               - {{name: on-call, kind: pagerduty, routing_key_file: '{}', url: '{url}/pagerduty'}}\n  \
               - {{name: team, kind: slack, url_env: SLACK_URL}}\n  \
               - {{name: hook, kind: webhook, url: '{url}{HOOK_PATH}', token: {TOKEN}, signing_secret: {SIGNING_SECRET}}}\n",
            key.display(),
        );
        Self {
            config,
            slack: format!("{url}{SLACK_PATH}"),
            _folder: folder,
        }
    }

    /// With which the service says most.
    fn environment(&self) -> [(&str, &str); 2] {
        [("SLACK_URL", &self.slack), ("RUST_LOG", "trace")]
    }
}

/// What a program printed, at the level that says most.
fn printed(program: &Program) -> String {
    [program.stdout(), program.stderr()].concat().join("\n")
}

fn assert_no_secret(of: &str, text: &str) {
    let seen: Vec<_> = SECRETS
        .iter()
        .filter(|secret| text.contains(*secret))
        .collect();
    assert!(seen.is_empty(), "{of} shows {seen:?}");
}

/// What was told at a path, in order: event, alert and severity.
fn told(outlets: &Outlets, path: &str) -> Vec<String> {
    let taken = outlets.taken(path);
    let one = |message: &Message| {
        let body = &message.body;
        let alert = match path {
            HOOK_PATH => {
                let labels = &body["commonLabels"];
                format!("{} {}", labels["alertname"], labels["severity"]).replace('"', "")
            }
            SLACK_PATH => {
                let text = body["text"].as_str().unwrap_or_default();
                let words: Vec<&str> = text
                    .split("] ")
                    .nth(1)
                    .unwrap_or_default()
                    .split(' ')
                    .collect();
                words[..2].join(" ")
            }
            _ => String::new(),
        };
        format!("{} {alert}", event(message)).to_lowercase()
    };
    taken.iter().map(one).collect()
}

#[test]
fn a_leak_is_paged_once_with_its_function_and_is_over_when_it_stops() {
    let outlets = Outlets::open();
    let address = format!("127.0.0.1:{}", free_port());
    // Nothing but the leak.
    let thresholds = "usage_warning_mb: 1000000000, usage_critical_mb: 1000000000";
    let secretive = Secretive::of(&outlets, &address, thresholds);
    let service = Service::leaky(&secretive.config, &secretive.environment(), &LEAK);

    let trigger = within(PATIENCE, "the page", || {
        outlets.taken("/pagerduty").first().cloned()
    });
    says_what_leaks(&trigger.body, &address);
    let pages = within(PATIENCE, "its end", || {
        let pages = outlets.taken("/pagerduty");
        (pages.len() > 1).then_some(pages)
    });
    // A suspect is worth a warning until half an hour (now a second) is over in which none was opened; what grows too fast ends first or last.
    let ended = "resolved memoryleak warning".to_owned();
    for path in [SLACK_PATH, HOOK_PATH] {
        within(PATIENCE, "the end of the warning", || {
            told(&outlets, path).contains(&ended).then_some(())
        });
        let mut told = told(&outlets, path);
        told[2..].sort();
        assert_eq!(
            told,
            [
                "firing memoryleak warning",
                "firing memoryleak critical",
                "resolved memoryleak critical",
                "resolved memoryleak warning",
            ],
            "{path}"
        );
    }
    assert_eq!(told(&outlets, "/pagerduty"), ["trigger ", "resolve "]);
    assert_eq!(pages[0].body["dedup_key"], pages[1].body["dedup_key"]);
    assert_eq!(pages[1].body["routing_key"], ROUTING_KEY);
    tells_the_others_as_much(&outlets);
    outlets.assert_well_formed();

    // The exporter knows what it did.
    let alerts = format!("http://{address}/metrics/memory/alerts");
    let query = [("state", "resolved"), ("severity", "critical")];
    let past = http::json(&alerts, &query);
    let [leak] = &past["alerts"].as_array().expect("alerts")[..] else {
        panic!("one that has ended: {past}");
    };
    assert_eq!(leak["labels"]["alertname"], "MemoryLeak");
    assert_eq!(leak["told"], true);
    let call_site = leak["culprit"]["call_site"].as_str().expect("a call site");
    assert!(call_site.contains("leaky_service::new_session"), "{leak}");
    let series = service.series();
    let count = |channel, outcome| {
        let labels = [("channel", channel), ("outcome", outcome)];
        value(&series, "memory_exporter_notifications_total", &labels)
    };
    for (channel, sent) in [("log", 4.0), ("on-call", 2.0), ("team", 4.0), ("hook", 4.0)] {
        let counts = ["sent", "failed", "dropped"].map(|outcome| count(channel, outcome));
        assert_eq!(counts, [sent, 0.0, 0.0], "{channel}");
    }
    assert_eq!(outlets.messages().len(), 10);

    // And keeps what it must not say to itself.
    for path in ENDPOINTS {
        let answer = http::get(&format!("http://{address}{path}"), "*/*");
        assert_no_secret(path, &answer.body);
    }
    let printed = printed(&service.program);
    assert_no_secret("the output", &printed);
    let logged = |text: &str| printed.matches(text).count();
    assert_eq!([logged("alert firing"), logged("alert resolved")], [2, 2]);
}

/// All that somebody needs who is woken.
fn says_what_leaks(trigger: &Value, address: &str) {
    let payload = &trigger["payload"];
    let details = &payload["custom_details"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(trigger["routing_key"], ROUTING_KEY);
    for (value, expected) in [
        (&payload["severity"], "critical"),
        (&payload["class"], "MemoryLeak"),
        (&payload["component"], "sessions"),
        (&payload["group"], "shop"),
        (&payload["source"], address),
        (&details["culprit_component"], "sessions"),
        (&details["threshold"], "50 MB/h"),
        (&details["labels"]["team"], "checkout"),
    ] {
        assert_eq!(value, expected, "{trigger}");
    }
    let begins = format!("[FIRING:1] MemoryLeak critical shop at {address}: ");
    assert!(text(&payload["summary"]).starts_with(&begins), "{trigger}");
    let call_site = text(&details["top_call_site"]);
    assert!(
        call_site.starts_with("leaky_service::new_session (")
            && call_site.contains("leaky_service.rs:"),
        "{call_site}"
    );
    // It leaks 10800 MB/h, and little else grows for long.
    for rate in ["value", "top_call_site_growth"] {
        let rate = text(&details[rate]);
        let number = rate
            .strip_suffix(" MB/h")
            .and_then(|number| number.parse::<f64>().ok());
        let number = number.unwrap_or_else(|| panic!("a rate: {rate}"));
        assert!((8_000.0..14_000.0).contains(&number), "{rate}");
    }
    for told in [
        "since",
        "recommendation",
        "top_call_site_bytes",
        "description",
    ] {
        assert!(!text(&details[told]).is_empty(), "{told}: {trigger}");
    }
    assert_eq!(text(&details["since"]), text(&payload["timestamp"]));

    let links = trigger["links"].as_array().expect("links");
    let link = |name: &str| {
        let link = links.iter().find(|link| link["text"] == name);
        text(&link.unwrap_or_else(|| panic!("{name}: {trigger}"))["href"])
    };
    let flames = http::get(&link("Flame graph"), "*/*");
    assert!(
        flames.content_type.starts_with("image/svg+xml"),
        "{flames:?}"
    );
    assert!(flames.body.contains("new_session"), "{}", flames.body);
    let report = http::get(&link("Leak report"), "*/*");
    assert!(report.body.contains("new_session"), "{}", report.body);
    assert!(link("Dashboard").starts_with("https://grafana.example.org/d/"));
    assert_eq!(
        link("Runbook"),
        "https://wiki.example.org/memory#memoryleak"
    );
}

/// Slack in its own form, and the webhook in a form that says from whom it is.
fn tells_the_others_as_much(outlets: &Outlets) {
    let page = &outlets.taken(SLACK_PATH)[1].body;
    let shown = page["attachments"][0].to_string();
    for part in [
        "leaky_service::new_session",
        "*Threshold*\\n50 MB/h",
        "*Component*\\nsessions",
        "*Since*\\n",
        "*Recommendation*\\n",
        "|Flame graph>",
        "|Dashboard>",
        "|Runbook>",
        "Memory is leaking fast.",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let hooks = outlets.taken(HOOK_PATH);
    // When it is over, too.
    for hook in &hooks {
        let annotations = &hook.body["alerts"][0]["annotations"];
        let call_site = annotations["top_call_site"].as_str().unwrap_or_default();
        assert!(
            call_site.contains("leaky_service::new_session"),
            "{annotations}"
        );
        assert_eq!(annotations["culprit_component"], "sessions");
    }
    assert_eq!(hooks[1].body["receiver"], "hook");
    let mut ids: Vec<&String> = hooks
        .iter()
        .map(|hook| &hook.headers["webhook-id"])
        .collect();
    for hook in &hooks {
        assert_eq!(hook.authorization, format!("Bearer {TOKEN}"));
        assert!(signature_holds(SIGNING_SECRET, hook), "{hook:?}");
        assert!(!signature_holds(TOKEN, hook), "{hook:?}");
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), hooks.len());
}

#[test]
fn a_page_is_resolved_before_the_process_ends() {
    let outlets = Outlets::open();
    let address = format!("127.0.0.1:{}", free_port());
    let thresholds = "usage_warning_mb: 1, usage_critical_mb: 1";
    let secretive = Secretive::of(&outlets, &address, thresholds);
    let mut service = Service::alone(&secretive.config, &secretive.environment());
    within(PATIENCE, "the page", || {
        (told(&outlets, HOOK_PATH) == ["firing memoryusagehigh critical"]).then_some(())
    });
    let status = service.program.terminate();
    assert!(status.success(), "{status}");
    for (path, all) in [
        ("/pagerduty", ["trigger ", "resolve "]),
        (
            SLACK_PATH,
            [
                "firing memoryusagehigh critical",
                "resolved memoryusagehigh critical",
            ],
        ),
        (
            HOOK_PATH,
            [
                "firing memoryusagehigh critical",
                "resolved memoryusagehigh critical",
            ],
        ),
    ] {
        assert_eq!(told(&outlets, path), all, "{path}");
    }
    outlets.assert_well_formed();
    let printed = printed(&service.program);
    assert!(printed.contains("TRACE"), "{printed}");
    assert_no_secret("the output", &printed);
}
