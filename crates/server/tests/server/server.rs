//! A server of a test's own, and an HTTP client for it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hudhud_proto::MessageId;
use hudhud_server::{Config, Running};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{HeaderMap, Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::error::Error;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub const PASSWORD: &str = "correct horse battery";

/// A server, and its data folder.
pub struct Server {
    pub running: Running,
    pub folder: TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Somebody with an account.
pub struct Person {
    pub token: String,
    pub account: String,
}

/// A configuration for a test: a free port, cheap passwords, a short goodbye.
pub fn config(folder: &TempDir) -> Config {
    let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
    config.operators.listen.set_port(0);
    config.data = folder.path().join("data");
    config.drain_ms = 1;
    config.registration.password_memory_kib = 64;
    config.registration.password_passes = 1;
    config
}

impl Server {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::again(tempfile::tempdir().expect("a folder"), change).await
    }

    /// On a folder where another one ran before.
    pub async fn again(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&folder);
        change(&mut config);
        let running = hudhud_server::start(config).await.unwrap_or_else(|failure| panic!("{failure}"));
        Self { running, folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address().expect("it has every role")
    }

    pub async fn stop(self) -> TempDir {
        self.running.stop().await;
        self.folder
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Request::get(path).body(Full::default()).expect("a request")).await
    }

    /// As [`Self::get`], where operators are served.
    pub async fn watch(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Full::default()).expect("a request");
        self::request(self.running.operators_address(), request).await.expect("an answer")
    }

    /// Gives a command and returns whatever comes back.
    pub async fn post(&self, command: &str, token: Option<&str>, body: Value) -> Answer {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("/v1/{command}"))
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        self.request(request.body(Full::from(body.to_string())).expect("a request")).await
    }

    /// Gives a command that succeeds.
    pub async fn command(&self, command: &str, person: &Person, body: Value) -> Value {
        let answer = self.post(command, Some(&person.token), body).await;
        assert_eq!(answer.status, 200, "{command}: {answer:?}");
        answer.json()
    }

    pub async fn register(&self, handle: &str) -> Person {
        let answer = self.post("register", None, json!({ "handle": handle, "password": PASSWORD })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let text = |field: &str| answer[field].as_str().expect("a string").to_owned();
        Person { token: text("token"), account: text("account") }
    }

    pub async fn request(&self, request: Request<Full<Bytes>>) -> Answer {
        self::request(self.address(), request).await.expect("an answer")
    }
}

/// Asks a server, whoever started it.
pub async fn request(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Result<Answer, Box<dyn Error>> {
    request.headers_mut().entry(HOST).or_insert(address.to_string().parse()?);
    send_on(TcpStream::connect(address).await?, request).await
}

/// Asks over a connection, with HTTP/1.1.
pub async fn send_on<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, Box<dyn Error>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

/// Gives a command to a server, whoever started it.
pub async fn post(address: SocketAddr, command: &str, token: &str, body: &Value) -> Result<Answer, Box<dyn Error>> {
    let posted = Request::post(format!("/v1/{command}")).header(CONTENT_TYPE, "application/json");
    let posted = match token {
        "" => posted,
        token => posted.header(AUTHORIZATION, format!("Bearer {token}")),
    };
    request(address, posted.body(Full::from(body.to_string()))?).await
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

/// A message id of now; the counter makes it unique within a test.
pub fn message_id(counter: u8) -> MessageId {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    MessageId::v7(u64::try_from(now.as_millis()).expect("before the year 584 million"), [counter; 10])
}
