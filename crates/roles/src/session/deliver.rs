//! Delivery: one look-up for everything posted, one push per gateway, and once more where the mapping was stale.

use super::look_up::Source;
use super::{Post, Recipient, Session, Sessions};
use futures_util::{StreamExt, stream};
use hudhud_ports::{Delivery, GatewayRef, Payload, Target};
use hudhud_proto::AccountId;
use std::collections::BTreeSet;

/// Look-ups of one delivery: one, and one more for what was stale.
const ROUNDS_MAX: usize = 2;
/// Gateways that one delivery pushes to at the same time.
const PUSHES_MAX: usize = 64;

/// A connection of one gateway: other gateways may use the same number.
type Place = (GatewayRef, Target);

impl Sessions {
    /// Delivers posts to whoever of their recipients is connected, each connection getting them in their order. Returns
    /// the accounts, of those addressed by [`Recipient::Account`], of which no device took anything.
    ///
    /// Never fails: what can't be looked up or pushed counts as not taken, and devices find out by the next ping.
    pub async fn deliver(&self, posts: Vec<Post>) -> Vec<AccountId> {
        let recipients = || posts.iter().flat_map(|post| &post.to);
        let mut untaken = in_order(recipients().filter_map(Recipient::whole_account));
        let mut wanted = in_order(recipients().map(Recipient::account));
        // Who is shut out is not left to a hint.
        let revokes = posts.iter().any(|post| !matches!(post.payload, Payload::Frame(_)));
        let mut source = if revokes { Source::Database } else { Source::CacheFirst };
        let mut tried: BTreeSet<Place> = BTreeSet::new();
        for round in 1..=ROUNDS_MAX {
            // Flow 06: one look-up finds the gateways of every receiving device, in the cache first, then in the
            // mapping database.
            let connected = self.connected(wanted, source, &tried).await;
            let (taken, stale) = self.push(batches(&posts, &connected), &connected).await;
            untaken.retain(|account| taken.binary_search(account).is_err());
            if stale.is_empty() {
                break;
            }
            self.services.metrics.session_cache_stale_hits.inc_by(stale.len() as u64);
            if round < ROUNDS_MAX {
                tried.extend(connected.0.iter().flat_map(|(_, sessions)| sessions).map(Session::place));
            }
            wanted = in_order(stale.iter().map(|session| session.account));
            source = Source::Database;
            self.remove_later(stale);
        }
        untaken
    }

    /// The sessions of these accounts that were not tried yet.
    async fn connected(&self, accounts: Vec<AccountId>, source: Source, tried: &BTreeSet<Place>) -> Connected {
        let mut connected = Vec::with_capacity(accounts.len());
        for (account, found) in self.look_up(accounts, source).await {
            match found {
                Ok(mut sessions) => {
                    if !tried.is_empty() {
                        sessions.retain(|session| !tried.contains(&session.place()));
                    }
                    connected.push((account, sessions));
                }
                Err(error) => tracing::warn!(%account, %error, "can't look up sessions; the device finds out by ping"),
            }
        }
        Connected(connected)
    }

    /// Pushes to all gateways at once, each within `settings.call_timeout`. Returns the accounts of which a connection
    /// took its batch, in order, and the sessions that are not where they were believed to be.
    async fn push(&self, batches: Batches, connected: &Connected) -> (Vec<AccountId>, Vec<Session>) {
        let services = &self.services;
        let pushes = batches.into_iter().map(|(gateway, batch)| async move {
            let targets = in_order(batch.iter().flat_map(|delivery| &delivery.targets).copied());
            let push = services.gateways.push(&gateway, batch);
            match services.runtime.timeout(services.settings.call_timeout, push).await {
                Some(Ok(absent)) => return Some((gateway, targets, absent)),
                Some(Err(error)) => tracing::warn!(gateway = %gateway.name, %error, "a push failed"),
                None => tracing::warn!(gateway = %gateway.name, "a push took too long"),
            }
            services.metrics.pushes_failed.inc();
            None
        });
        let mut pushes = stream::iter(pushes).buffer_unordered(PUSHES_MAX);
        let mut taken = Vec::new();
        let mut absent: BTreeSet<Place> = BTreeSet::new();
        while let Some(answer) = pushes.next().await {
            let Some((gateway, targets, not_there)) = answer else { continue };
            let not_there = in_order(not_there);
            let is_there = |target: &&Target| not_there.binary_search(target).is_err();
            taken.extend(targets.iter().filter(is_there).map(|target| target.account));
            let asked = not_there.into_iter().filter(|target| targets.binary_search(target).is_ok());
            absent.extend(asked.map(|target| (gateway.clone(), target)));
        }
        let stale = match absent.is_empty() {
            true => Vec::new(),
            false => {
                let sessions = connected.0.iter().flat_map(|(_, sessions)| sessions);
                sessions.filter(|session| absent.contains(&session.place())).cloned().collect()
            }
        };
        (in_order(taken), stale)
    }
}

/// The sessions of accounts, in the order of accounts.
struct Connected(Vec<(AccountId, Vec<Session>)>);

impl Connected {
    fn of(&self, account: AccountId) -> &[Session] {
        match self.0.binary_search_by_key(&account, |(account, _)| *account) {
            Ok(at) => &self.0[at].1,
            Err(_) => &[],
        }
    }
}

/// What goes to each gateway, in the order of the posts.
type Batches = Vec<(GatewayRef, Vec<Delivery>)>;

/// What goes to each gateway; a connection that a post names twice gets it once.
fn batches(posts: &[Post], connected: &Connected) -> Batches {
    // There are few gateways beside the recipients, so these are searched from end to end.
    let mut batches: Batches = Vec::new();
    for post in posts {
        let mut targets: Vec<Vec<Target>> = vec![Vec::new(); batches.len()];
        for recipient in &post.to {
            for session in connected.of(recipient.account()).iter().filter(|session| recipient.includes(session)) {
                let at = batches.iter().position(|(gateway, _)| *gateway == session.gateway).unwrap_or_else(|| {
                    batches.push((session.gateway.clone(), Vec::new()));
                    targets.push(Vec::new());
                    batches.len() - 1
                });
                targets[at].push(session.target());
            }
        }
        for ((_, batch), targets) in batches.iter_mut().zip(targets) {
            if !targets.is_empty() {
                batch.push(Delivery { payload: post.payload.clone(), targets: in_order(targets) });
            }
        }
    }
    // In an order that does not depend on who posted first.
    batches.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    batches
}

/// In order, each once.
fn in_order<T: Ord>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl Recipient {
    /// Whose devices.
    fn account(&self) -> AccountId {
        match *self {
            Self::Account(account) | Self::Device(account, _) | Self::OtherDevices(account, _) => account,
        }
    }

    fn whole_account(&self) -> Option<AccountId> {
        match *self {
            Self::Account(account) => Some(account),
            Self::Device(..) | Self::OtherDevices(..) => None,
        }
    }

    fn includes(&self, session: &Session) -> bool {
        match *self {
            Self::Account(account) => session.account == account,
            Self::Device(account, device) => session.account == account && session.device == device,
            Self::OtherDevices(account, device) => session.account == account && session.device != device,
        }
    }
}

impl Session {
    /// The session as its gateway is asked for it.
    fn target(&self) -> Target {
        Target { account: self.account, device: self.device, connection: self.connection }
    }

    fn place(&self) -> Place {
        (self.gateway.clone(), self.target())
    }
}
