//! What was done and what the ledger says about it.

use std::time::Duration;

use oag_types::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::sizes::Policy;
use super::world::{Server, ledger_rows, plans};
use crate::value::Read;

/// An action that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Deed {
    /// Its number, from 1, in the order of time.
    pub(super) number: usize,
    /// When it began.
    pub(super) at: Timestamp,
    /// The same, in steps from the first counted one; negative during the warm-up.
    pub(super) step: f64,
    /// Replicas it set.
    pub(super) replicas: u64,
    pub(super) summary: String,
    /// Why, in the words of its plan.
    pub(super) reason: String,
    /// How it ended.
    pub(super) phase: String,
    pub(super) plan: String,
    pub(super) story: String,
    pub(super) action: String,
    /// Rows of the ledger about it: index and kind.
    pub(super) ledger: Vec<(u64, String)>,
}

/// A plan that the guard did not let through.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Refused {
    pub(super) at: Timestamp,
    pub(super) summary: String,
    pub(super) why: String,
}

/// What became of the plans about one service.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Record {
    pub(super) deeds: Vec<Deed>,
    pub(super) refused: Vec<Refused>,
}

impl Deed {
    /// Whether the ledger has both what was intended and what came of it.
    pub(super) fn in_ledger(&self) -> bool {
        ["intent", "outcome"].iter().all(|kind| self.ledger.iter().any(|(_, k)| k == kind))
    }
}

impl Record {
    /// Actions in the counted steps.
    pub(super) fn counted(&self, steps: usize) -> usize {
        let counted = |deed: &&Deed| deed.step >= 0.0 && deed.step < steps as f64;
        self.deeds.iter().filter(counted).count()
    }
}

/// Reads the plans of a policy since `since`, when every one of them has come to an end or
/// `patience` is over. `first` is the first counted moment.
pub(super) async fn record(
    server: &impl Server,
    policy: Policy,
    (since, first): (Timestamp, Timestamp),
    step_ms: i64,
    patience: Duration,
) -> anyhow::Result<Record> {
    let pause = Duration::from_millis(250);
    let mut waited = Duration::ZERO;
    let found = loop {
        let found = plans(server, policy, since).await?;
        let open = |plan: &Value| matches!(plan.str("/phase"), "queued" | "running");
        if waited >= patience || !found.iter().any(open) {
            break found;
        }
        tokio::time::sleep(pause).await;
        waited += pause;
    };
    let mut record = Record::default();
    for plan in &found {
        take(&mut record, plan, first, step_ms);
    }
    for deed in &mut record.deeds {
        deed.ledger = ledger_rows(server, &deed.action).await?;
    }
    Ok(record)
}

fn take(record: &mut Record, plan: &Value, first: Timestamp, step_ms: i64) {
    let made = plan.time("/plan/created_at").unwrap_or_default();
    if plan.str("/phase") == "denied" {
        let reasons = plan.list("/verdict/reasons").iter();
        let denials = reasons.filter(|reason| reason.str("/decision") == "deny");
        let why: Vec<&str> = denials.map(|reason| reason.str("/text")).collect();
        let summary = plan.text("/plan/summary");
        record.refused.push(Refused { at: made, summary, why: why.join("; ") });
    }
    for (step, action) in plan.list("/steps").iter().zip(plan.list("/plan/actions")) {
        if matches!(step.str("/phase"), "pending" | "skipped") {
            continue;
        }
        let begun = step.list("/times").first().and_then(|time| time.time("/at"));
        let at = begun.unwrap_or(made);
        record.deeds.push(Deed {
            number: record.deeds.len() + 1,
            at,
            step: at.millis_since(first) as f64 / step_ms.max(1) as f64,
            replicas: action.at("/params/replicas").as_u64().unwrap_or(0),
            summary: action.text("/summary"),
            reason: plan.text("/plan/reason"),
            phase: step.text("/phase"),
            plan: plan.text("/id"),
            story: plan.text("/plan/story"),
            action: step.text("/action"),
            ledger: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(phase: &str, step: &str, at_ms: i64) -> Value {
        json!({
            "id": "pln_1", "phase": phase,
            "plan": {
                "created_at": Timestamp::from_millis(at_ms), "summary": "scale", "story": "sty_1",
                "reason": "ceil(250 / 34) = 8",
                "actions": [{"id": "act_1", "params": {"replicas": 8}, "summary": "scale to 8"}],
            },
            "verdict": {"reasons": [
                {"rule": "a", "decision": "allow", "text": "fine"},
                {"rule": "b", "decision": "deny", "text": "too soon"},
            ]},
            "steps": [{"action": "act_1", "phase": step, "times": [
                {"phase": "intended", "at": Timestamp::from_millis(at_ms + 100)}]}],
        })
    }

    #[test]
    fn what_was_carried_out_is_told_from_what_was_refused() {
        let mut record = Record::default();
        let first = Timestamp::from_millis(10_000);
        take(&mut record, &plan("succeeded", "verified", 9_000), first, 1_000);
        take(&mut record, &plan("denied", "pending", 11_000), first, 1_000);
        take(&mut record, &plan("superseded", "superseded", 12_900), first, 1_000);
        let steps: Vec<f64> = record.deeds.iter().map(|deed| deed.step).collect();
        assert_eq!(steps, [-0.9, 3.0]);
        assert_eq!(record.counted(200), 1);
        assert_eq!(record.counted(3), 0);
        assert_eq!(record.refused.len(), 1);
        assert_eq!(record.refused[0].why, "too soon");
        assert_eq!(record.deeds[1].reason, "ceil(250 / 34) = 8");
        assert_eq!((record.deeds[1].number, record.deeds[1].replicas), (2, 8));
    }

    #[test]
    fn an_action_is_in_the_ledger_with_intent_and_outcome() {
        let mut record = Record::default();
        take(&mut record, &plan("succeeded", "verified", 0), Timestamp::default(), 1_000);
        let deed = &mut record.deeds[0];
        deed.ledger = vec![(4, "intent".to_owned())];
        assert!(!deed.in_ledger());
        deed.ledger.push((5, "outcome".to_owned()));
        assert!(deed.in_ledger());
    }
}
