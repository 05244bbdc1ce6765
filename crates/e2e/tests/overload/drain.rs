//! A server that is asked to end under load: balancers are told first, then clients, at different moments; what was accepted
//! is there after the next start.

use futures_util::{SinkExt, StreamExt};
use hudhud_e2e::Wire;
use hudhud_e2e::overload::Server;
use hudhud_proto::v1::{self, ClientFrame, Content, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, MessageId};
use rustix::process::Signal;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

const WRITERS: u8 = 12;
/// As in the configuration of [`Server`].
const DRAIN_MS: u32 = 1_000;

/// What became of somebody who wrote until the connection was closed.
struct Written {
    token: String,
    conversation: bytes::Bytes,
    accepted: Vec<bytes::Bytes>,
    reconnect_after_ms: Option<u32>,
    close_code: Option<u16>,
}

/// Writes to oneself, one message after the other.
async fn write(wire: Wire, me: v1::LoggedIn, n: u8) -> Written {
    let mut written = Written {
        token: me.token,
        conversation: bytes::Bytes::new(),
        accepted: Vec::new(),
        reconnect_after_ms: None,
        close_code: None,
    };
    let mut socket = wire.into_socket();
    for request in 100.. {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut unique = [n; 10];
        unique[..8].copy_from_slice(&u64::to_be_bytes(request));
        let message = MessageId::v7(u64::try_from(now.as_millis()).expect("soon"), unique).to_bytes();
        let send = v1::Send {
            direct_with: me.account.clone(),
            message_id: message.clone(),
            content: Content { content_type: "text/plain".into(), payload: vec![n].into(), ..Default::default() }
                .into(),
            ..Default::default()
        };
        let frame = ClientFrame { request, command: Some(Command::Send(send)) };
        // A server that closes does not read any more; why it does comes below.
        let _ = socket.send(Message::Binary(Encoding::Protobuf.encode_client(&frame))).await;
        loop {
            let bytes = match socket.next().await {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Close(frame))) => {
                    written.close_code = frame.map(|frame| frame.code.into());
                    return written;
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return written,
            };
            let frame = Encoding::Protobuf.decode_server(&bytes).expect("the server writes frames");
            match frame.event {
                Some(Event::GoingAway(going)) => {
                    written.reconnect_after_ms = Some(going.reconnect_after_ms);
                }
                Some(Event::Accepted(accepted)) => {
                    written.conversation = accepted.conversation;
                    written.accepted.push(accepted.message_id);
                    break;
                }
                Some(Event::Error(_)) if frame.request == request => break,
                _ => {}
            }
        }
        // A pause, so that the rate is that of somebody who types fast.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unreachable!("it writes until it is closed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_tells_everybody_and_loses_nothing() {
    let _turn = crate::TURN.lock().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), "").await;
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let (wire, me) = Wire::register(server.address(), Encoding::Protobuf, &format!("writer{n}")).await;
        writers.push(tokio::spawn(write(wire, me, n)));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.metric("hudhud_accepted_total").await < 20 * i64::from(WRITERS) {
        assert!(Instant::now() < deadline, "that is no load");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.signal(Signal::TERM);
    // Balancers see it while clients are still there.
    loop {
        let ready = server.get("/readyz").await;
        if ready.starts_with("HTTP/1.1 503") {
            assert!(ready.contains("the server is stopping"), "{ready}");
            break;
        }
        assert!(ready.starts_with("HTTP/1.1 200"), "it does not listen any more, and nobody was told: {ready}");
        assert!(Instant::now() < deadline, "it goes on");
    }
    let (status, said) = server.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let mut all = Vec::new();
    for writer in writers {
        all.push(writer.await.expect("it wrote until it was closed"));
    }
    let delays: Vec<u32> = all.iter().filter_map(|written| written.reconnect_after_ms).collect();
    assert_eq!(delays.len(), usize::from(WRITERS), "everybody is told to go");
    assert!(
        delays.iter().all(|delay| *delay <= DRAIN_MS) && delays.iter().any(|delay| *delay != delays[0]),
        "{delays:?}"
    );
    assert!(all.iter().all(|written| written.close_code == Some(1001)), "everybody is told why");

    let server = Server::start(folder.path(), "").await;
    for written in all {
        let mut wire = Wire::connect(server.address(), Encoding::Protobuf).await;
        wire.hello(&written.token).await;
        let mut missing = written.accepted.clone();
        // What was accepted last may be sequenced only now.
        while !missing.is_empty() {
            assert!(
                Instant::now() < deadline + Duration::from_secs(60),
                "{} of what was accepted are lost",
                missing.len()
            );
            let mut from_seq = 1;
            missing = written.accepted.clone();
            loop {
                let fetch = v1::Fetch { conversation: written.conversation.clone(), from_seq, ..Default::default() };
                let Event::EntryPage(page) = wire.ask(Command::Fetch(fetch)).await else { break };
                missing.retain(|message| !page.entries.iter().any(|entry| entry.message_id == *message));
                let Some(last) = page.entries.last() else { break };
                from_seq = last.seq + 1;
            }
        }
    }
}
