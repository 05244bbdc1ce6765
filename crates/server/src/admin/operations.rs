//! Every operation of the admin API.

use hudhud_roles::api::admin::Scope;

/// What an operation is.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Its name, in the log and in the OpenAPI document.
    pub id: &'static str,
    /// Its method.
    pub method: &'static str,
    /// Its path behind [`super::PREFIX`].
    pub path: &'static str,
    /// What a token must be for; none: it is asked over the socket alone.
    pub scope: Option<Scope>,
    /// What is sent, by the name of its schema.
    pub body: Option<&'static str>,
    /// What is answered, with the status that says so.
    pub answer: (u16, Option<&'static str>),
    /// What else it takes, in the query.
    pub query: &'static [&'static str],
    /// One line for people.
    pub summary: &'static str,
}

impl Operation {
    /// The names in its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

const PAGED: &[&str] = &["cursor", "limit"];

macro_rules! operations {
    ($($id:literal $method:literal $path:literal $scope:expr, $body:expr, $status:literal $answer:expr, $query:expr,
       $summary:literal;)*) => {
        /// All of them.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            id: $id,
            method: $method,
            path: $path,
            scope: $scope,
            body: $body,
            answer: ($status, $answer),
            query: $query,
            summary: $summary,
        }),*];
    };
}

operations! {
    "listAccounts" "GET" "/accounts" Some(Scope::AccountsRead), None, 200 Some("AccountPage"), PAGED,
        "All accounts, by their ids.";
    "getAccount" "GET" "/accounts/{account}" Some(Scope::AccountsRead), None, 200 Some("AccountDetails"), &[],
        "One account: how it stands, when it was seen, how many devices and conversations it has.";
    "suspendAccount" "POST" "/accounts/{account}/suspend" Some(Scope::AccountsWrite), Some("Reason"), 204 None, &[],
        "Lets nobody in as this account: its connections are closed, its tokens are refused with SUSPENDED.";
    "unsuspendAccount" "POST" "/accounts/{account}/unsuspend" Some(Scope::AccountsWrite), None, 204 None, &[],
        "Lets it in again, with the tokens that it had.";
    "deleteAccount" "POST" "/accounts/{account}/delete" Some(Scope::AccountsWrite), Some("Reason"), 204 None, &[],
        "Deletes it, for good: log-ins, devices, profile, contacts, blocks, inbox; it leaves its groups. What it wrote stays in \
         the chats of others, and its handle is nobody else's.";
    "resetPassword" "POST" "/accounts/{account}/reset-password" Some(Scope::AccountsWrite), None, 201 Some("OneTimePassword"),
        &[], "Logs all its devices out and makes a password that logs in once, within a day.";
    "listDevices" "GET" "/accounts/{account}/devices" Some(Scope::AccountsRead), None, 200 Some("DeviceList"), &[],
        "Its devices, oldest first.";
    "revokeDevice" "DELETE" "/accounts/{account}/devices/{device}" Some(Scope::AccountsWrite), None, 204 None, &[],
        "Logs a device out.";
    "listAccountConversations" "GET" "/accounts/{account}/conversations" Some(Scope::ConversationsRead), None,
        200 Some("MembershipPage"), PAGED, "The conversations in its inbox.";
    "getConversation" "GET" "/conversations/{conversation}" Some(Scope::ConversationsRead), None, 200 Some("Conversation"),
        &[], "What a conversation is, without what is written in it.";
    "listMembers" "GET" "/conversations/{conversation}/members" Some(Scope::ConversationsRead), None, 200 Some("MemberPage"),
        PAGED, "Who is in it.";
    "removeMember" "DELETE" "/conversations/{conversation}/members/{member}" Some(Scope::ConversationsWrite), None,
        202 Some("Asked"), &[], "Removes somebody from a group, by an entry of its log. Where it was the owner, the admin who is \
        there longest owns it then, else the member who is.";
    "closeConversation" "POST" "/conversations/{conversation}/close" Some(Scope::ConversationsWrite), Some("Reason"),
        202 Some("Asked"), &[], "Nobody writes any more, by an entry of its log. Members are shown the reason, read on, and may \
        leave.";
    "listInvites" "GET" "/invites" Some(Scope::InvitesRead), None, 200 Some("InvitePage"), PAGED,
        "Invites to the server that have not expired.";
    "createInvite" "POST" "/invites" Some(Scope::InvitesWrite), Some("NewInvite"), 201 Some("Invite"), &[],
        "Makes an invite for one person.";
    "revokeInvite" "DELETE" "/invites/{code}" Some(Scope::InvitesWrite), None, 204 None, &[],
        "Makes an invite worth nothing.";
    "getLimits" "GET" "/limits" Some(Scope::LimitsRead), None, 200 Some("LimitSettings"), &[],
        "The limits and rates that this process goes by.";
    "listRefusals" "GET" "/limits/refusals" Some(Scope::LimitsRead), None, 200 Some("RefusalList"), &[],
        "Who is refused now for having asked too much, by this process: at most 200, longest first.";
    "resetRefusal" "POST" "/limits/refusals/reset" Some(Scope::LimitsWrite), Some("WhichRefusal"), 204 None, &[],
        "Lets one of them go on.";
    "listReports" "GET" "/reports" Some(Scope::ReportsRead), None, 200 Some("ReportPage"), &["cursor", "limit", "state"],
        "What people reported, newest first. Kept for 90 days.";
    "getReport" "GET" "/reports/{report}" Some(Scope::ReportsRead), None, 200 Some("Report"), &[],
        "One report.";
    "resolveReport" "POST" "/reports/{report}/resolve" Some(Scope::ReportsWrite), Some("Resolution"), 204 None, &[],
        "Notes what came of it.";
    "listTokens" "GET" "/tokens" Some(Scope::TokensRead), None, 200 Some("TokenPage"), PAGED,
        "Admin tokens that are valid, without the tokens themselves.";
    "createToken" "POST" "/tokens" Some(Scope::TokensWrite), Some("NewToken"), 201 Some("NewTokenAnswer"), &[],
        "Makes an admin token, with scopes that the one which asks has.";
    "revokeToken" "DELETE" "/tokens/{token}" Some(Scope::TokensWrite), None, 204 None, &[],
        "Refuses an admin token from now on.";
    "createBackup" "POST" "/backups" None, Some("NewBackup"), 201 Some("Backup"), &[],
        "Writes a backup into a folder of the server's machine. Over the socket alone.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// No two are called alike, nor asked alike.
    #[test]
    fn every_operation_is_one() {
        let ids: BTreeSet<_> = OPERATIONS.iter().map(|operation| operation.id).collect();
        let asked: BTreeSet<_> = OPERATIONS.iter().map(|operation| (operation.method, operation.path)).collect();
        assert_eq!((ids.len(), asked.len()), (OPERATIONS.len(), OPERATIONS.len()));
    }
}
