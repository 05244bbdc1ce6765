//! What the system lets a process have.

use super::Finding;
use crate::config::Config;
use crate::files;
use crate::listen::BACKLOG;
use std::fs;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![open_files(config.limits.connections_max)];
    findings.extend(waiting("/proc/sys/net/core/somaxconn"));
    findings.extend(memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), config.limits.memory_bytes_max()));
    findings
}

fn open_files(wanted: usize) -> Finding {
    const CHECK: &str = "open files";
    let (possible, limit) = files::possible(wanted);
    let limit = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("{limit} open files"));
    match possible < wanted {
        false => Finding::ok(CHECK, format!("{limit}: room for {wanted} connections")),
        true => Finding::warn(
            CHECK,
            format!("{limit}: room for {possible} connections of limits.connections_max = {wanted}"),
            format!("raise it to {}: LimitNOFILE= of systemd, or ulimit -n", wanted + 2 * files::RESERVED_MAX as usize),
        ),
    }
}

fn waiting(file: &str) -> Option<Finding> {
    const CHECK: &str = "somaxconn";
    let found: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let measured = format!("{found} connections may wait to be accepted");
    Some(match found < BACKLOG {
        false => Finding::ok(CHECK, measured),
        true => Finding::warn(
            CHECK,
            measured,
            format!("sysctl net.core.somaxconn={BACKLOG}: more come at once after a restart"),
        ),
    })
}

/// Against what `/proc/meminfo` says that there is.
fn memory(meminfo: &str, wanted: u64) -> Option<Finding> {
    const CHECK: &str = "memory";
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let all: u64 = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10;
    let measured = format!("{} MiB; with all its connections the server may take {} MiB", all >> 20, wanted >> 20);
    Some(match wanted > all {
        false => Finding::ok(CHECK, measured),
        true => Finding::warn(CHECK, measured, "lower limits.connections_max, or limits.buffer_bytes_max"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    /// What the machine has is held against what the configuration wants.
    #[test]
    fn the_machine_is_judged() {
        let meminfo = "MemTotal:        2048 kB\nMemFree: 1 kB\n";
        for (wanted, verdict) in [(1 << 20, Verdict::Ok), (4 << 20, Verdict::Warn)] {
            assert_eq!(memory(meminfo, wanted).expect("it says so").verdict, verdict);
        }
        assert_eq!(memory("", 1), None);
        assert_eq!(open_files(1).verdict, Verdict::Ok);
        assert_eq!(open_files(usize::MAX / 4).verdict, Verdict::Warn);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("somaxconn");
        for (found, verdict) in [("128\n", Verdict::Warn), ("4096\n", Verdict::Ok)] {
            fs::write(&file, found).expect("written");
            assert_eq!(waiting(&file.display().to_string()).expect("a number").verdict, verdict);
        }
    }
}
