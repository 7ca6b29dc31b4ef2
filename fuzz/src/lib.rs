//! What smolcast is held to for any input.
//!
//! [`mod@reference`] has a strict reader for each thing that the server reads and writes, made from the standards and
//! from the wire contract and not from the server's code: it has all of the input at once, looks at whole lines and
//! says every rule that is broken. [`targets`] compares the two, for one input each; the fuzz targets do nothing but
//! call that. [`steering`] is how an input chooses limits, and where it is cut.

#![forbid(unsafe_code)]

pub mod reference;
pub mod steering;
pub mod targets;
