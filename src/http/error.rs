//! The errors of a request, each with its status and a line of advice.
//!
//! It writes no response. Nearly every error ends the connection: after a malformed request no next one can be found.

use super::parameters::Parameter;
use crate::event::frame::InvalidField;
use crate::event::topic::TopicError;
use crate::metrics::{PublishOutcome, StatusClass};

/// The reason why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    Malformed,
    BareLineFeed,
    Host,
    Target,
    ContentLength,
    TransferEncoding,
    AmbiguousFraming,
    Chunk,
    Incomplete,
    NotUtf8,
    /// A parameter or field that has one value was given twice.
    Repeated,
    /// A parameter, or its field, is not UTF-8.
    NotText,
    EventField(InvalidField),
    Retry,
    Topic(TopicError),
    /// The history holds another event with the id.
    Duplicate,
    Slow,
    /// A parameter whose name is nearly this one, and none that the route knows.
    Misspelt(Parameter),
    /// A publish has a parameter that is not known, nor nearly.
    UnknownParameter,
    /// A topic or filter of a request ends in `/`.
    TrailingSlash,
    ForeignOrigin,
    /// The publisher shows no token, or an unknown one.
    Token,
    HeadTimeout,
    BodyTimeout,
    LengthRequired,
    BodyTooLarge,
    RequestLineTooLong,
    /// The message is compressed, or coded in another way that the server does not undo.
    ContentCoding,
    /// The message is declared to be in another charset than UTF-8.
    Charset,
    Expectation,
    Misdirected,
    HeadTooLarge,
    TooManyFields,
    NotWritten,
    UnknownCoding,
    Overloaded,
    Stopping,
    NoSpace,
}

