//! Members of a group who do not read what is said in it.

use super::link::Source;
use crate::Wire;
use futures_util::stream::{self, StreamExt};
use hudhud_proto::v1::{self, Content, client_frame::Command, entry, server_frame::Event};
use hudhud_proto::{Encoding, MessageId};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// People who register at the same time.
const REGISTERED_AT_ONCE: usize = 16;
/// What the kernel holds for each of them: little, so that the server notices soon.
const RECEIVE_BYTES: u32 = 32 * 1_024;
/// Bytes of each message that they do not read.
const PAYLOAD_BYTES: usize = 8 * 1_024;
/// Members that one command adds.
const ADDED_AT_ONCE: usize = 200;

/// A group, somebody who writes to it, and members who read nothing until they are asked to.
pub struct SlowReaders {
    writer: Wire,
    readers: Vec<Wire>,
    conversation: bytes::Bytes,
    written: u32,
}

impl SlowReaders {
    /// Makes a group of so many, all connected.
    pub async fn gather(server: SocketAddr, count: usize) -> Self {
        let (mut writer, _) = Wire::register(server, Encoding::Protobuf, "slowwriter").await;
        let register = |n: usize| async move {
            let source = Source { receive_bytes: Some(RECEIVE_BYTES), ..Source::foreign(n) };
            let stream = source.connect(server).await.expect("the server listens");
            Wire::on(stream, Encoding::Protobuf).await.registered(&format!("slow{n}")).await
        };
        let registered: Vec<_> = stream::iter(0..count).map(register).buffered(REGISTERED_AT_ONCE).collect().await;
        let (readers, accounts): (Vec<_>, Vec<_>) =
            registered.into_iter().map(|(wire, logged_in)| (wire, logged_in.account)).unzip();
        let mut batches = accounts.chunks(ADDED_AT_ONCE);
        let create = v1::CreateGroup {
            message_id: message_id(0),
            title: "nobody reads".into(),
            members: batches.next().unwrap_or_default().to_vec(),
            ..Default::default()
        };
        let Event::ChangeAccepted(created) = writer.ask(Command::CreateGroup(create)).await else { panic!("no group") };
        let conversation = created.conversation;
        // Accepted is not sequenced yet, and members are added to a group that is there.
        for (n, members) in (1_u32..).zip(batches) {
            let add = v1::AddMembers {
                conversation: conversation.clone(),
                message_id: message_id(n),
                members: members.to_vec(),
            };
            let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
            loop {
                match writer.ask(Command::AddMembers(add.clone())).await {
                    Event::ChangeAccepted(_) => break,
                    other => assert!(tokio::time::Instant::now() < deadline, "not added: {other:?}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Self { writer, readers, conversation, written: 0 }
    }

    /// Writes so many messages that nobody reads.
    pub async fn write(&mut self, count: u32) {
        for _ in 0..count {
            self.written += 1;
            let send = v1::Send {
                conversation: self.conversation.clone(),
                message_id: message_id(10_000 + self.written),
                content: Content {
                    content_type: "application/octet-stream".into(),
                    payload: vec![7; PAYLOAD_BYTES].into(),
                    ..Default::default()
                }
                .into(),
                ..Default::default()
            };
            match self.writer.ask(Command::Send(send)).await {
                Event::Accepted(_) => {}
                other => panic!("not accepted: {other:?}"),
            }
        }
    }

    /// Lets everybody read again. Returns how many of them were told that they lag, and how many have all messages in the end:
    /// pushed, or fetched by who was told.
    pub async fn read_all(mut self) -> (usize, usize) {
        let (conversation, written) = (self.conversation.clone(), self.written);
        let read = |mut reader: Wire| {
            let conversation = conversation.clone();
            async move {
                let (mut pushed, mut lagged) = (0, false);
                let mut page_from = None;
                while pushed < written && !lagged {
                    match reader.event().await {
                        Event::Entry(v1::Entry { body: Some(entry::Body::Content(_)), .. }) => pushed += 1,
                        Event::Lagging(_) => {
                            lagged = true;
                            page_from = Some(1);
                        }
                        _ => {}
                    }
                }
                let mut fetched = 0;
                while let Some(from_seq) = page_from {
                    let fetch =
                        v1::Fetch { conversation: conversation.clone(), from_seq, limit: 200, ..Default::default() };
                    let page = match reader.ask(Command::Fetch(fetch)).await {
                        Event::EntryPage(page) => page,
                        // Too much waits for the others, who do not read yet.
                        Event::Error(error) if error.retry_after_ms > 0 => {
                            tokio::time::sleep(Duration::from_millis(error.retry_after_ms.into())).await;
                            continue;
                        }
                        other => panic!("no page: {other:?}"),
                    };
                    let is_content = |entry: &&v1::Entry| matches!(entry.body, Some(entry::Body::Content(_)));
                    fetched += page.entries.iter().filter(is_content).count() as u32;
                    page_from = page.entries.last().map(|entry| entry.seq + 1);
                }
                (lagged, pushed == written || fetched == written)
            }
        };
        let readers = std::mem::take(&mut self.readers);
        let read: Vec<_> = stream::iter(readers).map(read).buffer_unordered(REGISTERED_AT_ONCE).collect().await;
        let count = |wanted: fn(&(bool, bool)) -> bool| read.iter().filter(|reader| wanted(reader)).count();
        (count(|(lagged, _)| *lagged), count(|(_, has_all)| *has_all))
    }
}

fn message_id(n: u32) -> bytes::Bytes {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let mut unique = [9; 10];
    unique[..4].copy_from_slice(&n.to_be_bytes());
    MessageId::v7(u64::try_from(now.as_millis()).expect("soon"), unique).to_bytes()
}
