//! The cells of a table in Markdown.

/// In place of a number that there is not.
pub(super) const NONE: &str = "–";

pub(crate) fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.collect();
    format!("| {} | {} |\n", plain(head), cells.join(" | "))
}

/// A table of two columns under these heads.
pub(crate) fn pairs<'a>(heads: [&str; 2], rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let rows = rows.into_iter().map(|(name, value)| row(name, [plain(&value)].into_iter()));
    let rows: String = rows.collect();
    format!("| {} | {} |\n| --- | --- |\n{rows}", heads[0], heads[1])
}

/// Kept on one line.
pub(super) fn together(text: &str) -> String {
    text.replace(' ', "\u{a0}")
}

/// Words of others, without a meaning in Markdown that they do not have.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = String::new();
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '[' | ']' | '\\' => safe.extend(['\\', character]),
            '<' => safe.push_str("&lt;"),
            '\n' | '\r' => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_stay_in_their_cell() {
        assert_eq!(plain("a|b *c*\n<d>"), r"a\|b \*c\* &lt;d>");
    }
}
