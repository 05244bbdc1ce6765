//! What a member, its consumers, its thread and the client's callbacks share: who has which shard, and how far it is.

use super::ENGINE;
use super::frame::Mark;
use super::member::Context;
use hudhud_ports::{Error, ErrorKind, Result};
use hudhud_proto::{Position, Shard};
use parking_lot::Mutex;
use rdkafka::consumer::base_consumer::PartitionQueue;
use tokio::sync::Notify;

/// How often a shard was assigned to this member: who took it in an earlier term no longer holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Term(u64);

pub(super) struct Group {
    pub(super) epoch: u16,
    state: Mutex<State>,
    /// Told when a shard can be taken, or the member ends.
    pub(super) assigned: Notify,
    pub(super) shards: Vec<Slot>,
}

/// Where the records of a shard come from.
pub(super) struct Slot {
    /// Empty before the member's thread begins, and once it ends.
    pub(super) queue: Mutex<Option<PartitionQueue<Context>>>,
    /// Told when there may be records, or the shard changes hands.
    pub(super) changed: Notify,
}

struct State {
    shards: Vec<Holding>,
    over: Option<Over>,
}

/// Why a member is none any more.
#[derive(Clone)]
enum Over {
    /// It was dropped.
    Left,
    /// Its client can't go on.
    Failed(String),
}

/// A shard, as this member sees it.
struct Holding {
    term: Term,
    hold: Hold,
    /// How far it is committed; none where nothing is, or it is not this member's.
    committed: Option<Mark>,
    /// Whether Kafka is to be told.
    is_news: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Elsewhere,
    /// It is this member's, and the client stands behind its last commit.
    Ready,
    /// There is a consumer.
    Taken,
    /// There was one: the client has to go back to the last commit.
    GivenBack,
}

impl Group {
    pub(super) fn new(epoch: u16, shards: u32) -> Self {
        let holding = || Holding { term: Term(0), hold: Hold::Elsewhere, committed: None, is_news: false };
        let slot = || Slot { queue: Mutex::new(None), changed: Notify::new() };
        Self {
            epoch,
            state: Mutex::new(State { shards: (0..shards).map(|_| holding()).collect(), over: None }),
            assigned: Notify::new(),
            shards: (0..shards).map(|_| slot()).collect(),
        }
    }

    /// The shard is this member's from now on, behind this mark.
    pub(super) fn assign(&self, shard: usize, committed: Option<Mark>) {
        if let Some(holding) = self.state.lock().shards.get_mut(shard) {
            let term = Term(holding.term.0 + 1);
            *holding = Holding { term, hold: Hold::Ready, committed, is_news: false };
        }
        self.assigned.notify_waiters();
    }

    /// The shard is not this member's any more. What Kafka has not been told yet.
    pub(super) fn revoke(&self, shard: usize) -> Option<Mark> {
        let news = {
            let mut state = self.state.lock();
            let holding = state.shards.get_mut(shard)?;
            holding.hold = Hold::Elsewhere;
            let is_news = std::mem::take(&mut holding.is_news);
            holding.committed.take().filter(|_| is_news)
        };
        self.shards[shard].changed.notify_waiters();
        news
    }

    /// The next shard that has no consumer.
    pub(super) fn take(&self) -> Result<Option<(Shard, Term, Option<Mark>)>> {
        let mut state = self.state.lock();
        state.check("assigned")?;
        let mut all = (0..).zip(&mut state.shards);
        let Some((shard, holding)) = all.find(|(_, holding)| holding.hold == Hold::Ready) else { return Ok(None) };
        holding.hold = Hold::Taken;
        Ok(Some((Shard(shard), holding.term, holding.committed)))
    }

    /// The consumer of this term is gone.
    pub(super) fn give_back(&self, shard: Shard, term: Term) {
        let holding = &mut self.state.lock().shards[shard.0 as usize];
        if holding.term == term && holding.hold == Hold::Taken {
            holding.hold = Hold::GivenBack;
        }
    }

    /// The shards that the client has to go back in, and where to.
    pub(super) fn given_back(&self) -> Vec<(usize, Option<Mark>)> {
        let state = self.state.lock();
        let all = state.shards.iter().enumerate();
        all.filter(|(_, it)| it.hold == Hold::GivenBack).map(|(shard, it)| (shard, it.committed)).collect()
    }

    /// The client stands behind the last commit again.
    pub(super) fn went_back(&self, shard: usize) {
        let holding = &mut self.state.lock().shards[shard];
        if holding.hold == Hold::GivenBack {
            holding.hold = Hold::Ready;
        }
        self.assigned.notify_waiters();
    }

    /// Whether a consumer still has its shard.
    pub(super) fn holds(&self, op: &'static str, shard: Shard, term: Term) -> Result<bool> {
        let state = self.state.lock();
        if let Some(Over::Left) = state.over {
            return Ok(false);
        }
        state.check(op)?;
        let holding = &state.shards[shard.0 as usize];
        Ok(holding.term == term && holding.hold == Hold::Taken)
    }

