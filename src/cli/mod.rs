//! Floor 8: the command line, in the ecosystem's way.

mod generate;
mod log;
mod run;
mod signals;
mod test_alert;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, LeakThresholds, LogFormat, Profile};
use crate::error::Error;
use crate::exposition::Gate;
use crate::watch::replay;

use generate::Generate;
use run::{Run, start};
use test_alert::TestAlert;

/// Wrong usage or configuration, as `sysexits.h` has it.
const EXIT_USAGE: u8 = 64;
const EXIT_FAILURE: u8 = 1;

/// Prometheus-native memory exporter. Without a target it watches itself; heap metrics exist only for a process that carries the
/// exporter as a library.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read configuration files, and the web configuration files that they name, and say everything that is wrong with them.
    CheckConfig {
        /// Files to check.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Defaults that the files override: production or development.
        #[arg(long = "config.profile", value_name = "NAME")]
        profile: Option<Profile>,
    },
    /// Look at what a leak detector saw (leaks.recording) again: with the thresholds of then, or with those of a configuration.
    Analyse {
        /// The recording.
        file: PathBuf,
        /// Configuration file whose section leaks applies.
        #[arg(long = "config.file", value_name = "FILE")]
        config_file: Option<PathBuf>,
        /// Defaults that the file overrides: production or development.
        #[arg(long = "config.profile", value_name = "NAME")]
        profile: Option<Profile>,
        /// Format of the report: text or json.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: LogFormat,
    },
    /// Write rules for Prometheus, dashboards for Grafana and Alertmanager's configuration, as the catalog and a configuration have them.
    Generate(Box<Generate>),
    /// Write completions for a shell to standard output: bash, elvish, fish, powershell or zsh.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for the program and one for each command.
    Man {
        /// Directory that they are written into, made if there is none.
        #[arg(long, value_name = "DIRECTORY", default_value = ".")]
        out: PathBuf,
    },
    /// Send a test message through a channel of alerts.channels, and print what comes back.
    TestAlert(TestAlert),
}

/// Runs the program and says with which code it ends: 0 after a signal, 1 when it cannot start, 64 for wrong usage or configuration.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    match arguments.command {
        Some(Command::CheckConfig { files, profile }) => check(&files, profile.unwrap_or_default()),
        Some(Command::Analyse {
            file,
            config_file,
            profile,
            format,
        }) => match analyse(&file, config_file.as_deref(), profile, format) {
            Ok(code) => code,
            Err(error) => failed(&error),
        },
        Some(Command::Generate(generate)) => match generate.run() {
            Ok(code) => code,
            Err(error) => failed(&error),
        },
        Some(Command::Completions { shell }) => {
            let mut command = Arguments::command();
            let name = command.get_name().to_owned();
            let mut completions = Vec::new();
            clap_complete::generate(shell, &mut command, name, &mut completions);
            // Whoever reads only the beginning has what he wanted.
            let _ = std::io::stdout().write_all(&completions);
            ExitCode::SUCCESS
        }
        Some(Command::Man { out }) => {
            let made = std::fs::create_dir_all(&out);
            match made.and_then(|()| clap_mangen::generate_to(Arguments::command(), &out)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    complain(&format!("cannot write to {}: {error}", out.display()));
                    ExitCode::from(EXIT_FAILURE)
                }
            }
        }
        Some(Command::TestAlert(test)) => match test.run() {
            Ok(code) => code,
            Err(error) => failed(&error),
        },
        None => match start(arguments.run) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        },
    }
}

fn failed(error: &Error) -> ExitCode {
    complain(error);
    ExitCode::from(if error.is_config() {
        EXIT_USAGE
    } else {
        EXIT_FAILURE
    })
}

fn analyse(
    file: &Path,
    config_file: Option<&Path>,
    profile: Option<Profile>,
    format: LogFormat,
) -> Result<ExitCode, Error> {
    // Without a word on it, what was valid then is valid now.
    let thresholds = match (config_file, profile) {
        (None, None) => None,
        (file, profile) => {
            let config = Config::from_file(profile.unwrap_or_default(), file)?;
            Some(config.leaks.thresholds)
        }
    };
    match report_on(file, thresholds, format) {
        Ok(report) => {
            // Whoever reads only the beginning has what he wanted.
            let _ = std::io::stdout().write_all(report.as_bytes());
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            complain(&error);
            Ok(ExitCode::from(EXIT_FAILURE))
        }
    }
}

/// The report of `analyse` on a recording: apart from the program, so that a fuzzer can ask for it.
///
/// # Errors
/// What is wrong with the recording.
pub fn report_on(
    recording: &Path,
    thresholds: Option<LeakThresholds>,
    format: LogFormat,
) -> Result<String, String> {
    let report = replay(recording, thresholds).map_err(|error| error.to_string())?;
    match format {
        LogFormat::Text => Ok(report.to_string()),
        LogFormat::Json => serde_json::to_string_pretty(&report)
            .map(|json| json + "\n")
            .map_err(|error| error.to_string()),
    }
}

fn check(files: &[PathBuf], profile: Profile) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let checked = Config::from_file(profile, Some(file));
        match checked.and_then(|config| Gate::open(&config.web)) {
            Ok(_) => println!("{}: ok", file.display()),
            Err(error) => {
                for problem in error.problems() {
                    eprintln!("{}: {problem}", file.display());
                }
                code = ExitCode::from(EXIT_USAGE);
            }
        }
    }
    code
}

fn complain(error: &impl std::fmt::Display) {
    for line in error.to_string().lines() {
        eprintln!("memory-exporter: {line}");
    }
}
