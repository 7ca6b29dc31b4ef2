//! The live page's files, which are part of the program: nothing of the page comes from anywhere else.

use super::answer::Answer;

/// The file at a path.
pub(super) fn file(path: &str) -> Option<Answer> {
    let (media_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("index.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => ("text/javascript; charset=utf-8", include_str!("page.js")),
        "/uplot.css" => ("text/css; charset=utf-8", include_str!("uPlot.min.css")),
        "/uplot.js" => ("text/javascript; charset=utf-8", include_str!("uPlot.iife.min.js")),
        "/licenses" => ("text/plain; charset=utf-8", include_str!("uPlot.LICENSE")),
        _ => return None,
    };
    Some(Answer::new("200 OK", media_type, text))
}
