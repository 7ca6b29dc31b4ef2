//! A publish token: a page of a listed origin sends it by `fetch`, a page of another origin cannot.

use support::Served;

use crate::Program;
use crate::chromium::Chromium;
use crate::page::{OPEN, Page};
use crate::site::Site;

const TOKEN: &str = "c2VjcmV0IG9mIGEgcGFnZQ==";

/// Publishes with the token and a field that needs a preflight, then with a wrong token, then with none.
fn script(program: &Program) -> String {
    let script = r#"
const server = "http://SERVER";
const outcome = (what, work) => work.then((value) => tell(what, value), (error) => tell(what, error.name));
const bearer = (token) => ({ headers: { Authorization: `Bearer ${token}`, "Event-Id": "7" } });
const act = async () => {
  await outcome("shown", publish(server, "shown", bearer("TOKEN")).then((answer) => answer.status));
  await outcome("wrong", publish(server, "wrong", bearer("x")).then((answer) => answer.status));
  await outcome("none", publish(server, "none").then((answer) => answer.status));
};
const source = watch(server);
source.addEventListener("open", act, { once: true });
source.addEventListener("error", act, { once: true });
"#;
    script.replace("SERVER", &program.addr.to_string()).replace("TOKEN", TOKEN)
}

#[test]
#[ignore = "it needs a browser"]
fn a_listed_page_alone_publishes_with_a_token() {
    let Some(chromium) = Chromium::find("tokens") else { return };
    let (listed, other) = (Site::bind(), Site::bind());
    let variables = [("SMOLCAST_PUBLISH_TOKEN", TOKEN)];
    let program = Program::start_with(&["--allow-origin", &listed.origin()], &variables);
    let mut witness = program.stream();

    let mut page = Page::open(chromium, listed, &script(&program));
    assert_eq!(page.expect("open").ready, OPEN);
    assert_eq!(page.expect("shown").data, "202");
    assert_eq!(page.expect("wrong").data, "401");
    assert_eq!(page.expect("none").data, "401");
    assert_eq!(page.expect("message").data, "shown");
    witness.expect(b"id: 7\ndata: shown\n\n");
    drop(page);
    program.wait_for_count(1);

    let mut page = Page::open(chromium, other, &script(&program));
    for outcome in ["shown", "wrong", "none"] {
        assert_eq!(page.expect(outcome).data, "TypeError", "as a fetch fails that may not be made: {outcome}");
    }
    let published = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\n");
    program.request(published + "Content-Length: 10\r\n\r\nby no page").expect_status(202);
    witness.expect_data("by no page");
    assert_eq!((page.others("open"), page.others("message")), (0, 0));
}
