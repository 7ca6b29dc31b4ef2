//! The page of `/` in a real browser: it shows the stream, and publishes.
//!
//! `front.mjs` reads and types; this file has the server and another stream.

use support::Served;

use crate::Program;
use crate::chromium::Chromium;
use crate::hand::Hand;

#[test]
#[ignore = "it needs a browser, Node and npm"]
fn the_front_page_shows_the_stream_and_publishes() {
    const TEST: &str = "the front page";
    let Some(chromium) = Chromium::find(TEST) else { return };
    let program = Program::start(&[]);
    let url = format!("http://{}/", program.addr);
    let Some(mut hand) = Hand::start(TEST, chromium, include_str!("front.mjs"), &[&url]) else { return };
    let mut stream = program.stream();
    hand.expect("connected");
    assert_eq!(program.count(), 2, "the page's stream, and another");
    program.publish("<b>a</b>\nb");
    hand.expect("shown");
    hand.expect("published");
    stream.expect(b"data: <b>a</b>\ndata: b\n\ndata: by hand\n\n");
}
