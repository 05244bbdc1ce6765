//! The 19 steps of a message's way are marked where they happen, and ARCHITECTURE.md leads there.

use crate::none_of;
use hudhud_tools::markdown;
use hudhud_tools::workspace::{self, File};
use std::collections::BTreeMap;

const STEPS: u32 = 19;

/// Where each mark stands. A mark is a line of its own: `// Flow 07: <what happens>.`
fn marks() -> BTreeMap<u32, Vec<(File, usize)>> {
    let mut marks = BTreeMap::<u32, Vec<_>>::new();
    for file in workspace::files("crates", ".rs").into_iter().filter(|file| !file.is_test()) {
        let mut offset = 0;
        for line in file.text.split_inclusive('\n') {
            let mark = line.trim_start().strip_prefix("// Flow ").and_then(|rest| rest.split_once(": "));
            if let Some((number, _)) = mark
                && let Ok(number) = number.parse()
            {
                marks.entry(number).or_default().push((file.clone(), offset));
            }
            offset += line.len();
        }
    }
    marks
}

#[test]
fn every_step_is_marked_once() {
    let marks = marks();
    let mut wrong = Vec::new();
    for step in 1..=STEPS {
        match marks.get(&step).map_or(&[][..], Vec::as_slice) {
            [_] => {}
            [] => wrong.push(format!("no line is marked `// Flow {step:02}: …`")),
            many => {
                wrong.extend(
                    many.iter().map(|(file, offset)| format!("{}: one of several Flow {step:02}", file.at(*offset))),
                );
            }
        }
    }
    let beyond = marks.range(STEPS + 1..).flat_map(|(step, places)| places.iter().map(move |place| (step, place)));
    wrong.extend(beyond.map(|(step, (file, offset))| format!("{}: there is no step {step}", file.at(*offset))));
    none_of(
        wrong,
        "Each of the 19 steps is marked at the one line that does it. Moved code takes its mark along; a changed order of the \
         steps needs a decision record.",
    );
}

#[test]
fn the_map_leads_to_every_mark() {
    let page = workspace::files("", "ARCHITECTURE.md").into_iter().find(|file| file.path == "ARCHITECTURE.md");
    let page = page.expect("ARCHITECTURE.md is in the workspace's folder").text;
    let mut wrong = Vec::new();
    for (step, places) in marks() {
        let targets: Vec<_> = markdown::links(&item(&page, step)).into_iter().map(|(_, target)| target).collect();
        for (file, offset) in places {
            if !targets.contains(&file.path) {
                wrong.push(format!("{}: item {step} of ARCHITECTURE.md links to {targets:?}", file.at(offset)));
            }
        }
    }
    none_of(
        wrong,
        "Point the item's link in ARCHITECTURE.md, section \"The way of a message\", to the file with the mark.",
    );
}

/// An item of a numbered list, with the lines that belong to it.
fn item(page: &str, number: u32) -> String {
    let mut lines = page.lines().skip_while(|line| !line.starts_with(&format!("{number}. ")));
    let first = lines.next().into_iter();
    first.chain(lines.take_while(|line| line.starts_with(' '))).collect::<Vec<_>>().join("\n")
}
