//! What the kernel says about a process (proc(5)): memory, CPU by thread, bytes written.

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A process that is watched.
#[derive(Clone, Debug)]
pub struct Process {
    folder: PathBuf,
}

/// What a process had used at a moment.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Resident memory that no file backs, in bytes: what connections and caches cost. Pages of the program itself, which
    /// come and go with what ran last, would only blur it.
    pub anonymous_bytes: u64,
    /// All resident memory, in bytes.
    pub resident_bytes: u64,
    /// CPU time, user and system together, of all threads, those that have ended among them.
    pub cpu: Duration,
    /// The same of the threads that run, by their name without its number.
    pub cpu_by_thread: BTreeMap<String, Duration>,
    /// Bytes that it caused to be written to disks.
    pub written_bytes: u64,
}

impl Process {
    /// Watches a process.
    pub fn new(pid: u32) -> Self {
        Self { folder: PathBuf::from(format!("/proc/{pid}")) }
    }

    /// What it has used until now.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let status = self.read("status")?;
        let io = self.read("io")?;
        let kib = |name| number(&status, name).map(|kib| kib * 1_024);
        let strange = |stat: &str| format!("a strange line of proc(5): {stat}");
        let stat = self.read("stat")?;
        let (_, cpu) = name_and_cpu(&stat).with_context(|| strange(&stat))?;
        let mut cpu_by_thread: BTreeMap<String, Duration> = BTreeMap::new();
        let tasks = self.folder.join("task");
        for task in std::fs::read_dir(&tasks).with_context(|| format!("{} is not there", tasks.display()))? {
            // The thread may have ended meanwhile.
            let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
            let (name, spent) = name_and_cpu(&stat).with_context(|| strange(&stat))?;
            *cpu_by_thread.entry(name).or_default() += spent;
        }
        Ok(Usage {
            anonymous_bytes: kib("RssAnon:")?,
            resident_bytes: kib("VmRSS:")?,
            cpu,
            cpu_by_thread,
            written_bytes: number(&io, "write_bytes:")?,
        })
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        std::fs::read_to_string(&path)
            .with_context(|| format!("{} can't be read: has the server ended?", path.display()))
    }
}

impl Usage {
    /// What was used since an earlier moment. Memory is the growth.
    pub fn since(&self, earlier: &Self) -> Self {
        let spent = |(name, spent): (&String, &Duration)| {
            (name.clone(), spent.saturating_sub(earlier.cpu_by_thread.get(name).copied().unwrap_or_default()))
        };
        Self {
            anonymous_bytes: self.anonymous_bytes.saturating_sub(earlier.anonymous_bytes),
            resident_bytes: self.resident_bytes.saturating_sub(earlier.resident_bytes),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            cpu_by_thread: self.cpu_by_thread.iter().map(spent).collect(),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

/// The number after a name at the beginning of a line.
fn number(text: &str, name: &str) -> anyhow::Result<u64> {
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("proc(5) has no {name}"))?;
    let number = line.split_whitespace().next().unwrap_or_default();
    number.parse().with_context(|| format!("{name} {line} is no number"))
}

/// Name and CPU time of a line of `/proc/<pid>/stat` or `/proc/<pid>/task/<tid>/stat`. The name is in parentheses and may hold anything.
fn name_and_cpu(stat: &str) -> Option<(String, Duration)> {
    let (head, fields) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '#');
    Some((name.to_owned(), Duration::from_nanos(ticks * 1_000_000_000 / per_second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of a thread may hold spaces and parentheses.
    #[test]
    fn the_time_of_a_thread_is_read_whatever_its_name() {
        let line = "12 (a) thread (b)-3) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0";
        let (name, spent) = name_and_cpu(line).expect("a line of proc(5)");
        assert_eq!(name, "a) thread (b)");
        let per_second = rustix::param::clock_ticks_per_second();
        assert_eq!(spent, Duration::from_nanos(200 * 1_000_000_000 / per_second));
    }

    /// This process has memory, has used threads, and uses no less later.
    #[test]
    fn this_process_can_be_watched() {
        let process = Process::new(std::process::id());
        let before = process.usage().expect("it runs");
        let after = process.usage().expect("it runs");
        assert!(before.anonymous_bytes > 0 && before.resident_bytes >= before.anonymous_bytes);
        assert!(!before.cpu_by_thread.is_empty());
        assert!(after.cpu >= before.cpu);
    }
}
