//! Tools that work on Hudhud itself: reading the workspace as text, so that its own rules can be tested.
//!
//! The rules are in `tests/architecture`; what they have in common is here. Plain text scanning, no compiler: a rule has to
//! be simple enough for that, or it is a lint's job.

pub mod markdown;
pub mod mutants;
pub mod schema;
pub mod source;
pub mod workspace;
