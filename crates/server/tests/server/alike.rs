//! What must not be told apart is answered with the same bytes: status, headers and body. That it costs the same work is
//! proved beside the api, where work can be counted.

use crate::server::{Answer, PASSWORD, Person, Server, message_id};
use bytes::Bytes;
use hudhud_server::config::RegistrationMode;
use hyper::HeaderMap;
use serde_json::{Value, json};

/// The id of no account, and of no conversation.
const NOBODY: &str = "7u7u7u7u7u7u7u7u7u7u7g==";

/// All that an answer says, without what differs between any two answers: the id of the request and the time.
fn said(answer: &Answer) -> (u16, HeaderMap, Bytes) {
    let mut headers = answer.headers.clone();
    for own in ["x-request-id", "date"] {
        headers.remove(own);
    }
    (answer.status, headers, answer.body.clone())
}

/// Asks both, and holds the answers, which are refusals, against each other.
async fn check(server: &Server, person: Option<&Person>, command: &str, one: Value, other: Value) {
    let token = person.map(|person| person.token.as_str());
    let first = server.post(command, token, one.clone()).await;
    let second = server.post(command, token, other.clone()).await;
    assert_ne!(first.status, 200, "{command} {one}: {first:?}");
    assert_eq!(said(&first), said(&second), "{command} tells {one} from {other}");
}

/// To whom it blocks, an account looks as if it were not there.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_and_absent_are_one() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    server.command("block", &bob, json!({ "account": alice.account })).await;
    let me = Some(&alice);
    check(&server, me, "lookUp", json!({ "handle": "bobby" }), json!({ "handle": "nobody" })).await;
    check(&server, me, "openDirect", json!({ "handle": "bobby" }), json!({ "handle": "nobody" })).await;
    for command in ["openDirect", "setContact", "getProfile"] {
        check(&server, me, command, json!({ "account": bob.account }), json!({ "account": NOBODY })).await;
    }
    let send =
        |to: &str| json!({ "directWith": to, "messageId": message_id(1).to_string(), "content": { "text": "hello" } });
    check(&server, me, "send", send(&bob.account), send(NOBODY)).await;
    let add = |whom: &str| json!({ "messageId": message_id(2).to_string(), "title": "Two", "members": [whom] });
    let not_added = |answer: Value| answer["notAdded"].as_array().map(Vec::len);
    for whom in [&bob.account, NOBODY] {
        assert_eq!(not_added(server.command("createGroup", &alice, add(whom)).await), Some(1), "{whom}");
    }
    server.stop().await;
}

/// A handle that is not there, a wrong password, and an account that has none.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_and_absent_handles_are_one() {
    let server = Server::start().await;
    server.register("alice").await;
    let log_in = |handle: &str| json!({ "handle": handle, "password": "wrong horse" });
    check(&server, None, "logIn", log_in("alice"), log_in("nobody")).await;
    server.stop().await;
}

/// A group of which one is no member and one that is not there; an invite that was revoked and one that never was.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_the_caller_is_not_there() {
    let server = Server::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bobby").await);
    let create = json!({ "messageId": message_id(1).to_string(), "title": "Hers" });
    let group = server.command("createGroup", &alice, create).await["conversation"].clone();
    let invite = loop {
        let answer = server.post("createInvite", Some(&alice.token), json!({ "conversation": group })).await;
        if answer.status == 200 {
            break answer.json()["code"].clone();
        }
        tokio::task::yield_now().await;
    };
    server.command("revokeInvite", &alice, json!({ "conversation": group, "code": invite })).await;
    let me = Some(&bob);
    for command in ["previewInvite", "joinByInvite"] {
        let code = |code: Value| match command {
            "previewInvite" => json!({ "code": code }),
            _ => json!({ "code": code, "messageId": message_id(2).to_string() }),
        };
        check(&server, me, command, code(invite.clone()), code(json!("AAAAAAAAAAAAAAAAAAAAAA"))).await;
    }
    for command in ["getConversation", "listMembers", "fetch", "listReceipts", "listInvites", "createInvite", "typing"]
    {
        check(&server, me, command, json!({ "conversation": group }), json!({ "conversation": NOBODY })).await;
    }
    for command in ["updateGroup", "addMembers", "removeMember", "leaveGroup", "send"] {
        let ask = |conversation: &Value| {
            let mut ask = json!({ "conversation": conversation, "messageId": message_id(3).to_string() });
            match command {
                "updateGroup" => ask["title"] = json!("His"),
                "addMembers" => ask["members"] = json!([bob.account]),
                "removeMember" => ask["member"] = json!(alice.account),
                "send" => ask["content"] = json!({ "text": "hello" }),
                _ => {}
            }
            ask
        };
        check(&server, me, command, ask(&group), ask(&json!(NOBODY))).await;
    }
    server.stop().await;
}

/// An invite to the server that was used, and one that never was.
#[tokio::test(flavor = "multi_thread")]
async fn used_and_guessed_invites_are_one() {
    let server = Server::start().await;
    let alice = server.register("alice").await;
    let invite = server.command("createRegistrationInvite", &alice, json!({})).await["code"].clone();
    let folder = server.stop().await;
    let server = Server::again(folder, |config| config.registration.mode = RegistrationMode::Invite).await;
    let register = |handle: &str, invite: &Value| json!({ "handle": handle, "password": PASSWORD, "invite": invite });
    assert_eq!(server.post("register", None, register("bobby", &invite)).await.status, 200);
    let guess = json!("AAAAAAAAAAAAAAAAAAAAAA");
    check(&server, None, "register", register("carol", &invite), register("carol", &guess)).await;
    server.stop().await;
}
