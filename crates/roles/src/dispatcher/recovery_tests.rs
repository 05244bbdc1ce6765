//! The dispatcher when something is lost, damaged or can't be written: the log gives back what is missing.

use super::Dispatcher;
use super::tests::{big_group, content, many, pushed, send, settle, start, texts, timeline, to_group, to_peer};
use crate::api::testing::Fixture;
use crate::services::Services;
use crate::tables;
use async_trait::async_trait;
use hudhud_ports::memory::{self, BusOptions};
use hudhud_ports::{Bus as _, Claim, Error, ErrorKind, Key, Result, Row, Scan, Store, Write};
use hudhud_proto::limits::EPOCH_SEQ_JUMP;
use hudhud_proto::v1::{InboxHeadRow, server_frame::Event};
use hudhud_proto::{ConversationId, Message, v1};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Messages that must be flushed before anything is written: what the lost log made can't be made again.
struct FlushedFirst {
    store: Arc<dyn Store>,
    flushed: AtomicBool,
}

#[async_trait]
impl Store for FlushedFirst {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.store.get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.store.scan(scan).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        assert!(self.flushed.load(Ordering::SeqCst), "written before a flush: {writes:?}");
        self.store.write(writes).await
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.store.claim(write).await
    }

    async fn flush(&self) -> Result<()> {
        self.store.flush().await?;
        self.flushed.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// A log is lost with a message that was accepted: it comes in behind the first record of the next epoch, once, and nothing is
/// made of that before what the old one made is flushed.
#[tokio::test]
async fn what_was_accepted_into_a_lost_log_is_appended_again() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let running = start(&fixture);
    let first = send(&fixture, &alice, to_peer(&fixture, &bob, "one")).await;
    settle().await;
    running.abort();
    settle().await;
    send(&fixture, &alice, to_peer(&fixture, &bob, "two")).await;

    let bus = memory::Bus::new(BusOptions::default());
    bus.lose();
    let messages = Arc::new(FlushedFirst { store: fixture.services.messages.clone(), flushed: AtomicBool::new(false) });
    let services = Services { bus: Arc::new(bus.clone()), messages, ..fixture.services.clone() };
    let dispatcher = Dispatcher::new(services, fixture.sessions.clone());
    let _running = tokio::spawn(async move { dispatcher.run().await.expect("memory engines do not fail") });
    let submit = v1::Submit {
        message_id: fixture.message_id().to_bytes(),
        direct_accounts: vec![alice.account.to_bytes(), bob.account.to_bytes()],
        body: Some(v1::submit::Body::Content(content("three"))),
        ..Default::default()
    };
    let record = v1::Record {
        conversation: first.conversation.clone(),
        account: bob.account.to_bytes(),
        device: bob.device.to_bytes(),
        accepted_us: fixture.services.now_us(),
        body: Some(v1::record::Body::Submit(submit)),
    };
    let conversation = ConversationId::from_slice(&first.conversation).expect("an id");
    let shard = hudhud_proto::Shard::of(conversation, bus.shards());
    bus.append(shard, vec![record.encode_to_bytes()]).await.expect("memory does not fail");
    settle().await;
    let entries = timeline(&fixture, &alice, &first.conversation).await;
    assert_eq!(texts(&entries), ["one", "three", "two"]);
    assert_eq!(entries[1].seq, 1 + EPOCH_SEQ_JUMP);
}

/// A directory that stops taking inbox rows when it is told to.
struct NoInboxes {
    store: Arc<dyn Store>,
    failing: Mutex<Option<ErrorKind>>,
}

