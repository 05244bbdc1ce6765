//! Delivery: one look-up for everything posted, one push per gateway, and once more where the mapping was stale.

use super::look_up::Source;
use super::{Post, Recipient, Session, Sessions};
use futures_util::{StreamExt, stream};
use hudhud_ports::{Delivery, GatewayRef, Payload, Target};
use hudhud_proto::AccountId;
use std::collections::{BTreeMap, BTreeSet};

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
        let mut untaken: BTreeSet<AccountId> = recipients().filter_map(Recipient::whole_account).collect();
        let mut wanted: BTreeSet<AccountId> = recipients().map(Recipient::account).collect();
        // Who is shut out is not left to a hint.
        let revokes = posts.iter().any(|post| !matches!(post.payload, Payload::Frame(_)));
        let mut source = if revokes { Source::Database } else { Source::CacheFirst };
        let mut tried: BTreeSet<Place> = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            // Flow 06: one look-up finds the gateways of every receiving device, in the cache first, then in the
            // mapping database.
            let sessions = self.connected(wanted, source, &tried).await;
            tried.extend(sessions.values().flatten().map(Session::place));
            let (taken, stale) = self.push(batches(&posts, &sessions), &sessions).await;
            untaken.retain(|account| !taken.contains(account));
            if stale.is_empty() {
                break;
            }
            self.services.metrics.session_cache_stale_hits.inc_by(stale.len() as u64);
            wanted = stale.iter().map(|session| session.account).collect();
            source = Source::Database;
            self.remove_later(stale);
        }
        untaken.into_iter().collect()
    }

    /// The sessions of these accounts that were not tried yet.
    async fn connected(
        &self,
        accounts: BTreeSet<AccountId>,
        source: Source,
        tried: &BTreeSet<Place>,
    ) -> BTreeMap<AccountId, Vec<Session>> {
        let mut connected = BTreeMap::new();
        for (account, found) in self.look_up(accounts, source).await {
            match found {
                Ok(mut sessions) => {
                    sessions.retain(|session| !tried.contains(&session.place()));
                    connected.insert(account, sessions);
                }
                Err(error) => tracing::warn!(%account, %error, "can't look up sessions; the device finds out by ping"),
            }
        }
        connected
    }

    /// Pushes to all gateways at once, each within `settings.call_timeout`. Returns the accounts of which a connection
    /// took its batch, and the sessions that are not where they were believed to be.
    async fn push(
        &self,
        batches: BTreeMap<GatewayRef, Vec<Delivery>>,
        sessions: &BTreeMap<AccountId, Vec<Session>>,
    ) -> (BTreeSet<AccountId>, Vec<Session>) {
        let services = &self.services;
        let pushes = batches.into_iter().map(|(gateway, batch)| async move {
            let targets: BTreeSet<Target> = batch.iter().flat_map(|delivery| &delivery.targets).copied().collect();
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
        let mut taken = BTreeSet::new();
        let mut absent: BTreeSet<Place> = BTreeSet::new();
        while let Some(answer) = pushes.next().await {
            let Some((gateway, mut targets, not_there)) = answer else { continue };
            for target in not_there {
                if targets.remove(&target) {
                    absent.insert((gateway.clone(), target));
                }
            }
            taken.extend(targets.iter().map(|target| target.account));
        }
        let is_absent = |session: &&Session| absent.contains(&session.place());
        (taken, sessions.values().flatten().filter(is_absent).cloned().collect())
    }
}

/// What goes to each gateway, in the order of the posts; a connection that a post names twice gets it once.
fn batches(posts: &[Post], sessions: &BTreeMap<AccountId, Vec<Session>>) -> BTreeMap<GatewayRef, Vec<Delivery>> {
    let mut batches: BTreeMap<GatewayRef, Vec<Delivery>> = BTreeMap::new();
    for post in posts {
        let mut targets: BTreeMap<&GatewayRef, BTreeSet<Target>> = BTreeMap::new();
        for recipient in &post.to {
            let connected = sessions.get(&recipient.account()).into_iter().flatten();
            for session in connected.filter(|session| recipient.includes(session)) {
                targets.entry(&session.gateway).or_default().insert(session.target());
            }
        }
        for (gateway, targets) in targets {
            let delivery = Delivery { payload: post.payload.clone(), targets: targets.into_iter().collect() };
            batches.entry(gateway.clone()).or_default().push(delivery);
        }
    }
    batches
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
