//! How the process ends, for people and for supervisors. The numbers are those of BSD's `sysexits.h`.

use crate::config::ConfigError;
use hudhud_engines::OpenError;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// The end of `hudhud --help`.
pub const HELP: &str = "\
Exit codes:
   0  stopped as asked (SIGTERM, SIGINT)
   2  the command line is not understood
  69  the address can't be listened on
  70  an engine failed while running; restart once the cause is mended
  73  the data can't be opened: another process has it, it may not be written, or it is damaged
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
}

impl Failure {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::AddressInUse(_) | Self::Listen { .. } => 69,
            Self::Fatal(_) => 70,
            Self::Folder { .. } | Self::Open(_) => 73,
            Self::Config(_) => 78,
        }
    }
}

impl From<&Failure> for ExitCode {
    fn from(failure: &Failure) -> Self {
        Self::from(failure.code())
    }
}
