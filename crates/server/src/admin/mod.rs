//! The admin API: what `hudhud admin` and other programs of operators ask, as HTTP with JSON under `/admin/v1`.
//!
//! It is served on the operators' listener, to whoever has an admin token with the scope that an operation needs, and on a Unix
//! socket in the data folder ([`socket`]), to whoever may open it: who can read the data may do everything. There the first token
//! is made.
//!
//! - `operations`: the table of all operations, which router, OpenAPI document and command line share.
//! - `serve`: one request: who asks, whether it may, what it wants ([`Answer`]), and a line in the log that says so.
//! - `schemas`, `openapi`: what is sent and answered, on paper.
//! - `client`: the other end, for the command line; `command`, `run` and `print` are that.

mod client;
pub mod command;
mod openapi;
mod operations;
mod print;
mod run;
mod schemas;
mod serve;
pub mod socket;

pub use client::{Reach, ask, back_up};
pub use operations::{OPERATIONS, Operation};
pub use run::run;
pub use serve::{Admin, router};

use axum::http::StatusCode;
use serde_json::Value;

/// Where everything is.
pub const PREFIX: &str = "/admin/v1";

/// What is answered where nothing went wrong.
#[derive(Debug)]
pub enum Answer {
    /// This.
    Found(Value),
    /// It is done, and there is nothing to tell.
    Done,
    /// This was made.
    Made(Value),
    /// It was asked for, and follows.
    Asked(Value),
}

impl Answer {
    /// The status that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Found(_) => StatusCode::OK,
            Self::Done => StatusCode::NO_CONTENT,
            Self::Made(_) => StatusCode::CREATED,
            Self::Asked(_) => StatusCode::ACCEPTED,
        }
    }
}
