//! A whole connection in memory, in any pieces, against the reference outcome.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smolcast_fuzz::targets;

fuzz_target!(|input: &[u8]| targets::connection::hold(input));
