//! From a leak to the page: the example leaks and grows, a real Prometheus evaluates the generated rules over what it scrapes and what is
//! pushed, a real Alertmanager tells a webhook, Slack and PagerDuty by the generated configuration, and it is all over when the leak is.
//! Meanwhile every panel of the dashboards has data. Times are a hundred-and-twentieth of those that are shipped; nothing else differs.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::grouped::Grouped;
use crate::http;
use crate::outlets::Outlets;
use crate::panels;
use crate::programs::{Server, free_port};
use crate::service::{Service, binary};
use crate::wait::{eventually, within};

/// Of the services, and with that of rules and dashboards. The leak is above every threshold; a limit is in sight. What is critical begins
/// and ends with what is worth a warning, but fires sooner: the warning has no moment to itself.
const CONFIG: &str = "
sampling: {interval: 1s}
allocations: {sample_interval: 16KiB}
leaks: {warm_up: 2s, window: 10s, close_after: 8s}
limits: {memory: 2GiB}
otlp: {interval: 1s, protocol: http/protobuf}
alerts:
  thresholds: {usage_warning_mb: 120, usage_critical_mb: 120, growth_warning_mb_per_s: 1.5, growth_critical_mb_per_s: 1.5, efficiency: 0.99, exhaustion_used_ratio: 0.02}
  links: {dashboard: https://grafana.example.org, runbook: https://wiki.example.org/memory}
";
const SHORTEN: &str = "120";
/// 3 MB a second.
const MB_PER_HOUR: &str = "10800";
const LEAK_SECONDS: &str = "80";
/// By scrape, and by push.
const JOBS: [&str; 2] = ["scraped", "pushed"];
/// The instance that pushes and leaks.
const PUSHED: &str = "batch:1";
const TOKEN: &str = "a-token";
/// As long as PagerDuty wants it.
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// Longest wait for what takes the windows of a rehearsal.
const PATIENCE: Duration = Duration::from_secs(200);

/// Waits for something that takes long.
fn patiently<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, ask)
}

/// The configuration of a service that tells Alertmanager itself what Prometheus, which scrapes it, will tell too.
fn told_by_itself(alertmanager: &str, port: u16) -> String {
    let address = format!("127.0.0.1:{port}");
    let own = format!(
        "alerts:\n  shorten: {SHORTEN}\n  labels: {{job: scraped, instance: '{address}'}}\n  delivery: {{resend_interval: 1s}}\n  \
         channels: [{{name: am, kind: alertmanager, urls: ['{alertmanager}']}}]\n"
    );
    let config = CONFIG.replace("alerts:\n", &own);
    format!("web: {{listen_address: ['{address}']}}\n{config}")
}

/// What stands around the services.
struct Watch {
    outlets: Outlets,
    alertmanager: Server,
    prometheus: Server,
    /// What was generated.
    files: TempDir,
}

fn generate(outlets: &Outlets) -> TempDir {
    let files = tempfile::tempdir().expect("a directory");
    let path = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(path("config.yaml"), CONFIG).expect("its configuration");
    let secrets = files.path().join("secrets");
    std::fs::create_dir(&secrets).expect("a directory");
    for (name, secret) in [
        ("webhook-token", TOKEN),
        ("slack-webhook-url", &format!("{}/slack", outlets.url)),
        ("pagerduty-routing-key", ROUTING_KEY),
    ] {
        std::fs::write(secrets.join(name), secret).expect("a secret");
    }
    let status = Command::new(binary())
        .args(["generate", "all", "--interval", "1s", "--shorten", SHORTEN])
        .args(["--config", &path("config.yaml"), "--out", &path("")])
        .args(["--secrets-dir", &path("secrets")])
        .args(["--webhook-url", &format!("{}/webhook", outlets.url)])
        .args(["--pagerduty-url", &format!("{}/pagerduty", outlets.url)])
        .status();
    assert!(status.expect("generate starts").success());
    files
}

/// Whom people hear from, and how.
struct Desk {
    outlets: Outlets,
    alertmanager: Server,
    /// What was generated.
    files: TempDir,
}

impl Desk {
    fn open() -> Self {
        let outlets = Outlets::open();
        let files = generate(&outlets);
        let config = files.path().join("alertmanager/alertmanager.yml");
        Self {
            alertmanager: Server::alertmanager(&config),
            outlets,
            files,
        }
    }
}

