//! The transcript of `scripts/conformance/clients` on tokio-websockets, which neither our server nor our client is made of, in
//! JSON: `transcript <transcript.json> <url>`.

#![allow(clippy::print_stdout, reason = "a program of the command line")]

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, CloseCode, MaybeTlsStream, Message, WebSocketStream};

/// After which a frame that is waited for does not come.
const PATIENCE: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Values = BTreeMap<String, Value>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(url)) = (arguments.next(), arguments.next()) else {
        bail!("usage: transcript <transcript.json> <url>")
    };
    let transcript: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let mut values = Values::new();
    for name in list(&transcript, "names") {
        let name = name.as_str().context("a name")?;
        let unique = uuid::Uuid::now_v7().simple().to_string();
        values.insert(name.to_owned(), format!("{name}{}", &unique[20..]).into());
    }
    for name in list(&transcript, "ids") {
        let id = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, uuid::Uuid::now_v7());
        values.insert(name.as_str().context("a name")?.to_owned(), id.into());
    }
    let mut sockets = BTreeMap::new();
    let steps = list(&transcript, "steps");
    for (index, step) in steps.iter().enumerate() {
        let played = timeout(PATIENCE, play(step, &url, &mut sockets, &mut values)).await;
        played.context("nothing came").flatten().with_context(|| format!("step {}, {step}", index + 1))?;
    }
    println!("{} steps", steps.len());
    Ok(())
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

async fn play(step: &Value, url: &str, sockets: &mut BTreeMap<String, Socket>, values: &mut Values) -> Result<()> {
    let on = step["on"].as_str().context("a step is of somebody")?;
    if step["open"] == true {
        sockets.insert(on.to_owned(), open(url).await?);
        return Ok(());
    }
    let socket = sockets.get_mut(on).context("it is open")?;
    if let Some(frame) = step.get("send") {
        socket.send(Message::text(fill(frame, values).to_string())).await?;
    } else if let Some(text) = step["malformed"]["json"].as_str() {
        socket.send(Message::text(text.to_owned())).await?;
    } else if let Some(payload) = step["ping"].as_str() {
        socket.send(Message::ping(payload.to_owned())).await?;
        let pong = next(socket, Message::is_pong).await?;
        ensure!(&pong.as_payload()[..] == payload.as_bytes(), "a pong of {pong:?}");
    } else if let Some(code) = step["close"].as_u64() {
        let code = CloseCode::try_from(u16::try_from(code)?)?;
        socket.send(Message::close(Some(code), "")).await?;
        let close = next(socket, Message::is_close).await?;
        ensure!(close.as_close().is_some_and(|(came, _)| came == code), "closed with {close:?}");
    } else {
        expect(socket, list(step, "expect"), values).await?;
    }
    Ok(())
}

async fn open(url: &str) -> Result<Socket> {
    let builder = ClientBuilder::new().uri(url)?;
    let protocol = builder.add_header("sec-websocket-protocol".try_into()?, "hudhud.v1.json".try_into()?)?;
    Ok(protocol.connect().await?.0)
}

/// The next message of this kind; what else comes meanwhile may only be a ping of the server's.
async fn next(socket: &mut Socket, is_wanted: fn(&Message) -> bool) -> Result<Message> {
    loop {
        let message = socket.next().await.context("the connection ended")??;
        if is_wanted(&message) {
            return Ok(message);
        }
        let is_ping = message.as_text().is_some_and(|text| text.contains("\"ping\""));
        ensure!(is_ping || message.is_ping() || message.is_pong(), "came: {message:?}");
    }
}

async fn expect(socket: &mut Socket, frames: &[Value], values: &mut Values) -> Result<()> {
    let mut expected: Vec<&Value> = frames.iter().collect();
    while !expected.is_empty() {
        let message = next(socket, Message::is_text).await?;
        let frame: Value = serde_json::from_str(message.as_text().context("JSON comes in text messages")?)?;
        if frame.get("ping").is_some() {
            continue;
        }
        let found = expected.iter().position(|candidate| {
            let mut caught = values.clone();
            let is_match = matches(candidate, &frame, &mut caught);
            if is_match {
                *values = caught;
            }
            is_match
        });
        expected.remove(found.with_context(|| format!("came: {frame}"))?);
    }
    Ok(())
}

/// `alice account` of `<alice account>`.
fn name(text: &str) -> Option<&str> {
    text.strip_prefix('<')?.strip_suffix('>')
}

/// Whether a frame is what was expected; values that were caught in it are added.
fn matches(expected: &Value, came: &Value, values: &mut Values) -> bool {
    match expected {
        Value::Object(fields) => {
            fields.iter().all(|(key, value)| came.get(key).is_some_and(|inner| matches(value, inner, values)))
        }
        Value::Array(items) => came.as_array().is_some_and(|came| {
            came.len() == items.len() && items.iter().zip(came).all(|(item, inner)| matches(item, inner, values))
        }),
        Value::String(text) => match name(text) {
            Some(name) => values.entry(name.to_owned()).or_insert_with(|| came.clone()) == came,
            None => expected == came,
        },
        _ => expected == came,
    }
}

/// A frame with values in the place of their names.
fn fill(value: &Value, values: &Values) -> Value {
    match value {
        Value::String(text) => {
            let filled = values.iter().fold(text.clone(), |text, (name, value)| {
                text.replace(&format!("<{name}>"), value.as_str().unwrap_or_default())
            });
            filled.into()
        }
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(key, inner)| (key.clone(), fill(inner, values))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
