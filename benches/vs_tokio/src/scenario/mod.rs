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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Idle,
    Fanout,
    Saturation,
    Connect,
    Slow,
    Burst,
}

impl Scenario {
    pub(crate) const ALL: [(&str, Self); 6] = [
        ("idle", Self::Idle),
        ("fanout", Self::Fanout),
        ("saturation", Self::Saturation),
        ("connect", Self::Connect),
        ("slow", Self::Slow),
        ("burst", Self::Burst),
    ];

    pub(crate) fn plans(self, sizes: &Sizes) -> Vec<Plan> {
        match self {
            Self::Idle => vec![idle::plan(sizes)],
            Self::Fanout => fanout::plans(sizes),
            Self::Saturation => vec![saturation::plan(sizes)],
            Self::Connect => vec![connect::plan(sizes)],
            Self::Slow => vec![slow::plan(sizes)],
            Self::Burst => vec![burst::plan(sizes)],
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        found.map(|(_, scenario)| *scenario).ok_or_else(|| format!("no scenario has that name; there are {}", names()))
    }
}
