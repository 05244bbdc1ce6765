//! Records of the bus: how the embedded log stores them, and what a dispatcher makes of them. The input is records one after
//! another, each after its length in two bytes.

use hudhud_proto::{ConversationId, Position};
use hudhud_roles::conversation::{Conversation, record};

/// Reads records and applies them to one conversation, twice.
pub fn run(input: &[u8]) {
    hudhud_engines::log::fuzz::decode(input);
    let once = apply_all(input);
    assert_eq!(once, apply_all(input), "what becomes of a conversation is a function of its records");
}

fn apply_all(mut input: &[u8]) -> Conversation {
    let mut conversation = Conversation::new(ConversationId::new([0x0c; 16]));
    let mut offset = 0;
    while let Some((length, rest)) = input.split_at_checked(2) {
        let length = usize::from(u16::from_be_bytes([length[0], length[1]])).min(rest.len());
        let (bytes, behind) = rest.split_at(length);
        input = behind;
        let Ok((_, record::Decoded::Submission(submission))) = record::decode(bytes) else { continue };
        offset += 1;
        let before = conversation.head_seq();
        conversation.apply(&submission, Position::new(1, offset), None);
        assert!(conversation.head_seq() >= before, "a head went back");
    }
    conversation
}
