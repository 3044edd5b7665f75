//! Real Alertmanagers, told by processes themselves, without any Prometheus: each of several peers groups, routes and mutes by the generated
//! configuration, whatever becomes of the others, and an alert ends when its process does, however that ends.

use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::outlets::{Outlets, refusing_url};
use crate::programs::Server;
use crate::service::{Service, binary};
use crate::telling::ONLY_USED;
use crate::wait::eventually;

const SHORTEN: &str = "120";
/// As long as PagerDuty wants it.
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// How long Alertmanager takes an alert to go on that it does not hear of: four times `alerts.delivery.resend_interval`, and what writing
/// whole seconds takes off or adds.
const GOES_ON: Duration = Duration::from_secs(5);

/// An Alertmanager, and whom it tells.
struct Peer {
    outlets: Outlets,
    alertmanager: Server,
    _files: TempDir,
}

impl Peer {
    /// By the configuration that is generated.
    fn start() -> Self {
        let outlets = Outlets::open();
        let files = tempfile::tempdir().expect("a directory");
        let path = |name: &str| files.path().join(name).display().to_string();
        std::fs::create_dir(path("secrets")).expect("a directory");
        for (name, secret) in [
            ("webhook-token", "a-token"),
            ("slack-webhook-url", &format!("{}/slack", outlets.url)),
            ("pagerduty-routing-key", ROUTING_KEY),
        ] {
            std::fs::write(files.path().join("secrets").join(name), secret).expect("a secret");
        }
        let status = Command::new(binary())
            .args(["generate", "alertmanager", "--shorten", SHORTEN])
            .args(["--out", &path(""), "--secrets-dir", &path("secrets")])
            .args(["--webhook-url", &format!("{}/webhook", outlets.url)])
            .args(["--pagerduty-url", &format!("{}/pagerduty", outlets.url)])
            .status();
        assert!(status.expect("generate starts").success());
        let config = files.path().join("alertmanager/alertmanager.yml");
        Self {
            alertmanager: Server::alertmanager(&config),
            outlets,
            _files: files,
        }
    }

    /// What it holds of an instance, by severity.
    fn held(&self, instance: &str, severity: &str) -> Option<Value> {
        let url = format!("{}/api/v2/alerts", self.alertmanager.url);
        let filters = [
            ("filter", format!("instance={instance:?}")),
            ("filter", format!("severity={severity:?}")),
        ];
        let filters = filters
            .each_ref()
            .map(|(name, text)| (*name, text.as_str()));
        let mut alerts = http::json(&url, &filters);
        let alerts = alerts.as_array_mut().expect("alerts");
        assert!(alerts.len() <= 1, "{alerts:?}");
        alerts.pop()
    }

    /// What it told at a path of an instance: statuses of webhooks or actions of PagerDuty, with severities.
    fn told(&self, path: &str, instance: &str) -> Vec<String> {
        let mut told = Vec::new();
        for message in self.outlets.taken(path) {
            let body = &message.body;
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            if path == "/pagerduty" {
                let details = body["payload"]["custom_details"].to_string();
                if details.contains(instance) || body["event_action"] == "resolve" {
                    told.push(word(&body["event_action"]));
                }
                continue;
            }
            for alert in body["alerts"].as_array().expect("alerts") {
                let labels = &alert["labels"];
                if labels["instance"] == instance {
                    let status = word(&alert["status"]);
                    told.push(format!("{status} {}", word(&labels["severity"])));
                }
            }
        }
        told
    }
}

/// A process whose memory is above a threshold from the start, which tells all peers.
fn service(instance: &str, peers: &[String], thresholds: &str) -> Service {
    let config = format!(
        "sampling: {{interval: 1s}}\n\
         alerts: {{shorten: {SHORTEN}, labels: {{job: {instance}, instance: {instance}, team: checkout}}, thresholds: {{{thresholds}, {ONLY_USED}}}, \
         links: {{dashboard: https://grafana.example.org, runbook: https://wiki.example.org/memory}}, \
         delivery: {{resend_interval: 1s}}, channels: [{{name: cluster, kind: alertmanager, urls: {peers:?}}}]}}\n"
    );
    Service::alone(&config, &[])
}

fn time(value: &Value) -> SystemTime {
    let text = value.as_str().expect("a time");
    humantime::parse_rfc3339(text).expect("a time")
}

/// How the exporter says each peer does, by its target.
fn trouble(service: &Service, peer: &str) -> Option<String> {
    let url = format!("http://{}/metrics/memory/alerts", service.address);
    let answer = http::json(&url, &[]);
    let channels = answer["channels"].as_array().expect("channels");
    let target = format!("{peer}/api/v2/alerts");
    let channel = channels.iter().find(|channel| channel["target"] == target);
    let channel = channel.unwrap_or_else(|| panic!("{target}: {answer}"));
    channel["trouble"].as_str().map(str::to_owned)
}

