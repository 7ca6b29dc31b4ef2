//! The secret that a publisher shows, so that its message is accepted.
//!
//! Nothing prints it, and a client that guesses learns nothing from the time that a comparison takes.

use std::fmt;
use std::str::FromStr;

use subtle::{Choice, ConstantTimeEq};

/// A token as RFC 6750 has it (2.1): letters, digits and `-._~+/`, and perhaps `=` at its end.
///
/// ```
/// use smolcast::Token;
///
/// let token: Token = "dGhlIHNlY3JldA==".parse()?;
/// assert_eq!(format!("{token:?}"), "Token(***)");
/// # Ok::<(), smolcast::InvalidToken>(())
/// ```
#[derive(Clone)]
pub struct Token(Box<str>);

impl Token {
    /// Returns 1 if these octets are the token. The first octet that differs takes as long as the last. The time
    /// reveals if the lengths differ, because a length is no secret.
    pub(super) fn is(&self, octets: &[u8]) -> Choice {
        self.0.as_bytes().ct_eq(octets)
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes()).into()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let is_octet = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet);
        let start = text.trim_end_matches('=');
        let is_token = !start.is_empty() && start.bytes().all(is_octet);
        is_token.then(|| Self(text.into())).ok_or(InvalidToken)
    }
}

/// Text that is no token. It does not quote the text, which may be a token with a typo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is made of letters, digits and any of -._~+/, with = at its end alone (RFC 6750, 2.1)")]
pub struct InvalidToken;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_the_grammar_says() {
        for good in ["a", "0", "-._~+/", "dGhlIHNlY3JldA==", "a=", "=".repeat(9).replacen('=', "x", 1).as_str()] {
            assert!(good.parse::<Token>().is_ok(), "{good:?}");
        }
        for bad in ["", "=", "==", "=a", "a=b", "a b", " a", "a ", "a\n", "a,b", "a:b", "\"a\"", "é", "a\0", "*"] {
            assert_eq!(bad.parse::<Token>(), Err(InvalidToken), "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_itself_alone_and_shows_itself_to_nobody() {
        let token: Token = "secret".parse().expect("a token");
        for (other, expected) in [("secret", true), ("Secret", false), ("secreT", false), ("secre", false), ("", false)]
        {
            assert_eq!(bool::from(token.is(other.as_bytes())), expected, "{other:?}");
        }
        assert_eq!(format!("{token:?} {:?}", Some(&token)), "Token(***) Some(Token(***))");
        assert_eq!(token, token.clone());
    }
}
