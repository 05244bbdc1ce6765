//! Open files: each connection is one, and so is each of the engines' tables, which must never find none left.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept for everything that is no connection.
pub const RESERVED_MAX: u64 = 1_024;

/// Raises the limit of open files as far as the system lets this process. Returns how many of the connections that are wanted
/// that is enough for.
pub fn connections_max(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(limit) = limit else { return wanted };
    let possible = beside_reserved(limit);
    if possible < wanted {
        tracing::info!(
            limit,
            connections_max = possible,
            "the limit of open files leaves room for fewer connections than limits.connections_max; ulimit -n or \
             LimitNOFILE= raises it"
        );
    }
    wanted.min(possible)
}

/// How many of the connections that are wanted [`connections_max`] would leave, and the limit of open files.
pub fn possible(wanted: usize) -> (usize, Option<u64>) {
    let limit = getrlimit(Resource::Nofile).maximum;
    (limit.map_or(wanted, |limit| wanted.min(beside_reserved(limit))), limit)
}

fn beside_reserved(limit: u64) -> usize {
    let possible = limit - RESERVED_MAX.min(limit / 2);
    usize::try_from(possible).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_keep_files_of_their_own() {
        assert_eq!([0, 100, 20_000].map(beside_reserved), [1, 50, 18_976]);
    }
}
