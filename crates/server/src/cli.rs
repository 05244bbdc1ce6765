//! The command line.

use crate::config::{Config, ConfigError, Layers, LogFormat, RegistrationMode, keys};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use toml::Value;

/// Hudhud: a messaging server in one binary.
#[derive(Parser, Debug)]
#[command(version, args_conflicts_with_subcommands = true, after_help = crate::exit::HELP)]
pub struct Cli {
    /// What to do; `serve` when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `serve`, so that its name can be left out.
    #[command(flatten)]
    pub options: Options,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the server (what happens without a subcommand).
    Serve(Box<Options>),
    /// Copy everything into a folder, while the server runs or not.
    #[command(name = "backup")]
    BackUp(Box<BackUp>),
    /// Make a data folder of a backup.
    Restore(Restore),
    /// Read all of a data folder whose server is stopped, or of a backup, and say what is wrong with it.
    Verify(Box<Verify>),
    /// Make what is on servers ready for this version: keyspaces, tables, the topic of the bus. Safe to do again, and from several nodes.
    Migrate(Box<Migrate>),
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Manage accounts, conversations, invites, limits, reports and admin tokens of a server that runs.
    Admin(Box<crate::admin::command::Admin>),
    /// Measure what the server needs of this machine, and say what to do about what is missing.
    Doctor(Box<Doctor>),
    /// Print the completions of a shell.
    Completions {
        /// Which.
        shell: Shell,
    },
    /// Write the manual pages of this program and its subcommands into a folder.
    Man {
        /// The folder, which must be there.
        folder: PathBuf,
    },
}

/// A backup.
#[derive(Args, Clone, Debug)]
pub struct BackUp {
    /// The folder to write, which must not be there yet. It appears once the backup is whole.
    #[arg(value_name = "FOLDER")]
    pub to: PathBuf,
    /// How fast it is written, in bytes a second.
    #[arg(long, value_name = "BYTES", default_value_t = crate::safekeeping::BYTES_PER_S)]
    pub bytes_per_s: u64,
    /// Where the data is: the options of the server that has it.
    #[command(flatten)]
    pub options: Options,
}

/// The way back.
#[derive(Args, Clone, Debug)]
pub struct Restore {
    /// The backup.
    #[arg(value_name = "BACKUP")]
    pub from: PathBuf,
    /// The data folder to make, which must not be there or be empty.
    #[arg(long, env = "HUDHUD_DATA", value_name = "FOLDER")]
    pub data: PathBuf,
    /// Hold the checksum of every conversation against the backup's.
    #[arg(long)]
    pub verify: bool,
    /// The epoch that the bus begins, above every one that was ever begun from this backup or a copy of it [default: the backup
    /// remembers].
    #[arg(long, value_name = "NUMBER")]
    pub epoch: Option<u16>,
}

/// A look at everything.
#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// The data folder or the backup [default: the data folder of the options].
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// The options of the server that has the data.
    #[command(flatten)]
    pub options: Options,
}

/// Databases and bus made ready.
#[derive(Args, Clone, Debug)]
pub struct Migrate {
    /// Print what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Where they are: the options of the servers.
    #[command(flatten)]
    pub options: Options,
}

/// A look at the machine.
#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Findings as JSON, an object a line: check, verdict (ok, warn, fail), measured, advice.
    #[arg(long)]
    pub json: bool,
    /// The URL that clients use, to be asked through whatever stands before the server. It must run then.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// A certificate in PEM that leads to the one at that URL, where it is of no usual authority.
    #[arg(long, value_name = "FILE")]
    pub authority_file: Option<PathBuf>,
    /// The options of the server.
    #[command(flatten)]
    pub options: Options,
}

/// What can be done with a configuration.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the default configuration file, with comments.
    Default,
    /// Print every key with what it does, may be and is by default, as Markdown.
    Doc,
    /// Say whether the server would start with this configuration; nothing is opened.
    Check(Box<Options>),
}

