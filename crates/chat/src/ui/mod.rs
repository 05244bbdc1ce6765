//! Draws the state. Looks, and never changes anything.

mod chat;
mod form;
mod list;
mod status;

use crate::app::{App, Notice};
use crate::text;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Narrower than this there is no room for a list beside the chat.
const LIST_SHOWS_COLUMNS: u16 = 60;

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const WRONG: Style = Style::new().fg(Color::Red);
const DONE: Style = Style::new().fg(Color::Green);
const ACCENT: Style = Style::new().fg(Color::Cyan);

/// Draws the screen. Gives back how many lines of the timeline are above it, if that many were counted: the beginning of what
/// is there came into sight.
pub fn draw(frame: &mut Frame<'_>, app: &App) -> Option<usize> {
    let [main, bar] = Layout::vertical([Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    status::draw(frame, app, bar);
    if let Some(form) = &app.form {
        form::draw(frame, app, form, main);
        return None;
    }
    if !app.ready {
        return None;
    }
    let list_columns = if main.width < LIST_SHOWS_COLUMNS { 0 } else { (main.width / 4).clamp(18, 32) };
    let [list, gap, right] =
        Layout::horizontal([Constraint::Length(list_columns), Constraint::Length(1), Constraint::Min(1)]).areas(main);
    if list_columns > 0 {
        list::draw(frame, app, list);
        let rule = vec![Line::styled("│", DIM); usize::from(gap.height)];
        frame.render_widget(Paragraph::new(rule), gap);
    }
    let input_rows = input_rows(app, right);
    let notice_rows = u16::from(app.notice.is_some());
    let [chat, notice, input] =
        Layout::vertical([Constraint::Min(1), Constraint::Length(notice_rows), Constraint::Length(input_rows)])
            .areas(right);
    let scroll_max = chat::draw(frame, app, chat);
    draw_notice(frame, app, notice);
    draw_input(frame, app, input);
    scroll_max
}

fn draw_notice(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (notice, style) = match &app.notice {
        Some(Notice::Done(notice)) => (notice, DONE),
        Some(Notice::Wrong(notice)) => (notice, WRONG),
        None => return,
    };
    frame.render_widget(Line::styled(text::fit(notice, area.width.into()), style), area);
}

const PROMPT: &str = "› ";

/// The input as it shows: with a glyph for a line break, as its lines take the screen's width.
fn input_lines(app: &App, columns: u16) -> (Vec<String>, usize, usize) {
    let columns = usize::from(columns).saturating_sub(text::width(PROMPT)).max(2);
    let shown = |text: &str| text::line(&text.replace('\n', "⏎"));
    let before: String = app.input.value().chars().take(app.input.cursor()).collect();
    // Broken by columns, not by words: the cursor is where its text is.
    let (mut lines, mut cursor) = (chunks(&shown(app.input.value()), columns), chunks(&shown(&before), columns));
    let (row, column) = (cursor.len() - 1, text::width(&cursor.pop().unwrap_or_default()));
    if lines.len() <= row {
        lines.push(String::new());
    }
    (lines, row, column)
}

/// The text in lines of at most so many columns; a full last line is followed by an empty one, for the cursor.
fn chunks(shown: &str, columns: usize) -> Vec<String> {
    use unicode_segmentation::UnicodeSegmentation;
    let mut lines = vec![String::new()];
    let mut used = 0;
    for grapheme in shown.graphemes(true) {
        let wide = text::width(grapheme);
        if used + wide > columns {
            lines.push(String::new());
            used = 0;
        }
        used += wide;
        lines.last_mut().expect("it starts with one").push_str(grapheme);
    }
    if used >= columns {
        lines.push(String::new());
    }
    lines
}

fn input_rows(app: &App, area: Rect) -> u16 {
    let rows = input_lines(app, area.width).0.len();
    u16::try_from(rows).unwrap_or(u16::MAX).min(area.height / 3).max(1)
}

fn draw_input(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (lines, row, column) = input_lines(app, area.width);
    let rows = usize::from(area.height).max(1);
    let first = (row + 1).saturating_sub(rows);
    let prompt = |at: usize| if at == 0 { PROMPT } else { "  " };
    let hint = match app.open {
        _ if !app.input.value().is_empty() => "",
        Some(_) => "write a message",
        None => "/dm somebody",
    };
    let mut shown: Vec<Line<'_>> = lines
        .into_iter()
        .enumerate()
        .skip(first)
        .take(rows)
        .map(|(at, line)| Line::from(vec![Span::styled(prompt(at), ACCENT), Span::raw(line)]))
        .collect();
    if let Some(line) = shown.first_mut() {
        line.push_span(Span::styled(hint, DIM));
    }
    frame.render_widget(Paragraph::new(shown), area);
    let offset = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
    let x = area.x.saturating_add(offset(column + 2)).min(area.right().saturating_sub(1));
    let y = area.y.saturating_add(offset(row - first)).min(area.bottom().saturating_sub(1));
    frame.set_cursor_position(Position { x, y });
}

/// A colour that is always somebody's.
fn colour_of(name: &str) -> Color {
    const COLOURS: [Color; 6] =
        [Color::Yellow, Color::Magenta, Color::Blue, Color::LightRed, Color::LightGreen, Color::LightBlue];
    let sum = name.bytes().fold(7_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    COLOURS[sum % COLOURS.len()]
}
