use super::*;

const HERE: ConversationId = ConversationId::new([1; 16]);

fn handle_of(text: &str) -> Handle {
    text.parse().expect("a handle")
}

#[test]
fn every_command_is_understood() {
    let check = |line: &str, typed: Typed| assert_eq!(parse(line, Some(HERE)), Ok(typed), "{line}");
    let act = |line: &str, act: Act| check(line, Typed::Act(act));
    let (group, alice) = (HERE, || handle_of("alice"));
    check("", Typed::Nothing);
    check("   ", Typed::Nothing);
    check("hello", Typed::Text("hello".into()));
    check("//shrug", Typed::Text("/shrug".into()));
    check("/dm @Alice", Typed::Direct(alice()));
    check("/help", Typed::Help);
    check("/quit", Typed::Quit);
    act("/add alice @bob", Act::Add { group, members: vec![alice(), handle_of("bob")] });
    act("/remove alice", Act::Remove { group, member: alice() });
    act("/leave", Act::Leave { group });
    act("/rename  Two words ", Act::Rename { group, title: "Two words".into() });
    act("/announce on", Act::Announce { group, announce: v1::Switch::On });
    act("/role alice admin", Act::Role { group, member: alice(), role: v1::Role::Admin });
    act("/invite", Act::Invite { group });
    act("/join abc", Act::Join { code: "abc".into() });
    act("/who", Act::Members { conversation: HERE });
    act("/block alice", Act::Block(alice()));
    act("/unblock alice", Act::Unblock(alice()));
    let report = |who, conversation, category, text: &str| {
        let text = text.to_owned();
        Act::Report { who, conversation, seqs: Vec::new(), category, text }
    };
    act("/report spam they sell", report(None, Some(HERE), v1::ReportCategory::Spam, "they sell"));
    act("/report @alice abuse", report(Some(alice()), None, v1::ReportCategory::Abuse, ""));
    act("/privacy", Act::Privacy);
    let online = v1::Privacy { online: v1::Audience::Contacts.into(), ..v1::Privacy::default() };
    act("/privacy online contacts", Act::SetPrivacy(online));
    act("/devices", Act::Devices);
    act("/retry", Act::Retry { conversation: HERE, message: None });
    act("/offline", Act::Offline);
    act("/logout", Act::LogOut);
}

#[test]
fn a_title_ends_where_the_handles_begin() {
    let check = |line: &str, title: &str, members: &[&str]| {
        let members = members.iter().map(|handle| handle_of(handle)).collect();
        let group = Act::CreateGroup { title: title.into(), members, announce: v1::Switch::Unspecified };
        assert_eq!(parse(line, None), Ok(Typed::Act(group)), "{line}");
    };
    check("/group Book club @alice @bob", "Book club", &["alice", "bob"]);
    check("/group Books alice bob", "Books", &["alice", "bob"]);
    check("/group Books", "Books", &[]);
}

#[test]
fn an_error_says_what_to_type() {
    let check = |line: &str, open, says: &str| {
        let error = parse(line, open).expect_err(line);
        assert!(error.contains(says), "{line}: {error}");
    };
    check("/nonsense", Some(HERE), "/help");
    check("/add alice", None, "/dm alice");
    check("/add", Some(HERE), "/add @alice @bob");
    check("/group", Some(HERE), "/group Book club");
    check("/group @alice", Some(HERE), "/group Book club");
    check("/dm a!", Some(HERE), "3 to 32");
    check("/role alice king", Some(HERE), "/role @alice admin");
    check("/report they sell", Some(HERE), "/report spam");
    check("/report spam", None, "/dm alice");
    check("/privacy online dogs", Some(HERE), "everyone|contacts|nobody");
    check("/devices remove x", Some(HERE), "/devices remove ID");
}
