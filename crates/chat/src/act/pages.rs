//! Lists that a server answers in pages, put together again.

use super::Act;
use hudhud_proto::v1::{self, client_frame, server_frame::Event as Answer};
use std::mem::take;

/// The pages of one list so far.
#[derive(Debug, Default)]
pub(super) struct Pages {
    members: Vec<v1::MemberInfo>,
    blocked: Vec<v1::Profile>,
    contacts: Vec<v1::Contact>,
}

/// What a page was.
pub(super) enum Page {
    /// The last one: here is the whole answer.
    Last(Answer),
    /// Not the last one: this asks for the next.
    More(client_frame::Command),
}

impl Pages {
    /// Takes an answer to an act. One that is no list is whole by itself.
    pub(super) fn take(&mut self, act: &Act, answer: Answer) -> Page {
        match (answer, act) {
            (Answer::MemberList(mut list), Act::Members { conversation }) => {
                let conversation = conversation.to_bytes();
                let next = |cursor| v1::ListMembers { conversation, cursor }.into();
                join(&mut self.members, &mut list.members, &mut list.next_cursor, next)
                    .unwrap_or_else(|| Page::Last(Answer::MemberList(list)))
            }
            (Answer::BlockList(mut list), _) => {
                let next = |cursor| v1::ListBlocks { cursor }.into();
                join(&mut self.blocked, &mut list.accounts, &mut list.next_cursor, next)
                    .unwrap_or_else(|| Page::Last(Answer::BlockList(list)))
            }
            (Answer::ContactList(mut list), _) => {
                let next = |cursor| v1::ListContacts { cursor }.into();
                join(&mut self.contacts, &mut list.contacts, &mut list.next_cursor, next)
                    .unwrap_or_else(|| Page::Last(Answer::ContactList(list)))
            }
            (answer, _) => Page::Last(answer),
        }
    }
}

/// Keeps a page and asks for the one behind its cursor; or, at the end, puts everything into the last page.
fn join<T, Cursor: AsRef<[u8]> + Default>(
    kept: &mut Vec<T>,
    page: &mut Vec<T>,
    cursor: &mut Cursor,
    next: impl FnOnce(Cursor) -> client_frame::Command,
) -> Option<Page> {
    kept.append(page);
    if cursor.as_ref().is_empty() {
        *page = take(kept);
        return None;
    }
    Some(Page::More(next(take(cursor))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pages become one list, each asked for with the cursor of the one before.
    #[test]
    fn pages_become_one_list() {
        let mut pages = Pages::default();
        let page = |handle: &str, cursor: &str| {
            let accounts = vec![v1::Profile { handle: handle.into(), ..v1::Profile::default() }];
            Answer::BlockList(v1::BlockList { accounts, next_cursor: cursor.to_owned().into() })
        };
        for (handle, cursor) in [("alice", "1"), ("bobby", "2")] {
            let Page::More(client_frame::Command::ListBlocks(next)) = pages.take(&Act::Blocks, page(handle, cursor))
            else {
                panic!("there is more")
            };
            assert_eq!(next.cursor, cursor.as_bytes());
        }
        let Page::Last(Answer::BlockList(list)) = pages.take(&Act::Blocks, page("carol", "")) else {
            panic!("that was all")
        };
        let handles: Vec<_> = list.accounts.iter().map(|profile| profile.handle.as_str()).collect();
        assert_eq!(handles, ["alice", "bobby", "carol"]);
    }
}
