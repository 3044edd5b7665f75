//! List `alerts.channels`: who is told of alerts, and how.

use std::fmt;
use std::path::PathBuf;

use super::reader::Section;
use super::{Secret, checks, knob};

/// PagerDuty's Events API v2.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// An entry of `alerts.channels`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChannelConfig {
    /// What it is called: in the log, in the metrics, for `test-alert`.
    pub name: String,
    /// Least severity that it is told of.
    pub severity: LeastSeverity,
    /// Whether it is told of the end too.
    pub send_resolved: bool,
    /// Who is told, and what that takes.
    pub target: ChannelTarget,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChannelTarget {
    /// The log.
    Log,
    /// A server of one's own, in the format of Alertmanager's webhooks.
    Webhook {
        /// Where it is.
        url: SecretSource,
        /// What its messages are signed with.
        signing_secret: Option<SecretSource>,
        /// How we say who we are.
        authorization: Authorization,
        /// Certificates.
        tls: ChannelTls,
    },
    /// A channel of Slack, by its incoming webhook.
    Slack {
        /// The address of the webhook, which is a secret.
        url: SecretSource,
        /// Certificates.
        tls: ChannelTls,
    },
    /// A service of PagerDuty, by its integration key.
    Pagerduty {
        /// The key.
        routing_key: SecretSource,
        /// Where events go.
        url: String,
        /// Certificates.
        tls: ChannelTls,
    },
    /// One Alertmanager, or the peers of a cluster, of which each is told.
    Alertmanager {
        /// Where they are, without the path of the API.
        urls: Vec<String>,
        /// How we say who we are.
        authorization: Authorization,
        /// Certificates.
        tls: ChannelTls,
    },
}

impl ChannelTarget {
    /// Whether it needs certificates that files hold.
    pub(crate) fn has_certificates(&self) -> bool {
        match self {
            Self::Log => false,
            Self::Webhook { tls, .. }
            | Self::Slack { tls, .. }
            | Self::Pagerduty { tls, .. }
            | Self::Alertmanager { tls, .. } => *tls != ChannelTls::default(),
        }
    }
}

/// The header of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authorization {
    /// None.
    #[default]
    None,
    /// `Bearer` and a token.
    Bearer(SecretSource),
    /// `Basic`, of a name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: SecretSource,
    },
}

/// PEM files; those that are not given are the system's, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is a key of config/production.yaml and explained there"
)]
pub struct ChannelTls {
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The configuration itself.
    Value(Secret),
    /// A file, read anew each time, without the white space around it.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl ChannelTarget {
    /// Its kind.
    pub fn kind(&self) -> ChannelKind {
        match self {
            Self::Log => ChannelKind::Log,
            Self::Webhook { .. } => ChannelKind::Webhook,
            Self::Slack { .. } => ChannelKind::Slack,
            Self::Pagerduty { .. } => ChannelKind::Pagerduty,
            Self::Alertmanager { .. } => ChannelKind::Alertmanager,
        }
    }
}

impl SecretSource {
    /// The secret, as it is now.
    ///
    /// # Errors
    /// It is not there; says why, and never shows it.
    #[cfg(feature = "channels")]
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::Value(secret) => return Ok(secret.clone()),
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|cause| format!("cannot read {}: {cause}", path.display()))?,
            Self::Variable(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set"))?,
        };
        match text.trim() {
            "" => Err(format!("{self} is empty")),
            text => Ok(Secret::new(text.to_owned())),
        }
    }
}

/// Where it comes from, not what it is.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("the value"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

impl ChannelConfig {
    pub(super) fn read(channel: &mut Section<'_>) -> Self {
        let name = channel.required("name", |name: &String| checks::is_component(name));
        let noted = channel.mistakes();
        let kind: ChannelKind = channel.required("kind", |_| Ok(()));
        if channel.mistakes() > noted {
            channel.leave();
        }
        let severity = channel
            .optional("severity", |_| Ok(()))
            .unwrap_or(match kind {
                // A page wakes somebody.
                ChannelKind::Pagerduty => LeastSeverity::Critical,
                _ => LeastSeverity::Warning,
            });
        let send_resolved = channel
            .optional("send_resolved", |_| Ok(()))
            .unwrap_or(true);
        let secret_url = |url: &Secret| checks::is_channel_url(url.reveal());
        let target = match kind {
            ChannelKind::Log => ChannelTarget::Log,
            ChannelKind::Webhook => ChannelTarget::Webhook {
                url: secret(channel, ["url", "url_file", "url_env"], secret_url),
                signing_secret: optional_secret(
                    channel,
                    [
                        "signing_secret",
                        "signing_secret_file",
                        "signing_secret_env",
                    ],
                    |_| Ok(()),
                ),
                authorization: Authorization::read(channel),
                tls: ChannelTls::read(channel),
            },
            ChannelKind::Slack => ChannelTarget::Slack {
                url: secret(channel, ["url", "url_file", "url_env"], secret_url),
                tls: ChannelTls::read(channel),
            },
            ChannelKind::Pagerduty => ChannelTarget::Pagerduty {
                routing_key: secret(
                    channel,
                    ["routing_key", "routing_key_file", "routing_key_env"],
                    |_| Ok(()),
                ),
                url: channel
                    .secret("url", secret_url)
                    .map_or_else(|| PAGERDUTY.to_owned(), |url| url.reveal().to_owned()),
                tls: ChannelTls::read(channel),
            },
            ChannelKind::Alertmanager => ChannelTarget::Alertmanager {
                urls: channel
                    .secrets("urls", |url| checks::is_peer(url.reveal()))
                    .iter()
                    .map(|url| url.reveal().to_owned())
                    .collect(),
                authorization: Authorization::read(channel),
                tls: ChannelTls::read(channel),
            },
        };
        Self {
            name,
            severity,
            send_resolved,
            target,
        }
    }
}

