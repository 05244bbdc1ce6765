//! The outbox: order, windows, going back, what is kept.

use super::*;

const CHAT: ConversationId = ConversationId::new([7; 16]);

/// An outbox, what it sends, and a clock.
struct Bench {
    outbox: Outbox,
    now: Duration,
    request: u64,
    entropy: Entropy,
}

impl Bench {
    fn new() -> Self {
        Self { outbox: Outbox::default(), now: Duration::ZERO, request: 0, entropy: Box::new(|bytes| bytes.fill(0xff)) }
    }

    fn compose(&mut self, names: &str) {
        for name in names.chars() {
            self.outbox.compose(CHAT, id(name), Content::text(name), 0);
        }
    }

    /// What goes out now: a letter per message, in upper case where it is marked as sent before.
    fn sends(&mut self) -> String {
        let mut sent = String::new();
        self.outbox.expire(self.now, &mut self.entropy);
        self.outbox.pump(self.now, |outgoing, attempt| {
            let name = outgoing.content.as_text().unwrap_or_default();
            sent += &if attempt == Attempt::Again { name.to_uppercase() } else { name.into() };
            self.request += 1;
            self.request
        });
        sent
    }

    fn accept(&mut self, names: &str) {
        names.chars().for_each(|name| drop(self.outbox.accepted(CHAT, id(name), self.now)));
    }

    fn fail(&mut self, name: char, request: u64, error: ProtocolError) -> Failure {
        self.outbox.failed(CHAT, id(name), request, &error, self.now, &mut self.entropy)
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }
}

fn id(name: char) -> MessageId {
    MessageId::v7(u64::from(name as u32), [0; 10])
}

fn unavailable(retry_after_ms: u32) -> ProtocolError {
    ProtocolError::retry(ErrorCode::Unavailable, "later", retry_after_ms)
}

#[test]
fn messages_go_out_in_order_a_window_at_a_time() {
    let mut bench = Bench::new();
    bench.compose("abcdefghijklmnopqrst");
    assert_eq!(bench.sends(), "abcdefghijklmnop");
    assert_eq!(bench.sends(), "");
    bench.accept("ab");
    assert_eq!(bench.sends(), "qr");
}

#[test]
fn an_error_that_passes_goes_back_to_the_first_unanswered_after_the_delay() {
    let mut bench = Bench::new();
    bench.compose("abcd");
    assert_eq!(bench.sends(), "abcd");
    bench.accept("a");
    assert_eq!(bench.fail('b', 2, unavailable(700)), Failure::WentBack);
    let go_back = || ProtocolError::new(ErrorCode::GoBack, "go back");
    assert_eq!(bench.fail('c', 3, go_back()), Failure::Stale, "it was given up with the first");
    bench.compose("e");
    bench.wait_ms(699);
    assert_eq!(bench.sends(), "");
    bench.wait_ms(1);
    assert_eq!(bench.sends(), "BCDe");
    assert_eq!(bench.fail('d', 4, go_back()), Failure::Stale, "an answer to the attempt before");
}

#[test]
fn an_error_that_stays_refuses_one_message_and_keeps_it() {
    let mut bench = Bench::new();
    bench.compose("ab");
    bench.sends();
    let forbidden = || ProtocolError::new(ErrorCode::Forbidden, "only admins");
    assert!(matches!(bench.fail('a', 1, forbidden()), Failure::Refused(_)));
    assert_eq!(bench.fail('b', 2, ProtocolError::new(ErrorCode::GoBack, "")), Failure::WentBack);
    bench.wait_ms(200);
    assert_eq!(bench.sends(), "B", "what is behind a refused message is not held up");
    bench.outbox.retry(CHAT, id('a'), id('z')).expect("a refused message can be retried");
    assert_eq!(bench.sends(), "A");
    assert!(!bench.outbox.discard(CHAT, id('a')), "what may be accepted is not discarded");
}

#[test]
fn a_conflicting_id_is_replaced_when_it_is_retried() {
    let mut bench = Bench::new();
    bench.compose("a");
    bench.sends();
    bench.fail('a', 1, ProtocolError::new(ErrorCode::Conflict, "taken"));
    let again = bench.outbox.retry(CHAT, id('a'), id('z')).expect("refused");
    assert_eq!(again.message, id('z'));
}

#[test]
fn without_an_answer_everything_unanswered_goes_out_again() {
    let mut bench = Bench::new();
    bench.compose("abc");
    bench.sends();
    bench.accept("a");
    bench.wait_ms(10_000);
    assert_eq!(bench.sends(), "", "after a timeout it waits a little");
    bench.wait_ms(200);
    assert_eq!(bench.sends(), "BC");
}

