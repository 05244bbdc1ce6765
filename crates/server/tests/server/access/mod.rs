//! Who may do what: every command, given by everybody, is answered as the table in `access.md` says.
//!
//! The table is for people who review; this reads it, and gives each command to a real server over both ways in.

mod asks;
mod scene;
mod table;

use futures_util::stream::{self, StreamExt as _};
use hudhud_proto::command::{self, COMMANDS};
use scene::{Actor, House, Scene};
use std::collections::BTreeSet;
use table::{Over, Row};

/// Scenes that are played at once.
const SCENES_AT_ONCE: usize = 8;

/// A command that is not in the table does not get past this test, nor does a row of a command that is not there.
#[test]
fn every_command_has_its_rows() {
    let rows = table::read();
    let in_table: BTreeSet<_> = rows.iter().map(|row| row.command.as_str()).collect();
    for info in COMMANDS {
        assert!(
            in_table.contains(info.name),
            "{0} has no row. Who may give it? Add a row to crates/server/tests/server/access.md (the answers of the eight \
             columns), and to crates/server/tests/server/access/asks.rs what {0} asks for in it.",
            info.name
        );
    }
    for name in in_table {
        assert!(command::find(name).is_some(), "access.md has a row for {name}, and there is no such command");
    }
}

/// Both ways in, each row in a scene of its own: what one row changes is not seen by another.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_answered_as_the_table_says() {
    let house = House::open().await;
    let rows = table::read();
    let played = rows.iter().enumerate().flat_map(|(n, row)| {
        let house = &house;
        row.ways.iter().map(move |over| async move { play(house, n, row, *over).await })
    });
    // Collected: a lazy iterator over borrows hides from the compiler that this future can move between threads.
    let played: Vec<_> = played.collect();
    let wrong: Vec<String> =
        stream::iter(played).buffered(SCENES_AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(
        wrong.is_empty(),
        "{} rows of crates/server/tests/server/access.md are not what the server answers:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    house.close().await;
}

/// Gives a row's command as everybody, and says what was answered otherwise than the row does.
async fn play(house: &House, n: usize, row: &Row, over: Over) -> Option<String> {
    let scene = Scene::make(house, &format!("{}{n}", over.letter())).await;
    let mut answers = Vec::new();
    for actor in Actor::ALL {
        let ask = asks::ask(&scene, &row.command, &row.case, actor).await;
        answers.push(scene.give(actor, over, &row.command, ask, n).await);
    }
    let wrong: Vec<_> = Actor::ALL
        .iter()
        .zip(&row.answers)
        .zip(&answers)
        .filter(|((_, expected), answer)| expected != answer)
        .map(|((actor, expected), answer)| format!("  {actor:?} over {over:?}: {answer}, the table says {expected}"))
        .collect();
    (!wrong.is_empty()).then(|| {
        let cells: String = answers.iter().map(|answer| format!(" {answer} |")).collect();
        format!("{} ({}):\n{}\n  in fact:{cells}", row.command, row.case, wrong.join("\n"))
    })
}
