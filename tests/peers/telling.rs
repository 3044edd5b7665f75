//! Exporters in this process that tell receivers of one alert: resident memory, of a process that is only files, is above the threshold
//! when a test says so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use memory_exporter::collector::{Roots, Target};
use memory_exporter::config::Profile;
use memory_exporter::{Config, Exporter};
use serde_json::Value;
use tempfile::TempDir;

use crate::outlets::Message;
use crate::wait::eventually;
use crate::{http, log, pushing, series};

/// As long as PagerDuty wants it.
pub(crate) const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// More often than a document allows.
const INTERVAL: Duration = Duration::from_millis(100);
/// Thresholds with which nothing but memory that is used, or leaks, is worth an alert.
pub(crate) const ONLY_USED: &str = "growth_warning_mb_per_s: 1000000, growth_critical_mb_per_s: 1000000, efficiency: 0.01, exhaustion_used_ratio: 0.99";
/// The process that is watched: it has no heap that we know, so that nobody is to blame.
const PID: u32 = 4_000_000;

/// An exporter, and the process that it watches.
pub(crate) struct Telling {
    pub(crate) exporter: Exporter,
    roots: [TempDir; 2],
}

impl Telling {
    /// `channels` as in `alerts.channels`; `alerts` are further keys of that section, and `more` further sections. What a document does not
    /// allow can be changed by `change`.
    pub(crate) fn start(
        channels: &[String],
        alerts: &str,
        more: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        log::listen();
        let roots = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let [proc, cgroup] = roots.each_ref().map(|root| root.path().to_owned());
        let own = proc.join(PID.to_string());
        std::fs::create_dir(&own).expect("a directory");
        for name in ["stat", "limits", "fd"] {
            let real = format!("/proc/self/{name}");
            std::os::unix::fs::symlink(real, own.join(name)).expect("a link");
        }
        std::os::unix::fs::symlink("/proc/stat", proc.join("stat")).expect("a link");
        let yaml = format!(
            "web: {{listen_address: ['127.0.0.1:0'], shutdown_timeout: 2s}}\n\
             alerts: {{shorten: 3600, labels: {{job: shop, instance: 'shop:1'}}, thresholds: {{usage_warning_mb: 100, usage_critical_mb: 100, {ONLY_USED}}}, {alerts} channels: [{}]}}\n\
             {more}\n",
            channels.join(", ")
        );
        let mut config = Config::load(Profile::Production, &yaml, []).expect("a configuration");
        config.sampling.interval = INTERVAL;
        // So that there is one alert, and it is critical.
        config.alerts.thresholds.usage_warning_mb = 1e9;
        change(&mut config);
        set_resident(own.join("status"), 1);
        let exporter = Exporter::builder(config)
            .target(Target::Pid(PID))
            .roots(Roots { proc, cgroup })
            .start()
            .expect("an exporter");
        Self { exporter, roots }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.exporter.addresses()[0]
    }

    /// The alert begins.
    pub(crate) fn begin(&self) {
        set_resident(self.status(), 200);
    }

    /// The alert ends.
    pub(crate) fn end(&self) {
        set_resident(self.status(), 1);
    }

    fn status(&self) -> PathBuf {
        self.roots[0].path().join(PID.to_string()).join("status")
    }

    /// How many messages of a channel had an outcome: `sent`, `failed` or `dropped`.
    pub(crate) fn count(&self, channel: &str, outcome: &str) -> f64 {
        count(&pushing::scrape(&self.exporter), channel, outcome)
    }

    pub(crate) fn wait_for(&self, channel: &str, outcome: &str, count: f64) {
        let what = format!("{count} messages of {channel} are {outcome}");
        eventually(&what, || {
            (self.count(channel, outcome) >= count).then_some(())
        });
    }

    /// What the exporter says of a channel.
    pub(crate) fn channel(&self, name: &str) -> Value {
        let url = format!("http://{}/metrics/memory/alerts", self.address());
        let answer = http::json(&url, &[]);
        let channels = answer["channels"].as_array().expect("channels");
        let channel = channels.iter().find(|channel| channel["name"] == name);
        channel.expect("the channel").clone()
    }
}

fn count(series: &series::Series, channel: &str, outcome: &str) -> f64 {
    let name = "memory_exporter_notifications_total";
    series::value(series, name, &[("channel", channel), ("outcome", outcome)])
}

/// In one step: who reads sees one or the other.
fn set_resident(status: PathBuf, megabytes: u64) {
    let text = format!(
        "VmRSS:\t{} kB\nVmSize:\t900000 kB\nThreads:\t1\n",
        megabytes << 10
    );
    let new = status.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, status).expect("its name");
}

/// An entry of `alerts.channels` that posts to `{outlets}/{kind}/{name}`; its own name is `{kind}-{name}`.
pub(crate) fn entry(outlets: &str, kind: &str, name: &str) -> String {
    let url = format!("{outlets}/{kind}/{name}");
    let key = match kind {
        "pagerduty" => format!(", routing_key: '{ROUTING_KEY}'"),
        _ => String::new(),
    };
    format!("{{name: {kind}-{name}, kind: {kind}, url: '{url}'{key}}}")
}

/// What a message says has come about, in the word that its receiver has for that.
pub(crate) fn event(message: &Message) -> String {
    let body = &message.body;
    let text = match message.path.split('/').nth(1) {
        Some("webhook") => body["status"].as_str(),
        Some("pagerduty") => body["event_action"].as_str(),
        // `[FIRING:1] MemoryUsageHigh critical`
        _ => {
            let text = body["text"].as_str();
            text.and_then(|text| text.split(['[', ':', ']']).nth(1))
        }
    };
    let text = text.unwrap_or_else(|| panic!("an event: {body}"));
    text.to_owned()
}
