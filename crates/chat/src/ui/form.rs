//! The form to register or log in.

use super::{ACCENT, BOLD, DIM, WRONG};
use crate::app::{App, Field, Form, Mode};
use crate::text;
use hudhud_client::Connection;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

const LABEL_COLUMNS: usize = 12;
const FORM_COLUMNS: u16 = 62;
const FORM_ROWS: u16 = 14;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, form: &Form, area: Rect) {
    let (width, height) = (FORM_COLUMNS.min(area.width), FORM_ROWS.min(area.height));
    let (x, y) = (area.x + (area.width - width) / 2, area.y + (area.height - height) / 3);
    let area = Rect { x, y, width, height };
    let (does, other) = match form.mode {
        Mode::Register => ("Make an account", "I have one: Ctrl-T"),
        Mode::LogIn => ("Log in", "I have no account: Ctrl-T"),
    };
    let mut lines = vec![
        Line::from(vec![
            Span::styled("Hudhud", BOLD),
            Span::styled(format!("  {}", text::line(&app.setup.server)), DIM),
        ]),
        Line::raw(""),
        Line::from(vec![Span::styled(does, ACCENT.patch(BOLD)), Span::styled(format!("   {other}"), DIM)]),
        Line::raw(""),
    ];
    let first_field = lines.len();
    let columns = usize::from(width).saturating_sub(LABEL_COLUMNS + 1);
    for field in form.fields() {
        let shown = shown(form, *field);
        let style = if *field == form.field { ACCENT } else { DIM };
        let hint = match field {
            Field::Invite if shown.is_empty() => "only if the server asks for one",
            Field::Handle if shown.is_empty() => "what others call you: a-z 0-9 . _",
            _ => "",
        };
        lines.push(Line::from(vec![
            Span::styled(format!("{:<LABEL_COLUMNS$}", label(*field)), style),
            Span::raw(tail(&shown, columns)),
            Span::styled(hint, DIM),
        ]));
    }
    lines.push(Line::raw(""));
    let (message, style) = message(app, form);
    lines.extend(text::wrap(&message, width.into()).into_iter().map(|line| Line::styled(line, style)));
    lines.push(Line::raw(""));
    lines.push(Line::styled("Tab: next field   Enter: go   Ctrl-C: quit", DIM));
    frame.render_widget(Paragraph::new(lines), area);

    let row = form.fields().iter().position(|field| *field == form.field).unwrap_or(0);
    let before: String = shown(form, form.field).chars().take(form.input(form.field).cursor()).collect();
    let column = LABEL_COLUMNS + text::width(&tail(&before, columns));
    let offset = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    let x = area.x.saturating_add(offset(column)).min(area.right().saturating_sub(1));
    let y = area.y.saturating_add(offset(first_field + row)).min(area.bottom().saturating_sub(1));
    frame.set_cursor_position(Position { x, y });
}

fn label(field: Field) -> &'static str {
    match field {
        Field::Handle => "Handle",
        Field::Password => "Password",
        Field::Invite => "Invite",
    }
}

fn shown(form: &Form, field: Field) -> String {
    let value = form.input(field).value();
    if field == Field::Password { "•".repeat(value.chars().count()) } else { text::line(value) }
}

/// The end of a text that is too long for its place.
fn tail(text: &str, columns: usize) -> String {
    let mut tail = text;
    while text::width(tail) > columns {
        let mut chars = tail.chars();
        chars.next();
        tail = chars.as_str();
    }
    tail.to_owned()
}

fn message(app: &App, form: &Form) -> (String, ratatui::style::Style) {
    if let Some(message) = &form.message {
        return (message.clone(), WRONG);
    }
    match app.world.connection {
        _ if form.asked.is_none() => (String::new(), DIM),
        Connection::Offline { failures, retry_at: Some(at) } if failures > 0 => {
            let seconds = at.saturating_sub(app.now).as_secs_f32().ceil();
            let server = text::line(&app.setup.server);
            (format!("No server answers at {server}. `make run` starts one. Trying again in {seconds} s."), WRONG)
        }
        Connection::Connecting | Connection::Offline { .. } => ("Connecting…".into(), DIM),
        _ => ("Asking…".into(), DIM),
    }
}
