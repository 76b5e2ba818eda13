//! The comparison, and what it says.

use serde::Serialize;

use super::account::{Course, Score};
use super::evidence::Record;
use super::machine::{Machine, Processor};
use super::sizes::{CAPACITY, Policy};
use crate::table::table;
use crate::value::count;

/// What the loop expected at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Forecast {
    /// The counted step of the first value; negative during the warm-up.
    pub(super) from_step: i64,
    pub(super) mean: Vec<f64>,
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

/// Everything that a run gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Outcome {
    pub(super) minutes: usize,
    pub(super) step_ms: i64,
    pub(super) seed: u64,
    /// The row of the recording the window begins at.
    pub(super) first_row: usize,
    pub(super) capacity_per_replica: f64,
    /// Whether the loop was ahead of the reactive rule.
    pub(super) ahead: bool,
    /// In one sentence.
    pub(super) verdict: String,
    pub(super) scores: Vec<Score>,
    /// What the loop did.
    pub(super) actions: Record,
    /// Actions of the loop with intent and outcome in the ledger.
    pub(super) in_ledger: usize,
    pub(super) cpu_percent: Processor,
    pub(super) machine: Machine,
    /// Requests per second in each step.
    pub(super) offered: Vec<f64>,
    pub(super) courses: Vec<Course>,
    pub(super) forecasts: Vec<Forecast>,
}

/// The loop is ahead when it is no worse in both of overload and replica-seconds and better in
/// one of them.
pub(super) fn verdict(scores: &[Score]) -> (bool, String) {
    let of = |policy: Policy| scores.iter().find(|score| score.policy == policy);
    let (Some(own), Some(other)) = (of(Policy::Loop), of(Policy::Reactive)) else {
        return (false, "there is nothing to compare".to_owned());
    };
    let over = own.overloaded_share - other.overloaded_share;
    let cost = own.replica_seconds - other.replica_seconds;
    let ahead = over <= 0.0 && cost <= 0.0 && (over < 0.0 || cost < 0.0);
    let numbers = format!(
        "overloaded {:.1} % against {:.1} % of the time, with {:.0} against {:.0} replica-seconds",
        own.overloaded_share * 100.0,
        other.overloaded_share * 100.0,
        own.replica_seconds,
        other.replica_seconds
    );
    let text = match (ahead, over <= 0.0, cost <= 0.0) {
        (true, ..) => "the loop was ahead of the reactive rule",
        (_, true, false) => "the loop was not ahead: it used more replicas",
        (_, false, true) => "the loop was not ahead: it was overloaded for longer",
        _ => "the loop was behind: overloaded for longer, with more replicas",
    };
    (ahead, format!("{text}: {numbers}"))
}

impl Outcome {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut parts = vec![self.comparison(), String::new(), self.verdict.clone()];
        parts.push(format!(
            "{} of the loop, {} of them with intent and outcome in the ledger; {} the guard \
             refused",
            count(self.actions.deeds.len(), "action", "actions"),
            self.in_ledger,
            count(self.actions.refused.len(), "plan", "plans")
        ));
        parts.push(self.costs());
        parts.push(self.machine.line());
        parts.push(String::new());
        parts.push(self.deeds());
        parts.join("\n")
    }

    fn comparison(&self) -> String {
        let titles = vec![
            "policy",
            "overloaded",
            "replica-seconds",
            "p99",
            "mean",
            "requests",
            "failed",
            "actions",
        ];
        let rows = self.scores.iter().map(|score| {
            vec![
                score.policy.label().to_owned(),
                format!("{:.1} %", score.overloaded_share * 100.0),
                format!("{:.0}", score.replica_seconds),
                format!("{:.0} ms", score.latency_p99_ms),
                format!("{:.0} ms", score.latency_mean_ms),
                score.requests.to_string(),
                score.failed.to_string(),
                score.actions.to_string(),
            ]
        });
        table(titles, rows.collect())
    }

    fn costs(&self) -> String {
        let percent =
            |value: Option<f64>| value.map_or_else(|| "?".to_owned(), |v| format!("{v:.0} %"));
        let Processor { generator, product, replicas } = self.cpu_percent;
        format!(
            "processor, in percent of one core: generator {}, product {}, replicas {}; a replica \
             carries {CAPACITY:.0}/s",
            percent(generator),
            percent(product),
            percent(replicas)
        )
    }

    fn deeds(&self) -> String {
        let titles = vec!["#", "minute", "action", "ended", "story", "ledger", "why"];
        let rows = self.actions.deeds.iter().map(|deed| {
            vec![
                deed.number.to_string(),
                format!("{:.1}", deed.step),
                deed.summary.clone(),
                deed.phase.clone(),
                deed.story.clone(),
                indices(&deed.ledger),
                deed.reason.clone(),
            ]
        });
        table(titles, rows.collect())
    }
}

