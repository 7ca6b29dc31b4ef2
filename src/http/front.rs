//! The page of `/`: for people who open the server's address in a browser. Its status is 404, as of any other path.
//!
//! It holds no byte of a request. Its policy lets it run its own script and style, by their hashes, and talk to this
//! server, and nothing else.

/// The page, with the box to publish between two marks.
const PAGE: &str = include_str!("front.html");

/// Permits what the page itself has, and keeps it out of frames.
pub(super) const POLICY: &str = "Content-Security-Policy: default-src 'none'; connect-src 'self'; img-src data:; \
    script-src 'sha256-hoE+BnKDvmhlEBVmRxYeX24z6WSoxPaSqc77jSn7jiE='; \
    style-src 'sha256-U1TovDtuBvXqSTxm0pJ1NLkgh+a7EnH41D+Cn44o1g8='; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
    X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n";

/// The parts of the page that follow each other, without the box if publishing takes more than a page has.
pub(super) fn parts(is_open: bool) -> [&'static str; 3] {
    let (before, rest) = PAGE.split_once("<!--publish-->\n").unwrap_or((PAGE, ""));
    let (form, after) = rest.split_once("<!--/publish-->\n").unwrap_or(("", rest));
    [before, if is_open { form } else { "" }, after]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_a_box_only_if_publishing_is_open() {
        for (is_open, expected) in [(true, 1), (false, 0)] {
            let page = parts(is_open).concat();
            assert_eq!(page.matches("<form").count(), expected);
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n") && !page.contains("publish-->"));
            assert_eq!(page.matches("\ncurl ").count(), 3);
        }
    }
}
