//! Bodies of HTTP requests, and what the commands in them do: the input is a command's name, a line end, and a body.

use crate::world::{self, World};
use hudhud_proto::command::{self, Access};
use hudhud_proto::v1::ErrorCode;
use hudhud_proto::{Encoding, FrameError};
use hudhud_roles::api::Who;

/// Reads a body and carries it out.
pub fn run(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    let decoded = command::from_json(&name, body);
    let Some(info) = command::find(&name) else {
        assert_eq!(decoded.expect_err("there is no such command").code, ErrorCode::NotFound);
        return;
    };
    let Ok(command) = decoded else { return };
    as_in_a_frame(info.name, body, &command);
    world::run(async {
        let World { api, alice, .. } = World::new().await;
        let who = match info.access {
            Access::Anonymous => Who::Anonymous(world::ADDRESS),
            Access::Account | Access::Connection => Who::Account(alice),
        };
        if let Err(error) = api.handle(&who, command).await {
            assert_ne!(error.code, ErrorCode::Internal, "{error}");
            assert!(!error.message.is_empty(), "an error says what is wrong");
        }
    });
}

/// The same body in a frame is the same command.
fn as_in_a_frame(name: &str, body: &[u8], command: &hudhud_proto::v1::client_frame::Command) {
    let body = if body.is_empty() { b"{}" } else { body };
    let frame = [format!("{{\"{name}\":").as_bytes(), body, b"}"].concat();
    match Encoding::Json.decode_client(&frame) {
        Ok(frame) => assert_eq!(frame.command.as_ref(), Some(command)),
        Err(FrameError::TooLong(_)) => {}
        // A frame is one level deeper.
        Err(error) if error.to_string().contains("recursion limit") => {}
        Err(error) => panic!("a body of {name} that is none in a frame: {error}"),
    }
}
