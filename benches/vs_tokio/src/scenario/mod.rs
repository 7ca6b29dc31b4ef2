//! The scenarios: each is one or more plans, and a plan is run in rounds.

mod burst;
mod connect;
mod fanout;
mod idle;
mod plan;
mod saturation;
mod slow;

use std::str::FromStr;

pub(crate) use plan::{Plan, Sizes};

/// A scenario, by the function that makes its plans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario(pub(crate) Plans);

type Plans = fn(&Sizes) -> Vec<Plan>;

impl Scenario {
    pub(crate) const ALL: [(&str, Plans); 6] = [
        ("idle", |sizes| vec![idle::plan(sizes)]),
        ("fanout", fanout::plans),
        ("saturation", |sizes| vec![saturation::plan(sizes)]),
        ("connect", |sizes| vec![connect::plan(sizes)]),
        ("slow", |sizes| vec![slow::plan(sizes)]),
        ("burst", |sizes| vec![burst::plan(sizes)]),
    ];
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        found.map(|(_, plans)| Self(*plans)).ok_or_else(|| format!("no scenario has that name; there are {}", names()))
    }
}
