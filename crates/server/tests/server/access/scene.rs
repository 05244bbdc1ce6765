//! A group with everybody who can stand in some relation to it, and the server that they are on.

use super::table::Over;
use crate::client::Client;
use crate::server::{PASSWORD, Person, Server};
use hudhud_proto::v1::{self, client_frame::Command, server_frame::Event};
use hudhud_proto::{Encoding, MessageId, command};
use hudhud_server::config::{Algorithm, JwtIssuer, Rate};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// How long the log may take to catch up with what was accepted.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether it has.
const TURN: Duration = Duration::from_millis(2);
/// The secret of the backend whose JWTs log in.
pub const JWT_SECRET: &[u8] = b"a secret of thirty-two bytes: ok";

/// Whoever gives a command, from the one who may least to the one who may most: a row is played in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Actor {
    /// Nobody: no token.
    Anonymous,
    /// A device of the owner whose token was revoked.
    Revoked,
    /// Somebody with an account who is not in the group and knows nobody in it.
    Other,
    /// The same, and the owner blocks it.
    Blocked,
    /// Was a member and was removed.
    ExMember,
    Member,
    Admin,
    Owner,
}

impl Actor {
    pub const ALL: [Self; 8] = [
        Self::Anonymous,
        Self::Revoked,
        Self::Other,
        Self::Blocked,
        Self::ExMember,
        Self::Member,
        Self::Admin,
        Self::Owner,
    ];
}

/// A server, and people who are there for all scenes.
pub struct House {
    pub server: Server,
    /// Members of every group, to be removed or promoted.
    pub extras: [Person; 2],
    /// Members of no group, to be added.
    pub guests: [Person; 2],
    ids: AtomicU64,
}

/// One group and its people.
pub struct Scene<'a> {
    pub house: &'a House,
    /// Makes handles unique.
    pub name: String,
    pub group: String,
    people: Vec<Person>,
    revoked: String,
}

impl House {
    pub async fn open() -> Self {
        let server = Server::with(|config| {
            let engines = &mut config.engines;
            for engine in [&mut engines.messages, &mut engines.directory, &mut engines.bus, &mut engines.cache] {
                *engine = Some("memory:".into());
            }
            let key_file = config.data.with_file_name("jwt.key");
            std::fs::write(&key_file, JWT_SECRET).expect("written");
            let (issuer, audience) = ("https://shop.example".into(), "hudhud".into());
            config.jwt_issuers = vec![JwtIssuer { issuer, audience, algorithm: Algorithm::Hs256, key_file }];
            // Everybody lives at one address and does much in little time: what is limited is another test's business.
            let rates = &mut config.rates;
            for rate in [
                &mut rates.accounts_per_address,
                &mut rates.accounts_in_all,
                &mut rates.look_ups_per_address,
                &mut rates.group_adds_per_address,
                &mut rates.invites_per_address,
            ] {
                *rate = Rate { burst: 1_000_000, interval_ms: 1 };
            }
        })
        .await;
        let extras = [server.register("extra1").await, server.register("extra2").await];
        let guests = [server.register("guest1").await, server.register("guest2").await];
        Self { server, extras, guests, ids: AtomicU64::new(0) }
    }

    pub async fn close(self) {
        self.server.stop().await;
    }

    /// A new message id.
    pub fn message_id(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let mut random = [0; 10];
        random[2..].copy_from_slice(&self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        MessageId::v7(u64::try_from(now.as_millis()).expect("before the year 584 million"), random).to_string()
    }
}

impl<'a> Scene<'a> {
    /// Everybody in place; what was done is in the log.
    pub async fn make(house: &'a House, name: &str) -> Self {
        let server = &house.server;
        let mut people = Vec::new();
        for role in ["other", "blocked", "ex", "member", "admin", "owner"] {
            people.push(server.register(&format!("{role}.{name}")).await);
        }
        let [_, blocked, ex, member, admin, owner] = people.as_slice() else { unreachable!("six were made") };
        server.command("block", owner, json!({ "account": blocked.account })).await;
        let phone = log_in(server, &format!("owner.{name}")).await;
        server.command("removeDevice", owner, json!({ "device": phone["device"] })).await;
        let revoked = phone["token"].as_str().expect("a string").to_owned();
        let members: Vec<_> = [ex, member, admin].into_iter().chain(&house.extras).map(|p| &p.account).collect();
        let create = json!({ "messageId": house.message_id(), "title": "Hoopoes", "members": members });
        let created = server.command("createGroup", owner, create).await;
        let group = created["conversation"].as_str().expect("a string").to_owned();
        let scene = Self { house, name: name.to_owned(), group, people, revoked };
        scene.until(|group| group["memberCount"] == 6).await;
        let role = json!({ "member": scene.person(Actor::Admin).account, "role": "ROLE_ADMIN" });
        scene.change("setRole", role).await;
        scene.change("removeMember", json!({ "member": scene.person(Actor::ExMember).account })).await;
        // The api refuses early by what it read some seconds ago at most: this reads it again.
        scene.until(|group| group["memberCount"] == 5 && group["headSeq"] == "3").await;
        scene
    }

