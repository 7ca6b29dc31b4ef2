//! Messages from a page to itself, through a server of another origin.

use support::Served;
use support::bodies::BODIES;

use crate::Program;
use crate::chromium::Chromium;
use crate::page::{OPEN, Page};
use crate::site::Site;

#[test]
#[ignore = "it needs a browser"]
fn a_page_of_another_origin_receives_what_it_publishes_intact() {
    let Some(chromium) = Chromium::find("delivery") else { return };
    let program = Program::start(&[]);
    let _others = [program.stream(), program.stream()];
    let long = "a line of many\n".repeat(20_000);
    let messages: Vec<_> = BODIES.into_iter().chain([(long.as_str(), long.as_str())]).collect();
    // Rust's debug form of these strings is valid JavaScript.
    let bodies: Vec<_> = messages.iter().map(|(published, _)| published).collect();
    let script = format!(
        r#"
const server = "http://{}";
watch(server).addEventListener("open", async () => {{
  tell("count", await count(server));
  for (const body of {bodies:?}) tell("answer", (await publish(server, body)).status);
}});
"#,
        program.addr
    );
    let mut page = Page::open(chromium, Site::bind(), &script);
    assert_eq!(page.expect("open").ready, OPEN);
    assert_eq!(page.expect("count").data, "3", "the page's own and two more");
    for (published, received) in messages {
        assert_eq!(page.expect("answer").data, "202", "for {published:?}");
        assert_eq!(page.expect("message").data, received, "of {published:?}");
    }
    assert_eq!((page.others("open"), page.others("error")), (0, 0), "one stream carries it all");
    drop(page);
    program.wait_for_count(2);
}