impl Watch {
    /// Watches what is scraped, and takes what is pushed.
    fn over(desk: Desk, scraped: [&str; 2]) -> Self {
        let Desk {
            outlets,
            alertmanager,
            files,
        } = desk;
        let own = files.path().join("alertmanager");
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{}']}}]}}]}}\n\
             scrape_configs: [{{job_name: scraped, static_configs: [{{targets: {:?}}}]}}]\n",
            own.join("rules/*.yml").display(),
            alertmanager.url.trim_start_matches("http://"),
            scraped,
        );
        let arguments = [
            "--web.enable-remote-write-receiver",
            // What is pushed has no end: without this, the last value stands for five minutes.
            "--query.lookback-delta=10s",
        ];
        let yesterday = panels::yesterday([("scraped", scraped[0]), ("pushed", PUSHED)]);
        let prometheus = Server::prometheus_with(&config, &arguments, &yesterday);
        // It learns of Alertmanager some seconds after its start; alerts of before are lost.
        eventually("Prometheus knows Alertmanager", || {
            let known = http::json(&format!("{}/api/v1/alertmanagers", prometheus.url), &[]);
            let known = known["data"]["activeAlertmanagers"].as_array()?.len();
            (known > 0).then_some(())
        });
        Self {
            prometheus,
            outlets,
            alertmanager,
            files,
        }
    }

    /// Alerts of Prometheus in messages of the webhook, by job, name, severity and state.
    fn told(&self, job: &str, name: &str, severity: &str, status: &str) -> Option<Value> {
        self.told_by(None, job, name, severity, status)
    }

    /// The same by origin, which those of Prometheus have none of.
    fn told_by(
        &self,
        origin: Option<&str>,
        job: &str,
        name: &str,
        severity: &str,
        status: &str,
    ) -> Option<Value> {
        let messages = self.outlets.messages();
        let webhook = messages.iter().filter(|message| message.path == "/webhook");
        let alerts = webhook.flat_map(|message| {
            assert_eq!(message.authorization, format!("Bearer {TOKEN}"));
            message.body["alerts"].as_array().expect("alerts").clone()
        });
        let mut alerts = alerts.filter(|alert| {
            let labels = &alert["labels"];
            alert["status"] == status
                && labels["origin"].as_str() == origin
                && labels["job"] == job
                && labels["alertname"] == name
                && labels["severity"] == severity
        });
        alerts.next()
    }

    /// Alerts of a job that Alertmanager holds, by name and severity, and whether it keeps them to itself.
    fn held(&self, job: &str) -> Vec<(String, String, bool)> {
        let url = format!("{}/api/v2/alerts", self.alertmanager.url);
        let alerts = http::json(&url, &[("filter", &format!("job={job:?}"))]);
        let alerts = alerts.as_array().expect("alerts").iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        alerts
            .map(|alert| {
                let labels = &alert["labels"];
                let origin = text(&labels["origin"]);
                let name = format!("{}{origin}", text(&labels["alertname"]));
                let muted = alert["status"]["state"] == "suppressed";
                (name, text(&labels["severity"]), muted)
            })
            .collect()
    }

    /// Sends what a process that nobody scrapes would say itself.
    fn post_unscraped(&self) {
        let alert = json!([{
            "labels": {
                "alertname": "MemoryUsageHigh", "severity": "critical", "origin": "embedded",
                "job": "unscraped", "instance": "c:1",
            },
            "annotations": {"summary": "from the process"},
        }]);
        http::post_json(&format!("{}/api/v2/alerts", self.alertmanager.url), &alert);
    }
}