#[test]
fn peers_are_told_for_as_long_as_an_alert_lasts_and_none_waits_for_another() {
    let mut peers = [Peer::start(), Peer::start()];
    let down = refusing_url();
    let urls = [
        down.clone(),
        peers[0].alertmanager.url.clone(),
        peers[1].alertmanager.url.clone(),
    ];
    // One is worth a page, and with it a warning that adds nothing; of the other, the warning is all there is.
    let mut paged = service("paged", &urls, "usage_warning_mb: 1, usage_critical_mb: 1");
    let mut warned = service(
        "warned",
        &urls,
        "usage_warning_mb: 1, usage_critical_mb: 1000000",
    );

    for peer in &peers {
        // Routes: a page for what is critical, and for the team what is not.
        eventually("the page", || {
            let is_told = peer.told("/pagerduty", "paged") == ["trigger"]
                && peer.told("/webhook", "paged") == ["firing critical"];
            is_told.then_some(())
        });
        eventually("the warning", || {
            (peer.told("/webhook", "warned") == ["firing warning"]).then_some(())
        });
        assert_eq!(peer.told("/pagerduty", "warned"), [""; 0]);
        // What adds nothing is held and not told.
        let muted = eventually("the warning beside the page", || {
            peer.held("paged", "warning")
        });
        eventually("it is muted", || {
            let muted = peer.held("paged", "warning")?;
            (muted["status"]["state"] == "suppressed").then_some(())
        });
        assert_eq!(muted["labels"]["alertname"], "MemoryUsageHigh");
        // What it is, and where it comes from.
        let held = peer.held("paged", "critical").expect("the alert");
        let expected = serde_json::json!({
            "alertname": "MemoryUsageHigh", "severity": "critical", "origin": "embedded",
            "job": "paged", "instance": "paged", "team": "checkout",
        });
        assert_eq!(held["labels"], expected);
        assert_eq!(
            held["generatorURL"],
            "http://paged/metrics/memory/alerts?name=MemoryUsageHigh"
        );
        assert_eq!(held["status"]["state"], "active");
        assert_eq!(held["annotations"]["threshold"], "1 MB", "{held}");
        // It is told again and again, so that its end moves on.
        let [ends, starts] = ["endsAt", "startsAt"].map(|name| time(&held[name]));
        eventually("it goes on", || {
            let held = peer.held("paged", "critical")?;
            assert_eq!(time(&held["startsAt"]), starts);
            (time(&held["endsAt"]) > ends).then_some(())
        });
    }
    // Nobody waited for the one that is down, of which people can read.
    let why = trouble(&paged, &down).expect("trouble");
    assert!(why.contains("refused"), "{why}");
    for peer in &peers {
        assert_eq!(trouble(&paged, &peer.alertmanager.url), None);
    }

    for peer in &peers {
        assert_eq!(peer.told("/webhook", "paged"), ["firing critical"]);
    }

    // A peer that was away learns again what fires. In that moment it may tell what it would mute otherwise: it sends what has fired for long
    // before it has thought about it.
    peers[1].alertmanager.program.crash();
    eventually("the exporter misses it", || trouble(&paged, &urls[2]));
    peers[1].alertmanager.revive();
    // What it told before its crash it has forgotten, and tells again: only then will it tell the end.
    for (instance, firing) in [("paged", "firing critical"), ("warned", "firing warning")] {
        eventually("it learns", || {
            let told = peers[1].told("/webhook", instance);
            (told.iter().filter(|told| *told == firing).count() == 2).then_some(())
        });
    }
    // And it goes on from there, which takes a second.
    for (instance, severity) in [("paged", "critical"), ("warned", "warning")] {
        let ends = || Some(time(&peers[1].held(instance, severity)?["endsAt"]));
        let before = eventually("it is held again", ends);
        eventually("it goes on again", || (ends()? > before).then_some(()));
    }

    // An end that is told: the resolution is at once.
    let status = warned.program.terminate();
    assert!(status.success(), "{status}");
    // And one that nobody could tell.
    let before = peers.each_ref().map(|peer| {
        let held = peer.held("paged", "critical").expect("it fires");
        time(&held["endsAt"])
    });
    paged.program.crash();
    let killed = SystemTime::now();
    for (peer, before) in peers.iter().zip(before) {
        assert!(before <= killed + GOES_ON, "{before:?} {killed:?}");
        eventually("it ends by itself", || {
            peer.held("paged", "critical").is_none().then_some(())
        });
        eventually("the page is over", || {
            (peer.told("/pagerduty", "paged").last()? == "resolve").then_some(())
        });
        for (instance, end) in [
            ("paged", "resolved critical"),
            ("warned", "resolved warning"),
        ] {
            eventually(&format!("{end} is told of {instance}"), || {
                // After its revival a peer may have told of the warning beside the page too, and then tells that it is over.
                let mut told = peer.told("/webhook", instance).into_iter();
                let severity = end.split_once(' ')?.1;
                let last = told.rfind(|told| told.ends_with(severity))?;
                (last == end).then_some(())
            });
        }
        peer.outlets.assert_well_formed();
    }
}
