//! Files of the live page, compiled into the program: the page loads nothing from elsewhere.

use super::response::AdminResponse;

/// The file at a path, as a response.
pub(super) fn file(path: &str) -> Option<AdminResponse> {
    let (media_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("index.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => ("text/javascript; charset=utf-8", include_str!("page.js")),
        "/uplot.css" => ("text/css; charset=utf-8", include_str!("uPlot.min.css")),
        "/uplot.js" => ("text/javascript; charset=utf-8", include_str!("uPlot.iife.min.js")),
        "/licenses" => ("text/plain; charset=utf-8", include_str!("uPlot.LICENSE")),
        _ => return None,
    };
    Some(AdminResponse::new("200 OK", media_type, text))
}
