//! A list of origins: the browser lets a listed page read responses, and no other page.

use support::Served;

use crate::Program;
use crate::chromium::Chromium;
use crate::page::{CLOSED, OPEN, Page};
use crate::site::Site;

/// Counts streams, publishes, and publishes without reading the response, once the stream is open or has failed.
fn script(program: &Program) -> String {
    let script = r#"
const server = "http://SERVER";
const outcome = (what, work) => work.then((value) => tell(what, value), (error) => tell(what, error.name));
const act = async () => {
  await outcome("count", count(server));
  await outcome("answer", publish(server, "readable").then((answer) => answer.status));
  await outcome("blind", publish(server, "blind", { mode: "no-cors" }).then((answer) => answer.type));
};
const source = watch(server);
source.addEventListener("open", act, { once: true });
source.addEventListener("error", act, { once: true });
"#;
    script.replace("SERVER", &program.addr.to_string())
}

#[test]
#[ignore = "it needs a browser"]
fn a_listed_page_alone_reads_and_publishes() {
    let Some(chromium) = Chromium::find("origins") else { return };
    let (listed, other) = (Site::bind(), Site::bind());
    let program = Program::start(&["--allow-origin", "https://app.example", "--allow-origin", &listed.origin()]);
    let mut witness = program.stream();

    let mut page = Page::open(chromium, listed, &script(&program));
    assert_eq!(page.expect("open").ready, OPEN);
    assert_eq!(page.expect("count").data, "2");
    assert_eq!(page.expect("answer").data, "202");
    assert_eq!(page.expect("blind").data, "opaque");
    for message in ["readable", "blind"] {
        assert_eq!(page.expect("message").data, message);
        witness.expect_data(message);
    }
    assert_eq!(page.others("error"), 0);
    drop(page);
    program.wait_for_count(1);

    let mut page = Page::open(chromium, other, &script(&program));
    assert_eq!(page.expect("error").ready, CLOSED, "a stream that may not be read is given up");
    assert_eq!(page.expect("count").data, "TypeError", "as a fetch fails whose answer may not be read");
    assert_eq!(page.expect("answer").data, "TypeError");
    // The page cannot read the outcome of this one; the witness can.
    assert_eq!(page.expect("blind").data, "opaque");
    program.wait_for_count(1);
    program.publish("by no page");
    witness.expect_data("by no page");
    assert_eq!((page.others("open"), page.others("message")), (0, 0));
}
