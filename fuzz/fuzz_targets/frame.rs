//! Events to bytes and back, by a parser of the event-stream format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smolcast_fuzz::targets;

fuzz_target!(|input: &[u8]| targets::frame::hold(input));
