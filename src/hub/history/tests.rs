//! A history without a clock of its own: resume points, bounds, ages and gaps.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::event::topic::Topics;

const BOUNDS: Retention = Retention { events: 3, bytes: usize::MAX, age: Duration::MAX };

fn event(uptime: u64, text: &str, own_id: Option<&str>, topics: &[&str]) -> StoredEvent {
    let topics = Topics::parse(topics.iter().copied()).expect("topics");
    StoredEvent { uptime, own_id: own_id.map(Arc::from), message: Message { frame: Frame::message(text), topics } }
}

fn push(history: &mut History, at: u64, text: &str, own_id: Option<&str>, topics: &[&str]) {
    history.push(event(at, text, own_id, topics), at);
}

/// Restores events of a server, each with its number as its data.
fn restore(history: &mut History, boot: u128, started_at: u64, numbers: &[u64], is_behind_gap: bool) {
    for (index, number) in numbers.iter().enumerate() {
        let stamp = Stamp { boot: Boot::from_number(boot), started_at, uptime: *number, number: *number };
        let event = event(*number, &format!("{boot}-{number}"), None, &[]);
        history.restore(stamp, is_behind_gap && index == 0, event);
    }
}

/// An empty history of the server with boot 7, which started at time 0.
fn empty(bounds: Retention) -> History {
    let mut history = History::of_earlier(bounds);
    history.start(Boot::from_number(7), 0, false);
    history
}

fn with(bounds: Retention, texts: &[&str]) -> History {
    let mut history = empty(bounds);
    texts.iter().for_each(|text| push(&mut history, 0, text, None, &[]));
    history
}

fn filter_set(filters: &[&str]) -> FilterSet {
    FilterSet::parse(filters.iter().copied()).expect("filters")
}

fn read(history: &History, cursor: &mut Cursor, filters: &[&str]) -> String {
    let mut out = Vec::new();
    loop {
        assert!(history.read(cursor, u64::MAX, &filter_set(filters), usize::MAX, &mut out).is_none());
        if cursor.gap != Gap::Due {
            return String::from_utf8(out).expect("text").replace("data: ", "").replace("\n\n", " ");
        }
        out.extend_from_slice(b"gap ");
        cursor.gap = Gap::Told;
    }
}

fn resumed(history: &History, id: &str) -> (String, bool) {
    let mut cursor = history.resume(id);
    let has_gap = cursor.gap == Gap::Due;
    (read(history, &mut cursor, &[]), has_gap)
}

#[test]
fn a_client_resumes_behind_its_id_or_behind_a_gap() {
    let history = with(BOUNDS, &["1", "2", "3", "4"]);
    for (id, expected, has_gap) in [
        ("7-4", "", false),
        ("7-3", "4 ", false),
        ("7-2", "3 4 ", false),
        ("7-1", "2 3 4 ", false),
        ("earliest", "2 3 4 ", false),
        ("7-0", "gap 2 3 4 ", true),
        ("7-5", "gap 2 3 4 ", true),
        ("6-3", "gap 2 3 4 ", true),
        ("7-03", "gap 2 3 4 ", true),
        ("", "gap 2 3 4 ", true),
        ("x", "gap 2 3 4 ", true),
    ] {
        assert_eq!(resumed(&history, id), (expected.to_owned(), has_gap), "for {id:?}");
    }
    assert_eq!((history.oldest_id(), history.next_id()), (Some("7-2".to_owned()), "7-5".to_owned()));
}

#[test]
fn a_client_that_came_before_the_first_event_gets_it() {
    let mut history = empty(BOUNDS);
    assert_eq!(history.covering_id(0), "7-0");
    assert_eq!(resumed(&history, "7-0"), (String::new(), false));
    ["1", "2", "3"].iter().for_each(|text| push(&mut history, 0, text, None, &[]));
    assert_eq!(resumed(&history, "7-0"), ("1 2 3 ".to_owned(), false));
    push(&mut history, 0, "4", None, &[]);
    assert_eq!(resumed(&history, "7-0"), ("gap 2 3 4 ".to_owned(), true), "the first is gone");
    assert_eq!(resumed(&history, &history.covering_id(0)), ("gap 2 3 4 ".to_owned(), true));
    assert_eq!(resumed(&history, &history.covering_id(1)), ("2 3 4 ".to_owned(), false));
}

#[test]
fn ids_of_held_events_and_of_this_server_are_taken() {
    let mut history = after_losses(Retention { events: 7, ..BOUNDS });
    push(&mut history, 0, "x", Some("own"), &[]);
    for (id, expected) in [
        ("own", true),
        ("Own", false),
        ("3-2", true),
        ("3-3", false),
        ("5-5", true),
        ("7-0", true),
        ("7-1", true),
        ("7-9", true),
        ("8-1", false),
        ("x", false),
    ] {
        assert_eq!(history.is_taken(id), expected, "{id}");
    }
    (0..8).for_each(|_| push(&mut history, 0, "y", None, &[]));
    assert_eq!((history.is_taken("own"), history.is_taken("3-2")), (false, false), "both are gone");
}

