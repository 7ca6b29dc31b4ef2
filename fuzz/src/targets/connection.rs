//! Property: a connection has the outcome of the reference, for any pieces that its client sends or its socket takes.

use smolcast::Limits;
use smolcast::connection::memory::{Conversation, converse};

use super::shown;
use crate::reference::access::LISTS;
use crate::reference::connection::outcome;
use crate::steering::Steering;

/// Checks one input: the client's octets, then limits, lists, the size of writes and cuts.
pub fn hold(input: &[u8]) {
    let mut steering = Steering::new(input);
    let cuts = steering.cuts();
    let most_written = steering.positive(usize::MAX);
    let lists = LISTS[steering.choice() % LISTS.len()];
    let limits = limits(&mut steering);
    let (octets, access) = (steering.rest(), lists.access());
    let whole = without_dates(converse([octets], usize::MAX, &limits, &access));
    assert!(whole.is_over && whole.left_behind == 0, "left with {}, {}", shown_conversation(&whole), shown(octets));
    let expected = outcome(octets, &limits, &lists);
    if let Err(wrong) = expected.check(&whole) {
        panic!("{wrong}; expected {expected:?}, came to {}, for {}", shown_conversation(&whole), shown(octets));
    }
    let cut = without_dates(converse(cuts.pieces(octets), most_written, &limits, &access));
    assert!(
        cut == whole,
        "in pieces {}, whole {}, {}",
        shown_conversation(&cut),
        shown_conversation(&whole),
        shown(octets)
    );
}

fn limits(steering: &mut Steering<'_>) -> Limits {
    let limits = steering.head_limits();
    let limits = steering.body_limits(&limits);
    steering.connection_limits(&limits)
}

fn shown_conversation(conversation: &Conversation) -> String {
    let Conversation { sent, published, ended_first, is_over, left_behind } = conversation;
    let ends = format!("ended first {ended_first}, over {is_over}, left behind {left_behind}");
    format!("({ends}, sent {}, published {})", shown(sent), shown(published))
}

/// The conversation with one fixed date, because two may run in different seconds.
fn without_dates(mut conversation: Conversation) -> Conversation {
    const NAME: &[u8] = b"\r\nDate: ";
    const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
    let sent = &mut conversation.sent;
    for at in 0..sent.len() {
        if sent[at..].starts_with(NAME) {
            let dates = sent[at + NAME.len()..].iter_mut().take(LENGTH);
            dates.zip(b"Sun, 06 Nov 1994 08:49:37 GMT").for_each(|(octet, other)| *octet = *other);
        }
    }
    conversation
}
