//! From the configuration of a channel to what tells people, with everything that is wrong with it.

use crate::config::{ChannelConfig, ChannelTarget, Delivery, Problem};

use super::Channel;
use super::log::Log;

/// The channels that a configuration makes: one, or one for each peer of a cluster of Alertmanagers, so that one that is down delays no
/// other. `key` is the path of the configuration; what is wrong is noted in `problems`. Must be called in the runtime that sends.
#[cfg_attr(
    not(feature = "channels"),
    allow(unused_variables, reason = "nothing is delivered but to the log")
)]
pub(crate) fn open(
    config: &ChannelConfig,
    delivery: &Delivery,
    key: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Box<dyn Channel>> {
    match &config.target {
        ChannelTarget::Log => vec![Box::new(Log)],
        #[cfg(feature = "channels")]
        target => http::Opening {
            key,
            delivery,
            problems,
        }
        .channels(&config.name, target),
        #[cfg(not(feature = "channels"))]
        _ => {
            let detail = "this build has no channel of that kind: allowed: log, or a build with the cargo feature channels";
            problems.push(Problem::of_key(&format!("{key}.kind"), detail.to_owned()));
            Vec::new()
        }
    }
}

#[cfg(feature = "channels")]
mod http {
    use std::path::PathBuf;

    use crate::client::{Certificates, HttpClient, TlsFile, TlsFiles};
    use crate::config::{
        Authorization, ChannelTarget, ChannelTls, Delivery, Problem, SecretSource,
    };

    use super::super::Channel;
    use super::super::alertmanager::Alertmanager;
    use super::super::pagerduty::Pagerduty;
    use super::super::post::Post;
    use super::super::secrets::Secrets;
    use super::super::slack::Slack;
    use super::super::webhook::{Webhook, signing_key};

    /// A channel that is being made.
    pub(super) struct Opening<'a> {
        pub(super) key: &'a str,
        pub(super) delivery: &'a Delivery,
        pub(super) problems: &'a mut Vec<Problem>,
    }

    impl Opening<'_> {
        pub(super) fn channels(
            mut self,
            name: &str,
            target: &ChannelTarget,
        ) -> Vec<Box<dyn Channel>> {
            match target {
                ChannelTarget::Log => Vec::new(),
                ChannelTarget::Webhook {
                    url,
                    signing_secret,
                    authorization,
                    tls,
                } => {
                    self.url(url);
                    if let Some(source) = signing_secret {
                        let key = signing_key(source, &mut Secrets::default());
                        self.note("signing_secret", source, key);
                    }
                    self.authorization(authorization);
                    one(self.post(tls).map(|post| Webhook {
                        name: name.to_owned(),
                        post,
                        url: url.clone(),
                        signing_secret: signing_secret.clone(),
                        authorization: authorization.clone(),
                    }))
                }
                ChannelTarget::Slack { url, tls } => {
                    self.url(url);
                    let url = url.clone();
                    one(self.post(tls).map(|post| Slack { post, url }))
                }
                ChannelTarget::Pagerduty {
                    routing_key,
                    url,
                    tls,
                } => {
                    self.note("routing_key", routing_key, routing_key.read());
                    let post = self.post(tls);
                    let channel = post.map(|post| Pagerduty::new(url, post, routing_key.clone()));
                    one(channel.and_then(|channel| self.parsed("url", channel)))
                }
                ChannelTarget::Alertmanager {
                    urls,
                    authorization,
                    tls,
                } => {
                    self.authorization(authorization);
                    let Some(post) = self.post(tls) else {
                        return Vec::new();
                    };
                    let mut peers = Vec::new();
                    for (at, url) in urls.iter().enumerate() {
                        let (post, authorization) = (post.clone(), authorization.clone());
                        let interval = self.delivery.resend_interval;
                        let peer = Alertmanager::new(url, post, authorization, interval);
                        peers.extend(one(self.parsed(&format!("urls[{at}]"), peer)));
                    }
                    peers
                }
            }
        }

        /// Tries a URL, which is read again for each message.
        fn url(&mut self, source: &SecretSource) {
            self.note("url", source, Secrets::default().url(source));
        }

        /// The same for what the header is made of.
        fn authorization(&mut self, authorization: &Authorization) {
            let (name, source) = match authorization {
                Authorization::None => return,
                Authorization::Bearer(source) => ("token", source),
                Authorization::Basic { password, .. } => ("password", password),
            };
            let header = Secrets::default().authorization(authorization);
            self.note(name, source, header);
        }

        fn note<T>(&mut self, name: &str, source: &SecretSource, tried: Result<T, String>) {
            let Err(detail) = tried else { return };
            let suffix = match source {
                SecretSource::Value(_) => "",
                SecretSource::File(_) => "_file",
                SecretSource::Variable(_) => "_env",
            };
            let key = format!("{}.{name}{suffix}", self.key);
            self.problems.push(Problem::of_key(&key, detail));
        }

        fn parsed<T>(&mut self, name: &str, parsed: Result<T, url::ParseError>) -> Option<T> {
            let key = format!("{}.{name}", self.key);
            let note = |cause: url::ParseError| {
                let detail = format!("cannot be used: {cause}");
                self.problems.push(Problem::of_key(&key, detail));
            };
            parsed.map_err(note).ok()
        }

        /// What sends, unless the certificates are not there.
        fn post(&mut self, tls: &ChannelTls) -> Option<Post> {
            let file = |name: &str, path: &Option<PathBuf>| {
                Some(TlsFile {
                    origin: format!("{}.{name}", self.key),
                    path: path.clone()?,
                })
            };
            let files = TlsFiles {
                ca: file("ca_file", &tls.ca_file),
                cert: file("cert_file", &tls.cert_file),
                key: file("key_file", &tls.key_file),
            };
            let before = self.problems.len();
            let certificates = Certificates::read(&files, self.problems);
            if self.problems.len() > before {
                return None;
            }
            let note = |cause| {
                let detail = format!("the certificates cannot be used: {cause}");
                self.problems.push(Problem::of_key(self.key, detail));
            };
            let client = HttpClient::new(&certificates).map_err(note).ok()?;
            Some(Post::new(client, self.delivery.timeout))
        }
    }

    /// A channel that could be made.
    fn one(channel: Option<impl Channel + 'static>) -> Vec<Box<dyn Channel>> {
        let boxed = channel.map(|channel| Box::new(channel) as Box<dyn Channel>);
        boxed.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::LeastSeverity;

    use super::*;

    const DELIVERY: Delivery = Delivery {
        timeout: Duration::from_secs(10),
        most_waiting: 100,
        give_up_after: Duration::from_secs(86_400),
        resend_interval: Duration::from_secs(60),
    };

    /// What is made of a channel, by where it goes, and what is wrong with it.
    async fn opened(target: ChannelTarget) -> (Vec<String>, Vec<String>) {
        let config = ChannelConfig {
            name: "team".to_owned(),
            severity: LeastSeverity::Warning,
            send_resolved: true,
            target,
        };
        let mut problems = Vec::new();
        let channels = open(&config, &DELIVERY, "alerts.channels[1]", &mut problems);
        let shown = format!("{channels:?} {problems:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        let targets = channels.iter().map(|channel| channel.target()).collect();
        let problems = problems.iter().map(ToString::to_string).collect();
        (targets, problems)
    }

    #[tokio::test]
    async fn the_log_needs_nothing() {
        let (targets, problems) = opened(ChannelTarget::Log).await;
        assert_eq!(targets, ["the log"]);
        assert_eq!(problems, [""; 0]);
    }

    #[cfg(not(feature = "channels"))]
    #[tokio::test]
    async fn a_build_without_channels_says_so() {
        let (targets, problems) = opened(ChannelTarget::Slack {
            url: crate::config::SecretSource::Variable("URL".to_owned()),
            tls: crate::config::ChannelTls::default(),
        })
        .await;
        assert_eq!(targets, [""; 0]);
        assert_eq!(
            problems,
            [
                "alerts.channels[1].kind: this build has no channel of that kind: allowed: log, or a build with the cargo feature channels"
            ]
        );
    }

    #[cfg(feature = "channels")]
    mod http {
        use std::path::PathBuf;

        use crate::config::{Authorization, ChannelTls, Secret, SecretSource};

        use super::*;

        fn value(text: &str) -> SecretSource {
            SecretSource::Value(Secret::new(text.to_owned()))
        }

        fn missing() -> SecretSource {
            SecretSource::File(PathBuf::from("/nowhere/secret"))
        }

        #[tokio::test]
        async fn a_target_shows_nothing_secret() {
            let tls = ChannelTls::default;
            for (target, expected) in [
                (
                    ChannelTarget::Webhook {
                        url: value("https://hooks.example.org:8443/s3cret?key=s3cret"),
                        signing_secret: Some(value("s3cret")),
                        authorization: Authorization::Bearer(value("s3cret")),
                        tls: tls(),
                    },
                    vec!["https://hooks.example.org:8443"],
                ),
                (
                    ChannelTarget::Slack {
                        url: value("https://hooks.slack.com/services/T0/B0/s3cret"),
                        tls: tls(),
                    },
                    vec!["https://hooks.slack.com"],
                ),
                (
                    ChannelTarget::Pagerduty {
                        routing_key: value("s3cret"),
                        url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
                        tls: tls(),
                    },
                    vec!["https://events.pagerduty.com/v2/enqueue"],
                ),
                (
                    ChannelTarget::Alertmanager {
                        urls: vec!["http://a:9093".to_owned(), "http://b:9093/am/".to_owned()],
                        authorization: Authorization::Basic {
                            username: "shop".to_owned(),
                            password: value("s3cret"),
                        },
                        tls: tls(),
                    },
                    vec![
                        "http://a:9093/api/v2/alerts",
                        "http://b:9093/am/api/v2/alerts",
                    ],
                ),
            ] {
                let (targets, problems) = opened(target).await;
                assert_eq!(targets, expected);
                assert_eq!(problems, [""; 0]);
            }
        }

        #[tokio::test]
        async fn all_that_is_wrong_is_told_at_once() {
            let (_, problems) = opened(ChannelTarget::Webhook {
                url: missing(),
                signing_secret: Some(value("whsec_s3cret!")),
                authorization: Authorization::Bearer(SecretSource::Variable(
                    "MEMORY_EXPORTER_TEST_UNSET".to_owned(),
                )),
                tls: ChannelTls {
                    ca_file: Some("/nowhere/ca.pem".into()),
                    ..ChannelTls::default()
                },
            })
            .await;
            let not_there = "No such file or directory (os error 2)";
            assert_eq!(
                problems,
                [
                    &format!(
                        "alerts.channels[1].url_file: cannot read /nowhere/secret: {not_there}"
                    ),
                    "alerts.channels[1].signing_secret: the value cannot be used: no base64 after whsec_",
                    "alerts.channels[1].token_env: the environment variable MEMORY_EXPORTER_TEST_UNSET is not set",
                    &format!(
                        "alerts.channels[1].ca_file: cannot read /nowhere/ca.pem: {not_there}"
                    ),
                ]
            );
        }

        #[tokio::test]
        async fn a_secret_that_is_empty_or_of_no_use_is_told_of() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("secret");
            std::fs::write(&path, " \n").unwrap();
            let tls = ChannelTls::default;
            let file = || SecretSource::File(path.clone());
            let (_, problems) = opened(ChannelTarget::Pagerduty {
                routing_key: file(),
                url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
                tls: tls(),
            })
            .await;
            let shown = path.display();
            assert_eq!(
                problems,
                [format!(
                    "alerts.channels[1].routing_key_file: the file {shown} is empty"
                )]
            );
            std::fs::write(&path, "s3cret\ns3cret").unwrap();
            let (_, problems) = opened(ChannelTarget::Alertmanager {
                urls: vec!["http://a:9093".to_owned()],
                authorization: Authorization::Bearer(file()),
                tls: tls(),
            })
            .await;
            assert_eq!(
                problems,
                [format!(
                    "alerts.channels[1].token_file: the file {shown} cannot be used: allowed: a token of visible characters only"
                )]
            );
            let (_, problems) = opened(ChannelTarget::Slack {
                url: file(),
                tls: tls(),
            })
            .await;
            assert!(
                problems[0].starts_with("alerts.channels[1].url_file: the file "),
                "{problems:?}"
            );
            assert_eq!(problems.len(), 1);
        }
    }
}
