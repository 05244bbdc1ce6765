//! What a seed decides before anything runs: who takes part, how the servers are set, what fails how often.
//!
//! Each kind of fault is left out of many runs altogether: what hides behind one fault shows where it is absent.

use crate::chance::{Chance, PerMillion};
use crate::mutants::Mutant;
use crate::server::Roles;
use hudhud_proto::Encoding;
use hudhud_roles::settings::{PasswordCost, Rate, Rates, Settings};
use std::time::Duration;

/// How the server side is arranged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrangement {
    /// One process with all roles; its engines are in it, as on one machine.
    AllInOne,
    /// Two processes with all roles on shared engines, as in a cluster.
    TwoServers,
    /// Three processes with gateway and api, three with a dispatcher each, on shared engines.
    SeparateNodes,
}

impl Arrangement {
    /// Whether the engines are in the process, and die with it.
    pub fn is_embedded(self) -> bool {
        self == Self::AllInOne
    }

    /// Its servers.
    pub fn nodes(self) -> &'static [(&'static str, Roles)] {
        const fn all(name: &'static str) -> (&'static str, Roles) {
            (name, Roles::All)
        }
        const fn front(name: &'static str) -> (&'static str, Roles) {
            (name, Roles::Front)
        }
        const fn dispatcher(name: &'static str) -> (&'static str, Roles) {
            (name, Roles::Dispatcher)
        }
        match self {
            Self::AllInOne => const { &[all("s1")] },
            Self::TwoServers => const { &[all("s1"), all("s2")] },
            Self::SeparateNodes => {
                const { &[front("g1"), front("g2"), front("g3"), dispatcher("d1"), dispatcher("d2"), dispatcher("d3")] }
            }
        }
    }
}

/// Everything that a seed decides at the start.
#[derive(Clone, Debug)]
pub struct Plan {
    /// See there.
    pub arrangement: Arrangement,
    /// The people and their devices.
    pub people: Vec<PersonPlan>,
    /// Accounts that never connect and are members of one big group. None in most runs.
    pub crowd: usize,
    /// How the servers are set.
    pub settings: Settings,
    /// The number of shards of the bus.
    pub shards: u32,
    /// The bound of the cache, in bytes.
    pub cache_bytes_max: usize,
    /// Messages and directory in one engine, which loses power as one.
    pub one_store: bool,
    /// Network latency one way, in milliseconds at most.
    pub latency_ms_max: u64,
    /// Wait between two things that people do, in milliseconds at most.
    pub pause_ms_max: u64,
    /// How many of the things that people do are changes of groups, beyond the usual.
    pub turmoil: PerMillion,
    /// How long faults and workload last.
    pub busy: Duration,
    /// What fails how often meanwhile.
    pub weather: Weather,
    /// A promise that is broken on purpose.
    pub mutant: Option<Mutant>,
}

/// A person.
#[derive(Clone, Debug)]
pub struct PersonPlan {
    /// The handle.
    pub name: &'static str,
    /// How each of its devices speaks.
    pub devices: Vec<Encoding>,
    /// Whether others learn what it read.
    pub read_receipts: bool,
}

/// What fails how often. Chances are per call, intervals are means.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// A store's call is refused.
    pub store_refuses: PerMillion,
    /// A store's call has no answer; a write may be there nevertheless, at once or later.
    pub store_times_out: PerMillion,
    /// An append is refused.
    pub bus_refuses: PerMillion,
    /// An append has no answer; its records may land now, later, never or twice.
    pub bus_times_out: PerMillion,
    /// Reading the bus or committing fails.
    pub consumer_fails: PerMillion,
    /// The cache fails, or lost what it is asked for.
    pub cache_fails: PerMillion,
    /// The cache answers with an older value.
    pub cache_lies: PerMillion,
    /// A push is lost without a word.
    pub push_lost: PerMillion,
    /// A push fails, before or after it was done.
    pub push_fails: PerMillion,
    /// A push is done twice.
    pub push_twice: PerMillion,
    /// A push is done later, when others may have overtaken it.
    pub push_late: PerMillion,
    /// A device dies between two steps of its own.
    pub device_dies: PerMillion,
    /// Between two larger events.
    pub event_ms_mean: u64,
    /// Which larger events there are, each as often as it is listed.
    pub events: Vec<Fault>,
}

/// A larger event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A server process is killed (kill -9) and started again after a while.
    Kill,
    /// The power goes: all servers and all disks.
    PowerLoss,
    /// A server process is stopped as an operator does and started again.
    Drain,
    /// A server process stands still (SIGSTOP) and goes on.
    Pause,
    /// The same for up to a minute and a half: longer than every lease and every share of the bus.
    LongPause,
    /// A disk can't sync: its engine gives up, the process dies, and what was not synced is lost. Of engines in the process.
    SyncError,
    /// The log of the bus is lost, with the power or without: another epoch begins.
    LogLost,
    /// The power goes, and a record of the log is damaged: at its end it is cut off, further inside the log is given up.
    BitFlip,
    /// Bits flip in rows of a store: what needs one of them is told that it is damaged, until somebody has mended them.
    RowFlips,
    /// The bus takes all shards away and shares them anew.
    Rebalance,
    /// A server's clock jumps.
    ServerClock,
    /// A store answers nobody for a while.
    StoreStalls,
    /// Stores and bus have no room for a while.
    Full,
    /// The cache forgets everything.
    CacheRestart,
    /// Servers can't reach each other's gateways for a while.
    GatewayPartition,
    /// What one server pushes to another is lost for a while, or the answers are.
    GatewayOneWay,
    /// A server does not reach the engines for a while, or is not answered by them. Of engines that are shared.
    EnginePartition,
    /// A connection is cut: both ends notice at once.
    Cut,
    /// All connections of a server are cut at once: everybody comes back.
    Storm,
    /// A connection carries nothing any more and nobody is told.
    BlackHole,
    /// A connection carries nothing in one direction any more and nobody is told.
    OneWay,
    /// A device can't reach any server for a while.
    DevicePartition,
    /// A device dies and is started again.
    DeviceCrash,
    /// A device does nothing for a while and reads nothing, as a suspended app.
    DeviceSuspend,
    /// A device's clock jumps.
    DeviceClock,
    /// A person throws one of the own devices out.
    Revoke,
}

