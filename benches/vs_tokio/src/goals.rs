//! The aims of smolcast in a comparison, judged by the comparison itself.

use std::cmp::Ordering;
use std::fmt::{self, Display};

use crate::figure::{Comparison, FLOOR, Measured, OURS};
use crate::number::median;

const AXUM: &str = "axum";
/// Of these the best one counts, figure by figure.
const TOKIO: [&str; 4] = ["tokio-raw", "hyper", "axum", "actix-web"];

const CPU: &str = "cpu_us_per_delivery";
const USER: &str = "user_us_per_delivery";
const P99: &str = "p99_ms";
const LAST: &str = "last_subscriber_ms";
const MEMORY: &str = "user_bytes_per_stream";
const KNEE: &str = "knee_per_second";

/// A goal, and the measured value.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    limit: f64,
    /// The side of the limit that is good.
    good: Ordering,
    measured: f64,
}

impl Goal {
    pub(crate) fn is_reached(&self) -> bool {
        let side = self.measured.total_cmp(&self.limit);
        side == self.good || side.is_eq()
    }
}

impl Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, limit, measured, .. } = self;
        let sign = if self.good.is_lt() { "<=" } else { ">=" };
        let verdict = if self.is_reached() { "ok" } else { "MISSED" };
        write!(f, "{what:64} {measured:>8.2}  {sign} {limit:<6} {verdict}")
    }
}

/// Goals of a scenario.
type Judge = fn(&Measured) -> Vec<Goal>;

/// The goals about what was measured; those about anything else are left out.
pub(crate) fn goals(comparison: &Comparison) -> Vec<Goal> {
    let measured = |key: &str| comparison.measured.iter().find(|measured| measured.key == key);
    let of_each: [(&str, Judge); 4] =
        [("fanout-10000", fanout), ("idle", idle), ("saturation", saturation), ("slow", slow)];
    let goals = of_each.into_iter().filter_map(|(key, goals)| measured(key).map(goals)).flatten();
    // What needs a server that did not take part is no goal of this comparison.
    goals.filter(|goal| !goal.measured.is_nan()).collect()
}

fn fanout(measured: &Measured) -> Vec<Goal> {
    let times = |key: &str, other: &str| median(&measured.ratios(OURS, other, key));
    let times_best = |key: &str| least(TOKIO.iter().map(|other| median(&measured.values(other, key))));
    let by_best = |key: &str| median(&measured.values(OURS, key)) / times_best(key);
    vec![
        at_most(1.10, "10 000 streams: CPU a delivery x floor", times(CPU, FLOOR)),
        at_most(0.82, "10 000 streams: CPU a delivery x best on tokio", by_best(CPU)),
        at_most(0.60, "10 000 streams: CPU a delivery x axum", times(CPU, AXUM)),
        at_most(0.25, "10 000 streams: user CPU a delivery x best on tokio", by_best(USER)),
        at_most(1.15, "10 000 streams: p99 x floor", times(P99, FLOOR)),
        at_most(1.00, "10 000 streams: p99 x best on tokio", by_best(P99)),
        at_most(1.15, "10 000 streams: time to the last subscriber x floor", times(LAST, FLOOR)),
        at_most(1.00, "10 000 streams: time to the last subscriber x best on tokio", by_best(LAST)),
    ]
}

fn idle(measured: &Measured) -> Vec<Goal> {
    let of = |server: &str| median(&measured.values(server, MEMORY));
    vec![
        at_most(650.0, "idle: resident bytes a stream", of(OURS)),
        at_least(4.0, "idle: best on tokio x resident bytes a stream", least(TOKIO.map(of).into_iter()) / of(OURS)),
        at_least(25.0, "idle: axum x resident bytes a stream", of(AXUM) / of(OURS)),
    ]
}

fn saturation(measured: &Measured) -> Vec<Goal> {
    let of = |server: &str| median(&measured.values(server, KNEE));
    let best = TOKIO.iter().map(|name| of(name)).filter(|knee| !knee.is_nan()).fold(f64::NAN, f64::max);
    vec![at_least(2.5, "saturation: delivered with nothing lost x best on tokio", of(OURS) / best)]
}

fn slow(measured: &Measured) -> Vec<Goal> {
    vec![at_most(1.1, "slow: p99 of the others x without slow clients", median(&measured.values(OURS, "p99_ratio")))]
}

fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|value| !value.is_nan()).fold(f64::NAN, f64::min)
}

fn at_most(limit: f64, what: &'static str, measured: f64) -> Goal {
    Goal { what, limit, good: Ordering::Less, measured }
}

fn at_least(limit: f64, what: &'static str, measured: f64) -> Goal {
    Goal { what, limit, good: Ordering::Greater, measured }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Figure, Rounds, Sample};

    const MEMORY_FIGURE: Figure = Figure::new(MEMORY, "", 0);

    fn idle_of(values: &[(&str, f64)]) -> Comparison {
        let rounds = |&(server, value): &(&str, f64)| Rounds {
            server: server.to_owned(),
            samples: vec![Sample { figures: vec![(&MEMORY_FIGURE, value)], ..Sample::default() }],
            failure: None,
        };
        let servers = values.iter().map(rounds).collect();
        let measured = vec![Measured { key: "idle".into(), title: String::new(), servers }];
        Comparison { arguments: vec![], quick: false, contestants: vec![], measured }
    }

    fn verdicts(values: &[(&str, f64)]) -> Vec<(f64, bool)> {
        goals(&idle_of(values)).iter().map(|goal| (goal.measured, goal.is_reached())).collect()
    }

    #[test]
    fn a_goal_is_held_against_the_best_on_tokio() {
        let good = [("smolcast", 500.0), ("tokio-raw", 3000.0), ("hyper", 2000.0), ("axum", 20_000.0)];
        assert_eq!(verdicts(&good), [(500.0, true), (4.0, true), (40.0, true)]);
        let bad = [("smolcast", 1000.0), ("tokio-raw", 3000.0), ("axum", 20_000.0)];
        assert_eq!(verdicts(&bad), [(1000.0, false), (3.0, false), (20.0, false)]);
    }

    #[test]
    fn who_did_not_take_part_is_no_goal() {
        assert_eq!(verdicts(&[("smolcast", 500.0)]), [(500.0, true)]);
        assert!(verdicts(&[("axum", 500.0)]).is_empty());
    }
}