#[async_trait]
impl Store for NoInboxes {
    async fn get(&self, key: Key) -> Result<Option<Row>> {
        self.store.get(key).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Row>> {
        self.store.scan(scan).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<()> {
        let kind = *self.failing.lock();
        match kind.filter(|_| writes.iter().any(|write| write.key.table == tables::INBOX)) {
            Some(kind) => Err(Error::new(kind, "test", "write")),
            None => self.store.write(writes).await,
        }
    }

    async fn claim(&self, write: Write) -> Result<Claim> {
        self.store.claim(write).await
    }

    async fn flush(&self) -> Result<()> {
        self.store.flush().await
    }
}

/// How a dispatcher ends when something is done to it while the inbox rows of a big group can't be written.
async fn ended_while_inboxes_fail(kind: ErrorKind, then: impl FnOnce(&Dispatcher)) -> Result<()> {
    let (mut fixture, owner, members) = many().await;
    let directory = Arc::new(NoInboxes { store: fixture.services.directory.clone(), failing: Mutex::default() });
    fixture.services.directory = directory.clone();
    let dispatcher = Dispatcher::new(fixture.services.clone(), fixture.sessions.clone());
    let running = tokio::spawn({
        let dispatcher = dispatcher.clone();
        async move { dispatcher.run().await }
    });
    let conversation = big_group(&fixture, &owner, &members).await;
    settle().await;
    *directory.failing.lock() = Some(kind);
    send(&fixture, &owner, to_group(&fixture, &conversation, "one")).await;
    settle().await;
    then(&dispatcher);
    settle().await;
    assert!(running.is_finished(), "it hangs");
    running.await.expect("it does not panic")
}

/// The timeline says already that the message is there: only the replay tells those who are to have it.
#[tokio::test]
async fn a_crash_between_timeline_and_inboxes_is_mended_by_the_replay() {
    let mut fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let failing = Mutex::new(Some(ErrorKind::Unavailable));
    let directory = Arc::new(NoInboxes { store: fixture.services.directory.clone(), failing });
    fixture.services.directory = directory.clone();
    let running = start(&fixture);
    let accepted = send(&fixture, &alice, to_peer(&fixture, &bob, "one")).await;
    settle().await;
    assert_eq!(texts(&timeline(&fixture, &alice, &accepted.conversation).await), ["one"]);
    running.abort();
    settle().await;

    *directory.failing.lock() = None;
    let bob = fixture.connect(&bob).await;
    let _running = start(&fixture);
    settle().await;
    let conversation = ConversationId::from_slice(&accepted.conversation).expect("an id");
    for account in [alice.account, bob.account] {
        let key = tables::inbox(account, conversation, tables::InboxPart::Head);
        let row = fixture.services.directory.get(key).await.expect("memory does not fail").expect("an inbox row");
        assert_eq!(tables::read::<InboxHeadRow>(&row).expect("it decodes").head_seq, 1);
    }
    assert!(matches!(pushed(&fixture, &bob)[..], [Event::Entry(_)]), "who is connected now is told");
    assert_eq!(texts(&timeline(&fixture, &bob, &accepted.conversation).await), ["one"], "once");
}

/// The fan-out is given up with the stop; it is pending and not committed, so the next start does it.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_big_group_whose_fan_out_fails() {
    ended_while_inboxes_fail(ErrorKind::Unavailable, Dispatcher::stop).await.expect("it ends as it was asked to");
}

#[tokio::test]
async fn an_engine_that_fails_for_good_in_a_big_group_ends_the_dispatcher() {
    let error = ended_while_inboxes_fail(ErrorKind::Fatal, |_| {}).await.expect_err("the process must stop");
    assert_eq!(error.kind(), ErrorKind::Fatal);
}

/// A damaged row is no reason to skip what was accepted: the dispatcher ends, and goes on where it was once the row is mended.
#[tokio::test]
async fn corrupt_state_ends_the_dispatcher_and_no_accepted_message_is_skipped() {
    let fixture = Fixture::new().await;
    let (alice, bob) = (fixture.account("alice").await, fixture.account("bob").await);
    let running = start(&fixture);
    let accepted = send(&fixture, &alice, to_peer(&fixture, &bob, "one")).await;
    settle().await;
    running.abort();
    settle().await;
    let conversation = ConversationId::from_slice(&accepted.conversation).expect("an id");
    let row = tables::member(conversation, hudhud_proto::AccountId::new([9; 16]));
    let garbage = Write { key: row.clone(), value: Some(bytes::Bytes::from_static(&[0xff; 8])), version: 1 };
    fixture.store.write(vec![garbage]).await.expect("memory does not fail");
    send(&fixture, &alice, to_peer(&fixture, &bob, "two")).await;
    let dispatcher = Dispatcher::new(fixture.services.clone(), fixture.sessions.clone());
    assert_eq!(dispatcher.run().await.expect_err("it can't go on").kind(), ErrorKind::Corrupt);

    let mended = tables::delete(row, 2);
    fixture.store.write(vec![mended]).await.expect("memory does not fail");
    let _running = start(&fixture);
    settle().await;
    assert_eq!(texts(&timeline(&fixture, &bob, &accepted.conversation).await), ["one", "two"]);
}
