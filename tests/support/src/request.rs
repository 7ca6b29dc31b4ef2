//! Well-formed requests, as bytes. A malformed one is written out in its test.

/// `GET` of a target.
pub fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// `OPTIONS` of a target.
pub fn options(target: &str) -> Vec<u8> {
    format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// A publish with a Content-Length.
pub fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request =
        format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// A publish in the chunked coding; its body is `coded`, unchanged.
pub fn post_chunked(coded: impl AsRef<[u8]>) -> Vec<u8> {
    let head = b"POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    [head.as_slice(), coded.as_ref()].concat()
}
