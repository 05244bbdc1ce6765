//! Links and headings of Markdown, as far as our own pages use them.

/// The targets of all links and images of a page, with the byte where each stands. Code is passed over.
pub fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, line) in prose(text) {
        let mut code = false;
        for (at, c) in line.char_indices() {
            code ^= c == '`';
            if code {
                continue;
            }
            let target = match &line[at..] {
                rest if rest.starts_with("](") => rest[2..].split(')').next(),
                rest if at == 0 && rest.starts_with('[') => rest.split_once("]: ").map(|(_, target)| target.trim()),
                _ => None,
            };
            let target = target.and_then(|target| target.split_whitespace().next());
            found.extend(target.map(|target| (start + at, target.to_owned())));
        }
    }
    found
}

/// The anchors that a page's headings make, as code hosts make them: lower case, spaces to hyphens, punctuation gone.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim().to_lowercase())
    });
    let keep = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|title| title.chars().filter(keep).map(|c| if c == ' ' { '-' } else { c }).collect()).collect()
}

/// The lines outside of fenced code, each with where it starts.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let (mut start, mut fenced, mut lines) = (0, false, Vec::new());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_end();
        if trimmed.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((start, trimmed));
        }
        start += line.len();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code() {
        let text =
            "See … [a](docs/a.md#b) and ![p](p.svg \"t\").\n`[no](no)`\n```\n[no](no)\n```\n[r]: https://x.org\n";
        let targets: Vec<_> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["docs/a.md#b", "p.svg", "https://x.org"]);
    }

    #[test]
    fn headings_make_anchors() {
        assert_eq!(anchors("# What's `this`?\ntext\n## Two words\n"), ["whats-this", "two-words"]);
    }
}
