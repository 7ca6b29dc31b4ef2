//! The chunked coding, whole and in pieces, against the reference decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smolcast_fuzz::targets;

fuzz_target!(|input: &[u8]| targets::chunked::hold(input));
