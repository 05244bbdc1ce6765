//! One connection's life: one task that writes what waits, reads frames, and runs what they ask for.
//!
//! Sends run beside everything else, in the order that [`Pipeline`] keeps; all other commands run one at a time in the
//! order in which they came. Reading stops while too much is unanswered, so the client's own socket slows it down.

mod turns;

use super::check::{Check, check};
use super::close::{self, Close};
use super::commands::Commands;
use super::greeting::{Greeted, greet};
use super::pipeline::Pipeline;
use super::registry::Connection;
use super::transport::Transport;
use super::{Budget, CLOSE_GRACE, CLOSE_HANDSHAKE_MAX, Charge, Gateway, request_id};
use crate::api::{Caller, Who};
use crate::session::Session;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use hudhud_proto::limits::{PAYLOAD_BYTES_MAX, SENDS_IN_FLIGHT_MAX};
use hudhud_proto::v1::{ErrorCode, client_frame::Command, server_frame::Event};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError, command, v1};
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use turns::Turn;

/// Frames that are taken in before the first of them is worked on.
const FRAMES_TOGETHER_MAX: usize = 64;
/// Commands that wait for the one that runs; reading stops beyond.
const COMMANDS_WAITING_MAX: usize = 64;
/// The same where nobody said hello yet: whoever connects costs little memory.
const ANONYMOUS_COMMANDS_WAITING_MAX: usize = 1;
/// Payload bytes of unanswered sends; reading stops beyond.
const UNANSWERED_BYTES_MAX: usize = 32 * PAYLOAD_BYTES_MAX;
/// Frames that can't be read, or refused greetings, until the connection is closed.
const STRIKES_MAX: u32 = 16;
/// Conversations that wait for a failed message to be repeated, until the connection is closed: its device starts over.
const STOPPED_LANES_MAX: usize = 1_024;
/// What a send that is not answered yet costs beside its payload, roughly.
const SEND_OVERHEAD_BYTES: usize = 512;
/// How long nothing may be read of what waits for a connection while others need the memory.
const STALL_MAX: Duration = Duration::from_secs(5);
/// Ping intervals without a frame after which a connection is closed.
const SILENT_INTERVALS_MAX: u32 = 2;

/// Serves a connection to its end, and sees to it that nothing of it is left.
pub(super) async fn run(
    gateway: &Arc<Gateway>,
    connection: Arc<Connection>,
    transport: Box<dyn Transport>,
    address: IpAddr,
) {
    let mut task = Task {
        timer: sleep(gateway, gateway.services.settings.hello_timeout),
        heard: gateway.services.runtime.clock.monotonic(),
        gateway: gateway.clone(),
        connection,
        address,
        session: None,
        greeting: false,
        commands: Commands::default(),
        requests: gateway.budget.charge(),
        told_transport: false,
        check_is_due: false,
        pipeline: Pipeline::default(),
        inbox_version: None,
        strikes: 0,
        closing: false,
    };
    let mut wire = Wire { transport, work: FuturesUnordered::new() };
    let end = task.live(&mut wire).await;
    // In a box, here and below where it says so: what a connection does once would be part of it for as long as it is idle.
    Box::pin(task.end(wire, end)).await;
}

/// Something that a connection's task runs beside reading and writing.
type Work = FuturesUnordered<BoxFuture<'static, Finished>>;

/// Its outcome.
enum Finished {
    Command(u64, Result<Event, ProtocolError>),
    Greeted(u64, Box<Result<Greeted, ProtocolError>>),
    Active(u64, Result<Session, ProtocolError>),
    Batch(ConversationId, Vec<Result<v1::Accepted, ProtocolError>>),
    Checked(Check),
    Told,
}

/// What a task polls: apart from the rest, so that a write can go on while work does.
struct Wire {
    transport: Box<dyn Transport>,
    work: Work,
}

/// Who the other end is.
struct Served {
    /// With its session.
    caller: Caller,
    session: Session,
    /// To be verified again at each ping.
    token: String,
}

