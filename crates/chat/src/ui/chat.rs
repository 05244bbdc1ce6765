//! The open conversation: its title, its timeline, who types.

use super::list::glyph;
use super::{ACCENT, BOLD, DIM, DONE, WRONG, colour_of};
use crate::app::{App, Timeline};
use crate::text;
use crate::words;
use crate::world::{Presence, Tick, tick_of_outgoing};
use hudhud_client::{Body, Entry, Outgoing, OutgoingState};
use hudhud_proto::v1::{ConversationKind, Role};
use hudhud_proto::{ConversationId, Seq};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

/// Columns of a sender's name.
const NAME_COLUMNS: usize = 10;

/// See [`super::draw`] for what it gives back.
pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) -> Option<usize> {
    let typing_rows = u16::from(app.open.is_some());
    let [title, body, typing] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(typing_rows)]).areas(area);
    let mut scroll_max = None;
    match app.open {
        Some(id) => {
            draw_title(frame, app, id, title);
            scroll_max = draw_timeline(frame, app, id, body);
            let typists = app.world.typing.get(&id).into_iter().flatten();
            let typists = words::typing(&app.world, typists).unwrap_or_default();
            frame.render_widget(Line::styled(typists, DONE.add_modifier(Modifier::ITALIC)), typing);
        }
        None => draw_welcome(frame, app, area),
    }
    draw_panel(frame, app, body);
    scroll_max
}

fn draw_welcome(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let handle = app.world.me.as_ref().map_or_else(String::new, |me| text::line(&me.handle));
    let mut lines = vec![
        Line::raw(""),
        Line::from(vec![Span::raw("  You are "), Span::styled(format!("@{handle}"), BOLD), Span::raw(".")]),
        Line::raw(""),
    ];
    if app.order().is_empty() {
        lines.push(Line::raw("  Write to somebody:   /dm alice"));
        lines.push(Line::raw("  Make a group:        /group Book club @alice @bob"));
    } else {
        lines.push(Line::raw("  Tab opens a chat."));
    }
    lines.push(Line::raw("  Everything else:     /help"));
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_title(frame: &mut Frame<'_>, app: &App, id: ConversationId, area: Rect) {
    let world = &app.world;
    let title = text::line(&world.title(id));
    let mut about = String::new();
    if let Some(row) = world.conversations.get(&id).map(|summary| &summary.row) {
        if row.kind == ConversationKind::Group {
            about = match (row.role, row.member_count) {
                (Role::Unspecified, _) => "you are no member".into(),
                (_, 0) => String::new(),
                (_, 1) => "1 member".into(),
                (_, count) => format!("{count} members"),
            };
            if row.announce_only {
                about.push_str(", only owner and admins send");
            }
        } else if let Some(peer) = row.peer {
            let shown = world
                .people
                .get(&peer)
                .filter(|person| person.display_name != person.handle)
                .map(|person| text::line(&person.display_name))
                .unwrap_or_default();
            let state = match world.presence.get(&peer) {
                Some((Presence::Online, _)) => "online".to_owned(),
                Some((Presence::Away, last)) if *last > 0 => {
                    format!("last seen {}", words::moment(*last, &app.setup.zone))
                }
                _ => String::new(),
            };
            about = [shown, state].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ");
        }
    }
    let columns = usize::from(area.width);
    let title = text::fit(&title, columns);
    let about = text::fit(&format!("  {about}"), columns.saturating_sub(text::width(&title)));
    let lines = vec![
        Line::from(vec![Span::styled(title, BOLD), Span::styled(about, DIM)]),
        Line::styled("─".repeat(columns), DIM),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn draw_panel(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (Some((title, lines)), columns) = (app.panel.split_first(), usize::from(area.width)) else { return };
    let rows = u16::try_from(lines.len() + 1).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { y: area.bottom() - rows, height: rows, ..area };
    let rule = columns.saturating_sub(text::width(title) + 22);
    let title = format!("── {title} ── Esc closes it ──{}", "─".repeat(rule));
    let title = Line::styled(text::fit(&title, columns), ACCENT);
    let lines = lines.iter().map(|line| Line::raw(text::fit(line, columns)));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(std::iter::once(title).chain(lines).collect::<Vec<_>>()), area);
}

/// Lines are made from the newest on, and no more of them than the screen shows.
fn draw_timeline(frame: &mut Frame<'_>, app: &App, id: ConversationId, area: Rect) -> Option<usize> {
    let (rows, columns) = (usize::from(area.height), usize::from(area.width));
    let wanted = rows + app.view.scroll;
    // From the last line to the first.
    let mut lines: Vec<Line<'static>> = Vec::new();
    let anchor = app.view.anchor;
    if anchor.is_none() {
        for outgoing in app.world.outgoing(id).into_iter().rev() {
            lines.extend(outgoing_lines(app, outgoing, columns).into_iter().rev());
        }
    }
    let mut at_beginning = true;
    let mut newer: Option<&Entry> = None;
    let zone = &app.setup.zone;
    let day = |entry: &Entry| words::day(entry.time_us, zone);
    let timeline = app.timeline();
    for entry in timeline.into_iter().flat_map(|timeline| timeline.newest_first(anchor.unwrap_or(Seq(u64::MAX)))) {
        if let Some(newer) = newer.filter(|newer| day(newer) != day(entry)) {
            lines.push(centred(&day(newer), columns));
        }
        if lines.len() >= wanted {
            at_beginning = false;
            break;
        }
        lines.extend(entry_lines(app, entry, columns).into_iter().rev());
        newer = Some(entry);
    }
    if at_beginning {
        // One line either way: what comes does not move what is there.
        if timeline.is_some_and(Timeline::is_loading) {
            lines.push(centred("loading…", columns));
        } else if let Some(oldest) = newer {
            lines.push(centred(&day(oldest), columns));
        }
    }
    let scroll_max = lines.len().saturating_sub(rows);
    let scroll = app.view.scroll.min(scroll_max);
    let mut shown: Vec<_> = lines.into_iter().skip(scroll).take(rows).collect();
    shown.reverse();
    // Few lines stand at the bottom, beside the input.
    let above = rows - shown.len();
    let area = Rect { y: area.y + u16::try_from(above).unwrap_or(0), height: area.height, ..area }.intersection(area);
    frame.render_widget(Paragraph::new(shown), area);
    if let Some(anchor) = anchor {
        let newer = timeline.map_or(0, |timeline| timeline.count_after(anchor));
        let below = if newer > 0 { format!(" ↓ {newer} new · Esc ") } else { " ↓ Esc ".into() };
        let wide = u16::try_from(text::width(&below)).unwrap_or(0).min(area.width);
        let corner = Rect { x: area.right() - wide, y: area.bottom().saturating_sub(1), width: wide, height: 1 };
        frame.render_widget(Line::styled(below, ACCENT.add_modifier(Modifier::REVERSED)), corner);
    }
    at_beginning.then_some(scroll_max)
}

fn centred(text: &str, columns: usize) -> Line<'static> {
    let text = text::fit(text, columns);
    let left = columns.saturating_sub(text::width(&text)) / 2;
    Line::styled(format!("{}{text}", " ".repeat(left)), DIM)
}

fn entry_lines(app: &App, entry: &Entry, columns: usize) -> Vec<Line<'static>> {
    let world = &app.world;
    let time = words::clock(entry.time_us, &app.setup.zone);
    let Body::Content(content) = &entry.body else {
        let change = format!("{time} {}", words::change(world, entry).unwrap_or_default());
        return text::wrap(&change, columns).iter().map(|line| centred(line, columns)).collect();
    };
    let tick = world.is_me(entry.sender).then(|| world.tick_of(entry));
    message(&time, tick, &words::name(world, entry.sender), &words::content(content), columns)
}

