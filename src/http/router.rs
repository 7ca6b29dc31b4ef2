//! Which of the five tasks a request asks for: a pure function.

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /sse`: a stream of all that is published from now on.
    Stream,
    /// `GET /connections`: the number of open streams.
    Count,
    /// `POST /broadcast`: publish the body.
    Publish,
    /// `OPTIONS` of what a page may get.
    Preflight,
    /// `OPTIONS` of what a page may publish to, which is answered where pages may show tokens.
    PublishPreflight,
    /// Anything else, a known path with another method included.
    NotFound,
}

/// Recognises a request by its method and its path, both case-sensitive.
pub(crate) fn route(method: &str, path: &str) -> Route {
    match (method, path) {
        ("GET", "/sse") => Route::Stream,
        ("GET", "/connections") => Route::Count,
        ("POST", "/broadcast") => Route::Publish,
        ("OPTIONS", "/sse" | "/connections") => Route::Preflight,
        ("OPTIONS", "/broadcast") => Route::PublishPreflight,
        _ => Route::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_tasks_and_anything_else() {
        for (method, path, expected) in [
            ("GET", "/sse", Route::Stream),
            ("GET", "/connections", Route::Count),
            ("POST", "/broadcast", Route::Publish),
            ("OPTIONS", "/sse", Route::Preflight),
            ("OPTIONS", "/connections", Route::Preflight),
            ("OPTIONS", "/broadcast", Route::PublishPreflight),
            ("OPTIONS", "/broadcast/", Route::NotFound),
            ("OPTIONS", "*", Route::NotFound),
            ("HEAD", "/sse", Route::NotFound),
            ("POST", "/sse", Route::NotFound),
            ("GET", "/broadcast", Route::NotFound),
            ("get", "/sse", Route::NotFound),
            ("GET", "/SSE", Route::NotFound),
            ("GET", "/sse/", Route::NotFound),
            ("GET", "/", Route::NotFound),
        ] {
            assert_eq!(route(method, path), expected, "for {method} {path}");
        }
    }
}
