//! How the process ends, for people and for supervisors. The numbers are those of BSD's `sysexits.h`.

use crate::config::ConfigError;
use hudhud_engines::OpenError;
use hudhud_ports::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// The end of `hudhud --help`.
pub const HELP: &str = "\
Exit codes:
   0  stopped as asked (SIGTERM, SIGINT)
   2  the command line is not understood
  65  a backup or a data folder is damaged
  69  the address can't be listened on
  70  an engine failed while running; restart once the cause is mended
  71  a file can't be read or written
  73  the data can't be opened: another process has it, it may not be written, or it is damaged; or a
      backup or restore is refused
  78  the configuration is not valid";

/// Why a server did not start or did not go on. The message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration can't be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Another process listens there.
    #[error("{0} is in use by another process: stop it, or choose another address with --listen or HUDHUD_LISTEN")]
    AddressInUse(SocketAddr),
    /// Listening failed otherwise.
    #[error("can't listen on {address}: {source}; choose another address with --listen or HUDHUD_LISTEN")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The data folder can't be made.
    #[error("{} can't be made: {source}; choose another folder with --data or HUDHUD_DATA", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The engines can't be opened; they say why and what to do.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// An engine can't keep its promises any more.
    #[error("{0}. Nothing acknowledged is lost; mend the cause (disk full? disk broken?) and start again")]
    Fatal(String),
    /// What was read is not as it was written, or not as it must be.
    #[error("{0}")]
    Damaged(String),
    /// It can't be done as things are.
    #[error("{0}")]
    Refused(String),
    /// A file can't be read or written.
    #[error("{}: {source}; check the disk, the path and its permissions", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An engine says why.
    #[error("{0}")]
    Engine(#[from] hudhud_ports::Error),
    /// The server that was asked says why.
    #[error("{message}")]
    Answered {
        /// The exit code that it names.
        code: u8,
        /// Its message.
        message: String,
    },
}

impl Failure {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Damaged(_) => 65,
            Self::Engine(error) if error.kind() == ErrorKind::Corrupt => 65,
            Self::AddressInUse(_) | Self::Listen { .. } => 69,
            Self::Fatal(_) => 70,
            Self::File { .. } => 71,
            Self::Folder { .. } | Self::Open(_) | Self::Refused(_) | Self::Engine(_) => 73,
            Self::Answered { code, .. } => *code,
            Self::Config(_) => 78,
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.code())
    }
}
