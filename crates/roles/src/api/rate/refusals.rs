//! What is refused now, for operators: which buckets are empty, whose, and for how long. They may fill one again.

use super::{Bucket, Limiter, Whose, admit};
use crate::settings::{Rate, Rates};
use hudhud_proto::ConversationId;
use serde::Serialize;
use std::time::Duration;

/// A bucket that refuses the next request now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// Names it among all: the rate and whose it is.
    pub id: String,
    /// The rate, as the configuration calls it.
    pub rate: &'static str,
    /// Whose: `account:…`, `device:…`, `handle:…`, `address:…`, `conversation:…`, or `everybody`.
    pub whose: String,
    /// How long until the next one is let through, in milliseconds.
    pub wait_ms: u64,
}

impl Limiter {
    /// The buckets of this process that refuse now, those that do so longest first, at most so many.
    pub(crate) fn refusals(&self, refusals_max: usize) -> Vec<Refusal> {
        let now = self.clock.monotonic();
        let mut refusals: Vec<Refusal> = Vec::new();
        for (bucket, full_at) in self.full_at.lock().iter() {
            let (name, rate) = bucket.rate(&self.rates);
            refusals.extend(refusal(name, &bucket.whose(), *full_at, now, rate));
        }
        for (conversation, full_at) in self.conversations_full_at.lock().iter() {
            let (name, rate) = ("sends_per_conversation", self.rates.sends_per_conversation);
            refusals.extend(refusal(name, &of_conversation(*conversation), *full_at, now, rate));
        }
        refusals.sort_by(|one, other| other.wait_ms.cmp(&one.wait_ms).then_with(|| one.id.cmp(&other.id)));
        refusals.truncate(refusals_max);
        refusals
    }

    /// Fills a bucket again. Says whether it was not full.
    pub(crate) fn reset(&self, id: &str) -> bool {
        let mut full_at = self.full_at.lock();
        let mut found = full_at.iter().map(|(bucket, _)| bucket);
        let is = |bucket: &&Bucket| id_of(bucket.rate(&self.rates).0, &bucket.whose()) == id;
        if let Some(bucket) = found.find(is).cloned() {
            return full_at.pop(&bucket).is_some();
        }
        let mut full_at = self.conversations_full_at.lock();
        let is =
            |conversation: &&ConversationId| id_of("sends_per_conversation", &of_conversation(**conversation)) == id;
        let found = full_at.iter().map(|(conversation, _)| conversation).find(is).copied();
        found.is_some_and(|conversation| full_at.pop(&conversation).is_some())
    }
}

impl Bucket {
    /// The rate that fills it.
    fn rate(&self, rates: &Rates) -> (&'static str, Rate) {
        macro_rules! rate {
            ($name:ident) => {
                (stringify!($name), rates.$name)
            };
        }
        match self {
            Self::Command(..) => rate!(commands),
            Self::Send(..) => rate!(sends),
            Self::LogInAt(..) | Self::Password(_) => rate!(log_ins_per_handle),
            Self::LogIn(_) => rate!(log_ins_per_handle_in_all),
            Self::LookUp(Whose::Account(_)) => rate!(look_ups),
            Self::LookUp(Whose::Address(_)) => rate!(look_ups_per_address),
            Self::LookUp(Whose::Everybody) => rate!(look_ups_in_all),
            Self::Account(Whose::Everybody) => rate!(accounts_in_all),
            Self::Account(_) => rate!(accounts_per_address),
            Self::Invite(Whose::Account(_)) => rate!(invites),
            Self::Invite(Whose::Address(_)) => rate!(invites_per_address),
            Self::Invite(Whose::Everybody) => rate!(invites_in_all),
            Self::GroupAdd(Whose::Account(_)) => rate!(group_adds),
            Self::GroupAdd(Whose::Address(_)) => rate!(group_adds_per_address),
            Self::GroupAdd(Whose::Everybody) => rate!(group_adds_in_all),
            Self::Report(Whose::Account(_)) => rate!(reports),
            Self::Report(Whose::Address(_)) => rate!(reports_per_address),
            Self::Report(Whose::Everybody) => rate!(reports_in_all),
        }
    }

    fn whose(&self) -> String {
        match self {
            Self::Command(account, device) | Self::Send(account, device) => format!("device:{account}/{device}"),
            Self::LogInAt(handle, address) => format!("handle:{handle} at {address}"),
            Self::LogIn(handle) => format!("handle:{handle}"),
            Self::Password(account) => format!("account:{account}"),
            Self::LookUp(whose)
            | Self::Account(whose)
            | Self::Invite(whose)
            | Self::GroupAdd(whose)
            | Self::Report(whose) => match whose {
                Whose::Account(account) => format!("account:{account}"),
                Whose::Address(address) => format!("address:{address}"),
                Whose::Everybody => "everybody".into(),
            },
        }
    }
}

fn of_conversation(conversation: ConversationId) -> String {
    format!("conversation:{conversation}")
}

fn id_of(rate: &str, whose: &str) -> String {
    format!("{rate} {whose}")
}

fn refusal(name: &'static str, whose: &str, full_at: Duration, now: Duration, rate: Rate) -> Option<Refusal> {
    let wait = admit(full_at, now, rate, 1).err()?;
    let wait_ms = u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Some(Refusal { id: id_of(name, whose), rate: name, whose: whose.to_owned(), wait_ms })
}
