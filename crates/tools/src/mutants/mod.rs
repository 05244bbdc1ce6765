//! Mutants: mistakes that somebody could make in the real code, each of which the simulator has to notice.
//!
//! They are edits of the source, in a table ([`table`]): production code knows nothing of them. All are woven into one copy
//! of the workspace ([`weave`]), each behind a switch that is off, so that one build is enough and one at a time is tried.

pub mod table;
pub mod weave;

pub use table::{Edit, Mutant};
