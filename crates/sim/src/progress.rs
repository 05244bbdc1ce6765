//! How far many runs are: a bar on a terminal, a line now and then elsewhere.
#![allow(clippy::print_stdout, reason = "a command line speaks to a terminal")]

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;

/// Lines that are printed where there is no terminal.
const LINES: u64 = 10;

/// How far it is.
pub struct Progress {
    /// None where nobody sees one.
    bar: Option<ProgressBar>,
    total: u64,
    done: u64,
    failed: u64,
}

impl Progress {
    /// Nothing of so many runs is done yet.
    pub fn new(total: u64) -> Self {
        // Where indicatif draws.
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:32} {pos} of {len} seeds, {msg}, {per_sec:1}, {eta} left");
            ProgressBar::new(total).with_style(style.expect("the template is one")).with_message("0 failed")
        });
        Self { bar, total, done: 0, failed: 0 }
    }

    /// One more is done.
    pub fn passed(&mut self) {
        self.done += 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            None => {
                let line = |done: u64| done * LINES / self.total.max(1);
                if line(self.done) > line(self.done - 1) {
                    println!("{} of {} seeds, {} failed", self.done, self.total, self.failed);
                }
            }
        }
    }

    /// One more is done, and failed.
    pub fn failed(&mut self, how: &str) {
        self.failed += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!("{} failed", self.failed));
                bar.suspend(|| println!("{how}\n"));
            }
            None => println!("{how}\n"),
        }
        self.passed();
    }

    /// Makes room for what is printed next.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
