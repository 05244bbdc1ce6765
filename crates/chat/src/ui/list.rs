//! The list of conversations.

use super::{ACCENT, BOLD, DIM, DONE};
use crate::app::App;
use crate::text;
use crate::words;
use crate::world::{Presence, Tick, World, tick_of_outgoing};
use hudhud_client::{Body, Entry, Summary};
use hudhud_proto::v1::ConversationKind;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

/// Rows of one conversation.
const ITEM_ROWS: usize = 2;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let order = app.order();
    let columns = usize::from(area.width);
    if order.is_empty() {
        let none = vec![Line::styled(" no chats yet", DIM)];
        return frame.render_widget(Paragraph::new(none), area);
    }
    let fit = (usize::from(area.height) / ITEM_ROWS).max(1);
    let at = app.open.and_then(|open| order.iter().position(|id| *id == open)).unwrap_or(0);
    let first = (at + 1).saturating_sub(fit);
    let mut lines = Vec::new();
    for id in order.iter().skip(first).take(fit + 1) {
        if let Some(summary) = app.world.conversations.get(id) {
            lines.extend(item(app, summary, columns));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn item(app: &App, summary: &Summary, columns: usize) -> [Line<'static>; ITEM_ROWS] {
    let (world, row) = (&app.world, &summary.row);
    let is_open = app.open == Some(row.id);
    let online = row.peer.and_then(|peer| world.presence.get(&peer)).is_some_and(|(p, _)| *p == Presence::Online);
    let (mark, mark_style) = match row.kind {
        ConversationKind::Group => ("# ", DIM),
        _ if online => ("● ", DONE),
        _ => ("  ", DIM),
    };
    let unread = if summary.unread > 0 { format!(" {} ", summary.unread) } else { String::new() };
    let room = columns.saturating_sub(text::width(mark) + text::width(&unread));
    let title = text::fit(&text::line(&world.title(row.id)), room);
    let filler = " ".repeat(room.saturating_sub(text::width(&title)));
    let unread_style =
        if row.muted_until_us > 0 { DIM } else { ACCENT.add_modifier(Modifier::REVERSED | Modifier::BOLD) };
    let title_style = if summary.unread > 0 || is_open { BOLD } else { Style::new() };
    let spans = vec![
        Span::styled(mark, mark_style),
        Span::styled(title, title_style),
        Span::raw(filler),
        Span::styled(unread, unread_style),
    ];
    let (last, last_style) = match world.typing.get(&row.id).filter(|typists| !typists.is_empty()) {
        Some(_) => ("typing…".to_owned(), DONE.add_modifier(Modifier::ITALIC)),
        None => (last_line(world, summary), DIM),
    };
    let last = text::fit(&format!("  {last}"), columns);
    let last = format!("{last}{}", " ".repeat(columns.saturating_sub(text::width(&last))));
    let base = if is_open { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
    [Line::from(spans).style(base), Line::from(Span::styled(last, last_style)).style(base)]
}

/// The newest message, whether the log has it or only the outbox.
fn last_line(world: &World, summary: &Summary) -> String {
    if let Some(outgoing) = world.outgoing(summary.row.id).last() {
        let tick = glyph(tick_of_outgoing(outgoing));
        return format!("{tick} {}", text::line(&words::content(&outgoing.content)));
    }
    summary.last.as_ref().map_or_else(String::new, |entry| said(world, entry, summary.row.kind))
}

fn said(world: &World, entry: &Entry, kind: ConversationKind) -> String {
    match &entry.body {
        Body::Content(content) => {
            let text = text::line(&words::content(content));
            match kind {
                _ if world.is_me(entry.sender) => format!("{} {text}", glyph(world.tick_of(entry))),
                ConversationKind::Group => format!("{}: {text}", words::name(world, entry.sender)),
                _ => text,
            }
        }
        _ => words::change(world, entry).unwrap_or_default(),
    }
}

/// How a tick looks without its colour.
pub(super) fn glyph(tick: Tick) -> &'static str {
    match tick {
        Tick::Waiting => "◷",
        Tick::Accepted => "✓",
        Tick::Delivered | Tick::Read => "✓✓",
        Tick::Refused => "!",
    }
}
