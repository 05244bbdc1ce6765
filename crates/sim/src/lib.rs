//! Hudhud's simulator: the real roles and the real clients, everything else made up.
//!
//! A seed decides a run: who takes part, what people do, what fails when ([`plan`]). Servers ([`server`]) run all roles on
//! engines that lose, stall and answer late ([`disk`]); devices ([`device`]) run the client on a storage of their own;
//! between them is a network that delays, cuts and swallows ([`network`]). There is one thread, and time passes only when
//! everything waits, so a seed gives the same run every time, down to the last byte of its trace. At every step and at the
//! end it is checked that the guarantees hold ([`check`]); that the checker can fail is proved by [`mutants`]. A run that fails
//! can be made smaller ([`shrink`]) and tells its story ([`history`]).
//!
//! `docs/simulation.md` tells how to run it and how to read a failure.

pub mod case;
pub mod chance;
pub mod check;
pub mod device;
pub mod disk;
pub mod history;
pub mod mutants;
pub mod network;
pub mod people;
pub mod plan;
mod run;
pub mod server;
pub mod shrink;
pub mod site;
pub mod trace;
mod watched;
pub mod weather;
pub mod world;

pub use run::{Report, run};
