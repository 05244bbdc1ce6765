//! Reads everything, and says what is wrong with it: files, rows, and what must hold between rows.

use super::conversations::conversation;
use super::manifest::Manifest;
use super::volume::{self, Items};
use super::{blocking, restore, rows};
use crate::{Config, Failure, open_engines};
use hudhud_engines::fjall::{Frozen, StoredRow, check_files};
use hudhud_engines::{Moment, remembered};
use hudhud_ports::{Database, Key, Row};
use hudhud_proto::limits::EPOCH_SEQ_JUMP;
use hudhud_proto::{ConversationId, Seq, v1};
use hudhud_roles::conversation::record;
use hudhud_roles::tables::{self, InboxPart};
use std::path::Path;

/// Findings that are kept; more are counted.
const FINDINGS_MAX: usize = 100;

/// What was looked at and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Rows of both databases.
    pub rows: u64,
    /// Conversations.
    pub conversations: u64,
    /// Records that are accepted and not yet applied.
    pub records: u64,
    /// What is wrong: with file, or table and key. At most a hundred.
    pub findings: Vec<String>,
    /// How many there were.
    pub found: u64,
}

impl Verdict {
    fn find(&mut self, finding: String) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// Reads a backup, or the data folder of a configuration whose server does not run.
///
/// # Errors
/// When the folder can't be read or opened at all: then the error names what is damaged.
pub async fn verify(config: &Config, folder: Option<&Path>) -> Result<Verdict, Failure> {
    if let Some(backup) = folder.filter(|folder| Manifest::is_in(folder)) {
        let backup = backup.to_owned();
        return blocking(move || verify_backup(&backup)).await;
    }
    let mut config = config.clone();
    if let Some(folder) = folder {
        folder.clone_into(&mut config.data);
    }
    let store = config.data.join("store");
    if config.engines.messages.is_none() && !store.is_dir() {
        let why = format!("{} is neither a data folder nor a backup: name one", config.data.display());
        return Err(Failure::Refused(why));
    }
    let mut verdict = Verdict::default();
    if config.engines.messages.is_none() {
        for damage in blocking(move || check_files(&store)).await? {
            verdict.find(damage.to_string());
        }
    }
    if verdict.found > 0 {
        // What is damaged may not be opened, and what is in it can't be trusted.
        return Ok(verdict);
    }
    let engines = open_engines(&config).await?;
    let Some(embedded) = engines.embedded.clone() else {
        let why = "only embedded engines are verified here: ask the databases of the cluster";
        return Err(Failure::Refused(why.into()));
    };
    let verdict = blocking(move || {
        let moment = embedded.freeze()?;
        data(&moment, &mut verdict);
        Ok::<_, Failure>(verdict)
    })
    .await;
    engines.close().await?;
    verdict
}

fn verify_backup(backup: &Path) -> Result<Verdict, Failure> {
    let manifest = restore::checked(backup)?;
    let mut verdict = Verdict { conversations: manifest.entry(volume::CONVERSATIONS)?.items, ..Verdict::default() };
    for (name, database) in [(volume::MESSAGES, Database::Messages), (volume::DIRECTORY, Database::Directory)] {
        let mut items = Items::open(backup, name)?;
        while let Some(item) = items.next() {
            verdict.rows += 1;
            match rows::decode_row(database, item?) {
                Some(row) => check_row(&row, &mut verdict),
                None => verdict.find(items.damaged().to_string()),
            }
        }
    }
    let mut items = Items::open(backup, volume::TAIL)?;
    while let Some(item) = items.next() {
        let Some((_, position, bytes)) = rows::decode_record(item?) else {
            verdict.find(items.damaged().to_string());
            continue;
        };
        verdict.records += 1;
        if let Err(error) = record::decode(&bytes) {
            verdict.find(format!("record {position:?} of the tail: {error}"));
        }
    }
    Ok(verdict)
}

fn data(moment: &Moment, verdict: &mut Verdict) {
    for (view, database) in [(&moment.messages, Database::Messages), (&moment.directory, Database::Directory)] {
        for row in view.rows(database) {
            match row {
                Ok(row) => {
                    verdict.rows += 1;
                    check_row(&row, verdict);
                }
                Err(error) => verdict.find(error.to_string()),
            }
        }
    }
    for record in moment.tail.records() {
        match record {
            Ok((_, position, bytes)) => {
                verdict.records += 1;
                if let Err(error) = record::decode(&bytes) {
                    verdict.find(format!("record {position:?} of the bus: {error}"));
                }
            }
            Err(error) => verdict.find(error.to_string()),
        }
    }
    // What can't be read was found above.
    timelines(moment, verdict);
    heads_and_members(moment, verdict);
    marks(moment, verdict);
}

fn name(row: &StoredRow) -> String {
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("table {}, partition {}, row {}", row.table, hexadecimal(&row.partition), hexadecimal(&row.sort))
}

fn read<M: hudhud_proto::Message>(row: &StoredRow) -> Result<M, String> {
    let value = row.value.clone().ok_or_else(|| "it is a deletion".to_owned())?;
    let row = Row { sort: row.sort.clone(), value, version: row.version };
    tables::read(&row).map_err(|error| error.to_string())
}

/// Whether a row is of a table that there is, with a value of its type.
fn check_row(row: &StoredRow, verdict: &mut Verdict) {
    if row.value.is_none() {
        return;
    }
    let last = row.sort.last().copied();
    let table = tables::ALL.iter().find(|table| table.name == row.table && table.database == row.database);
    let decoded = match table {
        Some(&tables::ACCEPTED) if last == Some(b'a') => read::<v1::AcceptedRow>(row).map(drop),
        Some(&tables::ACCEPTED) => read::<v1::SequencedRow>(row).map(drop),
        Some(&tables::TIMELINE) => read::<v1::Entry>(row).map(drop),
        Some(&tables::CONVERSATION) => match tables::conversation_sort(&row.sort) {
            Some(None) => read::<v1::HeadRow>(row).map(drop),
            Some(Some(_)) => read::<v1::MemberRow>(row).map(drop),
            None => Err("it is neither a head nor a member".into()),
        },
        Some(&tables::WATERMARKS) => match tables::watermark_sort(&row.sort) {
            Some(_) => read::<v1::SeqRow>(row).map(drop),
            None => Err("it is no watermark".into()),
        },
        Some(&tables::INBOX) => match tables::inbox_sort(&row.sort) {
            Some((_, InboxPart::Head)) => read::<v1::InboxHeadRow>(row).map(drop),
            Some((_, InboxPart::Preferences)) => read::<v1::PreferencesRow>(row).map(drop),
            Some((_, InboxPart::Read)) => read::<v1::SeqRow>(row).map(drop),
            None => Err("it is no part of an inbox".into()),
        },
        Some(&tables::CURSORS) => read::<v1::SeqRow>(row).map(drop),
        Some(&tables::SESSIONS) => read::<v1::SessionRow>(row).map(drop),
        Some(&tables::GATEWAYS) => read::<v1::LeaseRow>(row).map(drop),
        Some(&tables::ACCOUNTS) if &row.sort[..] == b"password" => read::<v1::PasswordRow>(row).map(drop),
        Some(&tables::ACCOUNTS) if &row.sort[..] == b"standing" => read::<v1::StandingRow>(row).map(drop),
        Some(&tables::ACCOUNTS) if row.sort.starts_with(b"used") => read::<v1::PasswordUsedRow>(row).map(drop),
        Some(&tables::ACCOUNTS) => read::<v1::AccountRow>(row).map(drop),
        Some(&tables::HANDLES) => read::<v1::HandleRow>(row).map(drop),
        Some(&tables::DEVICES) => read::<v1::DeviceRow>(row).map(drop),
        Some(&tables::TOKENS) => read::<v1::TokenRow>(row).map(drop),
        Some(&tables::ACCOUNT_TOKENS) => read::<v1::TokenInfoRow>(row).map(drop),
        Some(&tables::PRIVACY) => read::<v1::PrivacyRow>(row).map(drop),
        Some(&tables::BLOCKS) => read::<v1::BlockRow>(row).map(drop),
        Some(&tables::CONTACTS) => read::<v1::ContactRow>(row).map(drop),
        Some(&tables::LAST_SEEN) => read::<v1::LastSeenRow>(row).map(drop),
        Some(&tables::INVITES | &tables::CONVERSATION_INVITES) => read::<v1::InviteRow>(row).map(drop),
        Some(&tables::REGISTRATION_INVITES) => Ok(()),
        Some(&tables::ROSTER | &tables::SERVER_INVITES) => read::<v1::ListedRow>(row).map(drop),
        Some(&tables::ADMIN_TOKENS) => read::<v1::AdminTokenRow>(row).map(drop),
        Some(&tables::REPORTS) => read::<v1::ReportRow>(row).map(drop),
        Some(_) => Ok(()),
        None if row.table == remembered::ENGINES.name && row.database == remembered::ENGINES.database => Ok(()),
        None => Err("there is no such table".into()),
    };
    if let Err(why) = decoded {
        verdict.find(format!("{}: {why}", name(row)));
    }
}

fn row_of<M: hudhud_proto::Message>(view: &Frozen, key: &Key) -> Option<M> {
    read(&view.get(key).ok()??).ok()
}

fn head_seq(moment: &Moment, id: ConversationId) -> u64 {
    row_of::<v1::HeadRow>(&moment.messages, &tables::head(id)).map_or(0, |head| head.seq)
}

/// Each entry is where its seq says, and names the one before it; nothing stands behind the head but what the log is about to
/// put there.
fn timelines(moment: &Moment, verdict: &mut Verdict) {
    let mut last: Option<(ConversationId, u64)> = None;
    let mut heads: Option<(ConversationId, u64)> = None;
    for row in moment.messages.table(Database::Messages, tables::TIMELINE.name).flatten() {
        let id = conversation(&row);
        let Ok(entry) = read::<v1::Entry>(&row) else { continue };
        let before = last.filter(|(of, _)| *of == id).map_or(0, |(_, seq)| seq);
        let is_in_place = tables::seq_sort(Seq(entry.seq)) == row.sort && entry.conversation == id.to_bytes();
        // Behind an epoch that was lost, entries that nobody was told of may stand unconnected.
        let is_jump = entry.prev_seq < before && entry.seq - entry.prev_seq.min(entry.seq) >= EPOCH_SEQ_JUMP;
        if !is_in_place {
            verdict.find(format!("{}: it holds entry {} of another place", name(&row), entry.seq));
        } else if entry.prev_seq != before && !is_jump {
            let why = format!("entry {} follows {}, but the one before it is {before}", entry.seq, entry.prev_seq);
            verdict.find(format!("conversation {id}: {why}: an entry is missing"));
        }
        let head = match heads.filter(|(of, _)| *of == id) {
            Some((_, head)) => head,
            None => head_seq(moment, id),
        };
        heads = Some((id, head));
        if entry.seq > head && moment.tail.is_empty() {
            verdict.find(format!("conversation {id}: entry {} is behind the head, {head}", entry.seq));
        }
        last = Some((id, entry.seq));
    }
}

/// Heads name an entry that is there; members' spans end before it; present members have it in their inbox.
fn heads_and_members(moment: &Moment, verdict: &mut Verdict) {
    let mut head = (ConversationId::new([0; 16]), 0);
    for row in moment.messages.table(Database::Messages, tables::CONVERSATION.name).flatten() {
        let id = conversation(&row);
        match tables::conversation_sort(&row.sort) {
            // The head sorts before its members.
            Some(None) => {
                let Ok(found) = read::<v1::HeadRow>(&row) else { continue };
                verdict.conversations += 1;
                head = (id, found.seq);
                if row_of::<v1::Entry>(&moment.messages, &tables::timeline(id, Seq(found.seq))).is_none() {
                    verdict.find(format!("conversation {id}: its head is {}, and that entry is not there", found.seq));
                }
            }
            Some(Some(account)) => {
                let Ok(member) = read::<v1::MemberRow>(&row) else { continue };
                if head.0 != id {
                    verdict.find(format!("conversation {id}: it has members and no head"));
                    head = (id, 0);
                }
                if member.visible.iter().any(|span| span.from > head.1 || span.to > head.1) {
                    verdict.find(format!("conversation {id}: member {account} belongs to entries behind the head"));
                }
                // Of a deleted account the direct chats stay, and its inbox goes.
                let standing = row_of::<v1::StandingRow>(&moment.directory, &tables::standing(account));
                let is_deleted = standing.is_some_and(|standing| standing.deleted);
                let is_present = !is_deleted && member.visible.last().is_some_and(|span| span.to == 0);
                let key = tables::inbox(account, id, InboxPart::Head);
                let inbox = row_of::<v1::InboxHeadRow>(&moment.directory, &key).map_or(0, |inbox| inbox.head_seq);
                // Inboxes come after heads, and what is not committed may still be on its way.
                if inbox > head.1 && moment.tail.is_empty() || is_present && inbox < head.1 && moment.tail.is_empty() {
                    verdict.find(format!(
                        "conversation {id}: the inbox of {account} is at {inbox}, the head at {}",
                        head.1
                    ));
                }
            }
            None => {}
        }
    }
}

/// No mark passes the head.
fn marks(moment: &Moment, verdict: &mut Verdict) {
    let mut head = (ConversationId::new([0; 16]), 0);
    for row in moment.messages.table(Database::Messages, tables::WATERMARKS.name).flatten() {
        let id = conversation(&row);
        let Ok(mark) = read::<v1::SeqRow>(&row) else { continue };
        if head.0 != id {
            head = (id, head_seq(moment, id));
        }
        if mark.seq > head.1 && moment.tail.is_empty() {
            verdict.find(format!("{}: it is at {}, behind the head, {}", name(&row), mark.seq, head.1));
        }
    }
}
