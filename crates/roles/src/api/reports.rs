//! What people tell the operators of the server. Nobody else learns of it: the reported least of all.

use super::{Api, Caller, errors, profiles};
use crate::tables;
use hudhud_proto::limits::{
    CONTENT_TYPE_BYTES_MAX, REPORT_CONTENT_BYTES_MAX, REPORT_ENTRIES_MAX, REPORT_TEXT_BYTES_MAX,
};
use hudhud_proto::v1::{ErrorCode, Report, ReportCategory, ReportRow};
use hudhud_proto::{AccountId, ConversationId, MessageId, ProtocolError, Seq};

/// Keeps a report for the operators. Durable when it returns.
pub(super) async fn report(api: &Api, caller: &Caller, m: Report) -> Result<(), ProtocolError> {
    verify(&m)?;
    api.limiter.report(caller)?;
    if !m.conversation.is_empty() {
        let id = ConversationId::from_slice(&m.conversation)?;
        let view = api.memberships.current(caller, id).await?;
        if let Some(seq) = m.seqs.iter().find(|seq| !view.may_see(caller.account, Seq(**seq))) {
            return Err(ProtocolError::invalid(format!("seqs: you may not fetch {seq} of this conversation")));
        }
    }
    if !m.account.is_empty() {
        // Answers alike whether there is such an account: reporting must not tell.
        profiles::meet(api, caller, AccountId::from_slice(&m.account)?).await?;
    }
    let now_us = api.services.now_us();
    let id = MessageId::v7(now_us / 1_000, api.services.runtime.random());
    let row =
        ReportRow { reporter: caller.account.to_bytes(), report: m.into(), created_us: now_us, ..Default::default() };
    let write = tables::put(tables::report(id), &row, now_us);
    api.services.write_directory_durably(vec![write]).await.map_err(errors::from_port)?;
    tracing::info!(report = %id, account = %caller.account, "somebody reports something to the operators");
    Ok(())
}

/// What a report must fulfil for itself.
fn verify(m: &Report) -> Result<(), ProtocolError> {
    let limit = |what: &str| Err(ProtocolError::new(ErrorCode::Limit, what.to_owned()));
    if m.account.is_empty() && m.conversation.is_empty() {
        return Err(ProtocolError::invalid("say whom or what you report: an account, a conversation, or both"));
    }
    match m.category.as_known() {
        None | Some(ReportCategory::Unspecified) => {
            return Err(ProtocolError::invalid("category is spam, abuse, illegal, impersonation or other"));
        }
        Some(_) => {}
    }
    if m.conversation.is_empty() && !(m.seqs.is_empty() && m.contents.is_empty()) {
        return Err(ProtocolError::invalid("seqs and contents are of a conversation: name it"));
    }
    if m.seqs.len() > REPORT_ENTRIES_MAX || m.contents.len() > REPORT_ENTRIES_MAX {
        return limit(&format!("a report names at most {REPORT_ENTRIES_MAX} entries, and holds as many messages"));
    }
    if m.text.len() > REPORT_TEXT_BYTES_MAX {
        return limit(&format!("the text of a report has at most {REPORT_TEXT_BYTES_MAX} bytes"));
    }
    let content_bytes: usize = m.contents.iter().map(|content| content.payload.len()).sum();
    if content_bytes > REPORT_CONTENT_BYTES_MAX {
        return limit(&format!("the messages in a report have at most {REPORT_CONTENT_BYTES_MAX} bytes together"));
    }
    match m.contents.iter().all(|content| (1..=CONTENT_TYPE_BYTES_MAX).contains(&content.content_type.len())) {
        true => Ok(()),
        false => Err(ProtocolError::invalid(format!(
            "each of contents has a content_type of 1 to {CONTENT_TYPE_BYTES_MAX} bytes, such as text/plain"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{Fixture, NOBODY};
    use crate::settings::Rate;
    use hudhud_proto::v1::Content;
    use std::time::Duration;

    fn about(account: AccountId) -> Report {
        Report { account: account.to_bytes(), category: ReportCategory::Spam.into(), ..Default::default() }
    }

    /// What breaks a rule says which, and nothing of it is kept.
    #[tokio::test]
    async fn a_report_that_breaks_a_rule_says_which() {
        let fixture = Fixture::new().await;
        let alice = fixture.account("alice").await;
        let good = about(NOBODY);
        let content = Content { content_type: "text/plain".into(), ..Default::default() };
        for (bad, code) in [
            (Report { account: Default::default(), ..good.clone() }, ErrorCode::Invalid),
            (Report { category: ReportCategory::Unspecified.into(), ..good.clone() }, ErrorCode::Invalid),
            (Report { seqs: vec![1], ..good.clone() }, ErrorCode::Invalid),
            (Report { text: "x".repeat(REPORT_TEXT_BYTES_MAX + 1), ..good.clone() }, ErrorCode::Limit),
            (
                Report { conversation: vec![7; 16].into(), contents: vec![content; 33], ..good.clone() },
                ErrorCode::Limit,
            ),
            (Report { conversation: vec![7; 16].into(), ..good.clone() }, ErrorCode::NotFound),
        ] {
            let error = report(&fixture.api, &alice, bad.clone()).await.expect_err("a rule is broken");
            assert_eq!(error.code, code, "{bad:?}: {error}");
        }
        report(&fixture.api, &alice, good).await.expect("nobody is told whether the account is there");
        assert_eq!(fixture.store.unsynced(), 0, "it survives the loss of power");
    }

    /// Who reports without end is slowed down.
    #[tokio::test]
    async fn reports_have_a_rate() {
        let rate = Rate { burst: 2, interval: Duration::from_secs(60) };
        let fixture = Fixture::with(|settings| settings.rates.reports = rate).await;
        let alice = fixture.account("alice").await;
        for _ in 0..2 {
            report(&fixture.api, &alice, about(NOBODY)).await.expect("within the rate");
        }
        let error = report(&fixture.api, &alice, about(NOBODY)).await.expect_err("limited");
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::RateLimited, 60_000));
    }
}
