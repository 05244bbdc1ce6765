//! Which member consumes which shard, for a bus whose members are all in one process.

use hudhud_proto::Shard;

/// A member of the consumers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Member(u64);

/// How often a shard has changed hands: who took it in an earlier term no longer holds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Term(u64);

/// Shares the shards among the members, evenly and with as few changes of hands as that takes. Pure: it moves when
/// members come and go, and the same calls give the same shares.
#[derive(Debug)]
pub struct Assignment {
    slots: Vec<Slot>,
    members: Vec<Member>,
    members_ever: u64,
}

#[derive(Debug)]
struct Slot {
    owner: Option<Member>,
    term: Term,
    /// Whether the owner has a consumer on it.
    taken: bool,
}

impl Slot {
    fn pass_to(&mut self, owner: Option<Member>) {
        *self = Self { owner, term: Term(self.term.0 + 1), taken: false };
    }
}

impl Assignment {
    /// So many shards, and nobody there.
    pub fn new(shards: u32) -> Self {
        let slots = (0..shards).map(|_| Slot { owner: None, term: Term(0), taken: false }).collect();
        Self { slots, members: Vec::new(), members_ever: 0 }
    }

    /// A new member comes and gets its share.
    pub fn join(&mut self) -> Member {
        let member = Member(self.members_ever);
        self.members_ever += 1;
        self.members.push(member);
        self.share();
        member
    }

    /// A member goes; the others get its share.
    pub fn leave(&mut self, member: Member) {
        self.members.retain(|one| *one != member);
        self.share();
    }

    /// All members go.
    pub fn clear(&mut self) {
        self.members.clear();
        self.share();
    }

    /// The next shard of a member that it has no consumer on.
    pub fn take(&mut self, member: Member) -> Option<(Shard, Term)> {
        let (shard, slot) = (0..).zip(&mut self.slots).find(|(_, slot)| slot.owner == Some(member) && !slot.taken)?;
        slot.taken = true;
        Some((Shard(shard), slot.term))
    }

    /// Whether a shard has not changed hands since it was taken in this term.
    pub fn holds(&self, shard: Shard, term: Term) -> bool {
        self.slots.get(shard.0 as usize).is_some_and(|slot| slot.term == term && slot.owner.is_some())
    }

    /// The consumer of this shard and term is gone: its member can take the shard again, if it still has it.
    pub fn give_back(&mut self, shard: Shard, term: Term) {
        if let Some(slot) = self.slots.get_mut(shard.0 as usize)
            && slot.term == term
        {
            slot.taken = false;
        }
    }

    fn count(&self, member: Member) -> usize {
        self.slots.iter().filter(|slot| slot.owner == Some(member)).count()
    }

    fn share(&mut self) {
        let share_max = self.slots.len().div_ceil(self.members.len().max(1));
        for n in (0..self.slots.len()).rev() {
            if let Some(owner) = self.slots[n].owner
                && (!self.members.contains(&owner) || self.count(owner) > share_max)
            {
                self.slots[n].pass_to(None);
            }
        }
        for n in 0..self.slots.len() {
            if self.slots[n].owner.is_none() {
                let owner = self.members.iter().copied().min_by_key(|member| self.count(*member));
                self.slots[n].pass_to(owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(assignment: &mut Assignment, member: Member) -> Vec<u32> {
        std::iter::from_fn(|| assignment.take(member)).map(|(shard, _)| shard.0).collect()
    }

    #[test]
    fn every_shard_has_one_owner_whoever_comes_and_goes() {
        let mut assignment = Assignment::new(5);
        let first = assignment.join();
        assert_eq!(take_all(&mut assignment, first), [0, 1, 2, 3, 4]);
        let second = assignment.join();
        assert_eq!(take_all(&mut assignment, first), [0; 0], "what it keeps, it already took");
        assert_eq!(take_all(&mut assignment, second), [3, 4]);
        assignment.leave(first);
        assert_eq!(take_all(&mut assignment, second), [0, 1, 2]);
    }

    #[test]
    fn a_shard_that_changed_hands_is_not_held() {
        let mut assignment = Assignment::new(1);
        let first = assignment.join();
        let (shard, term) = assignment.take(first).expect("there is one");
        assert!(assignment.holds(shard, term));
        assignment.give_back(shard, term);
        assert_eq!(assignment.take(first), Some((shard, term)));
        assignment.leave(first);
        assert!(!assignment.holds(shard, term));
        let second = assignment.join();
        assignment.give_back(shard, term);
        assert!(!assignment.holds(shard, term));
        assert!(assignment.take(second).is_some());
    }
}
