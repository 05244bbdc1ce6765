//! How the process ends, for people and for supervisors. The numbers from 64 on are those of BSD's `sysexits.h`.

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
   1  `hudhud doctor` found what a server does not run with
   2  the command line is not understood, or the configuration is not valid
  65  a backup or a data folder is damaged
  69  the address can't be listened on, or the server that is asked is not there
  70  an engine failed while running; restart once the cause is mended
  71  a file can't be read or written
  73  the data can't be opened: another process has it, it may not be written, or it is damaged; or a
      backup, a restore or what `hudhud admin` asks for is refused
  75  `hudhud admin`: not now, try again later
  77  `hudhud admin`: the token is not valid, or not for this";

/// Why a server did not start or did not go on. The message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration can't be used.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// Another process listens there.
    #[error("{address} is in use by another process: stop it, or choose another address with {choice}")]
    AddressInUse {
        /// Where.
        address: SocketAddr,
        /// What chooses the address.
        choice: &'static str,
    },
    /// Listening failed otherwise.
    #[error("can't listen on {address}: {source}; choose another address with {choice}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What chooses the address.
        choice: &'static str,
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
    /// What is stored is damaged, so that an accepted record can't be applied.
    #[error(
        "{0}. No accepted message is skipped, so nothing goes on without it: stop here, check the disk, look with \
         `hudhud verify`, and restore a backup"
    )]
    Corrupt(String),
    /// What was read is not as it was written, or not as it must be.
    #[error("{0}")]
    Damaged(String),
    /// The machine is not fit for a server: so many findings.
    #[error("{0} findings keep a server from running: do what stands below each FAIL, then ask again")]
    Unfit(usize),
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
    /// The server that is asked is not there.
    #[error("{at}: {why}")]
    Unreachable {
        /// Where.
        at: String,
        /// Why.
        why: String,
    },
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
            Self::AddressInUse { .. } | Self::Listen { .. } | Self::Unreachable { .. } => 69,
            Self::Fatal(_) | Self::Corrupt(_) => 70,
            Self::File { .. } => 71,
            Self::Folder { .. } | Self::Open(_) | Self::Refused(_) | Self::Engine(_) => 73,
            Self::Answered { code, .. } => *code,
            Self::Unfit(_) => 1,
            Self::Config(_) => 2,
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.code())
    }
}
