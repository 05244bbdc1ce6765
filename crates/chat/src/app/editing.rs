//! Keys that edit a line, as readline has them.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_input::{Input, InputRequest};

/// Edits if the key is one that does. True if the text is another one then.
pub fn edit(input: &mut Input, key: KeyEvent) -> bool {
    let request = match (key.code, key.modifiers) {
        (KeyCode::Backspace, KeyModifiers::NONE | KeyModifiers::SHIFT)
        | (KeyCode::Char('h'), KeyModifiers::CONTROL) => InputRequest::DeletePrevChar,
        (KeyCode::Delete, _) | (KeyCode::Char('d'), KeyModifiers::CONTROL) => InputRequest::DeleteNextChar,
        (KeyCode::Left, KeyModifiers::CONTROL | KeyModifiers::ALT) | (KeyCode::Char('b'), KeyModifiers::ALT) => {
            InputRequest::GoToPrevWord
        }
        (KeyCode::Right, KeyModifiers::CONTROL | KeyModifiers::ALT) | (KeyCode::Char('f'), KeyModifiers::ALT) => {
            InputRequest::GoToNextWord
        }
        (KeyCode::Left, _) | (KeyCode::Char('b'), KeyModifiers::CONTROL) => InputRequest::GoToPrevChar,
        (KeyCode::Right, _) | (KeyCode::Char('f'), KeyModifiers::CONTROL) => InputRequest::GoToNextChar,
        (KeyCode::Home, _) | (KeyCode::Char('a'), KeyModifiers::CONTROL) => InputRequest::GoToStart,
        (KeyCode::End, _) | (KeyCode::Char('e'), KeyModifiers::CONTROL) => InputRequest::GoToEnd,
        (KeyCode::Char('w'), KeyModifiers::CONTROL) | (KeyCode::Backspace, _) => InputRequest::DeletePrevWord,
        (KeyCode::Char('u'), KeyModifiers::CONTROL) => InputRequest::DeleteLine,
        (KeyCode::Char('k'), KeyModifiers::CONTROL) => InputRequest::DeleteTillEnd,
        (KeyCode::Char(c), KeyModifiers::NONE | KeyModifiers::SHIFT) => InputRequest::InsertChar(c),
        // AltGr, as some terminals report it.
        (KeyCode::Char(c), modifiers) if modifiers == KeyModifiers::CONTROL | KeyModifiers::ALT => {
            InputRequest::InsertChar(c)
        }
        _ => return false,
    };
    input.handle(request).is_some_and(|changed| changed.value)
}

/// Types a text, as if by keys.
pub fn insert(input: &mut Input, text: &str) {
    for c in text.chars() {
        input.handle(InputRequest::InsertChar(c));
    }
}