impl Fault {
    /// Whether it can happen there.
    fn befalls(self, arrangement: Arrangement) -> bool {
        match self {
            Self::SyncError => arrangement.is_embedded(),
            Self::GatewayPartition | Self::GatewayOneWay | Self::EnginePartition => !arrangement.is_embedded(),
            _ => true,
        }
    }
}

/// All but [`Fault::LogLost`], [`Fault::BitFlip`] and [`Fault::RowFlips`], which are in fewer runs: what is behind them shows
/// less.
const FAULTS: [Fault; 23] = [
    Fault::Kill,
    Fault::PowerLoss,
    Fault::Drain,
    Fault::Pause,
    Fault::LongPause,
    Fault::SyncError,
    Fault::Rebalance,
    Fault::ServerClock,
    Fault::StoreStalls,
    Fault::Full,
    Fault::CacheRestart,
    Fault::GatewayPartition,
    Fault::GatewayOneWay,
    Fault::EnginePartition,
    Fault::Cut,
    Fault::Storm,
    Fault::BlackHole,
    Fault::OneWay,
    Fault::DevicePartition,
    Fault::DeviceCrash,
    Fault::DeviceSuspend,
    Fault::DeviceClock,
    Fault::Revoke,
];

const NAMES: [&str; 6] = ["ann", "ben", "cleo", "dan", "eve", "finn"];

impl Plan {
    /// What this seed decides.
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, "plan");
        let arrangement = match chance.below(10) {
            0..4 => Arrangement::AllInOne,
            4..7 => Arrangement::TwoServers,
            _ => Arrangement::SeparateNodes,
        };
        let people = chance.within(2..6) as usize;
        let people = NAMES[..people].iter().map(|name| PersonPlan::new(name, &mut chance)).collect();
        Self {
            arrangement,
            people,
            crowd: if chance.hits(100_000) { 70 } else { 0 },
            settings: settings(&mut chance),
            shards: chance.within(1..6) as u32,
            cache_bytes_max: chance.within(200..20_000) as usize,
            one_store: chance.hits(500_000),
            latency_ms_max: *chance.pick(&[2, 20, 200]).expect("there are some"),
            pause_ms_max: *chance.pick(&[200, 500, 1_500]).expect("there are some"),
            turmoil: if chance.hits(400_000) { chance.within(100_000..600_000) as PerMillion } else { 0 },
            busy: Duration::from_secs(60),
            weather: Weather::new(&mut chance, arrangement),
            mutant: None,
        }
    }
}

impl PersonPlan {
    fn new(name: &'static str, chance: &mut Chance) -> Self {
        let devices = chance.within(1..4);
        let encoding = |json| if json { Encoding::Json } else { Encoding::Protobuf };
        let devices = (0..devices).map(|_| encoding(chance.hits(250_000))).collect();
        Self { name, devices, read_receipts: chance.hits(850_000) }
    }
}

impl Weather {
    fn new(chance: &mut Chance, arrangement: Arrangement) -> Self {
        let mut rare = |most: u64| if chance.hits(500_000) { chance.within(1..most) as PerMillion } else { 0 };
        let mut weather = Self {
            store_refuses: rare(30_000),
            store_times_out: rare(10_000),
            bus_refuses: rare(50_000),
            bus_times_out: rare(50_000),
            consumer_fails: rare(50_000),
            cache_fails: rare(300_000),
            cache_lies: rare(300_000),
            push_lost: rare(200_000),
            push_fails: rare(100_000),
            push_twice: rare(200_000),
            push_late: rare(200_000),
            device_dies: rare(3_000),
            ..Self::default()
        };
        weather.event_ms_mean = *chance.pick(&[500, 1_500, 5_000]).expect("there are some");
        weather.events = chance.some(&FAULTS, 500_000);
        weather.events.extend(chance.some(&[Fault::LogLost, Fault::BitFlip], 150_000));
        weather.events.extend(chance.some(&[Fault::RowFlips], 200_000));
        weather.events.retain(|fault| fault.befalls(arrangement));
        weather
    }
}

/// Intervals are shorter than a real server's, so that a minute holds many of them; limits are small, so that they are reached.
fn settings(chance: &mut Chance) -> Settings {
    let often = Rate { burst: 1_000, interval: Duration::from_millis(10) };
    Settings {
        password: PasswordCost { memory_kib: 8, passes: 1 },
        ping_interval: chance.millis(1_500..4_000),
        hello_timeout: Duration::from_secs(10),
        outbox_frames_max: chance.within(4..200) as usize,
        lease: chance.millis(3_000..8_000),
        session_cache_ttl: Duration::from_secs(chance.within(1..300)),
        conversations_cached_max: chance.within(1..64) as usize,
        dispatch_batch_max: chance.within(1..48) as usize,
        commit_interval: chance.millis(50..2_000),
        call_timeout: chance.millis(1_000..5_000),
        // People here meet many strangers in a minute, and make groups of them.
        rates: Rates { look_ups: often, group_adds: often, ..Rates::default() },
        ..Settings::default()
    }
}
