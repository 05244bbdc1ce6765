//! Who is told what, and who is not.

use super::*;
use crate::api::testing::Fixture;
use crate::api::{Caller, Who};
use hudhud_proto::limits::WATCH_MS;
use hudhud_proto::v1::client_frame::Command;
use hudhud_proto::v1::{Audience, ServerFrame, Switch};

struct World {
    fixture: Fixture,
    presence: Presence,
    alice: Caller,
    bob: Caller,
}

impl World {
    /// Alice is connected and looks at her device; so does Bob.
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let presence = Presence::new(&fixture.services, fixture.sessions.clone());
        let alice = fixture.connect(&fixture.account("alice").await).await;
        let bob = fixture.connect(&fixture.account("bob").await).await;
        Self { fixture, presence, alice, bob }
    }

    async fn command(&self, caller: &Caller, command: Command) {
        let answer = self.fixture.api.handle(&Who::Account(caller.clone()), command).await;
        assert!(answer.is_ok(), "{answer:?}");
    }

    async fn set_privacy(&self, online: Audience, last_seen: Audience) {
        let privacy = v1::Privacy { online: online.into(), last_seen: last_seen.into(), ..Default::default() };
        self.command(&self.alice, Command::SetPrivacy(v1::SetPrivacy { privacy: privacy.into() })).await;
    }

    /// Whether Bob sees Alice online, and since when not.
    async fn seen_by_bob(&self) -> (bool, u64) {
        let presences = self.presence.of(self.bob.account, &[self.alice.account]).await.expect("read");
        assert_eq!(presences[0].account, self.alice.account.to_bytes());
        (presences[0].online, presences[0].last_seen_us)
    }

    async fn bob_watches(&self, accounts: &[AccountId]) {
        self.presence.watch(self.bob.session.as_ref().expect("connected"), accounts).await.expect("watched");
    }

    /// What Bob was told of Alice so far.
    fn told_to_bob(&self) -> Vec<(bool, u64)> {
        let presence = |payload| match payload {
            Payload::Frame(frame) => match ServerFrame::decode_from_slice(&frame).expect("a frame").event {
                Some(Event::Presence(presence)) => (presence.online, presence.last_seen_us),
                other => panic!("{other:?}"),
            },
            Payload::Revoked(_) | Payload::Suspended => panic!("nobody was shut out"),
        };
        self.fixture.delivered_to(&self.bob).into_iter().map(presence).collect()
    }

    async fn alice_leaves(&self) {
        let session = self.alice.session.clone().expect("connected");
        self.fixture.sessions.unregister(&session).await.expect("unregistered");
        self.presence.left(self.alice.account).await;
    }

    fn now_us(&self) -> u64 {
        self.fixture.services.now_us()
    }
}

#[tokio::test]
async fn everybody_sees_who_never_said_otherwise() {
    let world = World::new().await;
    world.presence.seen(world.alice.account).await;
    assert_eq!(world.seen_by_bob().await, (true, world.now_us()));
    let privacy = privacy_of(&world.fixture.services, world.alice.account).await.expect("read");
    assert_eq!((privacy.online, privacy.groups), (Audience::Everyone.into(), Audience::Everyone.into()));
    assert_eq!(privacy.read_receipts, Switch::On);
}

#[tokio::test]
async fn audiences_and_blocks_decide_what_is_seen() {
    let world = World::new().await;
    world.presence.seen(world.alice.account).await;
    let now = world.now_us();
    world.set_privacy(Audience::Nobody, Audience::Everyone).await;
    assert_eq!(world.seen_by_bob().await, (false, now));
    world.set_privacy(Audience::Everyone, Audience::Nobody).await;
    assert_eq!(world.seen_by_bob().await, (true, 0));
    world.set_privacy(Audience::Contacts, Audience::Contacts).await;
    assert_eq!(world.seen_by_bob().await, (false, 0));
    let contact = v1::SetContact { account: world.bob.account.to_bytes(), ..Default::default() };
    world.command(&world.alice, Command::SetContact(contact)).await;
    assert_eq!(world.seen_by_bob().await, (true, now), "her contact, not she his");
    let own = world.presence.of(world.alice.account, &[world.alice.account]).await.expect("read");
    assert!(own[0].online, "one always sees oneself");

    let block = |account: AccountId| Command::Block(v1::Block { account: account.to_bytes() });
    let unblock = |account: AccountId| Command::Unblock(v1::Unblock { account: account.to_bytes() });
    world.command(&world.bob, block(world.alice.account)).await;
    assert_eq!(world.seen_by_bob().await, (false, 0), "a block hides in both directions");
    world.fixture.clock.advance(Duration::from_millis(1));
    world.command(&world.bob, unblock(world.alice.account)).await;
    world.command(&world.alice, block(world.bob.account)).await;
    assert_eq!(world.seen_by_bob().await, (false, 0));
}

