//! What every engine of a port must do, as plain functions: the contracts in the traits' documentation, one case each.
//!
//! A case gets a fresh subject, or one that nobody else's keys collide with, and panics when the contract is broken. The
//! lists ([`store::CASES`] and so on) are what an engine's tests run. `check` functions hold an engine against the one
//! in memory under random operations.

pub mod bus;
pub mod cache;
pub mod gateways;
pub mod store;

use crate::memory::ManualClock;
use crate::{ErrorKind, Result};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// A case: its name says what it proves.
pub type Case<Subject> = (&'static str, fn(Subject) -> BoxFuture<'static, ()>);

/// How a subject's time passes.
#[derive(Clone)]
pub enum Time {
    /// It was given this clock.
    Manual(Arc<ManualClock>),
    /// It has a clock of its own.
    Real,
}

impl Time {
    /// Waits until so much of the subject's time has passed.
    pub async fn pass(&self, duration: Duration) {
        match self {
            Self::Manual(clock) => clock.advance(duration),
            Self::Real => tokio::time::sleep(duration).await,
        }
    }
}

/// Lists cases by their names.
macro_rules! cases {
    ($subject:ty: $($name:ident),* $(,)?) => {
        /// Every case.
        pub const CASES: &[super::Case<$subject>] = &[
            $((stringify!($name), |subject| Box::pin($name(subject)))),*
        ];
    };
}
use cases;

/// The kind of failure of what must fail.
fn failure<T>(outcome: Result<T>) -> ErrorKind {
    match outcome {
        Ok(_) => panic!("it must fail"),
        Err(error) => error.kind(),
    }
}