/// A secret by one of three keys: itself, its file, its variable.
fn optional_secret(
    channel: &mut Section<'_>,
    keys: [&'static str; 3],
    check: impl Fn(&Secret) -> Result<(), String>,
) -> Option<SecretSource> {
    let [itself, file, variable] = keys;
    let is_path = |path: &Option<PathBuf>| match path {
        Some(_) => Ok(()),
        None => Err("a path".to_owned()),
    };
    let is_variable = |name: &String| match name.contains(['=', '\0']) || name.is_empty() {
        true => Err("the name of an environment variable".to_owned()),
        false => Ok(()),
    };
    let is_secret = |secret: &Secret| match secret.reveal().trim() {
        "" => Err("a text that is not empty".to_owned()),
        _ => check(secret),
    };
    let sources = [
        channel.secret(itself, is_secret).map(SecretSource::Value),
        channel
            .optional(file, is_path)
            .flatten()
            .map(SecretSource::File),
        channel
            .optional(variable, is_variable)
            .map(SecretSource::Variable),
    ];
    let mut sources = sources.into_iter().flatten();
    let source = sources.next();
    if sources.next().is_some() {
        channel.note_here(
            itself,
            format!("allowed: only one of {itself}, {file}, {variable}"),
        );
    }
    source
}

/// As [`optional_secret`], of one that must be there.
fn secret(
    channel: &mut Section<'_>,
    keys: [&'static str; 3],
    check: impl Fn(&Secret) -> Result<(), String>,
) -> SecretSource {
    let source = optional_secret(channel, keys, check);
    source.unwrap_or_else(|| {
        let [itself, file, variable] = keys;
        let detail = format!("missing; allowed: one of {itself}, {file}, {variable}");
        channel.note_here(itself, detail);
        SecretSource::Value(Secret::new(String::new()))
    })
}

impl Authorization {
    fn read(channel: &mut Section<'_>) -> Self {
        let token = optional_secret(
            channel,
            ["token", "token_file", "token_env"],
            checks::is_token,
        );
        let username = channel.optional("username", |name: &String| checks::is_username(name));
        let password = ["password", "password_file", "password_env"];
        let password = optional_secret(channel, password, |_| Ok(()));
        match (token, username, password) {
            (None, None, None) => Self::None,
            (Some(token), None, None) => Self::Bearer(token),
            (None, Some(username), Some(password)) => Self::Basic { username, password },
            _ => {
                let detail = "allowed: token, or username with password, or none of them";
                channel.note_here("token", detail.to_owned());
                Self::None
            }
        }
    }
}

impl ChannelTls {
    fn read(channel: &mut Section<'_>) -> Self {
        let tls = Self {
            ca_file: channel.optional("ca_file", |_| Ok(())).flatten(),
            cert_file: channel.optional("cert_file", |_| Ok(())).flatten(),
            key_file: channel.optional("key_file", |_| Ok(())).flatten(),
        };
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            channel.note_here(
                "cert_file",
                "allowed: both cert_file and key_file, or neither".to_owned(),
            );
        }
        tls
    }
}

knob::choices! {
    /// Least severity that a channel is told of.
    LeastSeverity { "warning" => Warning, "critical" => Critical }
    /// A label that alerts have in common that are told of together.
    GroupBy { "alertname" => Alertname, "severity" => Severity, "component" => Component }
    /// What a channel is.
    ChannelKind { "log" => Log, "webhook" => Webhook, "slack" => Slack, "pagerduty" => Pagerduty, "alertmanager" => Alertmanager }
}
