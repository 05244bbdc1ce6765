//! The binary `hudhud`: a command line around the library.

use clap::Parser as _;
use hudhud_server::cli::{Cli, Command, ConfigCommand, Options};
use hudhud_server::config::{Config, DEFAULT_FILE, RegistrationMode};
use hudhud_server::{Failure, Running, telemetry};
use std::io::Write as _;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(Box::new(cli.options))) {
        Command::Serve(options) => serve(&options),
        Command::Config(ConfigCommand::Default) => {
            say(DEFAULT_FILE.trim_end());
            Ok(())
        }
        Command::Config(ConfigCommand::Check(options)) => {
            options.config().map(|_| say("the configuration is valid")).map_err(Failure::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // The last word, even where the log is JSON or filtered: it says what to do.
            let _ = writeln!(std::io::stderr(), "hudhud: {failure}");
            ExitCode::from(&failure)
        }
    }
}

fn serve(options: &Options) -> Result<(), Failure> {
    let config = options.config()?;
    telemetry::init(&config.log).expect("nothing else in this process sets a log up");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a machine that can't start threads can't run a server");
    let outcome = runtime.block_on(run(config));
    // What still runs is beside the point of the stop: a connection that does not end, a file that is being compacted.
    runtime.shutdown_background();
    outcome
}

/// Runs from start to stop. A second signal does not wait for clients.
async fn run(config: Config) -> Result<(), Failure> {
    let mut signals = Signals::new();
    let running = tokio::select! {
        biased;
        () = signals.next() => return Ok(()),
        running = hudhud_server::start(config.clone()) => running?,
    };
    greet(&config, &running);
    let fatal = tokio::select! {
        biased;
        failure = running.failed() => Some(failure),
        () = signals.next() => None,
    };
    if let Some(failure) = fatal {
        return Err(failure);
    }
    tracing::info!("stopping: clients are told to connect elsewhere; a second signal does not wait for them");
    tokio::select! {
        biased;
        () = running.stop() => {}
        () = signals.next() => tracing::warn!("stopped without waiting for clients; nothing acknowledged is lost"),
    }
    Ok(())
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Self {
        let listen = |kind| signal(kind).expect("these signals can be listened for");
        Self { interrupt: listen(SignalKind::interrupt()), terminate: listen(SignalKind::terminate()) }
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn greet(config: &Config, running: &Running) {
    let address = running.address();
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    say(&format!("Hudhud {} listens on http://{address}", env!("CARGO_PKG_VERSION")));
    say(&format!("  to chat      make chat, or: chat --server http://{address}"));
    say(&format!("  data         {}", data.display()));
    say(match config.registration.mode {
        RegistrationMode::Open => "  register     anybody may",
        RegistrationMode::Invite => "  register     by invite: members make them",
        RegistrationMode::Closed => "  register     nobody may",
    });
    if let Some(code) = running.first_invite() {
        say(&format!("  first invite {code}"));
    }
    say("  to stop      Ctrl-C");
}

/// To the standard output, which nobody may be reading any more.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