#[test]
fn an_id_given_twice_names_the_newest_event() {
    let mut history = with(BOUNDS, &["1"]);
    push(&mut history, 0, "2", Some("a"), &[]);
    push(&mut history, 0, "3", Some("a"), &[]);
    assert_eq!(resumed(&history, "a"), (String::new(), false));
    assert_eq!(resumed(&history, "7-2"), ("gap 1 2 3 ".to_owned(), true), "that event has its publisher's id");
    push(&mut history, 0, "4", None, &[]);
    push(&mut history, 0, "5", None, &[]);
    assert_eq!(resumed(&history, "a"), ("4 5 ".to_owned(), false));
    push(&mut history, 0, "6", None, &[]);
    assert_eq!(resumed(&history, "a"), ("4 5 6 ".to_owned(), false), "it is the last that went");
    push(&mut history, 0, "7", None, &[]);
    assert_eq!(resumed(&history, "a"), ("gap 5 6 7 ".to_owned(), true), "it is gone");
    assert!(history.own_ids.is_empty());
}

#[test]
fn each_bound_holds() {
    let cost = with(BOUNDS, &["1"]).cost;
    let few_bytes = with(Retention { bytes: 2 * cost, ..BOUNDS }, &["1", "2", "3"]);
    assert_eq!((few_bytes.oldest_id(), few_bytes.cost), (Some("7-2".to_owned()), 2 * cost));
    let mut short = empty(Retention { age: Duration::from_millis(10), ..BOUNDS });
    push(&mut short, 0, "1", None, &[]);
    push(&mut short, 5, "2", None, &[]);
    short.expire(10);
    assert_eq!(short.oldest_id(), Some("7-1".to_owned()));
    short.expire(11);
    assert_eq!(short.oldest_id(), Some("7-2".to_owned()));
    short.expire(1000);
    assert_eq!((short.oldest_id(), short.cost), (None, 0));
    assert_eq!(resumed(&short, "7-2"), (String::new(), false), "nothing is missing behind the last");
}

#[test]
fn an_overtaken_cursor_has_a_gap() {
    let mut history = with(BOUNDS, &["1", "2", "3"]);
    let mut cursor = history.resume("7-1");
    (4..=6).for_each(|number| push(&mut history, 0, &number.to_string(), None, &[]));
    assert_eq!(read(&history, &mut cursor, &[]), "gap 4 5 6 ");
    assert_eq!(cursor, Cursor { after: 6, gap: Gap::None });
    assert_eq!(history.first_id(4, &filter_set(&[])), Some("7-5".to_owned()));
}

/// Servers 3, 5 and 5 again after a loss came before server 7. What 3 published last is lost as well.
fn after_losses(bounds: Retention) -> History {
    let mut history = History::of_earlier(bounds);
    restore(&mut history, 3, 100, &[1, 2], false);
    restore(&mut history, 5, 200, &[1, 2], true);
    restore(&mut history, 5, 200, &[6], true);
    history.start(Boot::from_number(7), 300, true);
    history
}

#[test]
fn a_client_is_told_of_each_gap_that_it_reads_across() {
    let mut history = after_losses(Retention { events: 9, ..BOUNDS });
    let rest = "gap 5-1 5-2 gap 5-6 gap ";
    for (id, expected) in [
        ("earliest", format!("3-1 3-2 {rest}")),
        ("3-1", format!("3-2 {rest}")),
        ("3-2", rest.to_owned()),
        ("5-2", "gap 5-6 gap ".to_owned()),
        ("5-6", "gap ".to_owned()),
        ("3-0", format!("3-1 3-2 {rest}")),
        ("5-0", "5-1 5-2 gap 5-6 gap ".to_owned()),
        ("5-5", "5-6 gap ".to_owned()),
        ("7-0", String::new()),
        ("5-3", format!("gap 3-1 3-2 {rest}")),
        ("3-3", format!("gap 3-1 3-2 {rest}")),
        ("7-1", format!("gap 3-1 3-2 {rest}")),
    ] {
        assert_eq!(resumed(&history, id).0, expected, "for {id}");
    }
    let ids: Vec<_> = (0..=5).map(|position| history.covering_id(position)).collect();
    assert_eq!(ids, ["3-0", "3-1", "5-0", "5-1", "5-5", "7-0"], "a client with them knows of the gaps behind them");
    assert_eq!((history.restored, history.position()), (5, 0));
    push(&mut history, 0, "7-1", None, &[]);
    assert_eq!(resumed(&history, "5-6"), ("gap 7-1 ".to_owned(), false));
    assert_eq!(resumed(&history, "7-1"), (String::new(), false));
    assert_eq!(history.runs.len(), 4);
}

#[test]
fn runs_go_with_their_events() {
    let mut history = after_losses(Retention { events: 2, ..BOUNDS });
    assert_eq!(resumed(&history, "5-1"), ("5-2 gap 5-6 gap ".to_owned(), false), "the last that went");
    (1..=3).for_each(|number| push(&mut history, 0, &format!("7-{number}"), None, &[]));
    assert_eq!(history.runs.len(), 1, "only this server's");
    assert_eq!(resumed(&history, "earliest"), ("7-2 7-3 ".to_owned(), false));
    let (held, last) = history.held_behind(0, 1);
    assert_eq!((held.len(), last, held[0].stamp.number), (1, history.gone + 1, 2));
}

