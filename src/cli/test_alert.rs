//! `memory-exporter test-alert`: whether messages arrive.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::alert::{Outlets, Trial, try_channel};
use crate::config::{ChannelConfig, Config, ConfigError, Profile};
use crate::error::Error;
use crate::exporter::identity;

use super::{EXIT_FAILURE, EXIT_USAGE};

#[derive(Debug, clap::Args)]
pub(super) struct TestAlert {
    /// Name of the channel, one of alerts.channels.
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// Tell of the end of the test instead, so that nothing stays open.
    #[arg(long)]
    resolve: bool,
    /// Configuration file.
    #[arg(long = "config.file", visible_alias = "config", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Defaults that the file overrides: production or development.
    #[arg(
        long = "config.profile",
        visible_alias = "profile",
        value_name = "NAME"
    )]
    profile: Option<Profile>,
}

impl TestAlert {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let profile = self.profile.unwrap_or_default();
        let config = Config::from_file(profile, self.config_file.as_deref())?;
        let channels = &config.alerts.channels;
        let Some(at) = channels
            .iter()
            .position(|channel| channel.name == self.channel)
        else {
            let names: Vec<&str> = channels
                .iter()
                .map(|channel| channel.name.as_str())
                .collect();
            let names = names.join(", ");
            eprintln!(
                "memory-exporter: there is no channel {:?} in alerts.channels: allowed: {names}",
                self.channel
            );
            return Ok(ExitCode::from(EXIT_USAGE));
        };
        let _ = super::log::log_to_stderr(config.log.level, config.log.format);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::thread)?;
        let trials = runtime.block_on(self.send(&config, at))?;
        let channel = &channels[at];
        println!(
            "channel: {} ({})",
            channel.name,
            channel.target.kind().as_str()
        );
        let mut code = ExitCode::SUCCESS;
        for Trial {
            target,
            title,
            answer,
        } in trials
        {
            println!("to: {target}\nmessage: {title}");
            match answer {
                Ok(answer) => println!("answer: {answer}"),
                Err(why) => {
                    println!("failed: {why}");
                    code = ExitCode::from(EXIT_FAILURE);
                }
            }
        }
        Ok(code)
    }

    async fn send(&self, config: &Config, at: usize) -> Result<Vec<Trial>, ConfigError> {
        // The mistakes of other channels are not of interest now.
        let outlets = Outlets::open_one(&config.alerts, at)?;
        let (job, instance) = identity(config);
        let channel: &ChannelConfig = &config.alerts.channels[at];
        let from = (job.as_str(), instance.as_str());
        Ok(try_channel(config, channel, &outlets, from, self.resolve).await)
    }
}
