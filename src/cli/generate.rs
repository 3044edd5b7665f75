//! `memory-exporter generate`: files for Prometheus, Grafana and Alertmanager.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use crate::artifacts::{
    Artifact, DEFAULT_INTERVAL, DEFAULT_SECRETS, DEFAULT_WEBHOOK, Integration, Integrations, Kind,
    Wanted, check, fill_in, write,
};
use crate::config::{Config, Profile};
use crate::error::Error;

use super::{EXIT_FAILURE, complain};

const README: &str = "README.md";

/// What `generate` was asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// What to write.
    #[arg(value_enum, default_value = "all")]
    what: Vec<What>,
    /// Defaults that the file overrides: production or development.
    #[arg(long, alias = "config.profile", value_name = "NAME")]
    profile: Option<Profile>,
    /// Configuration file: thresholds, severities, links, and prefix and labels of the series.
    #[arg(long, alias = "config.file", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How often Prometheus scrapes. Windows of the rules are made long enough for it, and for otlp.interval.
    #[arg(long, value_name = "DURATION", default_value_t = humantime::Duration::from(DEFAULT_INTERVAL), value_parser = interval)]
    interval: humantime::Duration,
    /// Directory below which dashboards/ and alertmanager/ are written.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Write nothing; say how the files differ from what would be written, and end with 1 if they do.
    #[arg(long)]
    check: bool,
    /// Divide every time of the rules and of Alertmanager by N, to rehearse alerts: with 60, minutes become seconds.
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = shorten)]
    shorten: f64,
    /// Ways in which Alertmanager tells people: webhook, slack, pagerduty.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "webhook,slack,pagerduty"
    )]
    receivers: Vec<Integration>,
    /// Directory of Alertmanager's files with secrets.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_SECRETS, value_parser = absolute)]
    secrets_dir: PathBuf,
    /// Who takes the webhook.
    #[arg(long, value_name = "URL", default_value = DEFAULT_WEBHOOK, value_parser = url)]
    webhook_url: String,
    /// Channel of Slack.
    #[arg(long, value_name = "NAME", default_value = "#alerts")]
    slack_channel: String,
    /// PagerDuty's address for events, where it is not the usual one.
    #[arg(long, value_name = "URL", value_parser = url)]
    pagerduty_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Grafana's dashboards and how to provision them.
    Dashboards,
    /// Rules for Prometheus and their tests.
    Rules,
    /// Alertmanager's configuration, templates and the runbook.
    Alertmanager,
    /// All of that.
    All,
    /// The tables in the README.md of that directory that stand between markers.
    Readme,
}

impl What {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Dashboards => &[Kind::Dashboards],
            Self::Rules => &[Kind::Rules],
            Self::Alertmanager => &[Kind::Alertmanager],
            Self::All => &Kind::ALL,
            Self::Readme => &[],
        }
    }
}

impl Generate {
    /// Writes the files or compares them.
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let profile = self.profile.unwrap_or_default();
        let wanted = Wanted {
            profile,
            config: Config::from_file(profile, self.config.as_deref())?,
            interval: self.interval.into(),
            shorten: self.shorten,
            integrations: Integrations {
                kinds: self.receivers,
                secrets: self.secrets_dir,
                webhook_url: self.webhook_url,
                slack_channel: self.slack_channel,
                pagerduty_url: self.pagerduty_url,
            },
        };
        let asked = |kind: &Kind| self.what.iter().any(|what| what.kinds().contains(kind));
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(asked).collect();
        let mut artifacts = wanted.artifacts(&kinds);
        if self.what.contains(&What::Readme) {
            match readme(&self.out, &wanted) {
                Ok(readme) => artifacts.push(readme),
                Err(cause) => {
                    complain(&cause);
                    return Ok(ExitCode::from(EXIT_FAILURE));
                }
            }
        }
        if self.check {
            let differences = check(&self.out, &artifacts);
            for difference in &differences {
                eprintln!("{difference}");
            }
            return Ok(match differences.len() {
                0 => {
                    println!("{} files are as they should be", artifacts.len());
                    ExitCode::SUCCESS
                }
                count => {
                    complain(&format!(
                        "{count} of {} files below {} differ; the same command without --check writes them",
                        artifacts.len(),
                        self.out.display()
                    ));
                    ExitCode::from(EXIT_FAILURE)
                }
            });
        }
        match write(&self.out, &artifacts) {
            Ok(()) => {
                for artifact in &artifacts {
                    println!("{}", self.out.join(&artifact.path).display());
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(cause) => {
                complain(&cause);
                Ok(ExitCode::from(EXIT_FAILURE))
            }
        }
    }
}

fn readme(directory: &Path, wanted: &Wanted) -> Result<Artifact, String> {
    let path = directory.join(README);
    let text =
        std::fs::read_to_string(&path).map_err(|cause| format!("{}: {cause}", path.display()))?;
    let contents = fill_in(&text, wanted)
        .map_err(|marker| format!("{}: the line {marker} is missing", path.display()))?;
    Ok(Artifact {
        path: README.to_owned(),
        contents,
    })
}

fn interval(text: &str) -> Result<humantime::Duration, String> {
    let within = Duration::from_secs(1)..=Duration::from_secs(3_600);
    humantime::parse_duration(text)
        .ok()
        .filter(|interval| within.contains(interval) && interval.subsec_nanos() == 0)
        .map(humantime::Duration::from)
        .ok_or_else(|| "allowed: whole seconds from 1s to 1h, such as 15s".to_owned())
}

fn shorten(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|times| (1.0..=1_000.0).contains(times))
        .ok_or_else(|| "allowed: a number from 1 to 1000".to_owned())
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(
            "allowed: an absolute path; Alertmanager takes others from its working directory"
                .to_owned(),
        )
    }
}

fn url(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            Ok(text.to_owned())
        }
        _ => Err("allowed: a URL such as https://hooks.example.org/memory".to_owned()),
    }
}