/// The indices of rows of the ledger.
pub(super) fn indices(rows: &[(u64, String)]) -> String {
    rows.iter().map(|(index, _)| index.to_string()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use oag_types::Timestamp;

    use super::*;
    use crate::demo::evidence::{Deed, Refused};

    fn score(policy: Policy, overloaded_share: f64, replica_seconds: f64) -> Score {
        Score {
            policy,
            overloaded_share,
            replica_seconds,
            latency_p99_ms: 412.0,
            latency_mean_ms: 215.0,
            requests: 30_000,
            failed: 12,
            actions: 9,
        }
    }

    /// A run for tests of what is made of it.
    pub(in crate::demo) fn outcome() -> Outcome {
        let deed = |number: usize, step: f64| Deed {
            number,
            at: Timestamp::from_millis(1_000_000),
            step,
            replicas: 4 + number as u64,
            summary: format!("scale demo-loop to {} replicas", 4 + number),
            reason: format!("<b>reason {number}</b> & ceil(250 / 34) = 8"),
            phase: "verified".to_owned(),
            plan: format!("pln_{number}"),
            story: format!("sty_{number}"),
            action: format!("act_{number}"),
            ledger: vec![(10 * number as u64, "intent".into()), (11, "outcome".into())],
        };
        let scores: Vec<Score> = Policy::ALL
            .iter()
            .zip([0.01, 0.04, 0.0, 0.3, 0.0])
            .map(|(policy, over)| score(*policy, over, 1_000.0))
            .collect();
        let course = |policy: Policy| Course {
            policy,
            wanted: vec![2, 3, 3, 2],
            ready: vec![2, 2, 3, 2],
            latency_p99_ms: vec![Some(240.0), None, Some(900.0), Some(4_000.0)],
        };
        let refused = Refused {
            at: Timestamp::from_millis(1_000_000),
            summary: "scale demo-loop to 9".into(),
            why: "too soon".into(),
        };
        let (ahead, verdict) = verdict(&scores);
        Outcome {
            minutes: 4,
            step_ms: 1_000,
            seed: 1_998,
            first_row: 14_725,
            capacity_per_replica: CAPACITY,
            ahead,
            verdict,
            scores,
            actions: Record { deeds: vec![deed(1, -0.5), deed(2, 1.5)], refused: vec![refused] },
            in_ledger: 2,
            cpu_percent: Processor { generator: Some(20.0), product: None, replicas: Some(31.0) },
            machine: Machine::read(),
            offered: vec![70.0, 90.0, 130.0, 60.0],
            courses: Policy::ALL.iter().map(|policy| course(*policy)).collect(),
            forecasts: vec![Forecast {
                from_step: -1,
                mean: vec![80.0; 10],
                low: vec![60.0; 10],
                high: vec![110.0; 10],
            }],
        }
    }

    #[test]
    fn ahead_is_no_worse_in_both_and_better_in_one() {
        let judge = |own: (f64, f64), other: (f64, f64)| {
            let scores =
                [score(Policy::Loop, own.0, own.1), score(Policy::Reactive, other.0, other.1)];
            verdict(&scores)
        };
        assert!(judge((0.01, 900.0), (0.04, 1_000.0)).0);
        assert!(judge((0.01, 1_000.0), (0.04, 1_000.0)).0);
        assert!(judge((0.0, 900.0), (0.0, 1_000.0)).0);
        assert!(!judge((0.0, 1_000.0), (0.0, 1_000.0)).0);
        let (ahead, text) = judge((0.01, 1_001.0), (0.04, 1_000.0));
        assert!(!ahead && text.contains("more replicas"), "{text}");
        let (ahead, text) = judge((0.05, 900.0), (0.04, 1_000.0));
        assert!(!ahead && text.contains("overloaded for longer"), "{text}");
        let (ahead, text) = judge((0.05, 1_100.0), (0.04, 1_000.0));
        assert!(!ahead && text.contains("behind"), "{text}");
    }

    #[test]
    fn the_text_has_every_policy_and_every_action() {
        let text = outcome().text();
        for policy in Policy::ALL {
            assert!(text.contains(policy.label()), "{text}");
        }
        assert!(
            text.contains("2 actions of the loop, 2 of them with intent and outcome"),
            "{text}"
        );
        assert!(text.contains("1 plan the guard refused"), "{text}");
        assert!(text.contains("sty_1") && text.contains("20 11"), "{text}");
        assert!(text.contains("product ?"), "{text}");
    }
}
