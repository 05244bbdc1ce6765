//! A run that can be asked for: a seed, and what is taken out of its plan. `Display` gives the arguments that ask for it again.

use crate::mutants::Mutant;
use crate::plan::{Arrangement, Plan, Weather};
use crate::run::{self, Report};
use clap::ValueEnum as _;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Which run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// Decides the plan.
    pub seed: u64,
    /// What is taken out of it.
    pub cuts: Cuts,
    /// A promise that is broken on purpose.
    pub mutant: Option<Mutant>,
}

/// What is taken out of a plan.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug, Default)]
#[command(next_help_heading = "Take out of the seed's plan")]
pub struct Cuts {
    /// Kinds of faults that do not happen, as a failure names them: kill,store-refuses.
    #[arg(long, value_delimiter = ',', value_name = "KINDS")]
    pub without: Vec<String>,
    /// So many people at most.
    #[arg(long)]
    pub people: Option<usize>,
    /// So many devices of each person at most, but for those that come later.
    #[arg(long)]
    pub devices: Option<usize>,
    /// Faults and workload last no longer than this, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub busy_s: Option<u64>,
    /// People wait this long between two things, in milliseconds at most.
    #[arg(long, value_name = "MS")]
    pub pause_ms: Option<u64>,
    /// One server with all roles.
    #[arg(long)]
    pub one_server: bool,
    /// No big group.
    #[arg(long)]
    pub no_crowd: bool,
    /// The same plan with other chances: which throw of the dice. 0 is the seed's own.
    #[arg(long, default_value_t = 0)]
    pub throw: u64,
}

impl Case {
    /// The run of a seed as it is.
    pub fn new(seed: u64) -> Self {
        Self { seed, cuts: Cuts::default(), mutant: None }
    }

    /// What is left of the seed's plan.
    ///
    /// # Errors
    /// A kind of fault that there is not, with those that there are.
    pub fn plan(&self) -> Result<Plan, String> {
        let mut plan = Plan { mutant: self.mutant, ..Plan::new(self.seed) };
        self.cuts.apply(&mut plan)?;
        Ok(plan)
    }

    /// Runs it. `loud`: every line of the trace is printed.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn run(&self, loud: bool) -> Result<Report, String> {
        // The other throws of a seed are far from every other seed.
        let dice = self.seed ^ (self.cuts.throw << 40);
        Ok(run::run_case(self.seed, dice, self.plan()?, &self.to_string(), loud))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {}{}", self.seed, self.cuts)?;
        match self.mutant.and_then(|mutant| mutant.to_possible_value()) {
            Some(mutant) => write!(f, " --mutant {}", mutant.get_name()),
            None => Ok(()),
        }
    }
}

impl Cuts {
    /// Takes this out of a plan. What the plan has less of already stays.
    fn apply(&self, plan: &mut Plan) -> Result<(), String> {
        let kinds = every_kind();
        if let Some(unknown) = self.without.iter().find(|kind| !kinds.contains(*kind)) {
            let kinds: Vec<_> = kinds.into_iter().collect();
            return Err(format!("there is no kind of fault `{unknown}`: there are {}", kinds.join(", ")));
        }
        let is_out = |kind: &str| self.without.iter().any(|out| out == kind);
        plan.weather.events.retain(|fault| !is_out(&kebab(&format!("{fault:?}"))));
        for (kind, chance) in chances(&mut plan.weather) {
            if is_out(kind) {
                *chance = 0;
            }
        }
        plan.people.truncate(self.people.unwrap_or(usize::MAX).max(1));
        for person in &mut plan.people {
            person.devices.truncate(self.devices.unwrap_or(usize::MAX).max(1));
        }
        plan.busy = plan.busy.min(self.busy_s.map_or(Duration::MAX, Duration::from_secs));
        plan.pause_ms_max = plan.pause_ms_max.max(self.pause_ms.unwrap_or_default());
        if self.one_server {
            plan.arrangement = Arrangement::AllInOne;
        }
        if self.no_crowd {
            plan.crowd = 0;
        }
        Ok(())
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.without.is_empty() {
            write!(f, " --without {}", self.without.join(","))?;
        }
        let numbers = [
            ("people", self.people.map(|people| people as u64)),
            ("devices", self.devices.map(|devices| devices as u64)),
            ("busy-s", self.busy_s),
            ("pause-ms", self.pause_ms),
            ("throw", Some(self.throw).filter(|throw| *throw > 0)),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                write!(f, " --{name} {number}")?;
            }
        }
        let flags = [("one-server", self.one_server), ("no-crowd", self.no_crowd)];
        flags.iter().filter(|(_, on)| *on).try_for_each(|(name, _)| write!(f, " --{name}"))
    }
}

