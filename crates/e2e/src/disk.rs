//! A small disk for the server's data, which can be filled without harm to anybody else.
//!
//! A file system of its own in a mount namespace of its own: ext4 in a file where loop devices can be had, else a tmpfs. A
//! process holds the namespace for as long as the disk is there, the server enters it, and everybody else looks into it
//! through `/proc`. Root may do that, and where user namespaces are allowed everybody may. Where neither is, as in a plain
//! container, [`FOLDER`] names a folder on a small file system that somebody else has mounted.

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The environment variable with the folder to use instead of a mount of our own.
pub const FOLDER: &str = "HUDHUD_E2E_DISK";

/// What the disk holds. A server refuses writes when less than 256 MiB are left, and its first segment takes 64.
const BYTES: u64 = 1 << 30;
/// The bounds for a file system of somebody else's: large enough for a server, small enough to be filled.
const GIVEN_BYTES_MIN: u64 = 768 << 20;
const GIVEN_BYTES_MAX: u64 = 8 << 30;
const FILLER: &str = "filler";
/// Image, folder, bytes. Tells what it made, and waits until nobody needs it.
const HOLD: &str = r#"
export PATH="$PATH:/usr/sbin:/sbin"
if mkfs.ext4 -q -F -m 0 "$1" && mount -o loop "$1" "$2"; then echo ext4
elif mount -t tmpfs -o "size=$3" hudhud "$2"; then echo tmpfs
else exit 1
fi 2>&1
exec cat
"#;
/// The words that enter the namespace of a process.
const AS_ROOT: &[&str] = &["--mount"];
const AS_ANYBODY: &[&str] = &["--user", "--map-root-user", "--mount"];

/// See the module. The file system is gone once this is dropped and the server has ended.
pub struct Disk {
    /// As the server sees it.
    inside: PathBuf,
    /// As everybody else does.
    outside: PathBuf,
    kind: String,
    place: Place,
}

enum Place {
    /// A file system of our own.
    Mounted(Holder),
    /// A folder of our own on somebody else's.
    Given(#[expect(dead_code, reason = "removed when it is dropped")] TempDir),
}

struct Holder {
    child: Child,
    is_root: bool,
}

impl Drop for Holder {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Disk {
    /// Makes a disk below this folder.
    ///
    /// # Errors
    /// When nothing of this kind is allowed here; the message says what to do.
    pub fn new(folder: &Path) -> Result<Self> {
        if let Some(given) = std::env::var_os(FOLDER) {
            return Self::given(Path::new(&given));
        }
        let mut refusals = Vec::new();
        for (is_root, words) in [(true, AS_ROOT), (false, AS_ANYBODY)] {
            match Self::mounted(folder, is_root, words) {
                Ok(disk) => return Ok(disk),
                Err(refusal) => refusals.push(format!("unshare {}: {refusal:#}", words.join(" "))),
            }
        }
        bail!(
            "there is no small disk to fill: {}. Run this as root with CAP_SYS_ADMIN (docker run --privileged), or allow \
             user namespaces, or name an empty folder on a file system of its own of 1 GiB in {FOLDER} (docker run --tmpfs \
             /small:size=1g --env {FOLDER}=/small)",
            refusals.join("; ")
        )
    }

    fn mounted(folder: &Path, is_root: bool, words: &[&str]) -> Result<Self> {
        let inside = folder.join("disk");
        std::fs::create_dir_all(&inside)?;
        let image = folder.join("disk.ext4");
        File::create(&image)?.set_len(BYTES)?;
        let mut command = Command::new("unshare");
        command.args(words).args(["sh", "-c", HOLD, "sh"]).arg(&image).arg(&inside).arg(BYTES.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().context("no unshare (util-linux)")?;
        let mut holder = Holder { child, is_root };
        let said = BufReader::new(holder.child.stdout.take().expect("it is piped"));
        let mut kind = String::new();
        let mut lines = Vec::new();
        // It says why it can't have one kind before it makes the other, and ends if it can't have that either.
        for line in said.lines() {
            let line = line?;
            if matches!(line.as_str(), "ext4" | "tmpfs") {
                kind = line;
                break;
            }
            lines.push(line);
        }
        if kind.is_empty() {
            let stderr = holder.child.stderr.take().map(BufReader::new);
            lines.extend(stderr.into_iter().flat_map(|stderr| stderr.lines().map_while(std::io::Result::ok)));
            bail!("{}", lines.join(", "));
        }
        let root = PathBuf::from(format!("/proc/{}/root", holder.child.id()));
        let outside = root.join(inside.strip_prefix("/").context("not an absolute folder")?);
        let disk = Self { inside, outside, kind, place: Place::Mounted(holder) };
        ensure!(disk.free()? > GIVEN_BYTES_MIN, "only {} bytes of the new disk are free", disk.free()?);
        Ok(disk)
    }

    fn given(folder: &Path) -> Result<Self> {
        let stats = rustix::fs::statvfs(folder).with_context(|| format!("{FOLDER}={}", folder.display()))?;
        let bytes = stats.f_blocks * stats.f_frsize;
        ensure!(
            (GIVEN_BYTES_MIN..=GIVEN_BYTES_MAX).contains(&bytes),
            "{FOLDER}={}: that file system has {bytes} bytes; give it {GIVEN_BYTES_MIN} to {GIVEN_BYTES_MAX} of its own",
            folder.display()
        );
        let folder = TempDir::with_prefix_in("hudhud", folder)?;
        let path = folder.path().to_owned();
        Ok(Self { inside: path.clone(), outside: path, kind: format!("that of {FOLDER}"), place: Place::Given(folder) })
    }

    /// The words before a program that is to see the disk. The program takes the place of what they start.
    pub fn enter(&self) -> Vec<String> {
        let Place::Mounted(holder) = &self.place else { return Vec::new() };
        let mut words = vec!["nsenter".to_owned(), format!("--target={}", holder.child.id()), "--mount".to_owned()];
        if !holder.is_root {
            words.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        words
    }

    /// The server's data folder, as the server calls it.
    pub fn data(&self) -> PathBuf {
        self.inside.join("data")
    }

    /// The same folder, for this process.
    pub fn data_from_here(&self) -> PathBuf {
        self.outside.join("data")
    }

    /// What it is.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The bytes that are left.
    pub fn free(&self) -> Result<u64> {
        let stats = rustix::fs::statvfs(&self.outside)?;
        Ok(stats.f_bavail * stats.f_frsize)
    }

    /// Fills it until no more than so many bytes are left.
    pub fn fill(&self, leave: u64) -> Result<()> {
        let file = File::options().create(true).append(true).open(self.outside.join(FILLER))?;
        let mut step = self.free()?.saturating_sub(leave);
        // Others write meanwhile, and a file system needs some of its room for itself.
        while self.free()? > leave && step > 0 {
            let from = file.metadata()?.len();
            let bytes = step.min(self.free()?.saturating_sub(leave)).max(1);
            match rustix::fs::fallocate(&file, FallocateFlags::empty(), from, bytes) {
                Ok(()) => {}
                Err(rustix::io::Errno::NOSPC) => step /= 2,
                Err(error) => bail!("{} can't be filled: {error}", self.outside.display()),
            }
        }
        Ok(())
    }

    /// Gives back what [`Self::fill`] took.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.outside.join(FILLER))?)
    }
}
