//! Frames in a few words, with the names that a trace uses.

use crate::world::World;
use hudhud_client::Connection;
use hudhud_proto::v1::{ClientFrame, Entry, ErrorCode, ServerFrame, client_frame::Command, server_frame::Event};
use hudhud_proto::{AccountId, ConversationId, MessageId, command};

pub(super) fn connection(connection: Connection) -> &'static str {
    match connection {
        Connection::Offline { .. } => "offline",
        Connection::Connecting => "connecting",
        Connection::CatchingUp => "catching up",
        Connection::Online => "online",
    }
}

fn conversation(world: &World, id: &[u8]) -> String {
    ConversationId::from_slice(id).map_or_else(|_| "-".into(), |id| world.conversation(id))
}

fn message(world: &World, id: &[u8]) -> String {
    MessageId::from_slice(id).map_or_else(|_| "-".into(), |id| world.message(id))
}

fn account(world: &World, id: &[u8]) -> String {
    AccountId::from_slice(id).map_or_else(|_| "all".into(), |id| world.account(id))
}

fn entry(world: &World, entry: &Entry) -> String {
    let (conversation, message) = (conversation(world, &entry.conversation), message(world, &entry.message_id));
    format!("{conversation}/{} ({}) {message} by {}", entry.seq, entry.prev_seq, account(world, &entry.sender))
}

pub(super) fn client_frame(world: &World, frame: &ClientFrame) -> String {
    let Some(command) = &frame.command else { return "nothing".into() };
    let what = match command {
        Command::Send(send) => {
            let resend = if send.resend { " again" } else { "" };
            let to = if send.conversation.is_empty() {
                account(world, &send.direct_with)
            } else {
                conversation(world, &send.conversation)
            };
            format!("send {} to {to}{resend}", message(world, &send.message_id))
        }
        Command::Fetch(fetch) => {
            let back = if fetch.backward { " backward" } else { "" };
            format!("fetch {}/{}{back}", conversation(world, &fetch.conversation), fetch.from_seq)
        }
        Command::Received(received) => {
            format!("received {}/{}", conversation(world, &received.conversation), received.seq)
        }
        Command::Read(read) => format!("read {}/{}", conversation(world, &read.conversation), read.seq),
        Command::AddMembers(add) => {
            let members: Vec<_> = add.members.iter().map(|member| account(world, member)).collect();
            let (conversation, message) = (conversation(world, &add.conversation), message(world, &add.message_id));
            format!("addMembers {members:?} to {conversation} as {message}")
        }
        Command::RemoveMember(remove) => {
            let (conversation, message) =
                (conversation(world, &remove.conversation), message(world, &remove.message_id));
            format!("removeMember {} from {conversation} as {message}", account(world, &remove.member))
        }
        Command::LeaveGroup(leave) => {
            let (conversation, message) = (conversation(world, &leave.conversation), message(world, &leave.message_id));
            format!("leaveGroup {conversation} as {message}")
        }
        Command::ListReceipts(list) => format!("listReceipts {}", conversation(world, &list.conversation)),
        Command::GetConversation(get) => format!("getConversation {}", conversation(world, &get.conversation)),
        other => command::info(other).name.to_owned(),
    };
    format!("{what} (#{})", frame.request)
}

pub(super) fn server_frame(world: &World, frame: &ServerFrame) -> String {
    let Some(event) = &frame.event else { return "nothing".into() };
    let what = match event {
        Event::Accepted(accepted) => format!("accepted {}", message(world, &accepted.message_id)),
        Event::ChangeAccepted(accepted) => {
            let (conversation, message) =
                (conversation(world, &accepted.conversation), message(world, &accepted.message_id));
            format!("accepted the change {message} of {conversation}")
        }
        Event::Refused(refused) => {
            let (conversation, message) =
                (conversation(world, &refused.conversation), message(world, &refused.message_id));
            let code =
                refused.error.as_option().and_then(|error| error.code.as_known()).unwrap_or(ErrorCode::Unspecified);
            format!("refused {message} in {conversation}: {code:?}")
        }
        Event::Error(error) => {
            format!("an error: {:?} ({} ms)", error.code.as_known().unwrap_or_default(), error.retry_after_ms)
        }
        Event::Entry(pushed) => format!("the entry {}", entry(world, pushed)),
        Event::EntryPage(page) => {
            let entries: Vec<_> = page.entries.iter().map(|one| entry(world, one)).collect();
            format!("a page up to {} (more: {}): {}", page.head_seq, page.more, entries.join(", "))
        }
        Event::ChangePage(page) => {
            let row = |row: &hudhud_proto::v1::InboxRow| {
                format!("{}/{}", conversation(world, &row.conversation), row.head_seq)
            };
            let rows: Vec<_> = page.rows.iter().map(row).collect();
            format!("changes (version {}): {}", page.inbox_version, rows.join(", "))
        }
        Event::Receipt(receipt) => {
            let (conversation, kind) =
                (conversation(world, &receipt.conversation), receipt.kind.as_known().unwrap_or_default());
            format!("a receipt: {kind:?} {conversation}/{} by {}", receipt.seq, account(world, &receipt.account))
        }
        Event::ReceiptList(list) => {
            format!("receipts: received {} read {}", list.received_by_all_seq, list.read_by_all_seq)
        }
        Event::Ping(ping) => format!("a ping (version {})", ping.inbox_version),
        Event::Done(_) => "done".into(),
        other => {
            let whole = format!("{other:?}");
            whole.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
        }
    };
    format!("{what} (#{})", frame.request)
}
