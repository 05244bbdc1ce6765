//! With a cache that lies all the time, people chat as ever; only a little later.

use super::*;
use crate::dispatcher::Dispatcher;
use crate::session::liar::Liar;
use hudhud_ports::memory;
use std::collections::BTreeMap;

/// A device that does what the protocol asks of it: it keeps what is pushed, and asks for what a ping says it misses.
struct Device {
    client: Client,
    heads: BTreeMap<Bytes, u64>,
    texts: BTreeMap<(Bytes, u64), Bytes>,
}

impl Device {
    fn new(client: Client) -> Self {
        Self { client, heads: BTreeMap::new(), texts: BTreeMap::new() }
    }

    fn keep(&mut self, entry: v1::Entry) {
        let head = self.heads.entry(entry.conversation.clone()).or_default();
        *head = entry.seq.max(*head);
        if let Some(v1::entry::Body::Content(content)) = &entry.body.as_ref() {
            self.texts.insert((entry.conversation, entry.seq), content.payload.clone());
        }
    }

    /// Takes what was pushed. Says whether a ping told that something is missing.
    fn take(&mut self) -> bool {
        let mut misses = false;
        for event in self.client.events() {
            match event {
                Event::Entry(entry) => self.keep(entry),
                Event::Ping(ping) => misses |= ping.inbox_version != self.heads.values().sum::<u64>(),
                _ => {}
            }
        }
        misses
    }

    async fn catch_up(&mut self) {
        let Event::ChangePage(page) = self.client.ask(Command::Changes(v1::Changes::default())).await else {
            panic!("no changes")
        };
        for row in page.rows {
            let fetch = v1::Fetch { conversation: row.conversation, from_seq: 1, ..Default::default() };
            let Event::EntryPage(page) = self.client.ask(Command::Fetch(fetch)).await else { panic!("no page") };
            page.entries.into_iter().for_each(|entry| self.keep(entry));
        }
    }
}

#[tokio::test]
async fn a_lying_cache_makes_messages_late_and_loses_none() {
    let fixture = Fixture::new().await;
    let clock = fixture.clock.clone();
    let world = World::on(fixture, |services| {
        Arc::new(Liar::new(services.runtime.clone(), memory::Cache::new(clock, 1 << 20)))
    });
    let world = world.await;
    let dispatcher = Dispatcher::new(world.services.clone(), world.gateway.sessions.clone());
    tokio::spawn(async move { dispatcher.run().await });
    let (_, alice_token) = world.register("alice").await;
    let (bob, bob_token) = world.register("bob").await;
    let bobs_phone = world.fixture.log_in("bob", crate::api::testing::PASSWORD).await.expect("logged in").token;
    let mut alice = world.hello(&alice_token).await;
    let mut bobs = vec![Device::new(world.hello(&bob_token).await), Device::new(world.hello(&bobs_phone).await)];
    for n in 0..60 {
        let answer = alice.ask(Command::Send(message(&world, &bob, n))).await;
        assert!(matches!(answer, Event::Accepted(_)), "{answer:?}");
    }
    world.pass(Duration::from_secs(1)).await;
    let pushed: Vec<usize> = bobs.iter_mut().map(|bob| (bob.take(), bob.texts.len()).1).collect();
    assert!(pushed.iter().any(|pushed| *pushed < 60), "a lie that costs nothing proves nothing: {pushed:?}");
    assert!(pushed.iter().all(|pushed| *pushed > 0), "{pushed:?}");
    world.pass(world.services.settings.ping_interval).await;
    for bob in &mut bobs {
        if bob.take() {
            bob.catch_up().await;
        }
        assert_eq!(bob.client.close_code(), None);
        let texts: Vec<u8> = bob.texts.values().map(|text| text[0]).collect();
        assert_eq!(texts, (0..60).collect::<Vec<u8>>());
    }
}