impl RequestError {
    /// The status code and its reason phrase.
    pub fn status(self) -> &'static str {
        self.status_and_advice().0
    }

    /// One line for the person at the client, with the remedy.
    pub(crate) fn advice(self) -> &'static str {
        self.status_and_advice().1
    }

    /// The class of the status.
    pub(crate) fn status_class(self) -> StatusClass {
        if self.status().starts_with('5') { StatusClass::ServerError } else { StatusClass::ClientError }
    }

    /// The outcome of a publish that is rejected for this reason.
    pub(crate) fn outcome(self) -> PublishOutcome {
        match self {
            Self::Token => PublishOutcome::Unauthorized,
            Self::ForeignOrigin | Self::Misdirected => PublishOutcome::Forbidden,
            Self::BodyTooLarge => PublishOutcome::TooLarge,
            Self::Duplicate => PublishOutcome::Duplicate,
            _ if self.status_class() == StatusClass::ServerError => PublishOutcome::Unavailable,
            _ => PublishOutcome::Invalid,
        }
    }

    fn status_and_advice(self) -> (&'static str, &'static str) {
        const BAD_REQUEST: &str = "400 Bad Request";
        const TIMEOUT: &str = "408 Request Timeout";
        const FIELDS_TOO_LARGE: &str = "431 Request Header Fields Too Large";
        const UNSUPPORTED: &str = "415 Unsupported Media Type";
        const UNAVAILABLE: &str = "503 Service Unavailable";
        match self {
            Self::Malformed => (BAD_REQUEST, "The request head is malformed; send HTTP/1.1 as in RFC 9112.\n"),
            Self::BareLineFeed => (BAD_REQUEST, "A line ends with LF alone; end each with CRLF.\n"),
            Self::Host => (BAD_REQUEST, "Send exactly one Host field, with a host and no more than a port.\n"),
            Self::Target => (BAD_REQUEST, "The request target's authority is not a host and port.\n"),
            Self::ContentLength => (BAD_REQUEST, "Content-Length must be one decimal number.\n"),
            Self::TransferEncoding => {
                (BAD_REQUEST, "Transfer-Encoding must end in chunked, once, in HTTP/1.1 alone.\n")
            }
            Self::AmbiguousFraming => (BAD_REQUEST, "Send Content-Length or Transfer-Encoding, not both.\n"),
            Self::Chunk => (BAD_REQUEST, "The chunked body is malformed; see RFC 9112, section 7.1.\n"),
            Self::Incomplete => (BAD_REQUEST, "The request ended before it was complete.\n"),
            Self::NotUtf8 => (BAD_REQUEST, "The message is not valid UTF-8, which an event stream must be.\n"),
            Self::Repeated => (BAD_REQUEST, "A parameter that has one value is given twice; give it once.\n"),
            Self::NotText => (BAD_REQUEST, "A parameter is not valid UTF-8.\n"),
            Self::EventField(field) => (BAD_REQUEST, advice_on(field)),
            Self::Retry => (BAD_REQUEST, "retry is a number of milliseconds, in digits, up to 2147483647.\n"),
            Self::Topic(error) => (BAD_REQUEST, error.advice()),
            Self::Duplicate => {
                ("409 Conflict", "The history has an event with this id already, so this was not published again.\n")
            }
            Self::Slow => (BAD_REQUEST, "slow is disconnect, which is the default, or latest.\n"),
            Self::Misspelt(parameter) => (BAD_REQUEST, parameter.advice()),
            Self::UnknownParameter => (BAD_REQUEST, "A parameter is unknown; there are topic, event, id and retry.\n"),
            Self::TrailingSlash => (BAD_REQUEST, "A topic or filter ends in /; in a URL, write # as %23.\n"),
            Self::ForeignOrigin => ("403 Forbidden", "Pages of this origin may not publish; see --allow-origin.\n"),
            Self::Token => (
                "401 Unauthorized",
                "To publish, send Authorization: Bearer with a token that this server knows, once.\n",
            ),
            Self::HeadTimeout => (TIMEOUT, "The request head took too long.\n"),
            Self::BodyTimeout => (TIMEOUT, "The request body took too long.\n"),
            Self::LengthRequired => ("411 Length Required", "Send Content-Length, or a chunked body.\n"),
            Self::BodyTooLarge => ("413 Content Too Large", "The message is over the server's limit; send less.\n"),
            Self::RequestLineTooLong => ("414 URI Too Long", "The request line is too long; shorten the target.\n"),
            Self::ContentCoding => (UNSUPPORTED, "Content-Encoding is not undone; send the message without one.\n"),
            Self::Charset => {
                (UNSUPPORTED, "The charset of a message is utf-8; convert it, and say so in Content-Type.\n")
            }
            Self::Expectation => ("417 Expectation Failed", "Expect may only be 100-continue.\n"),
            Self::Misdirected => ("421 Misdirected Request", "This server is not that host; see --allow-host.\n"),
            Self::HeadTooLarge => (FIELDS_TOO_LARGE, "The request head is too large; send fewer or shorter fields.\n"),
            Self::TooManyFields => (FIELDS_TOO_LARGE, "The request has too many fields; send fewer.\n"),
            Self::NotWritten => (
                "500 Internal Server Error",
                "The history cannot be written, so this was not published; see the server's log.\n",
            ),
            Self::UnknownCoding => ("501 Not Implemented", "The only transfer coding understood is chunked, once.\n"),
            Self::Overloaded => (UNAVAILABLE, "The server is at its connection limit; try again later.\n"),
            Self::Stopping => (UNAVAILABLE, "The server is stopping; try again later.\n"),
            Self::NoSpace => ("507 Insufficient Storage", "The history's disk is full, so this was not published.\n"),
        }
    }
}

/// One line about a field of an event that the format cannot carry.
fn advice_on(field: InvalidField) -> &'static str {
    match field {
        InvalidField::Type => "An event's type may not hold CR or LF.\n",
        InvalidField::ReservedType => "The type gap is for events of the server's own; choose another.\n",
        InvalidField::Id => {
            "An id has 1 to 512 bytes, no control character, no blank at its ends, and is not earliest.\n"
        }
        InvalidField::Topic => TopicError::TooManyOfAMessage.advice(),
    }
}
