//! The form that asks who somebody is: register, or log in.

use super::editing;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use hudhud_proto::limits::PASSWORD_BYTES_MIN;
use hudhud_proto::v1::{self, client_frame};
use std::fmt;
use tui_input::Input;

/// What the form does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Makes an account.
    Register,
    /// Opens an existing one.
    LogIn,
}

/// What of it is edited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// Who.
    Handle,
    /// The proof.
    Password,
    /// A code of somebody who is here already, where the server asks for one.
    Invite,
}

/// What a key came to.
pub enum Pressed {
    /// Nothing that concerns others.
    Edited,
    /// Ask the server.
    Submit(client_frame::Command),
    /// Close the form.
    Close,
}

/// The form.
pub struct Form {
    pub mode: Mode,
    pub field: Field,
    pub handle: Input,
    pub password: Input,
    pub invite: Input,
    /// What is wrong.
    pub message: Option<String>,
    /// The question that waits for its answer.
    pub asked: Option<u64>,
}

/// Without what was typed: the password is in there.
impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("mode", &self.mode).field("field", &self.field).finish_non_exhaustive()
    }
}

impl Form {
    /// An empty form, but for a handle to start with.
    pub fn new(mode: Mode, handle: &str) -> Self {
        let field = if handle.is_empty() { Field::Handle } else { Field::Password };
        let (handle, password, invite) = (Input::new(handle.to_owned()), Input::default(), Input::default());
        Self { mode, field, handle, password, invite, message: None, asked: None }
    }

    /// The fields that show.
    pub fn fields(&self) -> &'static [Field] {
        match self.mode {
            Mode::Register => &[Field::Handle, Field::Password, Field::Invite],
            Mode::LogIn => &[Field::Handle, Field::Password],
        }
    }

    /// The text of a field.
    pub fn input(&self, field: Field) -> &Input {
        match field {
            Field::Handle => &self.handle,
            Field::Password => &self.password,
            Field::Invite => &self.invite,
        }
    }

    fn input_mut(&mut self) -> &mut Input {
        match self.field {
            Field::Handle => &mut self.handle,
            Field::Password => &mut self.password,
            Field::Invite => &mut self.invite,
        }
    }

    /// The server's answer to this question is no.
    pub fn failed(&mut self, tag: u64, message: &str) {
        if self.asked == Some(tag) {
            self.asked = None;
            self.message = Some(crate::text::line(message));
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent, device: &str) -> Pressed {
        match (key.code, key.modifiers) {
            (KeyCode::Esc, _) => return Pressed::Close,
            (KeyCode::Char('t'), KeyModifiers::CONTROL) => {
                self.mode = if self.mode == Mode::Register { Mode::LogIn } else { Mode::Register };
                if !self.fields().contains(&self.field) {
                    self.field = Field::Password;
                }
                self.message = None;
            }
            (KeyCode::Tab | KeyCode::Down, _) => self.step(1),
            (KeyCode::BackTab | KeyCode::Up, _) => self.step(self.fields().len() - 1),
            (KeyCode::Enter, _) if self.field == Field::Handle && self.password.value().is_empty() => self.step(1),
            (KeyCode::Enter, _) => return self.submit(device),
            _ => {
                if editing::edit(self.input_mut(), key) {
                    self.message = None;
                }
            }
        }
        Pressed::Edited
    }

    /// A text was pasted.
    pub fn paste(&mut self, pasted: &str) {
        editing::insert(self.input_mut(), pasted.trim());
    }

    fn step(&mut self, by: usize) {
        let fields = self.fields();
        let at = fields.iter().position(|field| *field == self.field).unwrap_or(0);
        self.field = fields[(at + by) % fields.len()];
    }

    fn submit(&mut self, device: &str) -> Pressed {
        let handle = match crate::words::handle(self.handle.value().trim()) {
            Ok(handle) => handle.to_string(),
            Err(message) => {
                (self.field, self.message) = (Field::Handle, Some(message));
                return Pressed::Edited;
            }
        };
        let password = self.password.value().to_owned();
        if self.mode == Mode::Register && password.len() < PASSWORD_BYTES_MIN {
            let message = format!("a password has at least {PASSWORD_BYTES_MIN} characters");
            (self.field, self.message) = (Field::Password, Some(message));
            return Pressed::Edited;
        }
        self.message = None;
        let device_name = device.to_owned();
        Pressed::Submit(match self.mode {
            Mode::Register => {
                let invite = self.invite.value().trim().to_owned();
                v1::Register { handle, password, invite, device_name, ..v1::Register::default() }.into()
            }
            Mode::LogIn => v1::LogIn { handle, password, device_name }.into(),
        })
    }
}
