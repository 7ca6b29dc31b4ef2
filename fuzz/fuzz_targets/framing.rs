//! The end of a request's body, for any fields, against the rules of RFC 9112.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smolcast_fuzz::targets;

fuzz_target!(|input: &[u8]| targets::framing::hold(input));