fn outgoing_lines(app: &App, outgoing: &Outgoing, columns: usize) -> Vec<Line<'static>> {
    let time = words::clock(outgoing.composed_us, &app.setup.zone);
    let tick = Some(tick_of_outgoing(outgoing));
    let mut lines = message(&time, tick, "you", &words::content(&outgoing.content), columns);
    if let OutgoingState::Refused { reason, .. } = &outgoing.state {
        let why = format!("not sent: {} · /retry or /discard", text::line(reason));
        let indent = indent();
        let wrapped = text::wrap(&why, columns.saturating_sub(indent));
        lines.extend(wrapped.into_iter().map(|line| Line::styled(format!("{}{line}", " ".repeat(indent)), WRONG)));
    }
    lines
}

/// Columns before the text: `08:15 ✓✓       name `.
fn indent() -> usize {
    "08:15 ✓✓ ".chars().count() + NAME_COLUMNS + 1
}

fn message(time: &str, tick: Option<Tick>, name: &str, body: &str, columns: usize) -> Vec<Line<'static>> {
    let name = text::fit(name, NAME_COLUMNS);
    let padding = " ".repeat(NAME_COLUMNS - text::width(&name));
    let name_style = if tick.is_some() { DIM } else { Style::new().fg(colour_of(&name)).add_modifier(Modifier::BOLD) };
    let tick_style = match tick {
        Some(Tick::Read) => ACCENT.add_modifier(Modifier::BOLD),
        Some(Tick::Refused) => WRONG,
        _ => DIM,
    };
    let ticks = format!("{:<2}", tick.map_or("", glyph));
    let mut lines = Vec::new();
    for (at, line) in text::wrap(body, columns.saturating_sub(indent())).into_iter().enumerate() {
        if at > 0 {
            lines.push(Line::raw(format!("{}{line}", " ".repeat(indent()))));
            continue;
        }
        lines.push(Line::from(vec![
            Span::styled(format!("{time} "), DIM),
            Span::styled(ticks.clone(), tick_style),
            Span::raw(format!(" {padding}")),
            Span::styled(name.clone(), name_style),
            Span::raw(format!(" {line}")),
        ]));
    }
    lines
}
