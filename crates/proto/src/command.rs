//! The commands, as the HTTP surface and the permission tests need them: by name.
//!
//! The name of a command is its field in the JSON form of [`crate::v1::ClientFrame`] (`send`, `createGroup`);
//! `POST /v1/<name>` takes the command's message as its body and answers with the message of the answer.

use crate::ProtocolError;
use crate::objects::Objects;
use crate::v1::{ClientFrame, ErrorCode, ServerFrame, client_frame::Command};
use serde::Deserialize as _;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, IntoDeserializer as _, MapAccess};
use serde_json::Value;
use serde_json::de::SliceRead;

/// Who may give a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody.
    Anonymous,
    /// Whoever has a token.
    Account,
    /// A WebSocket connection: the command is about the connection itself.
    Connection,
}

/// A command as tables list it.
#[derive(Clone, Copy, Debug)]
pub struct CommandInfo {
    /// Its name in JSON frames and in the path.
    pub name: &'static str,
    /// Its message.
    pub message: &'static str,
    /// The message that answers it.
    pub answer: &'static str,
    /// Who may give it.
    pub access: Access,
    /// One line for people.
    pub summary: &'static str,
}

macro_rules! commands {
    ($($variant:ident $name:literal $answer:literal $access:ident $summary:literal;)*) => {
        /// Every command.
        pub const COMMANDS: &[CommandInfo] = &[$(CommandInfo {
            name: $name,
            message: stringify!($variant),
            answer: $answer,
            access: Access::$access,
            summary: $summary,
        }),*];

        /// The row of a command in [`COMMANDS`]. A command without a row does not compile.
        pub fn info(command: &Command) -> &'static CommandInfo {
            let name = match command { $(Command::$variant(_) => $name),* };
            find(name).expect("every command has a row, the macro makes both")
        }
    };
}

commands! {
    Hello "hello" "Welcome" Connection "Opens a session on this connection.";
    Ping "ping" "Pong" Account "Asks for the inbox version.";
    Pong "pong" "Done" Connection "Answers a server's ping.";
    Register "register" "LoggedIn" Anonymous "Makes an account and logs in.";
    LogIn "logIn" "LoggedIn" Anonymous "Logs in as a new device.";
    LogInJwt "logInJwt" "LoggedIn" Anonymous "Logs in with a token of a trusted backend.";
    LogOut "logOut" "Done" Account "Revokes the token in use.";
    ChangePassword "changePassword" "Done" Account "Changes the password and revokes all other tokens.";
    CreateRegistrationInvite "createRegistrationInvite" "RegistrationInvite" Account "Invites somebody to this server.";
    ListDevices "listDevices" "DeviceList" Account "Lists one's own devices.";
    RemoveDevice "removeDevice" "Done" Account "Logs one of one's own devices out.";
    CreateToken "createToken" "TokenCreated" Account "Makes another token for this device.";
    ListTokens "listTokens" "TokenList" Account "Lists one's own tokens.";
    RevokeToken "revokeToken" "Done" Account "Revokes one of one's own tokens.";
    LookUp "lookUp" "Profile" Account "Finds an account by its exact handle.";
    GetProfile "getProfile" "Profile" Account "What others see of an account.";
    SetProfile "setProfile" "Profile" Account "Changes what others see.";
    GetPrivacy "getPrivacy" "Privacy" Account "One's own privacy settings.";
    SetPrivacy "setPrivacy" "Privacy" Account "Changes privacy settings.";
    Block "block" "Done" Account "Takes nothing more from an account.";
    Unblock "unblock" "Done" Account "Ends a block.";
    ListBlocks "listBlocks" "BlockList" Account "Lists blocked accounts.";
    SetContact "setContact" "Done" Account "Adds or renames a contact.";
    RemoveContact "removeContact" "Done" Account "Removes a contact.";
    ListContacts "listContacts" "ContactList" Account "Lists contacts.";
    Report "report" "Done" Account "Tells the server's operators of an account or a conversation.";
    OpenDirect "openDirect" "Conversation" Account "The direct chat with somebody.";
    CreateGroup "createGroup" "ChangeAccepted" Account "Makes a group.";
    GetConversation "getConversation" "Conversation" Account "What a member sees of a conversation.";
    ListMembers "listMembers" "MemberList" Account "Lists members.";
    UpdateGroup "updateGroup" "ChangeAccepted" Account "Changes a group's title or who may send.";
    AddMembers "addMembers" "ChangeAccepted" Account "Adds members to a group.";
    RemoveMember "removeMember" "ChangeAccepted" Account "Removes a member from a group.";
    LeaveGroup "leaveGroup" "ChangeAccepted" Account "Leaves a group.";
    SetRole "setRole" "ChangeAccepted" Account "Changes a member's role.";
    CreateInvite "createInvite" "Invite" Account "Makes an invite link's code.";
    ListInvites "listInvites" "InviteList" Account "Lists a group's invites.";
    RevokeInvite "revokeInvite" "Done" Account "Revokes an invite.";
    PreviewInvite "previewInvite" "InvitePreview" Account "What an invite is for.";
    JoinByInvite "joinByInvite" "ChangeAccepted" Account "Joins a group by an invite.";
    SetPreferences "setPreferences" "Done" Account "Mutes, pins or archives a conversation for oneself.";
    Send "send" "Accepted" Account "Sends a message.";
    Fetch "fetch" "EntryPage" Account "Reads a conversation's log.";
    Received "received" "Done" Account "All up to a seq is stored on this device.";
    Read "read" "Done" Account "A person has seen all up to a seq.";
    Changes "changes" "ChangePage" Account "The inbox since a cursor.";
    ListReceipts "listReceipts" "ReceiptList" Account "Who received and read how far.";
    Typing "typing" "Done" Account "Tells the others that one types.";
    WatchPresence "watchPresence" "PresenceList" Account "Asks for presences, and over a WebSocket to be told of changes.";
    SetActive "setActive" "Done" Connection "Whether a person looks at this device now.";
}