#[test]
fn an_accepted_message_without_its_entry_goes_out_again() {
    let mut bench = Bench::new();
    bench.compose("ab");
    bench.sends();
    bench.accept("ab");
    assert!(bench.outbox.sequenced(CHAT, id('b')));
    bench.wait_ms(29_999);
    assert_eq!(bench.sends(), "");
    bench.wait_ms(1);
    assert_eq!(bench.sends(), "A");
    bench.accept("a");
    assert_eq!(bench.sends(), "");
    assert!(bench.outbox.sequenced(CHAT, id('a')));
    assert_eq!((bench.outbox.iter().count(), bench.outbox.due()), (0, None));
}

#[test]
fn what_was_accepted_is_repeated_alone() {
    let mut bench = Bench::new();
    bench.compose("ab");
    bench.sends();
    bench.accept("ab");
    bench.wait_ms(25_000);
    bench.compose("c");
    assert_eq!(bench.sends(), "c");
    bench.wait_ms(5_000);
    bench.compose("d");
    assert_eq!(bench.sends(), "d", "while others are under way it waits");
    bench.accept("cd");
    bench.compose("e");
    assert_eq!(bench.sends(), "A", "while it is under way others wait");
    bench.accept("a");
    assert_eq!(bench.sends(), "B");
    bench.accept("b");
    assert_eq!(bench.sends(), "e");
}

#[test]
fn a_new_connection_sends_what_has_no_answer_and_waits_for_entries_of_the_rest() {
    let mut bench = Bench::new();
    bench.compose("abc");
    bench.sends();
    bench.accept("a");
    bench.outbox.disconnected();
    bench.compose("d");
    bench.wait_ms(60_000);
    bench.outbox.connected(bench.now);
    assert_eq!(bench.sends(), "BCd");
    bench.wait_ms(9_000);
    bench.accept("bcd");
    bench.wait_ms(21_000);
    assert_eq!(bench.sends(), "A");
}

#[test]
fn what_a_storage_gives_back_is_marked_and_in_order() {
    let mut bench = Bench::new();
    bench.compose("abc");
    let mut stored: Vec<_> = bench.outbox.iter().cloned().collect();
    stored.reverse();
    bench.outbox = Outbox::load(stored);
    bench.compose("d");
    assert_eq!(bench.sends(), "ABCd");
}

#[test]
fn a_server_that_waits_for_a_message_that_is_in_the_log_needs_another_connection() {
    let mut bench = Bench::new();
    bench.compose("ab");
    bench.sends();
    assert_eq!(bench.fail('a', 1, unavailable(100)), Failure::WentBack);
    assert!(bench.outbox.sequenced(CHAT, id('a')), "it landed although it failed");
    let go_back = || ProtocolError::retry(ErrorCode::GoBack, "go back", 100);
    bench.wait_ms(100);
    assert_eq!(bench.sends(), "B");
    assert_eq!(bench.fail('b', 3, go_back()), Failure::WentBack, "once is normal behind a refused message");
    bench.wait_ms(100);
    assert_eq!(bench.sends(), "B");
    assert_eq!(bench.fail('b', 4, go_back()), Failure::Stuck);
}

#[test]
fn internal_errors_refuse_a_message_in_the_end() {
    let mut bench = Bench::new();
    bench.compose("a");
    for attempt in 1..=INTERNAL_ERRORS_MAX {
        bench.wait_ms(60_000);
        bench.sends();
        let failure = bench.fail('a', bench.request, ProtocolError::new(ErrorCode::Internal, "a bug"));
        assert_eq!(matches!(failure, Failure::GivenUp(_)), attempt == INTERNAL_ERRORS_MAX, "attempt {attempt}");
    }
}

#[test]
fn a_refusal_after_acceptance_is_shown_and_an_entry_after_that_wins() {
    let mut bench = Bench::new();
    bench.compose("a");
    bench.sends();
    bench.accept("a");
    let lost = ProtocolError::new(ErrorCode::Forbidden, "removed meanwhile");
    assert!(bench.outbox.refused(CHAT, id('a'), &lost).is_some());
    assert!(bench.outbox.sequenced(CHAT, id('a')));
}

#[test]
fn what_is_overtaken_was_refused_and_is_not_sent_again() {
    let mut bench = Bench::new();
    bench.compose("abc");
    bench.sends();
    bench.accept("abc");
    let refused = bench.outbox.overtaken(CHAT, id('b'));
    assert_eq!(refused.iter().map(|outgoing| outgoing.message).collect::<Vec<_>>(), [id('a')]);
    assert!(bench.outbox.sequenced(CHAT, id('b')));
    assert!(bench.outbox.overtaken(CHAT, id('c')).is_empty(), "each is told once");
    bench.wait_ms(60_000);
    assert_eq!(bench.sends(), "C", "only what may still come is asked for");
}
