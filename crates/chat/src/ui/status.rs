//! The bottom line: whether there is a connection, and what waits for one.

use super::{ACCENT, BOLD, DIM, DONE, WRONG};
use crate::app::App;
use crate::text;
use hudhud_client::Connection;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let (state, style) = connection(app);
    let waiting = match app.world.waiting() {
        0 => String::new(),
        1 => "  1 message waits".into(),
        waiting => format!("  {waiting} messages wait"),
    };
    let handle = app.world.me.as_ref().map_or_else(String::new, |me| format!(" @{} ", text::line(&me.handle)));
    let left = format!(" {state}{waiting}");
    let hint = "/help ";
    let used = text::width(&handle) + text::width(&left) + text::width(hint);
    let filler = " ".repeat(usize::from(area.width).saturating_sub(used));
    let spans = vec![
        Span::styled(handle, BOLD),
        Span::styled(left, style),
        Span::raw(filler),
        Span::styled(if app.form.is_none() { hint } else { "" }, DIM),
    ];
    frame.render_widget(Line::from(spans), area);
}

/// The connection in words. What has failed says what to do.
pub(super) fn connection(app: &App) -> (String, Style) {
    match app.world.connection {
        Connection::Online => ("● connected".into(), DONE),
        Connection::CatchingUp => ("● catching up…".into(), ACCENT),
        Connection::Connecting => ("○ connecting…".into(), DIM),
        Connection::Offline { retry_at: Some(at), failures } => {
            let seconds = at.saturating_sub(app.now).as_secs_f32().ceil();
            let what = if failures > 1 { "no server answers: reconnecting" } else { "reconnecting" };
            (format!("○ {what} in {seconds} s"), WRONG)
        }
        Connection::Offline { retry_at: None, .. } if app.world.is_logged_in() => {
            ("○ offline: /online connects".into(), WRONG)
        }
        Connection::Offline { retry_at: None, .. } if app.world.me.is_some() => ("○ logged out: /login".into(), WRONG),
        Connection::Offline { retry_at: None, .. } => (String::new(), DIM),
    }
}
