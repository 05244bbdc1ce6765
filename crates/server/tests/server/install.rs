//! What is installed with the program: unit, package, completions, manual pages.

use crate::process::{run, said};
use std::path::{Path, PathBuf};
use std::process::Command;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// The output of a program that succeeds.
fn output(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C").output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// The unit shuts the server off from the machine: what systemd calls exposed stays below 2 of 10.
#[test]
fn the_unit_is_hardened() {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--threshold=20"]).arg(deploy().join("hudhud.service"));
    let judged = output(&mut command);
    assert!(judged.contains("Overall exposure level"), "{judged}");
}

/// Completions of every shell know the subcommands, and bash takes its own; every subcommand has a manual page.
#[test]
fn shells_and_manuals_know_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let completions = run(&["completions", shell]);
        let text = String::from_utf8(completions.stdout.clone()).expect("text");
        for word in ["doctor", "backup", "public-url"] {
            assert!(text.contains(word), "{shell} does not know {word}: {}", said(&completions));
        }
        if shell == "bash" {
            let file = folder.path().join("hudhud.bash");
            std::fs::write(&file, &text).expect("written");
            let shown =
                output(Command::new("bash").arg("-c").arg(format!(". {} && complete -p hudhud", file.display())));
            assert!(shown.contains("hudhud"), "{shown}");
        }
    }
    let pages = folder.path().join("man");
    std::fs::create_dir(&pages).expect("made");
    let made = run(&["man", &pages.display().to_string()]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    for page in ["hudhud.1", "hudhud-serve.1", "hudhud-backup.1", "hudhud-doctor.1", "hudhud-config-check.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH "), "{text}");
    }
    let missing = run(&["man", &folder.path().join("nowhere").display().to_string()]);
    assert_eq!(missing.status.code(), Some(71), "{}", said(&missing));
}

/// The Debian package holds programs, unit, user, manual and completions, and what is installed of it into a root runs.
#[test]
fn the_package_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let programs = Path::new(env!("CARGO_BIN_EXE_hudhud")).parent().expect("a folder");
    // The workspace's tests build every program; this one belongs to another package.
    assert!(programs.join("chat").exists(), "the program `chat` is not built: cargo build --workspace --bin chat");
    let package = output(Command::new(deploy().join("deb")).arg(programs).arg(folder.path()));
    let package = package.trim();
    let information = output(Command::new("dpkg-deb").args(["--info", package]));
    let version = format!("Version: {}", env!("CARGO_PKG_VERSION"));
    for line in ["Package: hudhud", &version, "postinst", "conffiles"] {
        assert!(information.contains(line), "{line} is not in\n{information}");
    }
    let contents = output(Command::new("dpkg-deb").args(["--contents", package]));
    for file in [
        "./usr/bin/hudhud",
        "./usr/bin/hudhud-chat",
        "./usr/lib/systemd/system/hudhud.service",
        "./usr/lib/sysusers.d/hudhud.conf",
        "./etc/hudhud/hudhud.toml",
        "./usr/share/man/man1/hudhud.1.gz",
        "./usr/share/man/man1/hudhud-chat.1.gz",
        "./usr/share/bash-completion/completions/hudhud",
        "./usr/share/zsh/vendor-completions/_hudhud",
        "./usr/share/fish/vendor_completions.d/hudhud.fish",
        "./usr/share/doc/hudhud/copyright",
    ] {
        let line = contents.lines().find(|line| line.ends_with(&format!(" {file}")));
        let line = line.unwrap_or_else(|| panic!("{file} is not in\n{contents}"));
        assert!(line.contains("root/root"), "{line}");
    }
    let root = folder.path().join("root");
    output(Command::new("dpkg-deb").args(["--extract", package]).arg(&root));
    let config = root.join("etc/hudhud/hudhud.toml");
    let installed = root.join("usr/bin/hudhud");
    let checked = output(Command::new(&installed).args(["config", "check", "--config"]).arg(config));
    assert_eq!(checked, "the configuration is valid\n");
    let unit = std::fs::read_to_string(root.join("usr/lib/systemd/system/hudhud.service")).expect("text");
    assert!(unit.contains("ExecStart=/usr/bin/hudhud "), "the unit starts what the package installs: {unit}");
}