struct Task {
    gateway: Arc<Gateway>,
    connection: Arc<Connection>,
    address: IpAddr,
    session: Option<Box<Served>>,
    /// A `Hello` runs; nothing is read meanwhile.
    greeting: bool,
    commands: Commands,
    /// What the unanswered requests hold of the budget.
    requests: Charge,
    /// Whether the transport knows that the other end proved who it is.
    told_transport: bool,
    /// A ping is due; what it needs is looked up in turn with commands, as both may change the session.
    check_is_due: bool,
    pipeline: Pipeline,
    /// As the last ping said.
    inbox_version: Option<u64>,
    /// The greeting's deadline, then the ping interval, then the deadline of closing.
    timer: BoxFuture<'static, ()>,
    /// When the last frame came, in monotonic time.
    heard: Duration,
    strikes: u32,
    closing: bool,
}

impl Task {
    /// Runs until the connection is to be closed, and says why; `None` where the other end closed it.
    async fn live(&mut self, wire: &mut Wire) -> Option<Close> {
        // After a write the others get a turn, so that a flood of pushes does not keep the client's own frames from
        // being read.
        let mut wrote = false;
        loop {
            if self.closing && wire.work.is_empty() && self.connection.outbox.is_empty() {
                return self.connection.outbox.closing();
            }
            if let Some(served) = &self.session
                && !self.told_transport
            {
                wire.transport.authenticated(served.caller.account);
                self.told_transport = true;
            }
            self.account();
            match poll_fn(|context| self.poll_turn(wire, &mut wrote, context)).await {
                Turn::Write => {
                    wrote = true;
                    if self.connection.outbox.closing().is_some() && !self.closing {
                        self.begin_closing();
                    }
                    if !self.write(wire).await {
                        return self.connection.outbox.closing();
                    }
                }
                Turn::Tick => {
                    if self.closing {
                        return self.connection.outbox.closing();
                    }
                    self.tick();
                }
                Turn::Finished(finished) => self.finished(&wire.work, finished),
                Turn::Frame(None) => return None,
                Turn::Frame(Some(frame)) => {
                    self.received(&wire.work, &frame);
                    if !self.receive_more(wire).await {
                        return None;
                    }
                }
            }
            self.start_work(&wire.work);
        }
    }

    fn may_read(&self) -> bool {
        let commands_max = match self.session {
            Some(_) => COMMANDS_WAITING_MAX,
            None => ANONYMOUS_COMMANDS_WAITING_MAX,
        };
        !self.closing
            && !self.greeting
            && self.commands.len() < commands_max
            && self.pipeline.unanswered() < SENDS_IN_FLIGHT_MAX
            && self.pipeline.unanswered_bytes() < UNANSWERED_BYTES_MAX
            && (self.requests.bytes() == 0 || self.requests.has_room(0))
    }

    /// Notes what the unanswered requests hold.
    fn account(&mut self) {
        let sends = self.pipeline.unanswered_bytes() + self.pipeline.unanswered() * SEND_OVERHEAD_BYTES;
        self.requests.set(self.commands.bytes() + sends);
    }

    fn received(&mut self, work: &Work, bytes: &Bytes) {
        self.heard = self.gateway.services.runtime.clock.monotonic();
        let encoding = self.connection.encoding;
        let frame = match encoding.decode_client(bytes) {
            Ok(frame) => frame,
            Err(error) => {
                self.gateway.services.metrics.malformed_frames.inc();
                self.answer(request_id::guess(encoding, bytes), Err(error.into()));
                return self.strike(close::MALFORMED);
            }
        };
        let request = frame.request;
        let Some(command) = frame.command else {
            let message = "the frame has no command, or one that this server does not know";
            return self.answer(request, Err(ProtocolError::invalid(message)));
        };
        let name = command::info(&command).name;
        let count = || self.gateway.services.metrics.command(name);
        match command {
            Command::Pong(_) => {
                count();
                // It has done its work by being heard.
                if request != 0 {
                    self.answer(request, Ok(done()));
                }
            }
            Command::Hello(_) if self.session.is_some() => {
                self.answer(request, Err(ProtocolError::invalid("this connection has a session already")));
            }
            Command::Hello(hello) => {
                count();
                self.greeting = true;
                let greeting = greet(self.gateway.clone(), self.connection.clone(), hello, self.address);
                work.push(Box::pin(async move { Finished::Greeted(request, Box::new(greeting.await)) }));
            }
            Command::Send(send) if self.session.is_some() => {
                count();
                self.offer(request, send);
            }
            command => self.commands.push(request, command, bytes.len()),
        }
    }

