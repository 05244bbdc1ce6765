//! Every command, whichever way it came in: one `match`, one function per command.
//!
//! A caller is verified before it gets here ([`Api::authenticate`]); what it may do is decided in each handler. Handlers
//! answer with the event that goes back, or with a [`ProtocolError`] that says what is wrong and what to do.

mod accounts;
pub mod admin;
#[cfg(test)]
mod alike_tests;
mod blocks;
mod changes;
mod contacts;
mod conversations;
mod devices;
mod errors;
mod groups;
mod input;
mod invites;
mod jwt;
mod membership;
mod page;
mod passwords;
mod privacy;
mod profiles;
mod rate;
mod receipts;
mod registration;
mod reports;
mod rows;
mod send;
mod signals;
mod standing;
#[cfg(test)]
pub(crate) mod testing;
mod timeline;
mod tokens;

use crate::presence::Presence;
use crate::services::Services;
use crate::session::{Session, Sessions};
use hudhud_proto::command::{self, Access};
use hudhud_proto::v1::{client_frame::Command, server_frame::Event};
use hudhud_proto::{AccountId, DeviceId, ProtocolError, TokenId, v1};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use errors::from_port;
pub(crate) use errors::replaced;
pub use jwt::check_issuer;
pub(crate) use membership::load as load_conversation;
pub use registration::first_invite;

/// An account that proved who it is.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The account.
    pub account: AccountId,
    /// The device that the token belongs to.
    pub device: DeviceId,
    /// The token.
    pub token: TokenId,
    /// Where the request came from.
    pub address: IpAddr,
    /// The connection, if the command came over one that has a session.
    pub session: Option<Session>,
}

/// Whoever gives a command.
#[derive(Clone, Debug)]
pub enum Who {
    /// Nobody yet, from this address.
    Anonymous(IpAddr),
    /// An account.
    Account(Caller),
}

/// All commands.
pub struct Api {
    services: Services,
    sessions: Arc<Sessions>,
    presence: Arc<Presence>,
    limiter: rate::Limiter,
    passwords: passwords::Passwords,
    memberships: membership::Memberships,
    last_accepted_us: AtomicU64,
}

impl Api {
    /// The api of a process.
    pub fn new(services: Services, sessions: Arc<Sessions>, presence: Arc<Presence>) -> Self {
        let limiter = rate::Limiter::new(&services);
        let passwords = passwords::Passwords::new(&services);
        let memberships = membership::Memberships::new(&services);
        Self { services, sessions, presence, limiter, passwords, memberships, last_accepted_us: AtomicU64::new(0) }
    }

    /// Who holds this token: one read. The caller has no session yet.
    pub async fn authenticate(&self, token: &str, address: IpAddr) -> Result<Caller, ProtocolError> {
        tokens::authenticate(self, token, address).await
    }

