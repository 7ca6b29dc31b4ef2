//! Well-formed requests, as bytes. A bad one is written out in its test.

/// `GET` of a target.
pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// `OPTIONS` of a target.
pub(crate) fn options(target: &str) -> Vec<u8> {
    format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes()
}

/// A publish with a Content-Length.
pub(crate) fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request =
        format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// A publish with the chunked coding, whose body is `coded` as it is.
pub(crate) fn post_chunked(coded: impl AsRef<[u8]>) -> Vec<u8> {
    let head = b"POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    [head.as_slice(), coded.as_ref()].concat()
}