    fn offer(&mut self, request: u64, send: v1::Send) {
        let Some(served) = &self.session else { return };
        let offered = lane(served.caller.account, &send).and_then(|conversation| {
            let message = MessageId::from_slice(&send.message_id)?;
            self.pipeline.offer(request, conversation, message, send)
        });
        if let Err(error) = offered {
            self.answer_send(request, Err(error));
        }
    }

    /// Starts whatever may run now.
    fn start_work(&mut self, work: &Work) {
        if self.closing {
            return;
        }
        while let Some(served) = &self.session
            && let Some((conversation, sends)) = self.pipeline.next_batch()
        {
            let (api, caller) = (self.gateway.api.clone(), served.caller.clone());
            work.push(Box::pin(async move { Finished::Batch(conversation, api.send(&caller, sends).await) }));
        }
        if self.commands.is_running() {
            return;
        }
        let gateway = self.gateway.clone();
        if let Some(served) = &self.session
            && std::mem::take(&mut self.check_is_due)
        {
            let (session, token, address) = (served.session.clone(), served.token.clone(), self.address);
            self.commands.begin_own();
            work.push(Box::pin(async move { Finished::Checked(check(&gateway, session, &token, address).await) }));
        } else if let Some((request, command)) = self.commands.begin() {
            work.push(match (command, &self.session) {
                (command, _) if !gateway.budget.admits(command::info(&command)) => {
                    gateway.services.metrics.deferred.inc();
                    Box::pin(std::future::ready(Finished::Command(request, Err(Budget::deferred()))))
                }
                (Command::SetActive(v1::SetActive { active, .. }), Some(served)) => {
                    let caller = served.caller.clone();
                    Box::pin(async move { Finished::Active(request, gateway.api.set_active(&caller, active).await) })
                }
                (command, served) => {
                    let who = match served {
                        Some(served) => Who::Account(served.caller.clone()),
                        None => Who::Anonymous(self.address),
                    };
                    Box::pin(async move { Finished::Command(request, gateway.api.handle(&who, command).await) })
                }
            });
        }
    }

    fn finished(&mut self, work: &Work, finished: Finished) {
        match finished {
            Finished::Command(request, result) => {
                self.commands.finished();
                self.answer(request, result);
            }
            Finished::Active(request, result) => {
                self.commands.finished();
                let result = result.map(|session| self.set_session(session));
                self.answer(request, result.map(|()| done()));
            }
            Finished::Batch(conversation, results) => {
                for (request, result) in self.pipeline.finish(conversation, results) {
                    self.answer_send(request, result);
                }
                if self.pipeline.stopped() > STOPPED_LANES_MAX {
                    self.connection.outbox.close(close::POLICY);
                }
            }
            Finished::Greeted(request, result) => {
                self.greeting = false;
                match *result {
                    Ok(greeted) => self.greeted(work, request, greeted),
                    Err(error) => {
                        self.answer(request, Err(error));
                        self.strike(close::POLICY);
                    }
                }
            }
            Finished::Checked(check) => {
                self.commands.finished();
                self.checked(check);
            }
            Finished::Told => {}
        }
    }

    fn greeted(&mut self, work: &Work, request: u64, greeted: Greeted) {
        let Greeted { caller, session, token, welcome } = greeted;
        let (gateway, active, account) = (self.gateway.clone(), session.active, session.account);
        self.gateway.services.metrics.sessions.inc();
        self.session = Some(Box::new(Served { caller, session, token }));
        if self.closing {
            return;
        }
        self.connection.outbox.welcome(request, welcome);
        self.timer = sleep(&self.gateway, self.gateway.services.settings.ping_interval);
        if active {
            work.push(Box::pin(async move {
                gateway.presence.seen(account).await;
                gateway.presence.changed(account).await;
                Finished::Told
            }));
        }
    }

    /// The timer rang: too late for a greeting, or time for a ping.
    fn tick(&mut self) {
        let services = &self.gateway.services;
        if self.session.is_none() {
            services.metrics.hello_timeouts.inc();
            self.connection.outbox.close(close::HELLO_TIMEOUT);
        } else if services.runtime.clock.monotonic().saturating_sub(self.heard) >= self.silence_max() {
            services.metrics.idle_timeouts.inc();
            self.connection.outbox.close(close::IDLE);
        } else {
            self.check_is_due = true;
        }
        self.timer = sleep(&self.gateway, services.settings.ping_interval);
    }

