//! A shop's records on one afternoon, for questions about it.

use oag_guard::{KillSwitch, Rung};
use oag_ops::{Facts, Found};
use oag_pilot::{Note, Phase, PlanRecord, Step, StepPhase, Story};
use oag_types::{
    Action, ActionSpec, Comparison, Decision, Evidence, Expectation, Finding, FindingKind,
    KindName, Measured, Observable, Origin, Plan, Reason, Repeatability, Risk, SealedPlan,
    ServiceName, Severity, Target, Tenant, Timestamp, Undo, Verdict, Verification,
    VerificationState,
};
use serde_json::{Value, json};

use crate::support::*;

pub(crate) fn id<T: std::str::FromStr>(prefix: &str, number: u32) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("{prefix}_{number:032x}").parse().unwrap()
}

pub(crate) fn ago(minutes: i64) -> Timestamp {
    now().plus_millis(-minutes * 60_000)
}

pub(crate) fn finding(
    number: u32,
    story: u32,
    service: &str,
    (kind, severity): (FindingKind, Severity),
    summary: &str,
) -> Finding {
    Finding {
        id: id("fnd", number),
        story: id("sty", story),
        kind,
        service: Some(name(service)),
        severity,
        confidence: 0.875,
        summary: summary.to_owned(),
        evidence: vec![Evidence::new("the arithmetic").with("threshold", 0.85).with("of", 4)],
        at: ago(100 - i64::from(number)),
    }
}

fn story(number: u32, service: &str, findings: Vec<Finding>) -> Story {
    Story {
        id: id("sty", number),
        title: findings[0].summary.clone(),
        service: Some(name(service)),
        opened_at: ago(120),
        closed_at: None,
        findings,
        plans: Vec::new(),
    }
}

/// A plan that does one thing, made so many minutes ago, in a phase since the minute after.
pub(crate) fn plan(
    number: u32,
    (kind, service, params): (&str, &str, Value),
    summary: &str,
    (phase, minutes): (Phase, i64),
) -> PlanRecord {
    let action = Action {
        id: id("act", number),
        spec: ActionSpec {
            kind: KindName::new(kind),
            target: Target {
                service: name(service),
                group: "shop".parse().unwrap(),
                executor: "local".to_owned(),
            },
            params,
        },
        summary: summary.to_owned(),
        expect: Vec::new(),
        risk: Risk::Low,
        undo: Undo::NotNeeded,
        repeat: Repeatability::Idempotent,
        idempotency_key: "k".to_owned(),
    };
    let sealed = SealedPlan::seal(Plan {
        id: id("pln", number),
        story: id("sty", 1),
        tenant: Tenant::default_tenant(),
        proposer: id("usr", 9),
        origin: if kind == "restart" { Origin::Request } else { Origin::Loop },
        summary: summary.to_owned(),
        reason: format!("the reason of plan {number}"),
        findings: vec![id("fnd", 2)],
        actions: vec![action],
        base: [].into(),
        created_at: ago(minutes),
        expires_at: ago(-30),
    });
    let sealed = sealed.unwrap();
    let step = Step {
        action: id("act", number),
        phase: StepPhase::Pending,
        receipt: None,
        verification: None,
        undo_receipt: None,
        error: None,
        ledger: Vec::new(),
        times: Vec::new(),
    };
    let note = |at, text: &str| Note { at, by: None, text: text.to_owned() };
    PlanRecord {
        digest: sealed.digest(),
        sealed,
        phase,
        rung: Rung::Approve,
        verdict: Verdict { decision: Decision::Allow, reasons: Vec::new(), approvals_needed: 0 },
        approvals: Vec::new(),
        steps: vec![step],
        notes: vec![
            note(ago(minutes), "proposed"),
            note(ago(minutes - 1), &format!("came to {}", phase.as_str())),
        ],
    }
}

fn says(plan: &mut PlanRecord, rule: &str, decision: Decision, text: &str) {
    plan.verdict.decision = decision;
    plan.verdict.approvals_needed = u32::from(decision == Decision::NeedsApproval);
    let (rule, text) = (rule.to_owned(), text.to_owned());
    plan.verdict.reasons.push(Reason { rule, decision, text });
}

fn scale(service: &str, replicas: u32) -> (&'static str, &str, Value) {
    ("scale", service, json!({"replicas": replicas}))
}

