//! Rust source as rules look at it: code without comments, literals and tests, and the paths in it.

use std::ops::Range;

/// The source with comments and the insides of literals blanked: what is left is code, each byte at its old place.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        if end > at {
            blank(&mut out, at..end);
            at = end;
        } else {
            at += 1;
        }
    }
    blank_non_ascii(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The same, with the items under `#[cfg(test)]` blanked too: what is built into a program.
pub fn shipped(text: &str) -> String {
    let code = code(text);
    if code.contains("#![cfg(test)]") {
        return String::new();
    }
    let mut out = code.clone().into_bytes();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let end = item_end(code.as_bytes(), start + mark.len());
        blank(&mut out, start..end);
    }
    String::from_utf8(out).unwrap_or_default()
}

/// Where the comment or literal ends that starts here; `at` if none does.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let in_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => at + position(rest, |b| b == b'\n'),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..] if !in_word => at + raw_string(rest, 1),
        [b'b' | b'c', b'r', b'"' | b'#', ..] if !in_word => at + raw_string(rest, 2),
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        [b'\'', first, ..] if rest.get(1 + utf8_len(*first)) == Some(&b'\'') => at + 2 + utf8_len(*first),
        _ => at,
    }
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[u8], prefix: usize) -> usize {
    let hashes = position(&rest[prefix..], |b| b != b'#');
    if rest.get(prefix + hashes) != Some(&b'"') {
        return 0; // A raw identifier.
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let open = prefix + hashes + 1;
    rest[open..].windows(close.len()).position(|end| end == close).map_or(rest.len(), |at| open + at + close.len())
}

/// Where the item that follows an attribute ends: behind its `;`, or behind the brace that closes it.
fn item_end(code: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.iter().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *byte == b'}' {
                    return at + 1;
                }
            }
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn blank(out: &mut [u8], range: Range<usize>) {
    for byte in &mut out[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn blank_non_ascii(out: &mut [u8]) {
    for byte in out.iter_mut().filter(|byte| !byte.is_ascii()) {
        *byte = b' ';
    }
}

fn position(bytes: &[u8], found: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| found(byte)).unwrap_or(bytes.len())
}

fn utf8_len(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// A path in code (`std::time::Instant`), with where it starts. An import is there once per name that it imports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CodePath {
    /// The byte where it starts (an import: where the `use` does).
    pub offset: usize,
    /// Its segments.
    pub segments: Vec<String>,
}

impl CodePath {
    /// Whether these segments stand in it side by side.
    pub fn contains(&self, path: &str) -> bool {
        let wanted: Vec<&str> = path.split("::").collect();
        self.segments.windows(wanted.len()).any(|part| part == wanted)
    }
}

/// Every path in code that [`code`] or [`shipped`] made.
pub fn paths(code: &str) -> Vec<CodePath> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        at += path_len(&bytes[at..]);
        let path = &code[start..at];
        if path == "use" {
            let end = at + position(&bytes[at..], |b| b == b';');
            found.extend(imports(&code[at..end]).into_iter().map(|segments| CodePath { offset: start, segments }));
            at = end;
        } else {
            found.push(CodePath { offset: start, segments: path.split("::").map(str::to_owned).collect() });
        }
    }
    found
}

fn path_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += position(&bytes[at..], |b| !is_word(b));
        match &bytes[at..] {
            [b':', b':', next, ..] if is_word(*next) => at += 2,
            _ => return at,
        }
    }
}

/// What a `use` imports, each name on its own: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn imports(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim().trim_start_matches("::");
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        let segments: Vec<_> = path.split("::").map(|part| part.trim().to_owned()).filter(|s| !s.is_empty()).collect();
        return if segments.is_empty() { Vec::new() } else { vec![segments] };
    };
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    let branches = split_outside_braces(group);
    branches.iter().flat_map(|branch| imports(&format!("{}{}", head.trim(), branch.trim()))).collect()
}

fn split_outside_braces(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "let a = \"x.unwrap()\"; // y.unwrap()\nlet b = r#\"z\"unwrap()\"#; /* /* */ unwrap */ c('\\'', 'u', b'\\n');";
        let code = code(text);
        assert!(!code.contains("unwrap"), "{code}");
        assert!(code.contains("let b =") && code.contains("c("), "{code}");
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn lifetimes_are_code() {
        assert_eq!(code("fn f<'a>(x: &'a str) -> &'a str {}"), "fn f<'a>(x: &'a str) -> &'a str {}");
        assert_eq!(code("r#type"), "r#type");
    }

    #[test]
    fn tests_are_not_shipped() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { if c { } } }\n#[cfg(test)]\nuse d;\nfn e() {}";
        let shipped = shipped(text);
        let words: Vec<_> = shipped.split_whitespace().collect();
        assert_eq!(words, ["fn", "a()", "{}", "fn", "e()", "{}"]);
    }

    #[test]
    fn imports_are_paths_each_on_its_own() {
        let found = paths("use std::{net::{TcpStream, IpAddr as Ip}, time}; f(x::y::z::<u8>());");
        let text: Vec<_> = found.iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(text, ["std::net::TcpStream", "std::net::IpAddr", "std::time", "f", "x::y::z", "u8"]);
        assert!(found[0].contains("net::TcpStream"));
        assert!(!found[1].contains("net::Ip"));
    }
}