    fn checked(&mut self, check: Check) {
        if let Some(close) = check.close {
            return self.connection.outbox.close(close);
        }
        if let Some(session) = check.session {
            self.set_session(session);
        }
        self.inbox_version = check.inbox_version.or(self.inbox_version);
        if let Some(inbox_version) = self.inbox_version {
            self.connection.outbox.push_event(Event::Ping(v1::Ping { inbox_version }));
        }
    }

    fn set_session(&mut self, session: Session) {
        if let Some(served) = &mut self.session {
            served.caller.session = Some(session.clone());
            served.session = session;
        }
    }

    /// Nothing new is begun; what runs may end and be answered, for a moment.
    fn begin_closing(&mut self) {
        self.closing = true;
        self.commands.clear();
        self.check_is_due = false;
        self.timer = sleep(&self.gateway, CLOSE_GRACE);
    }

    fn strike(&mut self, close: Close) {
        self.strikes += 1;
        if self.strikes >= STRIKES_MAX {
            self.connection.outbox.close(close);
        }
    }

    fn answer_send(&self, request: u64, result: Result<v1::Accepted, ProtocolError>) {
        if matches!(&result, Err(error) if error.code == ErrorCode::GoBack) {
            self.gateway.services.metrics.go_backs.inc();
        }
        self.answer(request, result.map(Event::Accepted));
    }

    fn answer(&self, request: u64, result: Result<Event, ProtocolError>) {
        let event = result.unwrap_or_else(|error| Event::Error(error.to_wire()));
        self.connection.outbox.answer(request, event);
    }

    fn silence_max(&self) -> Duration {
        self.gateway.services.settings.ping_interval * SILENT_INTERVALS_MAX
    }

    /// Closes the transport, lets what was begun come to its end, and takes back what the connection registered.
    async fn end(mut self, wire: Wire, end: Option<Close>) {
        let Wire { mut transport, work } = wire;
        self.closing = true;
        self.gateway.registry.remove(self.connection.id);
        let runtime = self.gateway.services.runtime.clone();
        let close = async {
            match end {
                Some(Close { code, reason }) => {
                    runtime.timeout(CLOSE_HANDSHAKE_MAX, transport.close(code, reason)).await;
                }
                None => _ = runtime.timeout(CLOSE_HANDSHAKE_MAX, transport.refuse()).await,
            }
            drop(transport);
        };
        futures_util::future::join(close, self.clean_up(work, end)).await;
    }

    async fn clean_up(mut self, mut work: Work, end: Option<Close>) {
        let gateway = self.gateway.clone();
        let finish = async {
            while let Some(finished) = work.next().await {
                self.finished(&FuturesUnordered::new(), finished);
            }
        };
        gateway.services.runtime.timeout(gateway.services.settings.call_timeout, finish).await;
        drop(work);
        self.connection.set_sends_over();
        let Some(Served { session, .. }) = self.session.map(|served| *served) else { return };
        gateway.services.metrics.sessions.dec();
        let (account, device, connection) = (session.account, session.device, session.connection.0);
        tracing::debug!(%account, %device, connection, code = end.map_or(0, |close| close.code), "disconnected");
        if let Err(error) = gateway.sessions.unregister(&session).await {
            tracing::debug!(%error, "a session was not unregistered; it is found to be stale later");
        }
        gateway.presence.unwatch(&session).await;
        if session.active {
            gateway.presence.left(account).await;
        }
    }
}

/// The conversation that a message is for, as the api has it: the lane whose order it keeps.
fn lane(sender: AccountId, send: &v1::Send) -> Result<ConversationId, ProtocolError> {
    match send.conversation.as_ref() {
        [] => Ok(ConversationId::direct(sender, AccountId::from_slice(&send.direct_with)?)),
        conversation => Ok(ConversationId::from_slice(conversation)?),
    }
}

fn done() -> Event {
    Event::Done(v1::Done::default())
}

fn sleep(gateway: &Gateway, duration: Duration) -> BoxFuture<'static, ()> {
    let clock = gateway.services.runtime.clock.clone();
    Box::pin(async move { clock.sleep(duration).await })
}
