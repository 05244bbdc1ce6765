//! The larger events of a run: crashes, power losses, partitions, clocks that jump.

use crate::device::Order;
use crate::network::{End, Way};
use crate::people::People;
use crate::plan::Fault;
use crate::server::Server;
use crate::site::{Power, Site};
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;

/// Logs that a run loses.
const LOG_LOSSES_MAX: u16 = 2;

/// Lets things happen until the time is over. What an event began may end later; [`Site::heal`] ends it.
pub async fn blow(world: World, site: Arc<Site>, people: Arc<People>, until: Duration) {
    let weather = world.plan().weather.clone();
    if weather.events.is_empty() {
        return;
    }
    loop {
        let wait = world.draw(|chance| chance.millis(1..2 * weather.event_ms_mean));
        if world.now() + wait >= until {
            return;
        }
        world.sleep(wait).await;
        let fault = world.draw(|chance| chance.pick(&weather.events).copied());
        if let Some(fault) = fault {
            world.count(|totals| totals.faults += 1);
            world.note(format_args!("weather: {fault:?}"));
            strike(&world, &site, &people, fault);
        }
    }
}

fn strike(world: &World, site: &Arc<Site>, people: &Arc<People>, fault: Fault) {
    let servers = site.servers();
    let server = world.draw(|chance| chance.pick(servers).cloned()).expect("there are servers");
    let (short, long) = world.draw(|chance| (chance.millis(50..3_000), chance.millis(500..12_000)));
    let until = world.now() + long;
    match fault {
        Fault::Kill => {
            server.kill(true);
            start_later(world, &server, short);
        }
        Fault::PowerLoss => {
            site.lose_power();
            for server in servers {
                let wait = short + world.draw(|chance| chance.millis(0..2_000));
                start_later(world, server, wait);
            }
        }
        Fault::Drain => {
            let world = world.clone();
            world.clone().spawn(async move {
                server.drain(Duration::from_secs(2)).await;
                start_later(&world, &server, short);
            });
        }
        Fault::Pause => pause(world, &server, long),
        Fault::LongPause => pause(world, &server, world.draw(|chance| chance.millis(10_000..90_000))),
        Fault::SyncError => match world.draw(|chance| chance.below(3)) {
            0 => site.messages().fail_sync(),
            1 => site.directory().fail_sync(),
            _ => site.bus().fail_sync(),
        },
        Fault::LogLost => {
            let power = world.draw(|chance| *chance.pick(&[Power::On, Power::Lost]).expect("two"));
            lose_log(world, site, power, short);
        }
        Fault::BitFlip => match world.draw(|chance| chance.below(3)) {
            // Nobody was told of what is cut off: the same as a torn tail.
            0..2 => strike(world, site, people, Fault::PowerLoss),
            // The log is not opened any more, until somebody decides to go on without it.
            _ => lose_log(world, site, Power::Lost, short + long),
        },
        Fault::RowFlips => match world.draw(|chance| chance.below(2)) {
            0 => site.messages().damage(until),
            _ => site.directory().damage(until),
        },
        Fault::Rebalance => site.bus().share_anew(),
        Fault::ServerClock => {
            // Leases are wall-clock times: two servers must not be apart by more than what a lease has left when it is renewed.
            let most_us = world.plan().settings.lease.as_micros() as u64 / 4;
            server.clock().set(world.draw(|chance| chance.within(0..2 * most_us) as i64 - most_us as i64));
        }
        Fault::StoreStalls => match world.draw(|chance| chance.below(3)) {
            0 => site.messages().stall(until),
            1 => site.directory().stall(until),
            _ => site.bus().stall(until),
        },
        Fault::Full => {
            site.messages().fill(until);
            site.directory().fill(until);
            site.bus().fill(until);
        }
        Fault::CacheRestart => site.cache().restart(),
        Fault::GatewayPartition => site.gateways().part(until),
        Fault::GatewayOneWay => {
            let to = world.draw(|chance| chance.pick(servers).cloned()).expect("there are servers");
            site.gateways().part_half(server.name(), to.name(), until, way(world));
        }
        Fault::EnginePartition => {
            let (which, way, name) = (world.draw(|chance| chance.below(4)), way(world), server.name());
            if which != 1 {
                site.messages().part(name, until, way);
            }
            if which != 2 {
                site.directory().part(name, until, way);
            }
            if which != 3 {
                site.bus().part(name, until, way);
            }
        }
        Fault::Storm => site.network().cut_all(server.name()),
        Fault::OneWay => {
            if let Some(link) = site.network().any_link() {
                link.swallow(if way(world) == Way::Questions { End::Device } else { End::Server });
            }
        }
        Fault::Revoke => people.throw_out_a_device(),
        Fault::Cut => {
            if let Some(link) = site.network().any_link() {
                link.reset(End::Device);
                link.reset(End::Server);
            }
        }
        Fault::BlackHole => {
            if let Some(link) = site.network().any_link() {
                link.become_hole();
                // One end may be told.
                match world.draw(|chance| chance.below(3)) {
                    0 => link.reset(End::Device),
                    1 => link.reset(End::Server),
                    _ => {}
                }
            }
        }
        Fault::DevicePartition => {
            let devices = people.devices();
            if let Some(device) = world.draw(|chance| chance.pick(&devices).cloned()) {
                site.network().cut_off(device.name(), until);
            }
        }
        Fault::DeviceCrash => people.trouble(Order::Die),
        Fault::DeviceSuspend => people.trouble(Order::Suspend),
        Fault::DeviceClock => {
            let devices = people.devices();
            let offset_us = world.draw(|chance| chance.within(0..7_200_000_000) as i64 - 3_600_000_000);
            if let Some(device) = world.draw(|chance| chance.pick(&devices).cloned()) {
                device.clock().set(offset_us);
            }
        }
    }
}

fn way(world: &World) -> Way {
    if world.draw(|chance| chance.hits(500_000)) { Way::Questions } else { Way::Answers }
}

fn pause(world: &World, server: &Server, long: Duration) {
    let Some(run) = server.running() else { return };
    world.note(format_args!("{} stands still for {long:?}", server.name()));
    run.process().stop();
    let process = run.process().clone();
    let world = world.clone();
    world.clone().spawn(async move {
        world.sleep(long).await;
        process.go_on();
    });
}

/// A run loses its log a few times at most: it is a rare thing, and an epoch should hold something.
fn lose_log(world: &World, site: &Site, power: Power, restart: Duration) {
    if world.observer().losses.count >= LOG_LOSSES_MAX {
        return;
    }
    site.lose_log(power);
    for server in site.servers() {
        let wait = restart + world.draw(|chance| chance.millis(0..2_000));
        start_later(world, server, wait);
    }
}

fn start_later(world: &World, server: &Arc<Server>, wait: Duration) {
    let (sleeper, server) = (world.clone(), server.clone());
    world.spawn(async move {
        sleeper.sleep(wait).await;
        server.start();
    });
}
