//! `docs/protocol.md` says what is so: its examples are frames, and its tables are those of the code.

use hudhud_proto::command::{Access, COMMANDS};
use hudhud_proto::{Encoding, http_status, limits};
use hudhud_roles::gateway::close;
use hudhud_server::http::problem;
use std::fmt::Write as _;

const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// Every example frame can be read, and the two encodings of the first one are the same frame.
#[test]
fn examples_are_frames() {
    let mut lines = 0;
    for line in PAGE.lines() {
        let Some((direction, json)) = line.split_once(" {\"") else { continue };
        let json = format!("{{\"{json}");
        match direction {
            ">" => drop(Encoding::Json.decode_client(json.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}"))),
            "<" => drop(Encoding::Json.decode_server(json.as_bytes()).unwrap_or_else(|e| panic!("{e}: {line}"))),
            _ => continue,
        }
        lines += 1;
    }
    assert!(lines > 20, "only {lines} examples were found");

    let example = |mark: &str| PAGE.split(mark).nth(1).and_then(|rest| rest.lines().next()).expect("it is there");
    let hex = example("```hex\n");
    let protobuf: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"))
        .collect();
    let frame = Encoding::Json.decode_client(example("```json\n> ").as_bytes()).expect("a frame");
    assert_eq!(Encoding::Protobuf.decode_client(&protobuf).expect("a frame"), frame);
    assert_eq!(Encoding::Protobuf.encode_client(&frame), protobuf);
}

/// The table of commands is the table of commands.
#[test]
fn commands_are_those_of_the_code() {
    let mut table = String::from("| command | answer | who | |\n|---|---|---|---|\n");
    for command in COMMANDS {
        let who = match command.access {
            Access::Anonymous => "anybody",
            Access::Account => "account",
            Access::Connection => "connection",
        };
        let (first, rest) = command.answer.split_at(1);
        let answer = format!("{}{rest}", first.to_ascii_lowercase());
        writeln!(table, "| `{}` | `{answer}` | {who} | {} |", command.name, command.summary).expect("a string grows");
    }
    assert!(PAGE.contains(&table), "put this table into docs/protocol.md:\n{table}");
}

/// Every code is in the table of errors, with its status.
#[test]
fn errors_are_those_of_the_code() {
    for code in problem::CODES {
        let name = problem::name(code).trim_start_matches("ERROR_CODE_");
        let row = format!("| `{name}` | {} | ", http_status(code));
        assert!(PAGE.contains(&row), "{row:?} is not in docs/protocol.md");
    }
}

/// Every code that a gateway closes with is in the table of closes.
#[test]
fn closes_are_those_of_the_code() {
    for close in close::ALL {
        assert!(PAGE.contains(&format!("\n| {} | ", close.code)), "{close:?} is not in docs/protocol.md");
    }
}

/// Limits have the values that the code has.
#[test]
fn limits_are_those_of_the_code() {
    for (name, value) in [
        ("frame_bytes_max", limits::FRAME_BYTES_MAX as u64),
        ("payload_bytes_max", limits::PAYLOAD_BYTES_MAX as u64),
        ("content_type_bytes_max", limits::CONTENT_TYPE_BYTES_MAX as u64),
        ("page_entries_max", limits::PAGE_ENTRIES_MAX.into()),
        ("page_bytes_max", limits::PAGE_BYTES_MAX as u64),
        ("page_rows_max", limits::PAGE_ROWS_MAX as u64),
        ("page_members_max", limits::PAGE_MEMBERS_MAX as u64),
        ("page_accounts_max", limits::PAGE_ACCOUNTS_MAX as u64),
        ("inbox_rows_max", limits::INBOX_ROWS_MAX as u64),
        ("sends_in_flight_max", limits::SENDS_IN_FLIGHT_MAX as u64),
        ("group_members_max", limits::GROUP_MEMBERS_MAX as u64),
        ("report_entries_max", limits::REPORT_ENTRIES_MAX as u64),
        ("report_text_bytes_max", limits::REPORT_TEXT_BYTES_MAX as u64),
        ("report_content_bytes_max", limits::REPORT_CONTENT_BYTES_MAX as u64),
        ("title_bytes_max", limits::TITLE_BYTES_MAX as u64),
        ("name_bytes_max", limits::NAME_BYTES_MAX as u64),
        ("password_bytes_min", limits::PASSWORD_BYTES_MIN as u64),
        ("password_bytes_max", limits::PASSWORD_BYTES_MAX as u64),
        ("devices_max", limits::DEVICES_MAX as u64),
        ("tokens_max", limits::TOKENS_MAX as u64),
        ("blocks_max", limits::BLOCKS_MAX as u64),
        ("contacts_max", limits::CONTACTS_MAX as u64),
        ("invites_max", limits::INVITES_MAX as u64),
        ("watched_max", limits::WATCHED_MAX as u64),
        ("invite_valid_s_default", limits::INVITE_VALID_S_DEFAULT),
        ("invite_valid_s_max", limits::INVITE_VALID_S_MAX),
        ("token_valid_s_max", limits::TOKEN_VALID_S_MAX),
        ("typing_ms", limits::TYPING_MS),
        ("watch_ms", limits::WATCH_MS),
    ] {
        let row = format!("| `{name}` | {} |", thousands(value));
        assert!(PAGE.contains(&row), "{row:?} is not in docs/protocol.md");
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let grouped: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("digits")).collect();
    grouped.join(",")
}
