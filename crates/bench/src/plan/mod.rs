//! The capacity planner: from a measured profile and named inputs to nodes, operations, memory, disks and bandwidth.
//!
//! It computes and does nothing else. A cell says its formula, what was measured and what is assumed in it, how far off it
//! may be, and whether it is beyond what was measured; `sensitivity` says which input to ask about first.

mod formula;
mod inputs;
mod model;
mod operations;
mod print;
mod profile;
mod sheet;

pub use inputs::Inputs;
pub use profile::Measured;
pub use sheet::compute;

use crate::report::Report;
use anyhow::{Context as _, anyhow};
use inputs::INPUTS;
use sheet::Sheet;
use std::path::PathBuf;

/// The lines of a page between which a sheet stands.
pub const PAGE_BEGINS: &str = "<!-- plan: begin -->";
/// See [`PAGE_BEGINS`].
pub const PAGE_ENDS: &str = "<!-- plan: end -->";

/// What is planned, and for whom it is printed.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// The figures to plan with: what `bench set --json FILE` wrote.
    #[arg(long, required_unless_present = "inputs")]
    profile: Option<PathBuf>,
    /// Another value for an input, as often as needed: --set daily_users=1M.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    /// List the inputs instead.
    #[arg(long)]
    inputs: bool,
    /// Print JSON instead of a table.
    #[arg(long, conflicts_with = "page")]
    as_json: bool,
    /// Write the sheet into a page in Markdown, between its markers, instead of printing it.
    #[arg(long)]
    page: Option<PathBuf>,
}

/// Computes a sheet and prints it.
pub fn run(options: &Options) -> anyhow::Result<String> {
    let Some(profile) = &options.profile else {
        let list = INPUTS.iter().map(|input| {
            format!("{} = {} {} ({})\n", input.name, input.default, input.unit, input.source).replace("  ", " ")
        });
        return Ok(list.collect());
    };
    let sheet =
        sheet(options, &Report::read(profile)?).with_context(|| format!("planning with {}", profile.display()))?;
    if options.as_json {
        return Ok(serde_json::to_string_pretty(&sheet).context("numbers and strings become JSON")? + "\n");
    }
    match &options.page {
        None => Ok(print::table(&sheet)),
        Some(page) => {
            crate::page::write(page, PAGE_BEGINS, PAGE_ENDS, &print::page(&sheet, &command(options)))?;
            Ok(String::new())
        }
    }
}

fn sheet(options: &Options, profile: &Report) -> anyhow::Result<Sheet> {
    let mut inputs = Inputs::default();
    for assignment in &options.sets {
        inputs.set(assignment).map_err(|why| anyhow!(why))?;
    }
    let measured = profile::read(profile).map_err(|why| anyhow!(why))?;
    compute(&inputs, &measured).map_err(|why| anyhow!(why))
}

/// What makes the page again.
fn command(options: &Options) -> String {
    let profile = options.profile.iter().map(|path| format!(" --profile {}", path.display()));
    let sets = options.sets.iter().map(|set| format!(" --set {set}"));
    let page = options.page.iter().map(|path| format!(" --page {}", path.display()));
    format!("bench plan{}", profile.chain(sets).chain(page).collect::<String>())
}
