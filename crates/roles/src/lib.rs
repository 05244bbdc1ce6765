//! What Hudhud does, on ports: no sockets, no products, no ambient time or randomness in here.
//!
//! A message's way: `gateway` (a frame arrives) → [`api`] (verify, store, append) → `dispatcher` (sequence, store, fan out) →
//! `session` (who is connected where) → `gateway` (push). `rg 'Flow \d\d'` walks it.

pub mod api;
pub mod conversation;
pub mod dispatcher;
pub mod gateway;
pub mod metrics;
pub mod presence;
mod services;
pub mod session;
pub mod settings;
pub mod tables;

pub use services::Services;
