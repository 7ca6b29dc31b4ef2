//! A request's head, whole and in pieces, against the grammar.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smolcast_fuzz::targets;

fuzz_target!(|input: &[u8]| targets::head::hold(input));