    /// Somebody who has an account.
    pub fn person(&self, actor: Actor) -> &Person {
        match actor {
            Actor::Anonymous | Actor::Revoked | Actor::Owner => &self.people[5],
            Actor::Other => &self.people[0],
            Actor::Blocked => &self.people[1],
            Actor::ExMember => &self.people[2],
            Actor::Member => &self.people[3],
            Actor::Admin => &self.people[4],
        }
    }

    /// The handle of the account that an actor has, or had.
    pub fn handle(&self, actor: Actor) -> String {
        let role = match actor {
            Actor::Anonymous | Actor::Revoked | Actor::Owner => "owner",
            Actor::Other => "other",
            Actor::Blocked => "blocked",
            Actor::ExMember => "ex",
            Actor::Member => "member",
            Actor::Admin => "admin",
        };
        format!("{role}.{}", self.name)
    }

    /// The token that an actor comes with.
    pub fn token(&self, actor: Actor) -> Option<&str> {
        match actor {
            Actor::Anonymous => None,
            Actor::Revoked => Some(&self.revoked),
            actor => Some(&self.person(actor).token),
        }
    }

    /// As the owner.
    pub async fn owner(&self, command: &str, body: Value) -> Value {
        self.house.server.command(command, self.person(Actor::Owner), body).await
    }

    /// A change of the group by its owner.
    pub async fn change(&self, command: &str, mut body: Value) {
        body["conversation"] = json!(self.group);
        body["messageId"] = json!(self.house.message_id());
        self.owner(command, body).await;
    }

    /// Waits until the group is like this.
    pub async fn until(&self, is_so: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let ask = || json!({ "conversation": self.group });
        let owner = &self.person(Actor::Owner).token;
        loop {
            let answer = self.house.server.post("getConversation", Some(owner), ask()).await;
            if answer.status == 200 && is_so(&answer.json()) {
                return;
            }
            assert!(Instant::now() < deadline, "the log does not catch up: {answer:?}");
            tokio::time::sleep(TURN).await;
        }
    }

    /// Gives a command as somebody. Returns `ok` or the name of the error.
    pub async fn give(&self, actor: Actor, over: Over, command: &str, body: Value, row: usize) -> String {
        match over {
            Over::Http => {
                let answer = self.house.server.post(command, self.token(actor), body).await;
                match answer.status {
                    200 => "ok".into(),
                    _ => name(answer.json()["code"].as_str().expect("a problem has a code")),
                }
            }
            // Each encoding has every other row.
            Over::WebSocket => self.say(actor, Encoding::ALL[row % 2], command, &body).await,
        }
    }

    async fn say(&self, actor: Actor, encoding: Encoding, name_of: &str, body: &Value) -> String {
        let mut client = Client::connect(&self.house.server, encoding).await;
        if let (Some(token), false) = (self.token(actor), name_of == "hello") {
            let hello = v1::Hello { token: token.to_owned(), ..v1::Hello::default() };
            let welcome = client.request(Command::Hello(hello)).await;
            assert_eq!(matches!(welcome, Event::Welcome(_)), actor != Actor::Revoked, "{actor:?}: {welcome:?}");
        }
        let info = command::find(name_of).expect("a command");
        let command = command::from_json(name_of, body.to_string().as_bytes()).expect("the body is the command's");
        match client.request(command).await {
            Event::Error(error) => name(&serde_json::to_value(&error).expect("JSON")["code"].to_string()),
            event => {
                // The answer is the one that the protocol lists.
                let frame = v1::ServerFrame { request: 0, event: Some(event) };
                let frame = serde_json::to_value(&frame).expect("JSON");
                let kind = frame.as_object().and_then(|fields| fields.keys().next()).expect("one field");
                assert!(info.answer.eq_ignore_ascii_case(kind), "{name_of} is answered by {kind}");
                "ok".into()
            }
        }
    }
}

/// A new device.
pub async fn log_in(server: &Server, handle: &str) -> Value {
    let answer = server.post("logIn", None, json!({ "handle": handle, "password": PASSWORD })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The name of an error as tables have it.
fn name(code: &str) -> String {
    code.trim_matches('"').trim_start_matches("ERROR_CODE_").to_owned()
}
