//! Bytes that nobody meant, for everything of Hudhud that reads bytes.
//!
//! A target is a function of some bytes: it decodes them, and panics where a promise does not hold. None of them may panic, what
//! is decoded is the same after it was encoded again, both encodings of a frame agree, nothing a client sends leads to
//! `INTERNAL`, and memory stays below a multiple of the input's length ([`Target::memory_factor`]).
//!
//! Each target has a corpus in `corpus/<name>`, a file an input. `cargo test` runs all targets on their corpora and on seeded
//! mutations of these (`tests/targets`); `make fuzz TARGET=frames SECONDS=600` runs one with libFuzzer, which learns from the
//! code's coverage.

mod bodies;
mod config;
mod connections;
mod frames;
mod mutations;
mod profiles;
mod proxied;
mod records;
mod rows;
mod tokens;
mod world;

pub use mutations::Mutations;

use std::path::Path;

/// One decoder, or a family of them.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its corpus' folder.
    pub name: &'static str,
    /// Panics where a promise does not hold.
    pub run: fn(&[u8]),
    /// Mutated inputs of a short run.
    pub short_run: usize,
    /// Bytes of memory that one byte of input may lead to, at most and at the same time.
    pub memory_factor: usize,
    /// Bytes of memory that no input is needed for, such as what surrounds the decoder.
    pub memory_base: usize,
}

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;

/// What a server on memory engines takes before it is asked anything.
const WORLD_BYTES: usize = 6 * MIB;

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "client_frames",
        run: frames::client,
        short_run: 200_000,
        memory_factor: 256,
        memory_base: 16 * KIB,
    },
    Target {
        name: "server_frames",
        run: frames::server,
        short_run: 100_000,
        memory_factor: 256,
        memory_base: 16 * KIB,
    },
    Target { name: "bodies", run: bodies::run, short_run: 20_000, memory_factor: 512, memory_base: WORLD_BYTES },
    Target { name: "tokens", run: tokens::run, short_run: 10_000, memory_factor: 64, memory_base: WORLD_BYTES },
    Target {
        name: "connections",
        run: connections::run,
        short_run: 10_000,
        memory_factor: 512,
        memory_base: WORLD_BYTES,
    },
    Target { name: "records", run: records::run, short_run: 100_000, memory_factor: 512, memory_base: 64 * KIB },
    Target { name: "rows", run: rows::run, short_run: 200_000, memory_factor: 256, memory_base: 16 * KIB },
    Target { name: "config", run: config::run, short_run: 20_000, memory_factor: 512, memory_base: MIB },
    Target { name: "profiles", run: profiles::run, short_run: 1_000, memory_factor: 64, memory_base: 8 * MIB },
    Target { name: "proxied", run: proxied::run, short_run: 20_000, memory_factor: 64, memory_base: 256 * KIB },
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The inputs of a target's corpus, in the order of their names.
pub fn corpus(name: &str) -> std::io::Result<Vec<Vec<u8>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let paths = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut paths = paths?;
    paths.sort();
    paths.iter().map(std::fs::read).collect()
}
