//! Logs: to the standard error, as text or JSON. They carry ids, never contents, keys, tokens or handles.

use crate::config::{Log, LogFormat};
use std::io::{self, IsTerminal as _};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Sets the log of this process up, and has panics logged with the rest. To be called once.
pub fn init(log: &Log) -> Result<(), TryInitError> {
    let filter = EnvFilter::new(&log.filter);
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => subscriber.finish().try_init()?,
        LogFormat::Json => subscriber.json().flatten_event(true).finish().try_init()?,
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(location, message, "a task panicked: this is a bug");
    }));
    Ok(())
}
