//! The command line.

use crate::config::{Config, ConfigError, LogFormat, RegistrationMode};
use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

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
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
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

/// What can be done with a configuration.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the default configuration file, with comments.
    Default,
    /// Say whether the server would start with this configuration; nothing is opened.
    Check(Box<Options>),
}

/// What goes before the configuration file. Everything else is in the file alone.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// The configuration file; none is needed.
    #[arg(long, env = "HUDHUD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where WebSockets and HTTP are served [default: 127.0.0.1:8080].
    #[arg(long, env = "HUDHUD_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The folder of the embedded engines [default: ./hudhud-data].
    #[arg(long, env = "HUDHUD_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// This gateway's name, unique in the cluster [default: gateway-1].
    #[arg(long, env = "HUDHUD_GATEWAY", value_name = "NAME")]
    pub gateway: Option<String>,
    /// The URL of the database of conversations [default: embedded, in the data folder].
    #[arg(long, env = "HUDHUD_MESSAGES", value_name = "URL")]
    pub messages: Option<String>,
    /// The URL of the database of accounts [default: embedded, in the data folder].
    #[arg(long, env = "HUDHUD_DIRECTORY", value_name = "URL")]
    pub directory: Option<String>,
    /// The URL of the message bus [default: embedded, in the data folder].
    #[arg(long, env = "HUDHUD_BUS", value_name = "URL")]
    pub bus: Option<String>,
    /// The URL of the cache [default: in the memory of this process].
    #[arg(long, env = "HUDHUD_CACHE", value_name = "URL")]
    pub cache: Option<String>,
    /// Shards of the bus, fixed when the data folder is made [default: 16].
    #[arg(long, env = "HUDHUD_SHARDS", value_name = "NUMBER")]
    pub shards: Option<u32>,
    /// Who may register [default: open].
    #[arg(long, env = "HUDHUD_REGISTRATION", value_name = "MODE")]
    pub registration: Option<RegistrationMode>,
    /// Whether GET /metrics answers [default: true].
    #[arg(long, env = "HUDHUD_METRICS", value_name = "BOOL")]
    pub metrics: Option<bool>,
    /// How log lines look [default: text].
    #[arg(long, env = "HUDHUD_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, trace, or module=level,... [default: info].
    #[arg(long, env = "HUDHUD_LOG", value_name = "FILTER")]
    pub log: Option<String>,
}

impl Options {
    /// The configuration: defaults, the file over them, these over both. Checked.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        self.clone().lay_over(&mut config);
        config.check()?;
        Ok(config)
    }

    fn lay_over(self, config: &mut Config) {
        fn set<T>(target: &mut T, chosen: Option<T>) {
            if let Some(chosen) = chosen {
                *target = chosen;
            }
        }
        set(&mut config.listen, self.listen);
        set(&mut config.data, self.data);
        set(&mut config.gateway, self.gateway);
        set(&mut config.shards, self.shards);
        set(&mut config.registration.mode, self.registration);
        set(&mut config.metrics, self.metrics);
        set(&mut config.log.format, self.log_format);
        set(&mut config.log.filter, self.log);
        let engines = &mut config.engines;
        for (target, chosen) in [
            (&mut engines.messages, self.messages),
            (&mut engines.directory, self.directory),
            (&mut engines.bus, self.bus),
            (&mut engines.cache, self.cache),
        ] {
            if chosen.is_some() {
                *target = chosen;
            }
        }
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
        let config = cli.options.config().expect("valid");
        assert_eq!(config.listen.to_string(), "[::1]:9000");
        assert_eq!(config.registration.mode, RegistrationMode::Invite);
    }

    /// Flags go before the file.
    #[test]
    fn a_flag_goes_before_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hudhud.toml");
        std::fs::write(&file, "shards = 4\ngateway = \"east\"\n").expect("written");
        let options = Options { config: Some(file), shards: Some(8), ..Options::default() };
        let config = options.config().expect("valid");
        assert_eq!((config.shards, config.gateway.as_str()), (8, "east"));
    }
}
