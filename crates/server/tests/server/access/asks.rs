//! What each row of the table asks for. A row that is not here says so when it is played.

use super::scene::{Actor, JWT_SECRET, Scene, log_in};
use crate::server::PASSWORD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The id of no account.
const NOBODY: &str = "7u7u7u7u7u7u7u7u7u7u7g==";

/// The body of a command that this actor gives. Prepares what it is about.
pub async fn ask(scene: &Scene<'_>, command: &str, case: &str, actor: Actor) -> Value {
    let server = &scene.house.server;
    let owner = scene.person(Actor::Owner);
    let (group, id) = (&scene.group, scene.house.message_id());
    // Whom an admin and the owner deal with: not the same one, or the second of them comes too late.
    let nth = usize::from(actor == Actor::Owner);
    let (extra, guest) = (&scene.house.extras[nth].account, &scene.house.guests[nth].account);
    let in_group = || json!({ "conversation": group });
    let with = |more: Value| merged(json!({ "conversation": group, "messageId": id }), more);
    match (command, case) {
        ("hello", "") => json!({ "token": scene.token(actor).unwrap_or("no token") }),
        ("ping" | "pong" | "setActive" | "changes" | "watchPresence", "") => json!({}),

        ("register", "a free handle") => {
            json!({ "handle": format!("{}.n{}", scene.name, actor as u8), "password": PASSWORD })
        }
        ("register", "a taken handle") => json!({ "handle": scene.handle(actor), "password": PASSWORD }),
        ("logIn", "the right password") => json!({ "handle": scene.handle(actor), "password": PASSWORD }),
        ("logIn", "a wrong password") => json!({ "handle": scene.handle(actor), "password": "wrong horse" }),
        ("logIn", "an absent handle") => json!({ "handle": format!("absent.{}", scene.name), "password": PASSWORD }),
        ("logInJwt", "of a trusted backend") => json!({ "jwt": jwt(JWT_SECRET, &scene.handle(actor)) }),
        ("logInJwt", "of somebody else") => json!({ "jwt": jwt(b"another secret of thirty-two byte", "mallory") }),
        ("logOut" | "createRegistrationInvite" | "createToken" | "getPrivacy" | "setProfile", "") => json!({}),
        ("changePassword", "the right old one") => json!({ "oldPassword": PASSWORD, "newPassword": "battery staple" }),
        ("changePassword", "a wrong old one") => {
            json!({ "oldPassword": "wrong horse", "newPassword": "battery staple" })
        }
        ("listDevices" | "listTokens" | "listBlocks" | "listContacts", "") => json!({}),
        ("removeDevice", "one's own") => json!({ "device": log_in(server, &scene.handle(actor)).await["device"] }),
        ("removeDevice", "somebody else's") => {
            let whose = scene.handle(if actor == Actor::Owner { Actor::Member } else { Actor::Owner });
            json!({ "device": log_in(server, &whose).await["device"] })
        }
        ("revokeToken", "one's own") => json!({ "id": new_token(scene, actor).await }),
        ("revokeToken", "somebody else's") => {
            let whose = if actor == Actor::Owner { Actor::Member } else { Actor::Owner };
            json!({ "id": new_token(scene, whose).await })
        }
        ("lookUp", "the owner") => json!({ "handle": scene.handle(Actor::Owner) }),
        ("lookUp", "nobody") => json!({ "handle": "nobody.at.all" }),
        ("getProfile", "the owner's") => json!({ "account": owner.account }),
        ("getProfile", "the owner's, by the group") => json!({ "account": owner.account, "conversation": group }),
        ("setPrivacy", "") => json!({ "privacy": { "online": "AUDIENCE_NOBODY" } }),
        ("block" | "unblock" | "setContact" | "removeContact", "the owner") => json!({ "account": owner.account }),

        ("report", "the owner") => json!({ "account": owner.account, "category": "REPORT_CATEGORY_SPAM" }),
        ("report", "the group") => {
            merged(in_group(), json!({ "seqs": ["1"], "category": "REPORT_CATEGORY_ABUSE", "text": "rude" }))
        }

        ("openDirect", "the owner, by id") => json!({ "account": owner.account }),
        ("openDirect", "the owner, by handle") => json!({ "handle": scene.handle(Actor::Owner) }),
        ("createGroup", "with the owner") => {
            json!({ "messageId": id, "title": "Another", "members": [owner.account] })
        }
        (
            "getConversation" | "listMembers" | "fetch" | "listReceipts" | "listInvites" | "createInvite",
            "the group",
        ) => in_group(),
        ("typing", "the group") => merged(in_group(), json!({ "typing": true })),
        ("received" | "read", "the group") => merged(in_group(), json!({ "seq": "1" })),
        ("setPreferences", "the group") => merged(in_group(), json!({ "preferences": { "pinned": true } })),
        ("updateGroup", "its title") => with(json!({ "title": "Larks" })),
        ("addMembers", "somebody") => with(json!({ "members": [guest] })),
        ("addMembers", "one who blocks the caller") => {
            let caller = &scene.person(actor).account;
            server.command("block", &scene.house.guests[nth], json!({ "account": caller })).await;
            with(json!({ "members": [guest] }))
        }
        ("addMembers", "nobody") => with(json!({ "members": [NOBODY] })),
        ("removeMember", "a member") => with(json!({ "member": extra })),
        ("removeMember", "the owner") => with(json!({ "member": owner.account })),
        ("leaveGroup", "the group") => with(json!({})),
        ("setRole", "a member to admin") => with(json!({ "member": extra, "role": "ROLE_ADMIN" })),
        ("setRole", "a member to owner") => with(json!({ "member": extra, "role": "ROLE_OWNER" })),
        ("setRole", "the owner to member") => with(json!({ "member": owner.account, "role": "ROLE_MEMBER" })),
        ("revokeInvite", "of the group") => merged(in_group(), json!({ "code": new_invite(scene).await })),
        ("revokeInvite", "of no group") => merged(in_group(), json!({ "code": "no-such-code" })),
        ("previewInvite", "a valid one") => json!({ "code": new_invite(scene).await }),
        ("joinByInvite", "a valid one") => json!({ "code": new_invite(scene).await, "messageId": id }),
        ("previewInvite", "a guess") => json!({ "code": "no-such-code" }),
        ("joinByInvite", "a guess") => json!({ "code": "no-such-code", "messageId": id }),

        ("send", "to the group") => with(text()),
        ("send", "to the group, announce-only") => {
            if actor == Actor::ALL[0] {
                scene.change("updateGroup", json!({ "announceOnly": "SWITCH_ON" })).await;
            }
            scene.until(|group| group["announceOnly"] == true).await;
            with(text())
        }
        ("send", "to the owner") => merged(json!({ "directWith": owner.account, "messageId": id }), text()),
        ("send", "to nobody") => merged(json!({ "directWith": NOBODY, "messageId": id }), text()),
        ("send", "to whom one blocks") => {
            let blocks = json!({ "account": scene.house.guests[0].account });
            server.command("block", scene.person(actor), blocks).await;
            merged(json!({ "directWith": scene.house.guests[0].account, "messageId": id }), text())
        }
        _ => panic!(
            "{command} ({case}) is in access.md, and what it asks for is nowhere: add it to \
             crates/server/tests/server/access/asks.rs"
        ),
    }
}

fn text() -> Value {
    json!({ "content": { "contentType": "text/plain", "text": "hello" } })
}

fn merged(mut one: Value, more: Value) -> Value {
    let fields = one.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    one
}

/// The id of a new token of the account that an actor has.
async fn new_token(scene: &Scene<'_>, actor: Actor) -> Value {
    scene.house.server.command("createToken", scene.person(actor), json!({})).await["id"].clone()
}

/// The code of a new invite.
async fn new_invite(scene: &Scene<'_>) -> Value {
    scene.owner("createInvite", json!({ "conversation": scene.group })).await["code"].clone()
}

fn jwt(secret: &[u8], subject: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "iss": "https://shop.example", "aud": "hudhud", "sub": subject, "exp": now + 3_600 });
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)).expect("signed")
}
