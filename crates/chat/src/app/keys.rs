//! What keys do.

use super::form::{Form, Mode, Pressed};
use super::{App, Notice, Timeline, View, editing};
use crate::act::{Act, Place};
use crate::commands::{self, Typed};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use hudhud_client::Command;
use hudhud_proto::{ConversationId, Handle};

/// Lines that a page key scrolls.
const PAGE_LINES: usize = 10;

#[derive(Clone, Copy)]
enum Step {
    Up,
    Down,
}

impl App {
    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        if key.modifiers == KeyModifiers::CONTROL && matches!(key.code, KeyCode::Char('c' | 'q')) {
            self.stop_typing();
            self.over = true;
        } else if self.form.is_some() {
            self.form_key(key);
        } else {
            self.chat_key(key);
        }
        self.settle();
    }

    /// A text was pasted.
    pub fn paste(&mut self, pasted: &str) {
        let pasted = pasted.replace("\r\n", "\n").replace('\r', "\n");
        if let Some(form) = &mut self.form {
            form.paste(&pasted);
        } else {
            editing::insert(&mut self.input, pasted.trim_end_matches('\n'));
            self.typed();
        }
    }

    fn form_key(&mut self, key: KeyEvent) {
        let Some(form) = &mut self.form else { return };
        match form.key(key, &self.setup.device) {
            Pressed::Edited => {}
            // What is stored here can be read without being logged in.
            Pressed::Close if self.world.me.is_some() => self.form = None,
            Pressed::Close => form.message = Some("Ctrl-C closes the program".into()),
            Pressed::Submit(command) => {
                let tag = self.desk.tag();
                form.asked = Some(tag);
                self.commands.push(Command::Authenticate { tag, command });
            }
        }
    }

    fn chat_key(&mut self, key: KeyEvent) {
        match (key.code, key.modifiers) {
            (KeyCode::Enter, modifiers) if modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT) => {
                editing::insert(&mut self.input, "\n");
            }
            (KeyCode::Char('j'), KeyModifiers::CONTROL) => editing::insert(&mut self.input, "\n"),
            (KeyCode::Enter, _) => self.enter(),
            (KeyCode::Esc, _) => {
                if self.notice.take().is_none() && std::mem::take(&mut self.panel).is_empty() {
                    self.view = View::default();
                }
            }
            (KeyCode::Tab | KeyCode::Down, _) => self.step(Step::Down),
            (KeyCode::BackTab | KeyCode::Up, _) => self.step(Step::Up),
            (KeyCode::PageUp, _) => {
                self.view.up(PAGE_LINES, self.timeline().and_then(Timeline::newest));
                if let Some(timeline) = self.open.and_then(|id| self.timelines.get_mut(&id)) {
                    timeline.try_again();
                }
            }
            (KeyCode::PageDown, _) => self.view.down(PAGE_LINES),
            (KeyCode::End, KeyModifiers::CONTROL) => self.view = View::default(),
            _ => {
                if editing::edit(&mut self.input, key) {
                    self.notice = None;
                    self.typed();
                }
            }
        }
    }

    /// The text in the input is another one.
    fn typed(&mut self) {
        let Some(conversation) = self.open else { return };
        let line = self.input.value();
        let is_command = line.starts_with('/') && !line.starts_with("//");
        if !is_command {
            self.commands.push(Command::Typing { conversation, typing: !line.is_empty() });
        }
    }

    /// The next conversation of the list; the first or last if none is open.
    fn step(&mut self, by: Step) {
        let order = self.order();
        let Some(last) = order.len().checked_sub(1) else { return };
        let at = self.open.and_then(|open| order.iter().position(|id| *id == open));
        let next = match (at, by) {
            (None | Some(0), Step::Up) => last,
            (Some(at), Step::Up) => at - 1,
            (Some(at), Step::Down) if at < last => at + 1,
            (_, Step::Down) => 0,
        };
        self.open(order[next]);
    }

    fn enter(&mut self) {
        let line = self.input.value().to_owned();
        match commands::parse(&line, self.open) {
            Ok(typed) => {
                self.input.reset();
                (self.notice, self.panel) = (None, Vec::new());
                self.carry_out(typed);
            }
            Err(wrong) => self.notice = Some(Notice::Wrong(wrong)),
        }
    }

    fn carry_out(&mut self, typed: Typed) {
        match typed {
            Typed::Nothing => {}
            Typed::Text(text) => match self.open {
                Some(conversation) => {
                    self.view = View::default();
                    self.act(Act::Send { place: Place::Conversation(conversation), text });
                }
                None => {
                    editing::insert(&mut self.input, &text);
                    let wrong = "open a chat first: Tab, or /dm alice";
                    self.notice = Some(Notice::Wrong(wrong.into()));
                }
            },
            Typed::Act(act) => self.act(act),
            Typed::Direct(handle) => self.open_direct(handle),
            Typed::Help => self.show_help(),
            Typed::LogIn if self.world.is_logged_in() => {
                self.notice = Some(Notice::Wrong("you are logged in: /logout first".into()));
            }
            Typed::LogIn => {
                let handle = self.world.me.as_ref().map_or("", |me| &me.handle);
                self.form = Some(Form::new(Mode::LogIn, handle));
            }
            Typed::Quit => self.over = true,
        }
    }

    /// What is here already opens at once, with or without a connection.
    fn open_direct(&mut self, handle: Handle) {
        let account = self.world.account_of(&handle);
        let me = self.world.me.as_ref().map(|me| me.account);
        let id = me.zip(account).map(|(me, account)| ConversationId::direct(me, account));
        match id.filter(|id| self.world.conversations.contains_key(id)) {
            Some(id) => self.open(id),
            None => self.act(Act::Open(handle)),
        }
    }
}
