//! The library's types as the Rust API guidelines ask for them, held by the compiler.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use smolcast::{
    AccessControl, AccessSettings, Address, BindError, Config, ConfigError, Event, Filter, Health, HistoryDir,
    HostPattern, Inherited, InvalidAddress, InvalidField, InvalidFilter, InvalidPattern, InvalidProxy, InvalidToken,
    Limits, Metrics, NotReady, OriginPattern, PublishError, Publisher, Receipt, Retention, Server, Sockets, StreamEnd,
    Token, TrustedProxy,
};

fn crosses_threads<T: Debug + Send + Sync + 'static>() {}

fn is_handle<T: Debug + Clone + Send + Sync + 'static>() {}

fn is_value<T: Debug + Clone + PartialEq + Eq + Send + Sync + 'static>() {}

fn is_error<T: Error + Send + Sync + 'static>() {}

fn parses<T: FromStr<Err: Error + Send + Sync + 'static>>() {}

fn parses_and_displays<T: FromStr<Err: Error + Send + Sync + 'static> + Display>() {}

#[test]
fn public_types_implement_the_common_traits() {
    crosses_threads::<Server>();
    crosses_threads::<Sockets>();
    crosses_threads::<Inherited>();
    is_handle::<Publisher>();
    is_handle::<AccessControl>();
    is_handle::<Metrics>();
    is_handle::<Health>();
    is_value::<Config>();
    is_value::<Limits>();
    is_value::<Retention>();
    is_value::<HistoryDir>();
    is_value::<AccessSettings>();
    is_value::<Event>();
    is_value::<Receipt>();
    is_value::<StreamEnd>();
}

#[test]
fn public_errors_are_errors_of_any_thread() {
    is_error::<BindError>();
    is_error::<ConfigError>();
    is_error::<PublishError>();
    is_error::<InvalidField>();
    is_error::<NotReady>();
    is_error::<InvalidAddress>();
    is_error::<InvalidFilter>();
    is_error::<InvalidPattern>();
    is_error::<InvalidProxy>();
    is_error::<InvalidToken>();
}

#[test]
fn values_that_people_write_parse_and_display() {
    parses_and_displays::<Address>();
    parses_and_displays::<Filter>();
    parses_and_displays::<HostPattern>();
    parses_and_displays::<OriginPattern>();
    parses_and_displays::<TrustedProxy>();
    // A secret parses, and never displays.
    parses::<Token>();
}
