//! The log of the program, on standard error.

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, reload};

use crate::config::{LogFormat, LogLevel};

/// Writes the log to standard error. Gives back how another level is set, where it is not for `RUST_LOG` to say.
pub(super) fn log_to_stderr(
    level: LogLevel,
    format: LogFormat,
) -> Box<dyn Fn(LogLevel) + Send + Sync> {
    let given = EnvFilter::try_from_default_env().ok();
    let is_given = given.is_some();
    let (filter, handle) = reload::Layer::new(given.unwrap_or_else(|| level.as_str().into()));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Box::new(move |level| {
        if !is_given {
            // It fails only when there is no log any more.
            let _ = handle.reload(EnvFilter::from(level.as_str()));
        }
    })
}
