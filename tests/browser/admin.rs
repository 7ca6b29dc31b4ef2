//! The live page in a real browser: what it shows moves, and what a person does on it is done.
//!
//! The hand is `admin.mjs`; here is the server, the streams that it sees, and what became of them. Pictures of the page
//! are written to `target/admin-page.png` and `target/admin-page-phone.png`, for who wants to look.

use std::path::Path;

use crate::chromium::Chromium;
use crate::hand::Hand;
use crate::support::{EventStream, Program, Served};

/// Room enough that a stream that takes nothing stays open, however long the browser needs.
const FLAGS: [&str; 6] = ["--admin", "127.0.0.1:0", "--max-lag", "64m", "--write-timeout", "10m"];

/// More than the system holds for a stream that takes nothing.
const MESSAGES: usize = 128;
const MESSAGE_BYTES: usize = 64 * 1024;

/// A stream that takes nothing while there is more for it than fits on the way.
#[track_caller]
fn stalled(program: &Program) -> EventStream {
    let stream = EventStream::open_tight(program.connect());
    let message = vec![b'x'; MESSAGE_BYTES];
    for _ in 0..MESSAGES {
        program.publish(&message);
    }
    stream
}

#[test]
#[ignore = "it needs a browser, Node and npm"]
fn the_live_page_shows_what_happens_and_does_what_it_is_told() {
    const TEST: &str = "the live page";
    let Some(chromium) = Chromium::find(TEST) else { return };
    let program = Program::start(&FLAGS);
    let url = program.admin().to_string();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let pictures = pictures.to_str().expect("the path is UTF-8");
    let Some(mut hand) = Hand::start(TEST, chromium, include_str!("admin.mjs"), &[&url, pictures]) else { return };
    let mut stream = program.stream();
    hand.expect("ready");
    hand.expect("one stream");

    // By the mouse, then by keys alone.
    hand.expect("published");
    stream.expect(b"data: by hand\n\n");
    hand.expect("published");
    stream.expect(b"event: greeting\ndata: by keys\ndata: <b>alone</b>\n\n");
    hand.expect("two messages");
    hand.expect("refused");
    drop(stream);
    program.wait_for_count(0);

    let mut slow = stalled(&program);
    let peer = slow.client().socket().local_addr().expect("it is connected");
    hand.tell(&peer.to_string());
    hand.expect("listed");
    assert_eq!(program.count(), 1);
    hand.tell("disconnect it");
    hand.expect("disconnected");
    program.wait_for_count(0);
    slow.rest_and_end();

    hand.expect("nothing else was asked for, and nothing failed");
    drop(program.kill());
    hand.expect("lost");
    let port = url.trim_end_matches('/').rsplit(':').next().expect("it has a port");
    let admin = format!("127.0.0.1:{port}");
    let variables = [("SMOLCAST_PORT", "0"), ("SMOLCAST_ADMIN", &*admin), ("SMOLCAST_HISTORY", "10")];
    let _again = Program::start_without_flags(&variables);
    hand.expect("back");
    hand.expect("with an id");
}
