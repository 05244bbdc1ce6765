//! Clients against a tiny model of a server, under every interleaving of faults that chance finds: each message is shown
//! exactly once, the order of a sender is kept, the outbox drains, receipts reach everybody.

mod server;
mod world;

use hudhud_client::{Command, Recipient};
use hudhud_proto::{AccountId, ConversationId, Seq};
use proptest::prelude::*;
use server::SendFault;
use std::time::Duration;
use world::World;

const ALICE: u8 = 1;
const BOB: u8 = 2;
const CAROL: u8 = 3;
const GROUP: ConversationId = ConversationId::new([9; 16]);

fn direct() -> ConversationId {
    ConversationId::direct(AccountId::new([ALICE; 16]), AccountId::new([BOB; 16]))
}

/// Alice has two devices, Bob and Carol one each. All are in a group; Alice and Bob also write to each other.
fn world() -> World {
    let mut world =
        World::new(&[ALICE, ALICE, BOB, CAROL], &[(direct(), &[ALICE, BOB]), (GROUP, &[ALICE, BOB, CAROL])]);
    // The group is known once somebody wrote: as members do, by its id.
    let everybody = [0, 1, 2, 3];
    everybody.into_iter().for_each(|n| world.command(n, Command::Refresh(GROUP)));
    world.heal();
    world
}

#[derive(Clone, Debug)]
enum Op {
    Direct { from_bob: bool },
    Group { from: usize },
    Read { device: usize, group: bool },
    Up { device: usize, frames: usize },
    Down { device: usize, frames: usize },
    Dispatch { records: usize },
    Connect { device: usize },
    Cut { device: usize },
    Kill { device: usize, after: usize },
    Wait { ms: u64 },
    LosePush { device: usize },
    RepeatPush { device: usize },
    SwapPushes { device: usize },
    Fault { late: bool },
    Land,
    Ping { device: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let device = || 0..4_usize;
    prop_oneof![
        4 => any::<bool>().prop_map(|from_bob| Op::Direct { from_bob }),
        3 => device().prop_map(|from| Op::Group { from }),
        2 => (device(), any::<bool>()).prop_map(|(device, group)| Op::Read { device, group }),
        8 => (device(), 1..8_usize).prop_map(|(device, frames)| Op::Up { device, frames }),
        8 => (device(), 1..8_usize).prop_map(|(device, frames)| Op::Down { device, frames }),
        4 => (1..5_usize).prop_map(|records| Op::Dispatch { records }),
        3 => device().prop_map(|device| Op::Connect { device }),
        1 => device().prop_map(|device| Op::Cut { device }),
        1 => (device(), 0..4_usize).prop_map(|(device, after)| Op::Kill { device, after }),
        2 => prop_oneof![1..200_u64, 1_000..15_000_u64].prop_map(|ms| Op::Wait { ms }),
        1 => device().prop_map(|device| Op::LosePush { device }),
        1 => device().prop_map(|device| Op::RepeatPush { device }),
        1 => device().prop_map(|device| Op::SwapPushes { device }),
        1 => any::<bool>().prop_map(|late| Op::Fault { late }),
        1 => Just(Op::Land),
        1 => device().prop_map(|device| Op::Ping { device }),
    ]
}

fn run(world: &mut World, op: Op) {
    let bob = AccountId::new([BOB; 16]);
    match op {
        Op::Direct { from_bob: false } => world.compose(0, Recipient::Account(bob)),
        Op::Direct { from_bob: true } => world.compose(2, Recipient::Account(AccountId::new([ALICE; 16]))),
        Op::Group { from } => world.compose(from, Recipient::Conversation(GROUP)),
        Op::Read { device, group } => world.read(device, if group { GROUP } else { direct() }),
        Op::Up { device, frames } => (0..frames).for_each(|_| {
            world.up(device);
        }),
        Op::Down { device, frames } => (0..frames).for_each(|_| {
            world.down(device);
        }),
        Op::Dispatch { records } => (0..records).for_each(|_| {
            world.dispatch();
        }),
        Op::Connect { device } => world.connect(device),
        Op::Cut { device } => world.cut(device),
        Op::Kill { device, after } => world.kill_after(device, after),
        Op::Wait { ms } => world.wait(Duration::from_millis(ms)),
        Op::LosePush { device } => world.pushes(device, |pushes| drop(pushes.pop())),
        Op::RepeatPush { device } => world.pushes(device, |pushes| pushes.extend(pushes.first().cloned())),
        Op::SwapPushes { device } => world.pushes(device, |pushes| pushes.reverse()),
        Op::Fault { late } => {
            world.server.fault = Some(if late { SendFault::LandsLate } else { SendFault::Unavailable });
        }
        Op::Land => world.server.land(),
        Op::Ping { device } => world.ping(device),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_shown_once_and_in_order_whatever_happens(ops in prop::collection::vec(op(), 0..150)) {
        let mut world = world();
        ops.into_iter().for_each(|op| run(&mut world, op));
        world.heal();
        world.check();
    }
}

#[test]
fn a_message_makes_its_way_and_its_ticks_come_back() {
    let mut world = world();
    run(&mut world, Op::Direct { from_bob: false });
    world.heal();
    world.check();
    world.read(2, direct());
    world.heal();
    world.check();
    let row = world.devices[0].storage.conversations().find(|row| row.id == direct()).expect("it is known");
    assert_eq!((row.others_received, row.others_read), (Seq(1), Seq(1)));
}

#[test]
fn what_is_composed_offline_leaves_once_there_is_a_connection_and_survives_a_kill() {
    let mut world = world();
    world.cut(0);
    for _ in 0..40 {
        run(&mut world, Op::Direct { from_bob: false });
    }
    world.kill_after(0, 1);
    run(&mut world, Op::Direct { from_bob: false });
    assert_eq!(world.devices[0].storage.outbox().count(), 41, "killed after it was durable, before it was told");
    world.heal();
    assert_eq!(world.server.log(direct()).len(), 41);
}

#[test]
fn a_new_device_starts_with_the_newest_entries_and_pages_back_on_demand() {
    let mut world = World::new(&[ALICE, BOB], &[(direct(), &[ALICE, BOB])]);
    world.cut(1);
    for _ in 0..450 {
        world.compose(0, Recipient::Account(AccountId::new([BOB; 16])));
    }
    for _ in 0..60 {
        world.connect(0);
        world.wait(Duration::from_secs(1));
        world.flow();
    }
    assert_eq!(world.server.log(direct()).len(), 450);
    world.heal();
    let row = |world: &World| world.devices[1].storage.conversations().next().expect("it is known").clone();
    assert_eq!((row(&world).floor, row(&world).cursor), (Seq(447), Seq(450)), "a page of the model holds four");
    let mut before = None;
    while !row(&world).complete {
        world.command(1, Command::History { conversation: direct(), before, limit: 200 });
        world.flow();
        before = Some(row(&world).floor);
    }
    assert_eq!(row(&world).floor, Seq(1));
    world.check();
}