/// The plans, newest first.
fn plans() -> Vec<PlanRecord> {
    let to = |service: &str, replicas: u32, from: u32| {
        format!("scale {service} to {replicas} replicas (from {from})")
    };
    let summary = to("order-service", 6, 4);
    let waits = (Phase::AwaitingApproval, 5);
    let mut waiting = plan(16, scale("order-service", 6), &summary, waits);
    says(
        &mut waiting,
        "ladder.approve",
        Decision::NeedsApproval,
        "scale acts once a person agreed",
    );
    let restart = ("restart", "stock-service", json!({}));
    let running = plan(15, restart, "restart stock-service", (Phase::Running, 10));
    let mut undone =
        plan(14, scale("payment-service", 5), &to("payment-service", 5, 3), (Phase::Undone, 60));
    undone.steps[0].phase = StepPhase::Undone;
    undone.steps[0].verification = Some(Verification {
        state: VerificationState::Missed,
        measured: vec![Measured {
            expected: Expectation {
                observe: Observable::State("ready_replicas".to_owned()),
                is: Comparison::Ge,
                value: json!(5),
                within_ms: 60_000,
                hold_ms: 0,
            },
            actual: json!(3),
            holds: false,
        }],
        at: ago(59),
    });
    let mut denied =
        plan(13, scale("order-service", 60), &to("order-service", 60, 4), (Phase::Denied, 90));
    says(&mut denied, "limit.max_replicas", Decision::Deny, "60 is above the limit of 20");
    let old = plan(
        12,
        scale("order-service", 4),
        &to("order-service", 4, 3),
        (Phase::Succeeded, 3 * 24 * 60),
    );
    vec![waiting, running, undone, denied, old]
}

pub(crate) fn facts() -> Facts {
    let mut order = service("order-service");
    order.depends_on = vec![calls("stock-service", 1.0)];
    let (warning, critical) = (Severity::Warning, Severity::Critical);
    let load = "load of order-service is forecast to reach 900 requests/s";
    let slow = "latency of order-service is 840 ms, usually 120 ms";
    let of_order = vec![
        finding(1, 1, "order-service", (FindingKind::Latency, warning), "latency is 300 ms"),
        finding(2, 1, "order-service", (FindingKind::ForecastOverload, warning), load),
        finding(3, 1, "order-service", (FindingKind::Latency, critical), slow),
    ];
    let fails = "12 % of the requests of stock-service fail";
    let of_stock = vec![finding(4, 2, "stock-service", (FindingKind::Errors, warning), fails)];
    let odd = "request_rate of payment-service is 12, usually 40";
    let of_payment = vec![finding(5, 3, "payment-service", (FindingKind::Anomaly, warning), odd)];
    let much = "payment-service has 3 replicas, 2 are enough";
    let spare =
        vec![finding(6, 4, "payment-service", (FindingKind::Surplus, Severity::Info), much)];
    let mut closed = story(3, "payment-service", of_payment);
    closed.closed_at = Some(ago(30));
    let stories = vec![
        story(4, "payment-service", spare),
        closed,
        story(2, "stock-service", of_stock),
        story(1, "order-service", of_order),
    ];
    let findings = stories.iter().flat_map(|story| story.findings.clone()).collect();
    Facts {
        at: now(),
        services: vec![order, service("payment-service"), service("stock-service")],
        states: [(name("order-service"), observed(4, 3))].into(),
        found: Some(Found { stories, findings, older: false }),
        plans: plans(),
        older_plans: false,
        kill_switch: Some(KillSwitch::default()),
    }
}

/// Of somebody who may see nothing.
pub(crate) fn nothing() -> Facts {
    Facts {
        services: Vec::new(),
        states: [].into(),
        found: None,
        plans: Vec::new(),
        kill_switch: None,
        ..facts()
    }
}

/// Every name and text of the records, to see that none of them comes out.
pub(crate) fn secrets() -> Vec<String> {
    let facts = facts();
    let names = facts.services.iter().map(|service| service.name.to_string());
    let ids = facts.plans.iter().map(|plan| plan.id().to_string());
    let found = facts.found.unwrap_or_default();
    let found = found.findings.into_iter().flat_map(|f| [f.id.to_string(), f.summary]);
    names.chain(ids).chain(found).collect()
}

pub(crate) fn names(facts: &Facts) -> Vec<ServiceName> {
    facts.services.iter().map(|service| service.name.clone()).collect()
}