    /// Notes a commit, which Kafka is told soon. False where the shard is another member's.
    pub(super) fn commit(&self, shard: Shard, term: Term, position: Position) -> Result<bool> {
        let mut state = self.state.lock();
        if let Some(Over::Left) = state.over {
            return Ok(false);
        }
        state.check("commit")?;
        let holding = &mut state.shards[shard.0 as usize];
        if holding.term != term || holding.hold != Hold::Taken {
            return Ok(false);
        }
        let before = holding.committed.map_or(Position::ZERO, |mark| mark.position(self.epoch));
        if position.epoch() == self.epoch && position > before {
            holding.committed = Some(Mark::behind(position));
            holding.is_news = true;
        }
        Ok(true)
    }

    /// The commits that Kafka has not been told yet.
    pub(super) fn news(&self) -> Vec<(usize, Mark)> {
        let mut state = self.state.lock();
        let all = state.shards.iter_mut().enumerate();
        all.filter_map(|(shard, it)| it.committed.filter(|_| std::mem::take(&mut it.is_news)).map(|mark| (shard, mark)))
            .collect()
    }

    /// Kafka did not take a commit of this shard: it is told again, unless the shard is gone.
    pub(super) fn tell_again(&self, shard: usize) {
        if let Some(holding) = self.state.lock().shards.get_mut(shard) {
            holding.is_news |= holding.hold != Hold::Elsewhere && holding.committed.is_some();
        }
    }

    /// The member goes: its consumers have nothing from now on.
    pub(super) fn leave(&self) {
        self.end(Over::Left);
    }

    /// The client can't go on.
    pub(super) fn fail(&self, why: String) {
        self.end(Over::Failed(why));
    }

    fn end(&self, why: Over) {
        self.state.lock().over.get_or_insert(why);
        self.assigned.notify_waiters();
        self.shards.iter().for_each(|slot| slot.changed.notify_waiters());
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.lock().over.is_some()
    }
}

impl State {
    fn check(&self, op: &'static str) -> Result<()> {
        match &self.over {
            None => Ok(()),
            Some(Over::Left) => Err(Error::new(ErrorKind::Unavailable, ENGINE, op).because("it was closed")),
            // Only a new process has a client that goes on.
            Some(Over::Failed(why)) => Err(Error::new(ErrorKind::Fatal, ENGINE, op).because(why.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: u64) -> Mark {
        Mark { offset, unread: None }
    }

    #[test]
    fn a_shard_goes_from_hand_to_hand() {
        let group = Group::new(1, 2);
        assert_eq!(group.take().expect("alive"), None);
        group.assign(1, Some(mark(5)));
        let (shard, term, committed) = group.take().expect("alive").expect("assigned");
        assert_eq!((shard, committed), (Shard(1), Some(mark(5))));
        let position = mark(7).position(1);
        assert!(group.commit(shard, term, position).expect("alive"));
        assert!(group.commit(shard, term, mark(6).position(1)).expect("an older one is none"));
        group.give_back(shard, term);
        assert_eq!(group.given_back(), [(1, Some(mark(7)))]);
        group.went_back(1);
        let (_, term, committed) = group.take().expect("alive").expect("again");
        assert_eq!(committed, Some(mark(7)));
        assert_eq!(group.revoke(1), Some(mark(7)), "Kafka did not know");
        assert!(
            !group.holds("next", shard, term).expect("alive") && !group.commit(shard, term, position).expect("alive")
        );
        group.give_back(shard, term);
        assert_eq!(group.take().expect("alive"), None);
    }

    #[test]
    fn kafka_is_told_of_a_commit_once_unless_it_fails() {
        let group = Group::new(1, 1);
        group.assign(0, None);
        let (shard, term, _) = group.take().expect("alive").expect("assigned");
        group.commit(shard, term, mark(3).position(1)).expect("alive");
        assert_eq!(group.news(), [(0, mark(3))]);
        assert_eq!(group.news(), []);
        group.tell_again(0);
        assert_eq!(group.news(), [(0, mark(3))]);
        group.revoke(0);
        group.tell_again(0);
        assert_eq!(group.news(), []);
    }

    #[test]
    fn who_left_holds_nothing_and_who_failed_says_why() {
        let group = Group::new(1, 1);
        group.assign(0, None);
        let (shard, term, _) = group.take().expect("alive").expect("assigned");
        group.fail("broken".into());
        assert_eq!(group.holds("next", shard, term).expect_err("failed").kind(), ErrorKind::Fatal);
        let group = Group::new(1, 1);
        group.leave();
        assert!(!group.holds("next", shard, term).expect("left") && group.take().is_err());
    }
}
