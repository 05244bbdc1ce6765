//! A bound on the memory of a process that runs: a control group where one can be made below our own (version 1 or 2), else
//! a limit of the process itself (`RLIMIT_DATA`). A server has no use for less than it has: it is killed by the kernel in the
//! first case, and ends by itself in the second, as an allocation failed.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fmt;
use std::path::{Path, PathBuf};

/// What the group may take beyond what the process has already: that stays where it was charged.
const GROUP_BYTES: u64 = 512 * 1024;

/// A bound. The group is removed when this is dropped; the process must have ended.
pub enum Bound {
    /// The process is in this group.
    Group(Group),
    /// The process has a limit.
    Process,
}

/// A control group.
pub struct Group(PathBuf);

impl Bound {
    /// Lets a process have hardly more memory than it has.
    pub fn set(process: Pid) -> Result<Self> {
        let mut refusals = Vec::new();
        for (folder, file) in groups()? {
            match Group::new(&folder, file, process) {
                Ok(group) => return Ok(Self::Group(group)),
                Err(refusal) => refusals.push(format!("{refusal:#}")),
            }
        }
        let limit = data_bytes(process)?;
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        if let Err(error) = prlimit(Some(process), Resource::Data, limit) {
            bail!("no memory limit can be set: prlimit: {error}; {}", refusals.join("; "))
        }
        Ok(Self::Process)
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(_) => f.write_str("a control group"),
            Self::Process => f.write_str("RLIMIT_DATA"),
        }
    }
}

impl Group {
    fn new(parent: &Path, file: &str, process: Pid) -> Result<Self> {
        let path = parent.join(format!("hudhud-{}", process.as_raw_nonzero()));
        std::fs::create_dir(&path).with_context(|| format!("{} can't be made", path.display()))?;
        let group = Self(path);
        let write = |file: &str, text: String| {
            // Not made if it is not there: a group without this controller has no such file.
            let mut file = std::fs::File::options().write(true).open(group.0.join(file))?;
            std::io::Write::write_all(&mut file, text.as_bytes())
        };
        let refused = || format!("{} can't be used", group.0.display());
        write(file, GROUP_BYTES.to_string()).with_context(refused)?;
        write("cgroup.procs", process.as_raw_nonzero().to_string()).with_context(refused)?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // An empty group that stays does no harm.
        std::fs::remove_dir(&self.0).ok();
    }
}

/// The groups of memory that this process is in, and the file with their limit.
fn groups() -> Result<Vec<(PathBuf, &'static str)>> {
    let lines = std::fs::read_to_string("/proc/self/cgroup")?;
    let groups = lines.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(":/")?;
        match controllers {
            "" => Some((Path::new("/sys/fs/cgroup").join(path), "memory.max")),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                Some((Path::new("/sys/fs/cgroup/memory").join(path), "memory.limit_in_bytes"))
            }
            _ => None,
        }
    });
    Ok(groups.collect())
}

/// What a process has for its data: the kernel counts it as this limit does.
fn data_bytes(process: Pid) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no VmData in /proc")? * 1024)
}
