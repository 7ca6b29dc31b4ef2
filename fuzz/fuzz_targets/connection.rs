//! A whole connection in memory, however it is cut, against what it has to come to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smolcast_fuzz::targets;

fuzz_target!(|input: &[u8]| targets::connection::hold(input));
