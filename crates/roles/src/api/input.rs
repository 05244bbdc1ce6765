//! What people type, checked before it is used: lengths in bytes, and nothing in a name that is not seen.

use hudhud_proto::ProtocolError;
use hudhud_proto::limits::{NAME_BYTES_MAX, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};

/// A name of at most 64 bytes, possibly empty, without the white space around it. `field` is its name in the message.
pub(super) fn name(field: &str, text: &str) -> Result<String, ProtocolError> {
    line(field, text, NAME_BYTES_MAX)
}

/// One line of text of at most `bytes_max` bytes, possibly empty, without the white space around it.
pub(super) fn line(field: &str, text: &str, bytes_max: usize) -> Result<String, ProtocolError> {
    let text = text.trim();
    if text.len() > bytes_max {
        return Err(ProtocolError::invalid(format!(
            "{field} has at most {bytes_max} bytes, this one has {}",
            text.len()
        )));
    }
    match text.chars().find(|&c| is_unseen(c)) {
        Some(c) => {
            Err(ProtocolError::invalid(format!("{field} must not contain the character U+{:04X}", u32::from(c))))
        }
        None => Ok(text.to_owned()),
    }
}

/// A password of a length that is allowed.
pub(super) fn password(field: &str, text: &str) -> Result<(), ProtocolError> {
    match (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&text.len()) {
        true => Ok(()),
        false => Err(ProtocolError::invalid(format!(
            "{field} has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes, this one has {}",
            text.len()
        ))),
    }
}

/// Control characters, line separators, and the marks that change the direction of the text behind them: they make one
/// name look like another (Unicode Technical Report 36).
fn is_unseen(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_keep_every_script() {
        for good in ["", "Alice", "العربية", "日本語", "Zoë 👩‍👩‍👧"] {
            assert_eq!(name("alias", &format!(" {good}\t")).as_deref(), Ok(good));
        }
    }

    #[test]
    fn what_is_wrong_with_a_name_is_said() {
        let said = |text: &str| name("alias", text).expect_err("refused").message;
        assert_eq!(said(&"é".repeat(33)), "alias has at most 64 bytes, this one has 66");
        assert_eq!(said("a\u{7}b"), "alias must not contain the character U+0007");
        assert_eq!(said("a\nb"), "alias must not contain the character U+000A");
        assert_eq!(said("evil\u{202e}gpj.exe"), "alias must not contain the character U+202E");
        assert_eq!(
            password("password", "short").expect_err("refused").message,
            "password has 8 to 256 bytes, this one has 5"
        );
    }
}
