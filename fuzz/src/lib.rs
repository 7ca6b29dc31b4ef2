//! Fuzz targets of smolcast, and the references that they compare the server with.
//!
//! [`mod@reference`] has a strict reader for each format that the server reads or writes. The readers follow the
//! standards and the wire contract, not the server's code: a reader has all of the input at once, looks at whole lines
//! and names every broken rule. [`targets`] compares server and reference for one input; the fuzz targets only call it.
//! [`steering`] lets an input choose limits and cuts.

#![forbid(unsafe_code)]

pub mod reference;
pub mod steering;
pub mod targets;