/// The command with this name.
pub fn find(name: &str) -> Option<&'static CommandInfo> {
    COMMANDS.iter().find(|info| info.name == name)
}

/// The command of this name with this JSON body.
pub fn from_json(name: &str, body: &[u8]) -> Result<Command, ProtocolError> {
    let info =
        find(name).ok_or_else(|| ProtocolError::new(ErrorCode::NotFound, format!("there is no command {name:?}")))?;
    let invalid = |error: serde_json::Error| ProtocolError::invalid(format!("{}: {error}", info.message));
    let body = if body.is_empty() { b"{}" } else { body };
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(ProtocolError::invalid(format!("{}: the body is a JSON object", info.message)));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let frame =
        ClientFrame::deserialize(MapAccessDeserializer::new(OneField { name: Some(info.name), json: &mut json }));
    let mut frame = frame.and_then(|frame| json.end().map(|()| frame)).map_err(invalid)?;
    crate::frame::text_to_payload(&mut frame);
    frame.command.ok_or_else(|| ProtocolError::invalid("the body is empty"))
}

/// A frame that has one field, whose value is still JSON: a body is read by the code that reads frames, and means the same.
struct OneField<'a, 'de> {
    name: Option<&'static str>,
    json: &'a mut serde_json::Deserializer<SliceRead<'de>>,
}

impl<'de> MapAccess<'de> for OneField<'_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.name.take().map(|name| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        seed.deserialize(Objects(&mut *self.json))
    }
}

/// The message inside an answer, as JSON.
pub fn answer_to_json(mut frame: ServerFrame) -> Value {
    frame.request = 0;
    crate::frame::payload_to_text(&mut frame);
    match serde_json::to_value(&frame) {
        Ok(Value::Object(fields)) => fields.into_iter().next().map_or(Value::Null, |(_, message)| message),
        Ok(other) => other,
        Err(error) => unreachable!("messages have string keys and finite numbers: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_command_of_the_schema() {
        for info in COMMANDS {
            let command = from_json(info.name, b"{}").unwrap_or_else(|error| panic!("{}: {error}", info.name));
            assert_eq!(super::info(&command).name, info.name);
        }
    }

    #[test]
    fn a_body_that_does_not_fit_says_where() {
        let error = from_json("send", br#"{"conversation": 5}"#).expect_err("a number is no id");
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.starts_with("Send: "), "{error}");
        for body in [&b"[]"[..], b"{} {}", b"{", br#"{"seq": "=", "seq": "3"}"#, br#"[["AAAA"]]"#] {
            assert_eq!(from_json("read", body).map_err(|e| e.code), Err(ErrorCode::Invalid));
        }
        assert_eq!(from_json("sned", b"{}").map_err(|e| e.code), Err(ErrorCode::NotFound));
    }

    /// An array of a message's fields in their order is no message, however deep: nobody could add a field.
    #[test]
    fn an_array_is_no_message() {
        let error = from_json("send", br#"{"content": ["text/plain", "AAAA"]}"#).expect_err("an array");
        assert_eq!(error.code, ErrorCode::Invalid);
        assert!(error.message.contains("invalid type: sequence"), "{error}");
        for frame in
            ["[1]", r#"{"request": 1, "read": ["AAAA", 5]}"#, r#"{"send": {"content": ["text/plain", "AAAA"]}}"#]
        {
            let error = crate::Encoding::Json.decode_client(frame.as_bytes()).expect_err(frame);
            assert!(error.to_string().contains("invalid type: sequence"), "{error}");
        }
        let members = from_json("createGroup", br#"{"members": ["AAAA", "BBBB"]}"#).expect("a list is a list");
        assert!(matches!(members, Command::CreateGroup(group) if group.members.len() == 2));
    }
}