/// The kinds of faults that can happen in a plan, each once.
pub fn kinds(plan: &Plan) -> Vec<String> {
    let mut weather = plan.weather.clone();
    let events: BTreeSet<String> = weather.events.iter().map(|fault| kebab(&format!("{fault:?}"))).collect();
    let chances = chances(&mut weather).into_iter().filter(|(_, chance)| **chance > 0);
    let chances = chances.map(|(kind, _)| kind.to_owned());
    events.into_iter().chain(chances).collect()
}

/// Every kind of fault that any plan can have.
fn every_kind() -> BTreeSet<String> {
    // Each seed has half of them.
    let mut kinds: BTreeSet<String> = (0..64).flat_map(|seed| kinds(&Plan::new(seed))).collect();
    kinds.extend(chances(&mut Weather::default()).into_iter().map(|(kind, _)| kind.to_owned()));
    kinds
}

/// The chances of a weather and what they are called. A new one that is not here does not compile.
fn chances(weather: &mut Weather) -> Vec<(&'static str, &mut u32)> {
    let Weather {
        store_refuses,
        store_times_out,
        bus_refuses,
        bus_times_out,
        consumer_fails,
        cache_fails,
        cache_lies,
        push_lost,
        push_fails,
        push_twice,
        push_late,
        device_dies,
        event_ms_mean: _,
        events: _,
    } = weather;
    vec![
        ("store-refuses", store_refuses),
        ("store-times-out", store_times_out),
        ("bus-refuses", bus_refuses),
        ("bus-times-out", bus_times_out),
        ("consumer-fails", consumer_fails),
        ("cache-fails", cache_fails),
        ("cache-lies", cache_lies),
        ("push-lost", push_lost),
        ("push-fails", push_fails),
        ("push-twice", push_twice),
        ("push-late", push_late),
        ("device-dies", device_dies),
    ]
}

/// `PowerLoss` as `power-loss`.
fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    for letter in name.chars().take_while(char::is_ascii_alphanumeric) {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cuts: Cuts,
    }

    #[test]
    fn cuts_are_read_as_they_are_written() {
        let cuts = Cuts {
            without: vec!["kill".into(), "push-lost".into()],
            people: Some(2),
            devices: Some(1),
            busy_s: Some(20),
            pause_ms: Some(900),
            one_server: true,
            no_crowd: true,
            throw: 3,
        };
        let written = format!("sim{cuts}");
        let read = Line::try_parse_from(written.split(' ')).expect("it is a command line").cuts;
        assert_eq!(read, cuts);
        assert_eq!(Case::new(7).to_string(), "--seed 7");
    }

    #[test]
    fn what_is_cut_is_not_in_the_plan() {
        let mut case = Case::new(3);
        let all = kinds(&case.plan().expect("nothing is cut"));
        assert!(!all.is_empty());
        case.cuts = Cuts { without: all, people: Some(2), busy_s: Some(9), ..Cuts::default() };
        let plan = case.plan().expect("all kinds are known");
        assert_eq!(kinds(&plan), Vec::<String>::new());
        assert_eq!((plan.people.len(), plan.busy), (2, Duration::from_secs(9)));
        case.cuts.without = vec!["rain".into()];
        assert!(case.plan().expect_err("there is no such fault").contains("power-loss"));
    }
}