    /// Carries a command out.
    pub async fn handle(&self, who: &Who, command: Command) -> Result<Event, ProtocolError> {
        let info = command::info(&command);
        self.services.metrics.command(info.name);
        let caller = match (info.access, who) {
            (Access::Anonymous, who) => return self.handle_anonymous(who, command).await,
            (_, Who::Anonymous(_)) => return Err(errors::unauthenticated()),
            (Access::Connection, Who::Account(Caller { session: None, .. })) => {
                return Err(ProtocolError::invalid("this command is about a WebSocket connection: send it over one"));
            }
            (Access::Account | Access::Connection, Who::Account(caller)) => caller,
        };
        if !matches!(command, Command::Send(_)) {
            self.limiter.command(caller)?;
        }
        let done = |()| Event::Done(v1::Done::default());
        Ok(match command {
            Command::Ping(_) => Event::Pong(v1::Pong { inbox_version: self.inbox_version(caller.account).await? }),
            Command::Pong(_) => done(()),
            Command::LogOut(_) => done(tokens::log_out(self, caller).await?),
            Command::ChangePassword(m) => done(accounts::change_password(self, caller, m).await?),
            Command::CreateRegistrationInvite(_) => {
                Event::RegistrationInvite(registration::create_registration_invite(self, caller).await?)
            }
            Command::ListDevices(_) => Event::DeviceList(devices::list(self, caller).await?),
            Command::RemoveDevice(m) => done(devices::remove(self, caller, m).await?),
            Command::CreateToken(m) => Event::TokenCreated(tokens::create(self, caller, m).await?),
            Command::ListTokens(_) => Event::TokenList(tokens::list(self, caller).await?),
            Command::RevokeToken(m) => done(tokens::revoke(self, caller, m).await?),
            Command::LookUp(m) => Event::Profile(profiles::look_up(self, caller, m).await?),
            Command::GetProfile(m) => Event::Profile(profiles::get(self, caller, m).await?),
            Command::SetProfile(m) => Event::Profile(profiles::set(self, caller, m).await?),
            Command::GetPrivacy(_) => Event::Privacy(privacy::get(self, caller).await?),
            Command::SetPrivacy(m) => Event::Privacy(privacy::set(self, caller, m).await?),
            Command::Block(m) => done(blocks::block(self, caller, m).await?),
            Command::Unblock(m) => done(blocks::unblock(self, caller, m).await?),
            Command::ListBlocks(m) => Event::BlockList(blocks::list(self, caller, m).await?),
            Command::SetContact(m) => done(contacts::set(self, caller, m).await?),
            Command::RemoveContact(m) => done(contacts::remove(self, caller, m).await?),
            Command::ListContacts(m) => Event::ContactList(contacts::list(self, caller, m).await?),
            Command::Report(m) => done(reports::report(self, caller, m).await?),

            Command::OpenDirect(m) => Event::Conversation(conversations::open_direct(self, caller, m).await?),
            Command::GetConversation(m) => Event::Conversation(conversations::get(self, caller, m).await?),
            Command::ListMembers(m) => Event::MemberList(conversations::list_members(self, caller, m).await?),
            Command::SetPreferences(m) => done(conversations::set_preferences(self, caller, m).await?),
            Command::CreateGroup(m) => Event::ChangeAccepted(groups::create(self, caller, m).await?),
            Command::UpdateGroup(m) => Event::ChangeAccepted(groups::update(self, caller, m).await?),
            Command::AddMembers(m) => Event::ChangeAccepted(groups::add_members(self, caller, m).await?),
            Command::RemoveMember(m) => Event::ChangeAccepted(groups::remove_member(self, caller, m).await?),
            Command::LeaveGroup(m) => Event::ChangeAccepted(groups::leave(self, caller, m).await?),
            Command::SetRole(m) => Event::ChangeAccepted(groups::set_role(self, caller, m).await?),
            Command::CreateInvite(m) => Event::Invite(invites::create(self, caller, m).await?),
            Command::ListInvites(m) => Event::InviteList(invites::list(self, caller, m).await?),
            Command::RevokeInvite(m) => done(invites::revoke(self, caller, m).await?),
            Command::PreviewInvite(m) => Event::InvitePreview(invites::preview(self, caller, m).await?),
            Command::JoinByInvite(m) => Event::ChangeAccepted(invites::join(self, caller, m).await?),

            Command::Send(m) => Event::Accepted(send::send_one(self, caller, m).await?),
            Command::Fetch(m) => Event::EntryPage(timeline::fetch(self, caller, m).await?),
            Command::Received(m) => done(receipts::received(self, caller, m).await?),
            Command::Read(m) => done(receipts::read(self, caller, m).await?),
            Command::Changes(m) => Event::ChangePage(changes::changes(self, caller, m).await?),
            Command::ListReceipts(m) => Event::ReceiptList(receipts::list(self, caller, m).await?),

            Command::Typing(m) => done(signals::typing(self, caller, m).await?),
            Command::WatchPresence(m) => Event::PresenceList(signals::watch_presence(self, caller, m).await?),
            Command::Hello(_) | Command::SetActive(_) => {
                return Err(ProtocolError::invalid("the gateway answers this one: send it over a WebSocket"));
            }
            Command::Register(_) | Command::LogIn(_) | Command::LogInJwt(_) => unreachable!("anonymous, handled above"),
        })
    }

    async fn handle_anonymous(&self, who: &Who, command: Command) -> Result<Event, ProtocolError> {
        let address = match who {
            Who::Anonymous(address) => *address,
            Who::Account(caller) => caller.address,
        };
        Ok(Event::LoggedIn(match command {
            Command::Register(m) => accounts::register(self, address, m).await?,
            Command::LogIn(m) => accounts::log_in(self, address, m).await?,
            Command::LogInJwt(m) => accounts::log_in_jwt(self, address, m).await?,
            _ => unreachable!("the table says that only these are anonymous"),
        }))
    }

    /// Sends messages of one device to one conversation: together or, from the first that fails on, not at all. One answer
    /// per message, in order.
    pub async fn send(&self, caller: &Caller, sends: Vec<v1::Send>) -> Vec<Result<v1::Accepted, ProtocolError>> {
        sends.iter().for_each(|_| self.services.metrics.command("send"));
        send::send(self, caller, sends).await
    }

    /// Now, and later than every answer before: two messages of one api never have the same time of acceptance.
    fn acceptance_time_us(&self) -> u64 {
        let now = self.services.now_us();
        let next = |last: u64| now.max(last + 1);
        let before = self.last_accepted_us.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |last| Some(next(last)));
        next(before.unwrap_or_else(|last| last))
    }

    /// The sum of the head seqs in an inbox (see `Ping`).
    pub async fn inbox_version(&self, account: AccountId) -> Result<u64, ProtocolError> {
        changes::inbox_version(self, account).await
    }
}
