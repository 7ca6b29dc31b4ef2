//! The live page in a real browser: its figures move, and its buttons work.
//!
//! `admin.mjs` clicks and types; this file has the server, the streams and their fate. Pictures of the page are written
//! to `target/admin-page.png` and `target/admin-page-phone.png`.

use std::path::Path;

use support::{EventStream, Served};

use crate::Program;
use crate::chromium::Chromium;
use crate::hand::Hand;

/// Limits that keep a stalled stream open, however long the browser needs.
const FLAGS: [&str; 6] = ["--admin", "127.0.0.1:0", "--max-lag", "64m", "--write-timeout", "10m"];

/// More messages than the system buffers for a stalled stream.
const MESSAGES: usize = 128;
const MESSAGE_BYTES: usize = 64 * 1024;

/// A stream that reads nothing, with more to send than the system buffers.
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
fn the_live_page_shows_and_controls_the_server() {
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

    // First by mouse, then by keyboard alone.
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
