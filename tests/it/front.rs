//! The page of `/`, for people who open the server's address in a browser.

use smolcast::{AccessSettings, Limits};
use support::{Response, Served, TestServer, assert_bytes, config, get, parse_responses, showing, with};

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn ask(server: &TestServer, fields: &str) -> Response {
    server.request(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).expect_status(404)
}

fn page(server: &TestServer) -> String {
    let response = ask(server, BROWSER);
    response.expect_field("content-type", "text/html; charset=utf-8");
    String::from_utf8(response.body).expect("a page is text")
}

/// Their clients accept no HTML, or decline it.
#[test]
fn other_clients_get_the_line_of_a_404() {
    let server = TestServer::start_default();
    for fields in ["", "Accept: */*\r\n", "Accept: application/json\r\n", "Accept: text/html;q=0, text/plain\r\n"] {
        let _row = showing("the fields", fields.as_bytes());
        let response = ask(&server, fields);
        response.expect_field("content-type", "text/plain");
        let expected = b"Not found; there are GET /sse, GET /connections and POST /broadcast.\n";
        assert_bytes("the line", expected, &response.body);
    }
    let response = server.request(format!("GET /nope HTTP/1.1\r\nHost: h\r\n{BROWSER}\r\n")).expect_status(404);
    response.expect_field("content-type", "text/plain");
    let count = server.request(format!("GET /connections HTTP/1.1\r\nHost: h\r\n{BROWSER}\r\n")).expect_status(200);
    assert_bytes("the count", b"0", &count.body);
}

#[test]
fn a_browser_gets_a_page_on_a_kept_connection() {
    let server = TestServer::start_default();
    let mut client = server.connect();
    for _ in 0..2 {
        let response = client.request(format!("GET /?Reflected7 HTTP/1.1\r\nHost: h\r\n{BROWSER}\r\n"));
        let text = String::from_utf8(response.expect_status(404).body).expect("a page is text");
        assert!(text.starts_with("<!doctype html>") && text.ends_with("</html>\n"), "{text}");
        for part in ["new EventSource(\"sse\")", "curl -N ", "curl -d ", "<form id=\"publish\">"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("Reflected7"), "{text}");
    }
    client.request(get("/connections")).expect_status(200);
    let mut client = server.connect();
    client.send(format!("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{BROWSER}\r\n"));
    let [head] = &parse_responses(&client.rest(), &["HEAD"])[..] else { panic!("one response") };
    head.expect_field("content-type", "text/html; charset=utf-8");
    assert_eq!(head.status, 404);
}

/// With tokens or a list of origins this page could not publish.
#[test]
fn the_page_has_a_box_only_where_publishing_is_open() {
    let tokens = with!(AccessSettings::default(), { publish_tokens: vec!["t".parse().expect("a token")] });
    let origins = with!(AccessSettings::default(), { origins: vec!["https://a".parse().expect("an origin")] });
    for (access, is_open) in [(AccessSettings::default(), true), (tokens, false), (origins, false)] {
        let server = TestServer::start(with!(config(Limits::default()), { access }));
        let text = page(&server);
        assert_eq!(text.contains("<form"), is_open, "{text}");
        assert!(text.contains("new EventSource"), "{text}");
    }
}

/// A script that the policy does not name would not run.
#[test]
fn the_policy_of_the_page_names_its_script_and_style() {
    let server = TestServer::start_default();
    let response = ask(&server, BROWSER);
    let policy = response.field("content-security-policy").expect("a policy").to_owned();
    let text = String::from_utf8(response.body).expect("a page is text");
    for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
        let (_, rest) = text.split_once(&format!("<{tag}>")).expect("it has one");
        let (content, _) = rest.split_once(&format!("</{tag}>")).expect("it ends");
        let expected = format!("{directive} 'sha256-{}'", base64(&sha256(content.as_bytes())));
        assert!(policy.contains(&expected), "expected {expected:?} in {policy:?}");
    }
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn digests_are_those_of_the_standards() {
    let hex = |text: &str| sha256(text.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    assert_eq!(hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(
        (base64(b"foobar"), base64(b"fooba"), base64(b"foob")),
        ("Zm9vYmFy".into(), "Zm9vYmE=".into(), "Zm9vYg==".into())
    );
}

/// SHA-256 (FIPS 180-4). Its constants are the fractions of square and cube roots of the first primes.
fn sha256(message: &[u8]) -> Vec<u8> {
    let primes: Vec<u64> = (2..).filter(|n| (2..*n).all(|d| n % d != 0)).take(64).collect();
    // The first 32 bits of a root's fraction: the largest number whose power is no more than the prime's, shifted.
    let fraction = |prime: u64, power: u32| {
        let (mut low, mut high) = (0_u128, 1 << 36);
        while high - low > 1 {
            let middle: u128 = (low + high) / 2;
            let is_less = middle.pow(power) <= u128::from(prime) << (32 * power);
            (low, high) = if is_less { (middle, high) } else { (low, middle) };
        }
        low as u32
    };
    let keys: Vec<u32> = primes.iter().map(|prime| fraction(*prime, 3)).collect();
    let mut state: Vec<u32> = primes[..8].iter().map(|prime| fraction(*prime, 2)).collect();
    let mut padded = [message, &[0x80]].concat();
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("four octets"))).collect();
        for at in 16..64 {
            let (early, late) = (words[at - 15], words[at - 2]);
            let early = early.rotate_right(7) ^ early.rotate_right(18) ^ (early >> 3);
            let late = late.rotate_right(17) ^ late.rotate_right(19) ^ (late >> 10);
            words.push(words[at - 16].wrapping_add(early).wrapping_add(words[at - 7]).wrapping_add(late));
        }
        let mut v = state.clone();
        for (word, key) in words.iter().zip(&keys) {
            let sum = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let first = [sum, choice, *key, *word].iter().fold(v[7], |total, part| total.wrapping_add(*part));
            let sum = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let second = sum.wrapping_add((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            v[3] = v[3].wrapping_add(first);
            v[7] = first.wrapping_add(second);
            v.rotate_right(1);
        }
        state.iter_mut().zip(v).for_each(|(total, part)| *total = total.wrapping_add(part));
    }
    state.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// RFC 4648, 4.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        let digit = |at: usize| char::from(ALPHABET[bits >> (18 - 6 * at) & 63]);
        text.extend((0..4).map(|at| if at <= group.len() { digit(at) } else { '=' }));
    }
    text
}
