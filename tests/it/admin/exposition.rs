//! A strict reader of the text exposition format 0.0.4: each family once, with its help and type before its samples.

use std::collections::BTreeMap;

/// All families of one response.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Exposition {
    /// The type of each family.
    pub(super) kinds: BTreeMap<String, String>,
    /// Each sample by its name and labels as written: `name{label="value"}`.
    pub(super) samples: BTreeMap<String, f64>,
}

impl Exposition {
    #[track_caller]
    pub(super) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let (mut read, mut family) = (Self::default(), String::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line:?}"));
                assert!(help.ends_with('.'), "help is a sentence: {line:?}");
                let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
                let kind = kind.unwrap_or_else(|| panic!("no type behind {line:?}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
                assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
                name.clone_into(&mut family);
            } else {
                read.take_sample(line, &family);
            }
        }
        read
    }

    /// Parses a line that must be a sample of the current family.
    #[track_caller]
    fn take_sample(&mut self, line: &str, family: &str) {
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        let name = sample.split('{').next().unwrap_or_default();
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{name} amid {family}"));
        let is_histogram = self.kinds.get(family).is_some_and(|kind| kind == "histogram");
        let suffixes: &[&str] = if is_histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{name} is no sample of {family}");
        let value = value.parse().unwrap_or_else(|_| panic!("no value: {line:?}"));
        assert!(self.samples.insert(sample.to_owned(), value).is_none(), "{sample} is there twice");
    }

    /// The value of one sample.
    #[track_caller]
    pub(super) fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples))
    }

    /// The values of a family by its one label; empty without samples.
    pub(super) fn by_label(&self, family: &str) -> BTreeMap<&str, f64> {
        let start = format!("{family}{{");
        let samples = self.samples.range(start.clone()..).take_while(|(sample, _)| sample.starts_with(&start));
        samples.map(|(sample, value)| (sample.split('"').nth(1).unwrap_or_default(), *value)).collect()
    }

    /// The cumulative counts of a histogram's buckets, in the order of their bounds. Bounds must rise and counts may
    /// not fall; the last count is that of all values.
    #[track_caller]
    pub(super) fn buckets(&self, family: &str) -> Vec<f64> {
        let buckets = self.by_label(&format!("{family}_bucket"));
        let mut buckets: Vec<(f64, f64)> = buckets
            .into_iter()
            .map(|(bound, count)| (bound.parse().unwrap_or_else(|_| panic!("no bound: {bound}")), count))
            .collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let counts: Vec<_> = buckets.iter().map(|bucket| bucket.1).collect();
        assert!(counts.is_sorted(), "{family} falls: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, self.value(&format!("{family}_count")))), "{family}");
        counts
    }
}
