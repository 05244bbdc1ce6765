//! The clock: whether something keeps it right, and whether it jumps.

use super::Finding;
use crate::config::Config;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const CHECK: &str = "clock";
/// The wall clock and the monotonic one go alike to within this while the other checks run, unless somebody sets the one.
const JUMP_MAX: Duration = Duration::from_millis(100);
/// A file of the data folder may be younger than now by this much: two clocks of one machine are read.
const AHEAD_MAX: Duration = Duration::from_secs(2);

/// Both clocks, from the begin of all checks on.
pub(super) struct Watch {
    wall: SystemTime,
    monotonic: Instant,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    pub(super) fn examine(&self, config: &Config) -> Vec<Finding> {
        let now = SystemTime::now();
        let mut findings = vec![self.steady(now), kept()];
        findings.extend(newest(&config.data).map(|newest| ahead(newest, now)));
        findings
    }

    fn steady(&self, now: SystemTime) -> Finding {
        let passed = self.monotonic.elapsed();
        let wall = now.duration_since(self.wall).unwrap_or_default();
        let jumped = wall.abs_diff(passed);
        let measured = format!("{jumped:.1?} between wall clock and monotonic clock in {passed:.1?}");
        match jumped > JUMP_MAX {
            false => Finding::ok(CHECK, measured),
            true => {
                Finding::warn(CHECK, measured, "something sets the clock: let NTP slew it (chrony, systemd-timesyncd)")
            }
        }
    }
}

/// Whether the kernel knows of something that keeps the clock: the state of adjtimex(2), as systemd reads it.
fn kept() -> Finding {
    const CHECK: &str = "clock sync";
    let advice = "run chrony or systemd-timesyncd: times of messages and the ends of log-ins come from this clock";
    let mut ask = Command::new("timedatectl");
    match ask.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).output() {
        Ok(output) if output.stdout.trim_ascii() == b"yes" => Finding::ok(CHECK, "kept right by NTP"),
        Ok(output) if output.stdout.trim_ascii() == b"no" => Finding::warn(CHECK, "nothing keeps it right", advice),
        _ if Path::new("/run/systemd/timesync/synchronized").exists() => Finding::ok(CHECK, "kept right by NTP"),
        _ => Finding::warn(
            CHECK,
            "not known: there is no systemd to ask",
            format!("in a container the host's counts; else {advice}"),
        ),
    }
}

/// A clock that is behind what was written already was set back: acknowledged writes would look newer than new ones.
fn ahead(newest: SystemTime, now: SystemTime) -> Finding {
    const CHECK: &str = "clock order";
    match newest.duration_since(now) {
        Ok(ahead) if ahead > AHEAD_MAX => Finding::fail(
            CHECK,
            format!("files of the data folder are {ahead:.1?} younger than now"),
            "the clock was set back: set it right before the start",
        ),
        _ => Finding::ok(CHECK, "nothing in the data folder is younger than now"),
    }
}

/// When a file right in the folder or one below was written last.
fn newest(folder: &Path) -> Option<SystemTime> {
    let below = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path());
    let written = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    below(folder)
        .flat_map(|path| below(&path).chain([path.clone()]).collect::<Vec<_>>())
        .filter_map(|it| written(&it))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    /// Jumps of the clock are seen, within the checks and since the last write.
    #[test]
    fn a_clock_that_jumps_is_named() {
        let watch = Watch::start();
        assert_eq!(watch.steady(watch.wall + watch.monotonic.elapsed()).verdict, Verdict::Ok);
        assert_eq!(watch.steady(watch.wall + Duration::from_secs(3_600)).verdict, Verdict::Warn);
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest(folder.path()), None);
        std::fs::create_dir(folder.path().join("bus")).expect("made");
        std::fs::write(folder.path().join("bus/log"), "x").expect("written");
        let newest = newest(folder.path()).expect("a file");
        assert_eq!(ahead(newest, newest).verdict, Verdict::Ok);
        assert_eq!(ahead(newest, newest - Duration::from_secs(3_600)).verdict, Verdict::Fail);
    }
}