#[test]
fn a_leak_is_paged_once_by_scrape_and_by_push_and_is_over_when_it_stops() {
    let arguments = [
        "--leak-mb-per-hour",
        MB_PER_HOUR,
        "--leak-seconds",
        LEAK_SECONDS,
    ];
    let desk = Desk::open();
    let twin = told_by_itself(&desk.alertmanager.url, free_port());
    let scraped = Service::leaky(&twin, &[], &arguments);
    let port = free_port();
    let watch = Watch::over(desk, [&scraped.address, &format!("127.0.0.1:{port}")]);
    let agent = Server::vmagent(&watch.prometheus.url);
    let grouped = Grouped::start(&agent, port);
    // Where Prometheus makes job and instance of a push, vmagent takes them as they are.
    let pushing = CONFIG.replace(
        "otlp: {",
        &format!(
            "otlp: {{enabled: true, endpoint: '{}/opentelemetry', resource: {{job: pushed, instance: '{PUSHED}'}}, ",
            agent.url
        ),
    );
    let mut pushed = Service::leaky(&pushing, &[], &arguments);

    // The right pages, and what they say.
    for job in JOBS {
        for (name, severity) in [
            ("MemoryGrowth", "critical"),
            ("MemoryUsageHigh", "critical"),
            ("MemoryLeak", "critical"),
            ("MemoryAllocationEfficiencyLow", "warning"),
            ("MemoryLimitPredicted", "warning"),
        ] {
            let alert = patiently(&format!("{name} {severity} of {job}"), || {
                watch.told(job, name, severity, "firing")
            });
            says_where_to_look(&alert, name);
        }
    }
    let leak = watch.told("scraped", "MemoryLeak", "critical", "firing");
    let description = leak.expect("the page")["annotations"]["description"].to_string();
    assert!(
        description.contains("Most is held in component sessions: "),
        "{description}"
    );

    // What the process says itself is kept quiet where Prometheus says it too, and only there.
    watch.post_unscraped();
    patiently("the twin of nobody is told", || {
        let embedded = Some("embedded");
        watch.told_by(
            embedded,
            "unscraped",
            "MemoryUsageHigh",
            "critical",
            "firing",
        )
    });
    for job in JOBS {
        let held = watch.held(job);
        let of =
            |name: &str, severity: &str, muted: bool| (name.to_owned(), severity.to_owned(), muted);
        for name in ["MemoryGrowth", "MemoryUsageHigh"] {
            assert!(held.contains(&of(name, "critical", false)), "{held:?}");
            assert!(held.contains(&of(name, "warning", true)), "{held:?}");
            if let Some(warning) = watch.told(job, name, "warning", "firing") {
                let critical = watch.told(job, name, "critical", "firing");
                panic!("told beside {critical:?}: {warning}");
            }
        }
    }
    for name in ["MemoryGrowth", "MemoryUsageHigh"] {
        let twin = (format!("{name}embedded"), "critical".to_owned(), true);
        eventually(&format!("the twin of {name} is muted"), || {
            watch.held("scraped").contains(&twin).then_some(())
        });
    }
    everybody_is_told(&watch.outlets);

    // Every panel shows something.
    let dashboards = watch.files.path().join("dashboards");
    for job in JOBS {
        panels::have_data(&dashboards, &watch.prometheus.url, job);
    }

    // The leak is over; the allocator keeps what it held until it is told to give it back, as the runbook says.
    let is_over = |job: &str, name: &str| {
        patiently(&format!("the end of {name} of {job}"), || {
            watch.told(job, name, "critical", "resolved")
        });
    };
    JOBS.iter().for_each(|job| is_over(job, "MemoryGrowth"));
    for address in [&scraped.address, &pushed.address] {
        http::post_json(&format!("http://{address}/metrics/memory/gc"), &json!({}));
    }
    for name in ["MemoryUsageHigh", "MemoryLeak"] {
        JOBS.iter().for_each(|job| is_over(job, name));
    }
    // A job that pushes ends, and is missed.
    pushed.program.terminate();
    grouped.exporter.stop();
    patiently("MemoryMetricsAbsent", || {
        watch.told("pushed", "MemoryMetricsAbsent", "warning", "firing")
    });
    watch.outlets.assert_well_formed();
}

/// Texts without holes, and links that lead somewhere.
fn says_where_to_look(alert: &Value, name: &str) {
    let annotations = &alert["annotations"];
    let text = |key: &str| annotations[key].as_str().unwrap_or_default();
    assert!(text("description").ends_with('.'), "{annotations}");
    assert!(
        !annotations.to_string().contains("<no value>"),
        "{annotations}"
    );
    assert_eq!(
        text("runbook_url"),
        format!("https://wiki.example.org/memory#{}", name.to_lowercase())
    );
    let instance = alert["labels"]["instance"].as_str().expect("an instance");
    let board = url::Url::parse(text("dashboard_url")).expect("a URL");
    let variables: Vec<(String, String)> = board.query_pairs().into_owned().collect();
    assert!(
        variables.contains(&("var-instance".to_owned(), instance.to_owned())),
        "{board}"
    );
    let flames = url::Url::parse(text("flamegraph_url")).expect("a URL");
    assert_eq!(flames.path(), "/debug/flamegraph");
    if instance.starts_with("127.0.0.1") {
        let answer = http::get(text("flamegraph_url"), "*/*");
        assert!(
            answer.content_type.starts_with("image/svg+xml"),
            "{answer:?}"
        );
    }
}

/// Slack and PagerDuty have heard of the leak too, in their own forms.
fn everybody_is_told(outlets: &Outlets) {
    let messages = outlets.messages();
    let of = |path: &str| {
        let bodies = messages.iter().filter(|message| message.path == path);
        bodies
            .map(|message| message.body.clone())
            .collect::<Vec<_>>()
    };
    let slack = of("/slack");
    let title = |body: &Value| body["attachments"][0]["title"].to_string();
    let is_leak = |body: &&Value| title(body).contains("MemoryLeak critical");
    let leak = slack
        .iter()
        .find(is_leak)
        .expect("Slack is told of the leak");
    let text = leak["attachments"][0]["text"].to_string();
    assert!(
        text.contains("MB/h") && text.contains("|Runbook>"),
        "{text}"
    );
    let pages = of("/pagerduty");
    let is_trigger = |page: &Value| {
        page["event_action"] == "trigger"
            && page["routing_key"] == ROUTING_KEY
            && page["payload"]["severity"] == "critical"
    };
    assert!(pages.iter().any(is_trigger), "{pages:?}");
    // Only what is critical wakes somebody.
    assert!(
        pages
            .iter()
            .all(|page| page["payload"]["severity"] == "critical"),
        "{pages:?}"
    );
}
