//! Every case of every port against engines on servers of their own, which this starts and stops: real ones, from packages
//! (`scripts/deps cluster`). What cannot be started is a failure. Ignored where nobody asks for them with `--ignored`, as
//! the servers need a machine to themselves.
//!
//! Takes five minutes on two cores, and 3 GiB while Cassandra and Kafka run. `make cluster-test` is this.

mod bus_faults;
mod buses;
mod caches;
mod servers;
mod stores;

use hudhud_ports::conformance::Case;
use libtest_mimic::{Arguments, Trial};
use servers::Servers;
use std::pin::Pin;
use std::sync::Arc;

/// A subject, and what must live as long as it does.
type Made<Subject> = Pin<Box<dyn Future<Output = (Subject, Option<servers::Running>)> + Send>>;

fn block_on(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(work);
}

fn trials<Subject: 'static>(
    engine: &str,
    servers: &Arc<Servers>,
    make: fn(Arc<Servers>) -> Made<Subject>,
    cases: &'static [Case<Subject>],
) -> Vec<Trial> {
    let trial = |(case, run): &(&str, fn(Subject) -> _)| {
        let (servers, run) = (servers.clone(), *run);
        Trial::test(format!("{engine}::{case}"), move || {
            block_on(async {
                // Stopped after the subject.
                let (subject, _running) = make(servers).await;
                run(subject).await;
            });
            Ok(())
        })
    };
    cases.iter().map(trial).collect()
}

/// A test of one engine that no other one has.
fn trial<Work>(name: &str, servers: &Arc<Servers>, work: fn(Arc<Servers>) -> Work) -> Trial
where
    Work: Future<Output = ()> + 'static,
{
    let servers = servers.clone();
    Trial::test(name, move || {
        block_on(work(servers));
        Ok(())
    })
}

fn main() {
    if let Some(url) = std::env::var_os(bus_faults::MEMBER) {
        // This process is one of a test's, to be killed.
        return block_on(bus_faults::be_a_member(url.into_string().expect("a URL")));
    }
    let arguments = Arguments::from_args();
    let servers = Arc::new(Servers::new());
    let mut trials = Vec::new();
    trials.extend(stores::trials(&servers));
    trials.extend(caches::trials(&servers));
    trials.extend(buses::trials(&servers));
    trials.extend(bus_faults::trials(&servers));
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(true)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    servers.stop();
    conclusion.exit();
}
