//! Whether the server's port is free, and who has it otherwise.

use super::Finding;
use crate::admin::socket;
use crate::config::Config;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

pub(super) fn examine(config: &Config) -> [Finding; 2] {
    let operators = config.operators.listen;
    [look("port", config.listen, "listen", config), look("operators", operators, "operators.listen", config)]
}

/// Whether an address is free. `key` chooses it.
fn look(check: &'static str, address: SocketAddr, key: &str, config: &Config) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) if address.port() == 0 => Finding::ok(check, format!("{address}: a free one is taken at each start")),
        Ok(_) => Finding::ok(check, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let whose = owner(address).unwrap_or_else(|| "another process".to_owned());
            let measured = format!("{address} is in use by {whose}");
            match socket::is_served(&config.data) {
                true => Finding::ok(check, format!("{measured}; a server has {}", config.data.display())),
                false => {
                    Finding::fail(check, measured, format!("stop that process, or choose another address with `{key}`"))
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::fail(
            check,
            format!("{address}: {error}"),
            "ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= of systemd); or choose a higher one",
        ),
        Err(error) => Finding::fail(
            check,
            format!("{address}: {error}"),
            format!("choose an address of this machine with `{key}`"),
        ),
    }
}

/// The process that listens on an address, as far as this one may see it.
fn owner(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|file| {
        let table = fs::read_to_string(file).ok()?;
        table.lines().skip(1).find_map(|line| listens(line, address.port()))
    })?;
    let socket = format!("socket:[{inode}]");
    let is_process = |it: &fs::DirEntry| it.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
    for process in fs::read_dir("/proc").ok()?.flatten().filter(is_process) {
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        if descriptors.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == socket.as_str()))
        {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("process {} ({})", process.file_name().to_string_lossy(), name.trim_end()));
        }
    }
    None
}

/// The inode of the socket in a line of `/proc/net/tcp`, if it listens on a port. See proc_net_tcp.rst of the kernel.
fn listens(line: &str, port: u16) -> Option<String> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let (_, found) = local.rsplit_once(':')?;
    (u16::from_str_radix(found, 16) == Ok(port) && *state == LISTEN).then(|| (*inode).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    /// A free port is free; of one in use the process is named.
    #[test]
    fn a_port_in_use_names_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = listener.local_addr().expect("an address");
        let mut config = Config { listen, data: "/no/such/folder".into(), ..Config::default() };
        config.operators.listen = "127.0.0.1:0".parse().expect("an address");
        let [found, operators] = examine(&config);
        assert_eq!(operators.verdict, Verdict::Ok);
        assert_eq!(found.verdict, Verdict::Fail, "{found}");
        assert!(found.measured.contains(&format!("process {}", std::process::id())), "{found}");
        drop(listener);
        let config = Config { listen: "127.0.0.1:0".parse().expect("an address"), ..config };
        assert_eq!(examine(&config)[0].verdict, Verdict::Ok);
    }
}
