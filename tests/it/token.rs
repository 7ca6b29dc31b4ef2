//! Publish tokens: required once, before the message is looked at.

use smolcast::{AccessSettings, Event, Limits};
use support::{
    Client, EventStream, Response, Served, TestServer, assert_bytes, config, get, options, post, showing, with,
    within_deadline,
};

const TOKEN: &str = "c2VjcmV0-first==";
const OTHER: &str = "another.token~2";
const PAGE: &str = "https://app.example";

/// Access lists: publishers with these tokens, pages of these origins.
fn access(tokens: &[&str], origins: &[&str]) -> AccessSettings {
    with!(AccessSettings::default(), {
        origins: origins.iter().map(|text| text.parse().expect("an origin")).collect(),
        publish_tokens: tokens.iter().map(|text| text.parse().expect("a token")).collect(),
    })
}

fn start(access: AccessSettings) -> TestServer {
    TestServer::start(with!(config(Limits::default()), { access }))
}

fn guarded() -> TestServer {
    start(access(&[TOKEN, OTHER], &[]))
}

/// A publish with these lines in its head.
fn publish(fields: &str, body: &str) -> String {
    format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn showing_token(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Everything up to the end of a connection, with the date replaced.
#[track_caller]
fn whole_answer(server: &TestServer, request: impl AsRef<[u8]>) -> String {
    let mut client = server.connect();
    client.send(request);
    let text = String::from_utf8(client.rest()).expect("an answer is text");
    let start = text.find("\r\nDate: ").expect("an answer has its date") + "\r\nDate: ".len();
    let end = start + text[start..].find("\r\n").expect("a line ends");
    format!("{}DATE{}", &text[..start], &text[end..])
}

/// Publishes with a valid token; the stream must bring nothing before that message.
#[track_caller]
fn expect_nothing_published(server: &TestServer, stream: &mut EventStream) {
    server.request(publish(&showing_token(OTHER), "sentinel")).expect_status(202);
    stream.expect_data("sentinel");
}

#[track_caller]
fn expect_challenge(response: Response) {
    let response = response.expect_status(401);
    response.expect_field("www-authenticate", "Bearer");
    assert!(response.closes(), "{response:?}");
}

/// Nothing is published.
#[test]
fn a_publish_without_a_known_token_is_401() {
    let server = guarded();
    let mut stream = server.stream();
    let other_name = format!("X-Authorization: Bearer {TOKEN}\r\nProxy-Authorization: Bearer {TOKEN}\r\n");
    for fields in [
        "",
        "Authorization: \r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer wrong\r\n",
        &showing_token(&TOKEN.to_lowercase()),
        &showing_token(&TOKEN[1..]),
        &showing_token(&TOKEN[..TOKEN.len() - 1]),
        &showing_token(&format!("{TOKEN}x")),
        &showing_token(&format!("{TOKEN} {TOKEN}")),
        &showing_token(&format!("{TOKEN}, {OTHER}")),
        &showing_token(&format!("\"{TOKEN}\"")),
        &showing_token("\u{e9}"),
        &format!("Authorization: Bearer\t{TOKEN}\r\n"),
        &format!("Authorization: Bearer{TOKEN}\r\n"),
        &format!("Authorization: Basic {TOKEN}\r\n"),
        &format!("Authorization: {TOKEN}\r\n"),
        &showing_token(TOKEN).repeat(2),
        &(showing_token(TOKEN) + "Authorization: Basic x\r\n"),
        &other_name,
    ] {
        let request = publish(fields, "evil") + &publish(&showing_token(TOKEN), "behind it");
        let _row = showing("the fields", fields.as_bytes());
        let expected = "HTTP/1.1 401 Unauthorized\r\nDate: DATE\r\nContent-Type: text/plain\r\n\
                        Access-Control-Allow-Origin: *\r\nContent-Length: 82\r\nWWW-Authenticate: Bearer\r\n\
                        Connection: close\r\n\r\n\
                        To publish, send Authorization: Bearer with a token that this server knows, once.\n";
        assert_bytes("the answer", expected.as_bytes(), whole_answer(&server, request).as_bytes());
    }
    expect_challenge(server.request(format!("POST /broadcast?token={TOKEN} HTTP/1.0\r\nContent-Length: 0\r\n\r\n")));
    expect_nothing_published(&server, &mut stream);
}

/// Each request of a connection needs its own token.
#[test]
fn each_publish_with_a_token_is_accepted() {
    let server = guarded();
    let mut stream = server.stream();
    let mut client = server.connect();
    for fields in [
        showing_token(TOKEN),
        showing_token(OTHER),
        format!("authorization:bearer {TOKEN}\r\n"),
        format!("AUTHORIZATION: \tBEARER   {TOKEN} \t\r\n"),
    ] {
        let _row = showing("the fields", fields.as_bytes());
        let answer = client.request(publish(&fields, "said")).expect_status(202);
        answer.expect_only(&["date", "access-control-allow-origin", "content-length"]);
        stream.expect_data("said");
    }
    client.send(publish(&showing_token(TOKEN), "first") + &publish("", "second"));
    client.response().expect_status(202);
    expect_challenge(client.response());
    client.expect_closed();
    stream.expect_data("first");
    expect_nothing_published(&server, &mut stream);
}

#[test]
fn subscribers_and_in_process_publishers_need_no_token() {
    let server = guarded();
    let mut stream = server.stream();
    assert_eq!(server.count(), 1);
    server.request(options("/sse")).expect_status(204);
    within_deadline(server.publisher.publish(Event::new("from within"))).expect("the server is running");
    stream.expect_data("from within");
}

#[test]
fn a_401_needs_no_body() {
    let server = guarded();
    for fields in [
        "Content-Length: 1048576\r\n",
        "Content-Length: 1048576\r\nExpect: 100-continue\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
    ] {
        let _row = showing("the fields", fields.as_bytes());
        let mut client = server.connect();
        // The first response: it would be a `100`.
        expect_challenge(client.request(format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}\r\n")));
    }
    let mut client = server.connect();
    let head = format!("Expect: 100-continue\r\n{}Content-Length: 1\r\n\r\n", showing_token(TOKEN));
    client.request(format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{head}")).expect_status(100);
    client.request("x").expect_status(202);
}

/// The order of refusals: a foreign host, a page that is not listed, a missing token, and then the rest.
#[test]
fn a_token_is_checked_after_host_and_origin() {
    let hosts = vec!["h".parse().expect("a host")];
    let server = start(with!(access(&[TOKEN], &[PAGE]), { hosts }));
    let token = showing_token(TOKEN);
    let from = |origin: &str| format!("Origin: {origin}\r\n");
    let evil = from("https://evil.example");
    for (host, query, fields, status) in [
        ("evil", "?retry=x", evil.clone(), 421),
        ("h", "?retry=x", evil.clone(), 403),
        ("h", "", evil + &token, 403),
        ("h", "?retry=x", from(PAGE), 401),
        ("h", "?retry=x", String::new(), 401),
        ("h", "", "Content-Length: 99999999\r\n".to_owned(), 401),
        ("h", "?retry=x", token.clone(), 400),
        ("h", "", token.clone(), 411),
        ("h", "", token.clone() + "Content-Length: 99999999\r\n", 413),
        ("h", "", token + &from(PAGE) + "Content-Length: 0\r\n", 202),
    ] {
        let request = format!("POST /broadcast{query} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        let _row = showing("the request", request.as_bytes());
        server.request(&request).expect_status(status);
    }
}

#[test]
fn a_listed_page_may_read_its_401() {
    let server = start(access(&[TOKEN], &[PAGE]));
    let answer = server.request(publish(&format!("Origin: {PAGE}\r\n"), "x")).expect_status(401);
    answer.expect_field("access-control-allow-origin", PAGE);
    answer.expect_field("vary", "Origin");
    let answer = server.request(publish("", "x")).expect_status(401);
    assert_eq!((answer.field("access-control-allow-origin"), answer.field("vary")), (None, Some("Origin")));
}

/// The preflight of a page that sends a token.
fn preflight(origin: &str) -> String {
    let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,event-type\r\n";
    format!("OPTIONS /broadcast HTTP/1.1\r\nHost: h\r\n{origin}{asks}\r\n")
}

#[test]
fn the_preflight_of_a_listed_page_allows_a_publish() {
    for tokens in [&[TOKEN][..], &[]] {
        let server = start(access(tokens, &[PAGE, "*.pages.example"]));
        for origin in [PAGE, "https://a.pages.example:8443"] {
            let expected = format!(
                "HTTP/1.1 204 No Content\r\nDate: DATE\r\nAccess-Control-Allow-Origin: {origin}\r\n\
                 Access-Control-Allow-Credentials: true\r\nVary: Origin\r\nAccess-Control-Allow-Methods: POST\r\n\
                 Access-Control-Allow-Headers: Authorization, Content-Type, \
                 Event-Type, Event-Id, X-EventSource-Event, Topic\r\n\
                 Access-Control-Max-Age: 86400\r\nConnection: close\r\n\r\n"
            );
            let answer = whole_answer(&server, preflight(&format!("Origin: {origin}\r\n")));
            assert_bytes("the answer", expected.as_bytes(), answer.as_bytes());
        }
    }
}

#[test]
fn any_other_preflight_of_a_publish_is_404() {
    let listed = format!("Origin: {PAGE}\r\n");
    let lists = |readers: &str| {
        format!(
            "HTTP/1.1 404 Not Found\r\nDate: DATE\r\nContent-Type: text/plain\r\n{readers}Content-Length: 69\r\n\r\n\
             Not found; there are GET /sse, GET /connections and POST /broadcast.\n"
        )
    };
    let (anyone, nobody) = (lists("Access-Control-Allow-Origin: *\r\n"), lists("Vary: Origin\r\n"));
    for (access, origin, expected) in [
        (access(&[], &[]), listed.as_str(), &anyone),
        (access(&[TOKEN], &[]), &listed, &anyone),
        (access(&[], &[PAGE]), "Origin: https://evil.example\r\n", &nobody),
        (access(&[TOKEN], &[PAGE]), "Origin: https://evil.example\r\n", &nobody),
        (access(&[TOKEN], &[PAGE]), &listed.repeat(2), &nobody),
        (access(&[TOKEN], &[PAGE]), "", &nobody),
    ] {
        let _row = showing(format!("{access:?}"), origin.as_bytes());
        let server = start(access);
        let mut client = server.connect();
        client.send(preflight(origin));
        // It is kept alive, and ends with its client.
        client.half_close();
        let text = String::from_utf8(client.rest()).expect("an answer is text");
        let (start, rest) = text.split_once("\r\nDate: ").expect("an answer has its date");
        let (_, rest) = rest.split_once("\r\n").expect("a line ends");
        assert_bytes("the answer", expected.as_bytes(), format!("{start}\r\nDate: DATE\r\n{rest}").as_bytes());
    }
}

/// A publish of five bytes whose head has been read and whose body is not sent.
fn begin_publish(server: &TestServer) -> Client {
    let mut client = server.connect();
    let fields = format!("Expect: 100-continue\r\n{}Content-Length: 5\r\n\r\n", showing_token(TOKEN));
    client.request(format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}")).expect_status(100);
    client
}

/// Open streams are untouched.
#[test]
fn settings_are_replaced_from_the_next_request_on() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    client.request(post("open")).expect_status(202);
    server.access_control.replace(access(&[TOKEN], &[PAGE]));
    let mut under_way = begin_publish(&server);
    expect_challenge(client.request(post("too late")));
    let answer = server.request(publish(&showing_token(TOKEN), "shown")).expect_status(202);
    answer.expect_field("vary", "Origin");
    server.access_control.replace(access(&[OTHER], &[]));
    expect_challenge(server.request(publish(&showing_token(TOKEN), "taken back")));
    server.request(publish(&showing_token(OTHER), "new")).expect_status(202);
    let answer = under_way.request("begun").expect_status(202);
    answer.expect_field("vary", "Origin");
    expect_challenge(under_way.request(publish(&showing_token(TOKEN), "and again")));
    server.access_control.replace(with!(AccessSettings::default(), { hosts: vec!["i".parse().expect("a host")] }));
    server.request(get("/connections")).expect_status(421);
    server.access_control.replace(AccessSettings::default());
    server.request(post("open again")).expect_status(202);
    stream.expect(b"data: open\n\ndata: shown\n\ndata: new\n\ndata: begun\n\ndata: open again\n\n");
    assert_eq!(server.count(), 1);
}