#[tokio::test]
async fn an_account_that_is_not_there_looks_like_one_that_hides() {
    let world = World::new().await;
    let nobody = crate::api::testing::NOBODY;
    let presences = world.presence.of(world.bob.account, &[nobody]).await.expect("read");
    assert_eq!(presences, [v1::Presence { account: nobody.to_bytes(), ..Default::default() }]);
}

#[tokio::test]
async fn watchers_are_told_of_changes_until_their_watch_ends() {
    let world = World::new().await;
    world.bob_watches(&[world.alice.account]).await;
    world.fixture.clock.advance(Duration::from_secs(5));
    world.alice_leaves().await;
    assert_eq!(world.told_to_bob(), [(false, world.now_us())]);

    world.bob_watches(&[crate::api::testing::NOBODY]).await;
    world.presence.changed(world.alice.account).await;
    assert_eq!(world.told_to_bob().len(), 1, "a new list ends the old one");

    world.bob_watches(&[world.alice.account]).await;
    world.fixture.clock.advance(Duration::from_millis(WATCH_MS));
    world.presence.changed(world.alice.account).await;
    assert_eq!(world.told_to_bob().len(), 1, "a watch that is not repeated runs out");

    world.bob_watches(&[world.alice.account]).await;
    world.presence.unwatch(world.bob.session.as_ref().expect("connected")).await;
    world.presence.changed(world.alice.account).await;
    assert_eq!(world.told_to_bob().len(), 1, "a connection that closed watches nobody");
}

#[tokio::test]
async fn a_change_that_a_watcher_may_not_see_sends_nothing_at_all() {
    let world = World::new().await;
    world.set_privacy(Audience::Nobody, Audience::Nobody).await;
    world.bob_watches(&[world.alice.account]).await;
    world.presence.changed(world.alice.account).await;
    assert_eq!(world.told_to_bob(), [], "that something happened is itself a secret");
    world.fixture.clock.advance(Duration::from_millis(1));
    world.set_privacy(Audience::Nobody, Audience::Everyone).await;
    world.presence.changed(world.alice.account).await;
    assert_eq!(world.told_to_bob(), [], "who sees only last seen does not see her come");
    world.alice_leaves().await;
    assert_eq!(world.told_to_bob(), [(false, world.now_us())], "but sees when she was here");
}

#[tokio::test]
async fn watchers_of_one_account_are_bounded() {
    let world = World::new().await;
    let watchers = Watchers::new(&world.fixture.services);
    for n in 0..300_u16 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        watchers.replace((AccountId::new(id), DeviceId::new(id)), &[world.alice.account]).await;
    }
    let kept = watchers.of(world.alice.account).await.expect("read");
    assert_eq!((kept.len(), kept[0].0.as_bytes()[1]), (256, 44), "those who watched first went first");
}

#[tokio::test]
async fn last_seen_is_written_once_a_minute_and_at_the_end() {
    let world = World::new().await;
    let start = world.now_us();
    let last_seen = || async { world.presence.last_seen(world.alice.account).await.expect("read") };
    world.presence.seen(world.alice.account).await;
    assert_eq!(last_seen().await, start);
    world.fixture.clock.advance(LAST_SEEN_INTERVAL - Duration::from_millis(1));
    world.presence.seen(world.alice.account).await;
    assert_eq!(last_seen().await, start);
    world.fixture.clock.advance(Duration::from_millis(1));
    world.presence.seen(world.alice.account).await;
    assert_eq!(last_seen().await, start + 60_000_000);
    world.fixture.clock.advance(Duration::from_secs(3));
    world.alice_leaves().await;
    assert_eq!(last_seen().await, start + 63_000_000);
}
