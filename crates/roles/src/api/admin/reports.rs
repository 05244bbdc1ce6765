//! What people reported: newest first, kept for 90 days.

use super::{Ask, Page, page, reason};
use crate::api::{Api, errors, rows};
use crate::tables::{self, DAY_MS, REPORT_DAYS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hudhud_ports::{Order, Scan};
use hudhud_proto::v1::{Content, ErrorCode, ReportCategory, ReportRow};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError};
use serde::Serialize;

/// Which reports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Which {
    /// Those that nobody resolved.
    #[default]
    Open,
    /// Those that somebody did.
    Resolved,
    /// All.
    All,
}

/// A report.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its id.
    pub id: String,
    /// The account that reports.
    pub reporter: String,
    /// The account that is reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The conversation that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The entries of it that this is about.
    pub seqs: Vec<u64>,
    /// `spam`, `abuse`, `illegal`, `impersonation` or `other`.
    pub category: &'static str,
    /// In the reporter's words.
    pub text: String,
    /// Messages that the reporter chose to show.
    pub contents: Vec<Shown>,
    /// In microseconds since the Unix epoch.
    pub created_us: u64,
    /// Likewise; 0 while it is open.
    pub resolved_us: u64,
    /// In the words of the operator who resolved it.
    pub resolution: String,
}

/// A message in a report.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Its media type.
    pub content_type: String,
    /// Of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Of anything else, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Reports, newest first.
pub async fn list(api: &Api, which: Which, ask: &Ask) -> Result<Page<Report>, ProtocolError> {
    let (limit, before) = (ask.limit()?, ask.after::<MessageId>()?);
    let today_ms = api.services.now_us() / 1_000;
    let from_ms = before.and_then(|id| id.unix_ms()).unwrap_or(today_ms).min(today_ms);
    let mut items = Vec::new();
    // A report lives so long from when it was resolved, which may have been on the last day of its life.
    for day in 0..=2 * REPORT_DAYS {
        let Some(day_ms) = from_ms.checked_sub(day * DAY_MS) else { break };
        let to = before.filter(|_| day == 0).map(just_before);
        items.extend(of_day(api, day_ms, to, which, limit + 1 - items.len()).await?);
        if items.len() > limit {
            break;
        }
    }
    Ok(page(items, limit, |report| report.id.clone()))
}

/// One report.
pub async fn show(api: &Api, id: MessageId) -> Result<Report, ProtocolError> {
    let row: Option<ReportRow> = rows::get(api, tables::report(id)).await?;
    described(id, row.ok_or_else(|| errors::not_found("report"))?)
}

/// Notes what came of a report.
pub async fn resolve(api: &Api, id: MessageId, resolution: &str) -> Result<(), ProtocolError> {
    let resolution = reason(resolution)?;
    let row: Option<ReportRow> = rows::get(api, tables::report(id)).await?;
    let row = row.ok_or_else(|| errors::not_found("report"))?;
    if row.resolved_us > 0 {
        return Err(ProtocolError::new(ErrorCode::Conflict, "this report was resolved already"));
    }
    let row = ReportRow { resolved_us: api.services.now_us(), resolution, ..row };
    rows::replace(api, tables::report(id), &row).await
}

/// The greatest sort key that is below this report's.
fn just_before(id: MessageId) -> Bytes {
    Bytes::copy_from_slice(&u128::from_be_bytes(*id.as_bytes()).saturating_sub(1).to_be_bytes())
}

/// The reports of a day up to a sort key, newest first, up to so many.
async fn of_day(
    api: &Api,
    day_ms: u64,
    mut to: Option<Bytes>,
    which: Which,
    wanted: usize,
) -> Result<Vec<Report>, ProtocolError> {
    let mut reports = Vec::new();
    loop {
        let scan = Scan {
            table: tables::REPORTS,
            partition: tables::reports_partition(day_ms),
            from: Bytes::new(),
            to: to.clone(),
            order: Order::Descending,
            limit: wanted,
        };
        let found = api.services.directory.scan(scan).await.map_err(errors::from_port)?;
        for row in &found {
            let (report, _) = rows::read::<ReportRow>(row)?;
            let fits = match which {
                Which::Open => report.resolved_us == 0,
                Which::Resolved => report.resolved_us > 0,
                Which::All => true,
            };
            if fits {
                reports.push(described(MessageId::from_slice(&row.sort)?, report)?);
            }
        }
        match found.last() {
            Some(last) if found.len() == wanted && reports.len() < wanted => {
                to = Some(just_before(MessageId::from_slice(&last.sort)?));
            }
            _ => {
                reports.truncate(wanted);
                return Ok(reports);
            }
        }
    }
}

fn described(id: MessageId, row: ReportRow) -> Result<Report, ProtocolError> {
    let report = row.report.into_option().unwrap_or_default();
    Ok(Report {
        id: id.to_string(),
        reporter: AccountId::from_slice(&row.reporter)?.to_string(),
        account: AccountId::from_slice(&report.account).ok().map(|id| id.to_string()),
        conversation: ConversationId::from_slice(&report.conversation).ok().map(|id| id.to_string()),
        seqs: report.seqs,
        category: match report.category.as_known() {
            Some(ReportCategory::Spam) => "spam",
            Some(ReportCategory::Abuse) => "abuse",
            Some(ReportCategory::Illegal) => "illegal",
            Some(ReportCategory::Impersonation) => "impersonation",
            Some(ReportCategory::Other | ReportCategory::Unspecified) | None => "other",
        },
        text: report.text,
        contents: report.contents.into_iter().map(shown).collect(),
        created_us: row.created_us,
        resolved_us: row.resolved_us,
        resolution: row.resolution,
    })
}

fn shown(content: Content) -> Shown {
    let is_text = content.content_type.starts_with("text/plain");
    match std::str::from_utf8(&content.payload).ok().filter(|_| is_text) {
        Some(text) => Shown { text: Some(text.to_owned()), payload: None, content_type: content.content_type },
        None => {
            let payload = STANDARD.encode(&content.payload);
            Shown { text: None, payload: Some(payload), content_type: content.content_type }
        }
    }
}