#[test]
fn what_is_written_again_is_what_was_restored() {
    let history = after_losses(Retention { events: 9, ..BOUNDS });
    let mut again = History::of_earlier(history.retention);
    let (held, last) = history.held_behind(0, usize::MAX);
    for HeldEvent { stamp, is_behind_gap, event } in held {
        again.restore(stamp, is_behind_gap, event);
    }
    again.start(Boot::from_number(7), 300, true);
    assert_eq!(last, 5);
    assert_eq!(format!("{again:?}"), format!("{history:?}"));
}

/// A server whose clock was far behind, and one whose clock was ahead, came before.
#[test]
fn ages_follow_a_clock_that_is_put_forward() {
    let mut history = History::of_earlier(Retention { age: Duration::from_millis(50), ..BOUNDS });
    restore(&mut history, 3, 100, &[1], false);
    history.correct_start(Boot::from_number(3), 990);
    restore(&mut history, 5, 2000, &[1], false);
    history.start(Boot::from_number(7), 1000, false);
    assert_eq!(history.stats(1000), (2, history.cost, Some(9)), "it was corrected before its age counted");
    history.expire(1042);
    assert_eq!(history.oldest_id(), Some("5-1".to_owned()));
    push(&mut history, 60, "x", None, &[]);
    history.correct_start(Boot::from_number(7), 5000);
    history.expire(5110);
    assert_eq!(history.oldest_id(), Some("7-1".to_owned()), "its age is counted from the corrected start");
    history.expire(5111);
    assert_eq!(history.oldest_id(), None);
}

#[test]
fn boots_grow_even_if_the_clock_goes_back() {
    let mut history = History::of_earlier(BOUNDS);
    let earlier = Boot::starting_at(2000);
    history.restore(Stamp { boot: earlier, number: 1, ..Stamp::default() }, false, event(0, "x", None, &[]));
    history.start(Boot::starting_at(1000), 1000, false);
    assert!(history.next_place(0).stamp.boot > earlier);
    assert_eq!(history.next_id(), history.next_place(0).stamp.boot.id(1));
}

#[test]
fn topics_and_ids_are_counted() {
    let long = "t".repeat(200);
    let topics: Vec<_> = (0..16).map(|number| format!("{long}{number}")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    let (plain, full) = (event(0, "x", None, &[]).cost(), event(0, "x", Some(&long), &topics).cost());
    assert!(full - plain > 17 * 200 + 16 * 16, "{plain} and {full}");
}

proptest! {
    /// Compares with a plain list, for any topics, bounds, resume point and portions.
    #[test]
    fn reads_agree_with_a_list(
        topics in prop::collection::vec(0_usize..3, 1..20),
        own in prop::collection::vec(any::<bool>(), 20),
        most in 1_usize..25,
        filters in prop::sample::subsequence(vec!["a", "b"], 0..=2),
        resume in 0_usize..22,
        portion in 1_usize..40,
    ) {
        let mut history = empty(Retention { events: most, ..BOUNDS });
        let mut all = Vec::new();
        for (number, topic) in topics.iter().enumerate() {
            let id = if own[number] { format!("own{number}") } else { history.next_id() };
            let topics: &[&str] = [&[][..], &["a"], &["b"]][*topic];
            push(&mut history, 0, &number.to_string(), own[number].then_some(&id), topics);
            all.push((id, number, topics.first().is_none_or(|topic| filters.contains(topic))));
        }
        let held = &all[all.len().saturating_sub(most)..];
        let id = all.get(resume).map_or("none".to_owned(), |(id, ..)| id.clone());
        let behind = held.iter().position(|(held, ..)| *held == id).map(|index| index + 1);
        let expected: String = held[behind.unwrap_or(0)..]
            .iter()
            .filter(|(.., wanted)| *wanted)
            .map(|(_, number, _)| format!("data: {number}\n\n"))
            .collect();

        let mut cursor = history.resume(&id);
        let is_last_gone = resume + most + 1 == all.len();
        prop_assert_eq!(cursor.gap == Gap::Due, behind.is_none() && !is_last_gone);
        cursor.gap = Gap::Told;
        let mut read = Vec::new();
        loop {
            let (before, mut out) = (cursor, Vec::new());
            let long = history.read(&mut cursor, history.newest(), &filter_set(&filters), portion, &mut out);
            read.extend(out);
            read.extend(long.iter().flat_map(|frame| frame.as_bytes()));
            if cursor == before {
                break;
            }
        }
        prop_assert_eq!(String::from_utf8(read).expect("text"), expected);

        for position in 0..=history.newest() {
            let cursor = history.resume(&history.covering_id(position));
            let is_known = cursor.after == position && cursor.gap != Gap::Due;
            prop_assert_eq!(is_known, position >= history.gone, "{} of {}", position, all.len());
            prop_assert!(is_known || cursor.gap == Gap::Due);
        }
    }
}
