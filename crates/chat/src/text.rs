//! Untrusted text on a terminal: what other people wrote never moves the cursor, changes colours or rings the bell.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Characters of one grapheme that are shown: enough for any script, too few for a tower of accents.
const GRAPHEME_CHARS_MAX: usize = 16;
/// Makes one grapheme of two, as in families of emoji and in Indic scripts.
const JOINER: char = '\u{200d}';
/// Stands where a control character was.
const REPLACEMENT: char = '\u{fffd}';

/// The text, safe to print, with its line breaks.
pub fn lines(text: &str) -> String {
    clean(text, '\n')
}

/// The text, safe to print, on one line.
pub fn line(text: &str) -> String {
    clean(text, ' ')
}

fn clean(text: &str, line_break: char) -> String {
    let mut clean = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        if matches!(grapheme, "\r\n" | "\n" | "\u{2028}" | "\u{2029}") {
            clean.push(line_break);
            continue;
        }
        let is_symbol = grapheme.starts_with(is_symbol);
        let shown = grapheme.chars().take(GRAPHEME_CHARS_MAX).take_while(|c| !(is_symbol && *c == JOINER));
        clean.extend(shown.filter_map(|c| match c {
            '\t' => Some(' '),
            c if c.is_control() => Some(REPLACEMENT),
            c if is_invisible(c) || (is_symbol && is_skin(c)) => None,
            c => Some(c),
        }));
    }
    clean
}

/// Terminals disagree about the columns of emoji that are put together. So these are shown as their first one, in its plain
/// form: its columns are the same everywhere.
fn is_symbol(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

fn is_skin(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

/// Changes of the direction of writing (they reorder what stands around them), and characters without any width that are
/// good for nothing but hiding something, or ask for the wide form of a narrow symbol.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Columns that a safe text takes.
pub fn width(text: &str) -> usize {
    text.graphemes(true).map(UnicodeWidthStr::width).sum()
}

/// As much of a safe one-line text as fits, with `…` where something is cut off.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut fitted = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        used += grapheme.width();
        if used >= columns {
            break;
        }
        fitted.push_str(grapheme);
    }
    if columns > 0 {
        fitted.push('…');
    }
    fitted
}

/// A safe text in lines of at most so many columns, broken between words where there are any.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    text.split('\n').flat_map(|paragraph| wrap_paragraph(paragraph, columns.max(2))).collect()
}

fn wrap_paragraph(paragraph: &str, columns: usize) -> Vec<String> {
    let (mut wrapped, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in paragraph.split_word_bounds() {
        let columns_of_word = width(word);
        if used + columns_of_word <= columns {
            line.push_str(word);
            used += columns_of_word;
            continue;
        }
        if used > 0 {
            wrapped.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        }
        // The space at which a line is broken is not shown.
        if word.chars().all(|c| c == ' ') {
            continue;
        }
        for grapheme in word.graphemes(true) {
            if used + grapheme.width() > columns {
                wrapped.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push_str(grapheme);
            used += grapheme.width();
        }
    }
    wrapped.push(line);
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let check = |nasty: &str, shown: &str| assert_eq!(line(nasty), shown, "{nasty:?}");
        check("plain", "plain");
        check("\u{1b}[2J\u{1b}]0;title\u{7}", "\u{fffd}[2J\u{fffd}]0;title\u{fffd}");
        check("\u{9b}31mred\u{9c}", "\u{fffd}31mred\u{fffd}");
        check("back\u{8}\u{8}space\u{7f}", "back\u{fffd}\u{fffd}space\u{fffd}");
        check("one\r\ntwo\nthree\rfour", "one two three\u{fffd}four");
        check("a\u{202e}gpj.exe", "agpj.exe");
        check("hid\u{200b}den\u{feff}", "hidden");
        check("tab\there\0", "tab here\u{fffd}");
        check("two\u{2028}lines", "two lines");
        assert_eq!(lines("two\r\nlines\n"), "two\nlines\n");
        let zalgo = format!("z{}", "\u{301}".repeat(1_000));
        assert_eq!(line(&zalgo).chars().count(), GRAPHEME_CHARS_MAX);
        for (sent, shown) in
            [("👩‍👩‍👧‍👦", "👩"), ("👍🏽", "👍"), ("❤\u{fe0f}", "❤"), ("🇸🇪", "🇸🇪"), ("नि", "नि"), ("क्\u{200d}ष", "क्\u{200d}ष")]
        {
            check(sent, shown);
        }
    }

    #[test]
    fn wide_characters_take_their_columns() {
        assert_eq!(width("漢字"), 4);
        assert_eq!(width(&line("👩‍👩‍👧‍👦")), 2);
        assert_eq!(fit("漢字漢字", 5), "漢字…");
        assert_eq!(fit("hello", 5), "hello");
        assert_eq!(fit("hello!", 5), "hell…");
        assert_eq!(fit("hello", 0), "");
    }

    #[test]
    fn lines_break_between_words_and_within_long_ones() {
        let check = |text: &str, columns, wrapped: &[&str]| assert_eq!(wrap(text, columns), wrapped, "{text:?}");
        check("", 10, &[""]);
        check("one two three", 8, &["one two", "three"]);
        check("one  two", 4, &["one", "two"]);
        check("abcdefghij", 4, &["abcd", "efgh", "ij"]);
        check("a abcdefgh", 4, &["a", "abcd", "efgh"]);
        check("漢字漢字", 5, &["漢字", "漢字"]);
        check("two\n\nparagraphs", 20, &["two", "", "paragraphs"]);
    }
}
