//! The binary `hudhud`: a command line around the library.

use clap::{CommandFactory as _, Parser as _};
use hudhud_server::cli::{BackUp, Cli, Command, ConfigCommand, Doctor, Migrate, Options, Restore, Verify};
use hudhud_server::config::{self, Config, Log, RegistrationMode};
use hudhud_server::doctor::{self, Verdict};
use hudhud_server::safekeeping::{self, Backup, Compare};
use hudhud_server::{Failure, Mode, Running, open_engines, telemetry};
use std::io::Write as _;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

const NAME: &str = "hudhud";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(Box::new(cli.options))) {
        Command::Serve(options) => serve(&options),
        Command::BackUp(command) => back_up(&command),
        Command::Restore(command) => restore(&command),
        Command::Verify(command) => verify(&command),
        Command::Admin(command) => block_on(&quiet(), hudhud_server::admin::run(&command)),
        Command::Migrate(command) => migrate(&command),
        Command::Doctor(command) => doctor(&command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), NAME, &mut std::io::stdout());
            Ok(())
        }
        Command::Man { folder } => clap_mangen::generate_to(Cli::command().name(NAME), &folder)
            .map_err(|source| Failure::File { path: folder, source }),
        Command::Config(ConfigCommand::Default) => {
            say(config::default_file().trim_end());
            Ok(())
        }
        Command::Config(ConfigCommand::Doc) => {
            say(config::page().trim_end());
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
    block_on(&config.log.clone(), run(config))
}

fn block_on(log: &Log, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    telemetry::init(log).expect("nothing else in this process sets a log up");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a machine that can't start threads can't run a server");
    let outcome = runtime.block_on(work);
    // What still runs is beside the point of the stop: a connection that does not end, a file that is being compacted.
    runtime.shutdown_background();
    outcome
}

/// The log of commands that talk to people themselves.
fn quiet() -> Log {
    Log { filter: "warn".into(), ..Log::default() }
}

/// Asks the server that has the data, or opens the data where there is none.
fn back_up(command: &BackUp) -> Result<(), Failure> {
    let config = command.options.config()?;
    let to = std::path::absolute(&command.to).map_err(|source| Failure::File { path: command.to.clone(), source })?;
    block_on(&config.log.clone(), async move {
        let bytes_per_s = command.bytes_per_s;
        let backup = match hudhud_server::admin::back_up(&config.data, &to, bytes_per_s).await {
            Some(answer) => answer?,
            None => {
                let engines = open_engines(&config).await?;
                let Some(embedded) = engines.embedded.clone() else {
                    return Err(Failure::Refused(safekeeping::NOT_EMBEDDED.into()));
                };
                let backup = tokio::task::spawn_blocking(move || {
                    safekeeping::back_up(&embedded, &to, bytes_per_s, Default::default())
                });
                let backup = backup.await.expect("a backup does not panic");
                engines.close().await?;
                backup?
            }
        };
        let Backup { folder, rows, records, conversations, bytes, took_ms } = backup;
        say(&format!("{} is a whole backup", folder.display()));
        say(&format!("  rows           {rows}"));
        say(&format!("  conversations  {conversations}"));
        say(&format!("  not applied    {records} records"));
        say(&format!("  bytes          {bytes}, in {took_ms} ms"));
        Ok(())
    })
}

fn restore(command: &Restore) -> Result<(), Failure> {
    block_on(&Log::default(), async {
        let compare = if command.verify { Compare::Conversations } else { Compare::Nothing };
        let restored = safekeeping::restore(&command.from, &command.data, compare, command.epoch).await?;
        say(&format!("{} is a data folder again", command.data.display()));
        say("  checksums      of all files: as they were written");
        say(&format!("  rows           {}", restored.rows));
        say(&match command.verify {
            true => {
                format!("  conversations  {} of {} have equal checksums", restored.compared, restored.conversations)
            }
            false => format!("  conversations  {}, not compared: that is --verify", restored.conversations),
        });
        say(&format!("  applied        {} records that were accepted before the backup", restored.replayed));
        say(&format!("  epoch          {}", restored.epoch));
        Ok(())
    })
}

fn verify(command: &Verify) -> Result<(), Failure> {
    let config = command.options.config()?;
    block_on(&config.log.clone(), async {
        let verdict = safekeeping::verify(&config, command.folder.as_deref()).await?;
        for finding in &verdict.findings {
            say(finding);
        }
        if verdict.found > 0 {
            let why = format!("{} findings: restore a backup; docs/reliability.md says what each means", verdict.found);
            return Err(Failure::Damaged(why));
        }
        say("everything is as it should be");
        say(&format!("  rows           {}", verdict.rows));
        say(&format!("  conversations  {}", verdict.conversations));
        say(&format!("  not applied    {} records", verdict.records));
        Ok(())
    })
}

fn migrate(command: &Migrate) -> Result<(), Failure> {
    let config = command.options.config()?;
    let mode = if command.dry_run { Mode::DryRun } else { Mode::Apply };
    block_on(&Log { filter: "warn".into(), ..config.log.clone() }, async {
        let migrations = hudhud_server::migrate(&config, mode).await?;
        let statements: Vec<&String> = migrations.iter().flat_map(|migration| &migration.statements).collect();
        for statement in &statements {
            say(&format!("{statement};"));
        }
        say(&match (statements.len(), mode) {
            (0, _) => "-- nothing to do: databases and bus are as this version needs them".to_owned(),
            (count, Mode::DryRun) => format!("-- {count} statements, not carried out: that is without --dry-run"),
            (count, Mode::Apply) => format!("-- {count} statements, carried out"),
        });
        Ok(())
    })
}

fn doctor(command: &Doctor) -> Result<(), Failure> {
    let config = command.options.config()?;
    block_on(&Log { filter: "warn".into(), ..config.log.clone() }, async {
        let findings = doctor::examine(&config, command.public_url.as_deref(), command.authority_file.as_deref()).await;
        for finding in &findings {
            say(&match command.json {
                true => serde_json::to_string(finding).expect("texts are JSON"),
                false => finding.to_string(),
            });
        }
        match findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count() {
            0 => Ok(()),
            failed => Err(Failure::Unfit(failed)),
        }
    })
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

/// A file would grow beyond what the process may write (`ulimit -f`). The number is the same on Linux, macOS and the BSDs.
const SIGXFSZ: i32 = 25;

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Caught and never waited for: the write then fails with an error that says what to do, where the signal would end the
    /// process without a word.
    _file_size: Signal,
}

impl Signals {
    fn new() -> Self {
        let listen = |kind| signal(kind).expect("these signals can be listened for");
        Self {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            _file_size: listen(SignalKind::from_raw(SIGXFSZ)),
        }
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
    let (version, operators) = (env!("CARGO_PKG_VERSION"), running.operators_address());
    match running.address().map(|address| format!("{}://{address}", running.scheme())) {
        Some(url) => {
            say(&format!("Hudhud {version} listens on {url}, for its operators on http://{operators}"));
            say(&format!("  to chat      make chat, or: chat --server {url}"));
        }
        None => say(&format!("Hudhud {version} dispatches; it listens for its operators on http://{operators}")),
    }
    if !config.has_peers() {
        let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
        say(&format!("  data         {}", data.display()));
    }
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
