//! The data folder: whose it is, what is in it, how much room there is, how long a write takes to be durable.

use super::Finding;
use crate::config::Config;
use hudhud_engines::fjall::StoreOptions;
use hudhud_engines::{FORMAT, format_of};
use rustix::fs::statvfs;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Less room than this ends a server within days or hours.
const FREE_BYTES_WARN: u64 = 5 << 30;
/// Writes that are measured.
const WRITES: usize = 32;
/// Bytes of each: a page, as a small group of messages takes.
const WRITE_BYTES: usize = 4_096;
/// Every message waits for one such write: slower than this is felt.
const SYNC_WARN: Duration = Duration::from_millis(10);
/// And slower than this is no disk to run on.
const SYNC_FAIL: Duration = Duration::from_millis(200);
/// No disk that has to move or to program anything is as fast: such a file system keeps nothing.
const SYNC_LEAST: Duration = Duration::from_micros(5);

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let folder = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let mut findings = vec![permissions(&folder), format(&folder)];
    // Before the first start: where the folder will be.
    let there = folder.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    findings.push(space(there));
    findings.push(latency(there));
    findings
}

fn permissions(folder: &Path) -> Finding {
    const CHECK: &str = "data folder";
    let shown = folder.display();
    let found = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Finding::fail(CHECK, format!("{shown} is no folder"), "choose another one with `data`"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::ok(CHECK, format!("{shown} is made at the first start"));
        }
        Err(error) => {
            return Finding::fail(CHECK, format!("{shown}: {error}"), "run this as the user that runs the server");
        }
    };
    let (me, mode) = (rustix::process::geteuid().as_raw(), found.mode() & 0o777);
    let measured = format!("{shown} is of user {} with mode {mode:o}", found.uid());
    if found.uid() != me && me != 0 {
        return Finding::fail(
            CHECK,
            format!("{measured}, and this is user {me}"),
            "run this as the user that runs the server",
        );
    }
    match mode & 0o077 {
        0 => Finding::ok(CHECK, measured),
        _ => Finding::warn(CHECK, measured, format!("others may look into it: chmod 700 {shown}")),
    }
}

fn format(folder: &Path) -> Finding {
    const CHECK: &str = "data format";
    match format_of(folder) {
        Ok(None) => Finding::ok(CHECK, format!("no data yet; this version writes format {FORMAT}")),
        Ok(Some(FORMAT)) => Finding::ok(CHECK, format!("format {FORMAT}, as this version writes")),
        Ok(Some(older)) => Finding::warn(
            CHECK,
            format!("format {older}; this version writes {FORMAT}"),
            "the next start upgrades it, and older versions can't open it any more: make a backup before",
        ),
        Err(error) => Finding::fail(CHECK, error.to_string(), ""),
    }
}

fn space(folder: &Path) -> Finding {
    const CHECK: &str = "disk space";
    let found = match statvfs(folder) {
        Ok(found) => found,
        Err(error) => return Finding::fail(CHECK, format!("{}: {error}", folder.display()), "choose another disk"),
    };
    let (free, all) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let measured = format!("{} MiB of {} MiB are free at {}", free >> 20, all >> 20, folder.display());
    let advice = "free some, or put `data` on a larger disk: a full one refuses messages (nothing accepted is lost)";
    // Less than that is a full disk: the engines refuse writes before nothing is left.
    match StoreOptions::default().disk_free_bytes_min {
        least if free < least => Finding::fail(CHECK, measured, advice),
        _ if free < FREE_BYTES_WARN => Finding::warn(CHECK, measured, advice),
        _ => Finding::ok(CHECK, measured),
    }
}

fn latency(folder: &Path) -> Finding {
    const CHECK: &str = "disk sync";
    let mut times = match measure(folder) {
        Ok(times) => times,
        Err(error) => {
            let advice = "let the server's user write there: it is where the data is";
            return Finding::fail(CHECK, format!("{} can't be written: {error}", folder.display()), advice);
        }
    };
    times.sort_unstable();
    let (half, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let measured = format!("{WRITES} writes of {WRITE_BYTES} bytes: half within {half:.1?}, all within {worst:.1?}");
    judge(CHECK, half, measured)
}

fn judge(check: &'static str, half: Duration, measured: String) -> Finding {
    let slow = "every message waits for one such write: use a local SSD, and nothing else that writes much beside it";
    if half < SYNC_LEAST {
        let advice = "so fast is memory only, or a disk that says what is not true: what was accepted would not survive a \
                      loss of power";
        return Finding::warn(check, measured, advice);
    }
    match half {
        half if half >= SYNC_FAIL => Finding::fail(check, measured, slow),
        half if half >= SYNC_WARN => Finding::warn(check, measured, slow),
        _ => Finding::ok(check, measured),
    }
}

/// How long writes take until they are durable. The file is written in place, as the log's are.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let path = folder.join(format!(".hudhud-doctor-{}", std::process::id()));
    let measured = (|| -> io::Result<Vec<Duration>> {
        let mut file = File::create_new(&path)?;
        file.write_all(&vec![0; WRITES * WRITE_BYTES])?;
        file.sync_all()?;
        (0..WRITES)
            .map(|number| {
                let begun = Instant::now();
                let offset = (number * WRITE_BYTES) as u64;
                std::os::unix::fs::FileExt::write_all_at(&file, &[number as u8 | 1; WRITE_BYTES], offset)?;
                file.sync_data()?;
                Ok(begun.elapsed())
            })
            .collect()
    })();
    match fs::remove_file(&path) {
        Err(error) if measured.is_ok() => Err(error),
        _ => measured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use std::os::unix::fs::PermissionsExt as _;

    /// A folder that others may look into is one to warn of; data of a newer version is refused; nothing is left behind.
    #[test]
    fn a_data_folder_is_judged() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |verdicts: [Verdict; 2]| {
            let found = [permissions(folder.path()), format(folder.path())];
            assert_eq!(found.each_ref().map(|finding| finding.verdict), verdicts, "{found:?}");
        };
        let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).expect("set");
        set(0o700);
        check([Verdict::Ok, Verdict::Ok]);
        set(0o755);
        check([Verdict::Warn, Verdict::Ok]);
        for (text, verdict) in [("hudhud data, format 1\n", Verdict::Warn), ("hudhud data, format 99\n", Verdict::Fail)]
        {
            fs::write(folder.path().join("format"), text).expect("written");
            check([Verdict::Warn, verdict]);
        }
        assert_eq!(measure(folder.path()).expect("measured").len(), WRITES);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
    }

    /// What is measured decides.
    #[test]
    fn a_slow_disk_is_named() {
        for (micros, verdict) in
            [(1, Verdict::Warn), (150, Verdict::Ok), (10_000, Verdict::Warn), (200_000, Verdict::Fail)]
        {
            assert_eq!(judge("disk sync", Duration::from_micros(micros), String::new()).verdict, verdict);
        }
    }
}