/// What goes before the environment and the configuration file. Everything else is in these.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// The configuration file; none is needed.
    #[arg(long, env = "HUDHUD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where WebSockets and HTTP are served [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The folder of the embedded engines [default: ./hudhud-data].
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// This gateway's name, unique in the cluster [default: gateway-1].
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// The URL of the database of conversations [default: embedded, in the data folder].
    #[arg(long, value_name = "URL")]
    pub messages: Option<String>,
    /// The URL of the database of accounts [default: embedded, in the data folder].
    #[arg(long, value_name = "URL")]
    pub directory: Option<String>,
    /// The URL of the message bus [default: embedded, in the data folder].
    #[arg(long, value_name = "URL")]
    pub bus: Option<String>,
    /// The URL of the cache [default: in the memory of this process].
    #[arg(long, value_name = "URL")]
    pub cache: Option<String>,
    /// Shards of the bus, fixed when the data folder is made [default: 16].
    #[arg(long, value_name = "NUMBER")]
    pub shards: Option<u32>,
    /// Who may register [default: open].
    #[arg(long, value_name = "MODE")]
    pub registration: Option<RegistrationMode>,
    /// Where health, readiness and metrics are served, to operators alone [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub operators_listen: Option<SocketAddr>,
    /// Whether GET /metrics answers [default: true].
    #[arg(long, value_name = "BOOL")]
    pub metrics: Option<bool>,
    /// How log lines look [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or module=level,... [default: info].
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

impl Options {
    /// The configuration: defaults, the file over them, the environment, these over all. Checked.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let variables = std::env::vars_os().map(|(name, value)| {
            let text = |text: OsString| text.to_string_lossy().into_owned();
            (text(name), text(value))
        });
        self.config_in(variables)
    }

    /// The same with an environment of the caller's.
    pub fn config_in(&self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        if let Some(path) = &self.config {
            layers.read(path)?;
        }
        layers.environment(variables)?;
        for (flag, value) in self.flags() {
            let key = keys::all().find(|key| key.flag == flag).expect("config/keys.rs has every flag");
            if let Some(value) = value {
                layers.flag(key.flag, key.path, value)?;
            }
        }
        let config = layers.finish()?;
        config.check()?;
        Ok(config)
    }

    fn flags(&self) -> [(&'static str, Option<Value>); 13] {
        fn text(value: &Option<String>) -> Option<Value> {
            value.as_deref().map(Value::from)
        }
        fn named(value: Option<impl serde::Serialize>) -> Option<Value> {
            value.map(|value| Value::try_from(value).expect("addresses, paths and names are text"))
        }
        [
            ("--listen", named(self.listen)),
            ("--data", named(self.data.as_ref())),
            ("--gateway", text(&self.gateway)),
            ("--messages", text(&self.messages)),
            ("--directory", text(&self.directory)),
            ("--bus", text(&self.bus)),
            ("--cache", text(&self.cache)),
            ("--shards", self.shards.map(|number| Value::from(i64::from(number)))),
            ("--registration", named(self.registration)),
            ("--operators-listen", named(self.operators_listen)),
            ("--metrics", self.metrics.map(Value::from)),
            ("--log-format", named(self.log_format)),
            ("--log", text(&self.log)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// The command line is sound, and `serve` can be left out.
    #[test]
    fn serve_is_the_default() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["hudhud", "--listen", "[::1]:9000", "--registration", "invite"]);
        assert!(cli.command.is_none());
        let config = cli.options.config_in([]).expect("valid");
        assert_eq!(config.listen.to_string(), "[::1]:9000");
        assert_eq!(config.registration.mode, RegistrationMode::Invite);
    }

    /// Flags go before the environment and the file, and each is that of a key.
    #[test]
    fn a_flag_goes_before_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hudhud.toml");
        std::fs::write(&file, "shards = 4\ngateway = \"east\"\n").expect("written");
        let options = Options { config: Some(file), shards: Some(8), ..Options::default() };
        let config = options.config_in([("HUDHUD_SHARDS".to_owned(), "6".to_owned())]).expect("valid");
        assert_eq!((config.shards, config.gateway.as_str()), (8, "east"));
        let flags: Vec<&str> = options.flags().iter().map(|(flag, _)| *flag).collect();
        let serve = Cli::command();
        for argument in serve.get_arguments().filter_map(clap::Arg::get_long).filter(|&it| it != "config") {
            assert!(flags.contains(&format!("--{argument}").as_str()), "--{argument} does nothing");
        }
        assert!(keys::all().all(|key| key.flag.is_empty() || flags.contains(&key.flag)));
    }
}
