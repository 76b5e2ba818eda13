//! Real JSON of every type, and the comparison of each with its shape.

use oag_cluster::protocol::NodeRole;
use oag_cluster::{
    GroupView, KeptState, LeaseView, ModelView, NodeModel, NodeState, NodeView, QueueLine,
    QueueView,
};
use oag_guard::{Rung, Weekday};
use oag_ops::{AnalysisActionKind, AnalysisDecision, AnalyzeRequest};
use oag_pilot::{Phase, PlanRecord, Resolution, StepPhase, Story, Versioned};
use oag_schedule::Class;
use oag_types::{
    Comparison, Decision, Finding, FindingKind, Origin, PrincipalKind, Repeatability, Risk,
    ScalingMode, SealedPlan, Severity, VerificationState,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::check::Check;
use crate::http::problem::ProblemDocument;
use crate::http::watch::{Bookmark, WatchEvent};
use crate::probe::Health;
use crate::wire::*;

const AT: &str = "2026-11-21T08:00:00.000Z";
const LATER: &str = "2026-11-21T09:00:00.000Z";

fn id(prefix: &str) -> String {
    format!("{prefix}_019a0c7e5f0a7bd2a1b2c3d4e5f60718")
}

/// A value of the domain, read from what it writes.
fn of<T: DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn expectation(observe: Value, is: &str) -> Value {
    json!({"observe": observe, "is": is, "value": 4, "within_ms": 1, "hold_ms": 2})
}

fn target() -> Value {
    json!({"service": "order", "group": "shop", "executor": "local"})
}

fn plan() -> SealedPlan {
    let spec = json!({"kind": "scale", "target": target(), "params": {"replicas": 4}});
    let undos = [json!({"by": spec}), json!("not_needed"), json!({"impossible": "it is sent"})];
    let actions = undos.map(|undo| {
        json!({
            "id": id("act"), "kind": "scale", "target": target(), "params": {"replicas": 4},
            "summary": "4 replicas", "risk": "low", "undo": undo, "repeat": "idempotent",
            "idempotency_key": "k", "expect": [
                expectation(json!({"state": "ready_replicas"}), "eq"),
                expectation(json!({"metric": "error_rate"}), "le"),
            ],
        })
    });
    let plan = json!({
        "id": id("pln"), "story": id("sty"), "tenant": "default", "proposer": id("usr"),
        "origin": "loop", "summary": "s", "reason": "r", "findings": [id("fnd")],
        "actions": actions, "base": {"order": 7}, "created_at": AT, "expires_at": LATER,
    });
    SealedPlan::seal(of(plan)).unwrap()
}

fn record() -> Versioned<PlanRecord> {
    let sealed = plan();
    let receipt = json!({"changed": true, "detail": "d", "before": {"a": 1}, "after": {"a": 2}});
    let measured = json!([{
        "expected": expectation(json!({"state": "replicas"}), "ge"), "actual": 4, "holds": true,
    }]);
    let value = json!({
        "digest": sealed.digest(), "sealed": sealed, "phase": "undone", "rung": "approve",
        "verdict": {"decision": "allow", "approvals_needed": 1, "reasons": [
            {"rule": "limits.max", "decision": "allow", "text": "within the limits"}]},
        "approvals": [{
            "id": id("apr"), "plan": id("pln"), "digest": sealed.digest(), "principal": id("usr"),
            "at": AT, "expires_at": LATER,
        }],
        "steps": [{
            "action": id("act"), "phase": "undone", "receipt": receipt, "undo_receipt": receipt,
            "verification": {"state": "missed", "measured": measured, "at": AT},
            "error": "too slow", "ledger": [3], "times": [["intended", AT]],
        }],
        "notes": [{"at": AT, "by": id("usr"), "text": "approved"}],
    });
    Versioned { value: of(value), revision: 9 }
}

fn finding() -> Finding {
    of(json!({
        "id": id("fnd"), "story": id("sty"), "kind": "overload", "service": "order",
        "severity": "warning", "confidence": 0.9, "summary": "s", "at": AT,
        "evidence": [{"text": "t", "series": "request_rate", "numbers": {"rps": 7}}],
    }))
}

fn story() -> Story {
    let findings = [finding()];
    of(json!({
        "id": id("sty"), "title": "t", "service": "order", "opened_at": AT, "closed_at": LATER,
        "findings": findings, "plans": [id("pln")],
    }))
}

fn ledger_row() -> oag_pilot::LedgerRow {
    let text = || "x".to_owned();
    oag_pilot::LedgerRow {
        index: 3,
        at: of(json!(AT)),
        kind: text(),
        subject: text(),
        leaf_hash: text(),
        payload: json!({}),
        erased: false,
    }
}

fn role_bindings() -> Value {
    json!([{"role": "admin", "scope": "all"}, {"role": "x", "scope": {"groups": ["shop"]}}])
}

fn names(check: &mut Check) {
    check.names::<Comparison>();
    check.names::<Risk>();
    check.names::<Repeatability>();
    check.names::<Origin>();
    check.names::<Decision>();
    check.names::<VerificationState>();
    check.names::<Phase>();
    check.names::<StepPhase>();
    check.names::<Rung>();
    check.names::<Resolution>();
    check.names::<FindingKind>();
    check.names::<Severity>();
    check.names::<Weekday>();
    check.names::<PrincipalKind>();
    check.names::<ScalingMode>();
    check.names::<AnalysisDecision>();
    check.names::<AnalysisActionKind>();
    check.names::<NodeState>();
    check.names::<NodeRole>();
    check.names::<Class>();
}

fn plans(check: &mut Check) {
    check.sends(&[PlanView::whole(record())]);
    check.sends(&[FindingView::from(Versioned { value: finding(), revision: 9 })]);
    check.sends(&[StoryView::from(Versioned { value: story(), revision: 9 })]);
    check.sends(&[StoryDetail::from(oag_pilot::StoryView {
        story: story(),
        plans: vec![record().value],
        ledger: vec![ledger_row()],
    })]);
    let notice = json!({
        "id": id("ntf"), "severity": "info", "message": "m", "plan": id("pln"), "at": AT,
        "seen": [id("usr"), AT],
    });
    check.sends(&[NotificationView::from(Versioned { value: of(notice), revision: 9 })]);
    let expect = [expectation(json!({"metric": "m"}), "eq")];
    check.reads::<ProposalRequest>(&[json!({
        "story": id("sty"), "reason": "r", "findings": [id("fnd")], "expires_in_ms": 1,
        "actions": [{"kind": "scale", "service": "order", "params": {}, "expect": expect}],
    })]);
    check.reads::<DigestRequest>(&[json!({"digest": plan().digest()})]);
    check.reads::<CancelRequest>(&[json!({"reason": "r"})]);
    check.reads::<ReasonRequest>(&[json!({"reason": "r"})]);
    check.reads::<ResolveRequest>(&[json!({"resolution": "done"})]);
}

fn guard(check: &mut Check) {
    let selector =
        json!({"kinds": ["a"], "except_kinds": ["b"], "services": ["c"], "groups": ["d"]});
    let policy = json!({"role": "r", "permissions": ["*:view"], "resources": ["*"]});
    let limit = json!({
        "name": "n", "selector": selector, "quantity": "replicas", "min": 1.5, "max": 2.5,
        "max_step": 3.5, "max_step_ratio": 4.5, "step_window_ms": 5, "cooldown_ms": 6,
        "cooldown_up_ms": 7, "rate": {"count": 8, "per_ms": 9},
        "blast_radius": {"services_per_window": 1, "window_ms": 2, "share_of_capacity": 0.5},
    });
    let freeze = json!({
        "name": "n", "from": AT, "to": LATER, "selector": selector, "reason": "r", "repeat": {
            "days": ["monday"], "start_minute": 1, "end_minute": 2, "utc_offset_minutes": -300},
    });
    let rules = json!({"expires_after_ms": 1, "second_person": {
        "risk": "high", "change_ratio": 0.5, "change_window_ms": 2, "kinds": ["deploy"],
        "proposer_counts": true}});
    check.reads::<PoliciesView>(&[json!({"policies": [policy], "revision": 9})]);
    check.reads::<LimitsView>(&[json!({"rules": [limit], "revision": 9})]);
    check.reads::<FreezesView>(&[json!({"freezes": [freeze], "revision": 9})]);
    check.reads::<ApprovalRulesView>(&[json!({"rules": rules, "revision": 9})]);
    check.sends(&[of::<PoliciesView>(json!({"policies": [policy], "revision": 9}))]);
    check.sends(&[of::<LimitsView>(json!({"rules": [limit], "revision": 9}))]);
    check.sends(&[of::<FreezesView>(json!({"freezes": [freeze], "revision": 9}))]);
    check.sends(&[of::<ApprovalRulesView>(json!({"rules": rules, "revision": 9}))]);
    let scopes = [json!("all"), json!({"groups": ["shop"]})];
    check.sends(&scopes.clone().map(|scope| {
        let switch = json!({"on": true, "scope": scope, "by": id("usr"), "at": AT, "reason": "r"});
        KillSwitchView { kill_switch: of(switch), revision: Some(9) }
    }));
    let change = |scope| json!({"on": true, "scope": scope, "reason": "r"});
    check.reads::<KillSwitchChange>(&scopes.map(change));
    check.reads::<AutonomyChange>(&[json!({
        "rung": "observe", "ceiling": "automatic", "reason": "r"})]);
    let mut book = oag_guard::Book::default();
    let entry = json!({"rung": "observe", "ceiling": "approve", "changed_at": AT});
    book.ladder.entries.insert(of(json!("scale")), of(entry));
    let book = Versioned { value: book, revision: 9 };
    check.sends(&[AutonomyView::of(book, std::iter::empty())]);
}

fn directory(check: &mut Check) {
    let principal = json!({
        "id": id("usr"), "kind": "person", "name": "n", "roles": role_bindings(), "disabled": true,
    });
    let stored = Versioned { value: of(principal.clone()), revision: 9 };
    check.sends(&[PrincipalView::from(stored)]);
    let mut change = principal;
    change["revision"] = json!(9);
    check.reads::<PrincipalChange>(&[change]);
    let new = json!({"kind": "person", "name": "n", "roles": role_bindings()});
    check.reads::<PrincipalRequest>(&[new]);
    check.reads::<KeyRequest>(&[json!({
        "principal": id("usr"), "name": "n", "scopes": ["*:view"], "expires_at": LATER})]);
    let key = || {
        let key = json!({
            "id": id("key"), "principal": id("usr"), "name": "n", "hash": "h", "scopes": ["*"],
            "created_at": AT, "expires_at": LATER, "revoked_at": LATER, "last_used_at": AT,
        });
        KeyView::from(Versioned { value: of(key), revision: 9 })
    };
    check.sends(&[KeyMinted { key: key(), secret: Some("s".to_owned()) }]);
    check.sends(&[WhoAmI {
        id: of(json!(id("usr"))),
        kind: PrincipalKind::Person,
        name: "n".to_owned(),
        roles: of(role_bindings()),
        tenant: of(json!("default")),
        key: Some(of(json!(id("key")))),
        scopes: of(json!(["*"])),
        permissions: vec!["*".to_owned()],
    }]);
}

fn catalogue(check: &mut Check) {
    let service = json!({
        "name": "order", "group": "shop", "executor": "local", "spec": {}, "revision": 9,
        "depends_on": [{"service": "pay", "calls_per_request": 1.5, "scales_along": true}],
        "features": [{"name": "f", "path_prefix": "/f", "core": true}], "scaling": {
            "mode": "off", "min_replicas": 1, "max_replicas": 2, "step_ms": 3, "threshold": 0.5,
            "capacity_per_replica": 1.5, "season_steps": 4, "down_every_steps": 5, "down_max": 6,
            "reactive_target": 0.7},
    });
    check.reads::<Service>(std::slice::from_ref(&service));
    let stored = Versioned { value: of::<Service>(service).entry(), revision: 9 };
    check.sends(&[Service::from(stored)]);
    check.passes::<oag_pilot::Observed>(&[json!({"revision": 9, "fields": {"replicas": 2}})]);
    let line = json!({"at": AT, "replica": "r", "error": true, "text": "t"});
    check.sends(&[LogsView { items: vec![of(line)] }]);
    let kinds: Vec<KindView> = oag_pilot::kinds().iter().map(|k| KindView::from(*k)).collect();
    check.sends(&kinds);
    let facts = of(json!({"breaker.failures": 3}));
    let service = of(json!("order"));
    check.sends(&[BreakerView { service, state: "open".to_owned(), facts }]);
    let (text, count) = (|| "x".to_owned(), 3);
    let row =
        LedgerHeadView { size: count, root: text(), checkpoint: text(), verifier_key: text() };
    check.sends(&[row]);
    check.sends(&[LedgerRowView::from(ledger_row())]);
    check.sends(&[Erased { erased: true }]);
}

fn signals(check: &mut Check) {
    let labels = json!({"service": "order"});
    check.reads::<SignalRequest>(&[json!({"name": "m", "labels": labels, "at": AT, "value": 1.5})]);
    let samples = [json!({"at": AT, "value": 1.5})];
    let past = json!({"name": "m", "labels": labels, "samples": samples});
    check.reads::<BackfillRequest>(&[past]);
    let error = |field| SignalError { index: 1, code: "c".into(), field, message: "m".into() };
    check.sends(&[SignalsTaken {
        accepted: 1,
        duplicates: 2,
        late: 3,
        rejected: 4,
        new_series: 5,
        errors: vec![error(Some("value".into())), error(None)],
        errors_left_out: 6,
    }]);
    check.sends(&[BackfillDone { accepted: 1, rejected: 2, stored: 3, taught: true }]);
    let series = || SeriesKeyView { name: "m".to_owned(), labels: of(labels.clone()) };
    check.sends(&[SeriesList { items: vec![series()], more: true }]);
    check.sends(&[SeriesWindow {
        series: series(),
        samples: of(json!(samples)),
        next_from: Some(of(json!(AT))),
    }]);
    check.sends(&[SeriesScoreView {
        series: series(),
        latest: Some(of(samples[0].clone())),
        score: Some(0.5),
        alert: true,
        expected: Some(1.0),
        low: Some(0.5),
        high: Some(1.5),
    }]);
    check.sends(&[LoadView {
        service: of(json!("order")),
        metric: "m".to_owned(),
        metrics: vec!["m".to_owned()],
        step_ms: 1,
        values: vec![Some(1.5), None],
        last_step_at: of(json!(AT)),
        newest_at: Some(of(json!(AT))),
        forecast: Some(vec![1.5]),
        forecast_low: Some(vec![1.5]),
        forecast_high: Some(vec![1.5]),
    }]);
}

fn analysis(check: &mut Check) {
    check.reads::<AnalyzeRequest>(&[json!({
        "metrics": {"cpu_usage": [61.5, null]}, "context": "c", "service": "order", "replicas": 1,
        "min_replicas": 2, "max_replicas": 3, "step_ms": 4,
    })]);
    let action = |undo| {
        json!({
            "kind": "scale", "service": "order", "params": {}, "expect": [], "risk": "low",
            "undo": undo,
        })
    };
    let finding = json!({
        "kind": "overload", "severity": "warning", "confidence": 0.5, "summary": "s",
        "evidence": [{"text": "t"}],
    });
    check.passes::<oag_ops::Analysis>(&[json!({
        "action": "a", "action_kind": "scale_up", "decision": "act", "service": "order",
        "replicas": 4, "ratio": 1.5, "findings": [finding], "confidence": 0.5,
        "plan": {"summary": "s", "actions": [action(json!({"by": {}})), action(json!("as_before"))]},
        "assumptions": ["a"], "evidence": ["e"], "language": "zh",
    })]);
    let numbers = json!({
        "consecutive_forecasts": 1, "react_to_present_overload": true,
        "cooldown_after_up_steps": 2, "reactive_tolerance": 0.5,
        "reactive_stabilisation_steps": 3, "error_rate_warning": 0.5, "error_rate_critical": 0.5,
        "error_volume_min": 0.5, "rollback_within_steps": 4, "restore_after_steps": 5,
        "restore_below": 0.5, "latency_factor": 0.5, "expires_steps": 6,
    });
    check.reads::<ReplayQuestion>(&[json!({
        "policies": [{"name": "n", "policy": numbers, "mode": "reactive", "threshold": 0.5,
            "plan_quantile": 0.5}],
        "from": AT, "to": LATER, "services": ["order"], "metric": "m", "config": {
            "start_delay_steps": 1, "initial_replicas": 2, "capacity_per_replica": 0.5,
            "warmup_share": 0.5, "records_max": 3, "timeline_max": 4},
    })]);
    let point = json!({
        "at": AT, "service": "order", "load": 0.5, "wanted": 1, "ready": 2, "utilisation": 0.5,
        "why": "w",
    });
    let outcome = json!({
        "name": "n", "steps": 1, "overloaded_share": 0.5, "over_threshold_share": 0.5,
        "requests_over": 0.5, "replica_steps": 2, "replica_steps_needed": 3, "scale_ups": 4,
        "scale_downs": 5, "findings": 6, "timeline": [point],
    });
    check.passes::<oag_ops::ReplayReport>(&[json!({
        "from": AT, "to": LATER, "records": 1, "policies": [outcome], "notes": ["n"],
        "first_difference": {"at": AT, "service": "order", "sides": [["n", 1, "w"]]},
    })]);
}

fn fleet(check: &mut Check) {
    let lease = || LeaseView {
        task: of(json!(id("gen"))),
        model: "m".to_owned(),
        tenant: of(json!("default")),
        node: of(json!("n")),
        attempt: 1,
        tokens: 2,
        runs_ms: 3,
        reason: Some("came first"),
        placed: Some("done soonest"),
    };
    let model = NodeModel {
        name: "m".to_owned(),
        about: "a".to_owned(),
        slots: 1,
        busy: 2,
        waiting: 3,
        tokens_per_s: 0.5,
        window_tokens: 4,
        slowness: 1.5,
        latency_s: 0.5,
    };
    check.sends(&[NodeView {
        name: of(json!("n")),
        role: NodeRole::Worker,
        state: NodeState::Ready,
        state_for_ms: 1,
        joined_at: of(json!(AT)),
        heard_ms: 2,
        heartbeat_ms: 3,
        version: "v".to_owned(),
        groups: vec!["g".to_owned()],
        capabilities: vec!["c".to_owned()],
        endpoint: Some("e".to_owned()),
        cpu: Some(0.5),
        memory: Some(0.5),
        models: vec![model],
        leases: vec![lease()],
    }]);
    check.sends(&[GroupView {
        name: "g".to_owned(),
        nodes: 4,
        connected: 3,
        ready: 2,
        models: vec!["m".to_owned()],
        slots: 8,
        busy: 1,
    }]);
    check.sends(&[ModelView {
        name: "m".to_owned(),
        nodes: vec![of(json!("n"))],
        slots: 1,
        busy: 2,
        waiting: 3,
        window_tokens: 4,
    }]);
    let line = QueueLine {
        task: of(json!(id("gen"))),
        tenant: of(json!("default")),
        class: Class::Batch,
        waited_ms: 1,
        work_ms: 2,
        reason: "came first",
    };
    check.sends(&[QueueView {
        model: "m".to_owned(),
        policy: "fcfs",
        waiting: 1,
        tokens: 2,
        expected_wait_ms: 3,
        slots: 4,
        busy: 5,
        next: vec![line],
        running: vec![lease()],
    }]);
    check.reads::<GenerateRequest>(&[json!({
        "prompt": "p", "messages": [{"role": "user", "content": "c"}], "max_tokens": 1,
        "temperature": 0.5, "top_p": 0.5, "seed": 2, "stop": ["s"], "urgency": "batch", "stream": true,
    })]);
    check.reads::<KeepRequest>(&[json!({"model": "m", "request": {
        "prompt": "p", "messages": [{"role": "user", "content": "c"}], "max_tokens": 1,
        "temperature": 0.5, "top_p": 0.5, "seed": 2, "stop": ["s"], "urgency": "batch", "stream": true,
    }})]);
    check.names::<KeptState>();
    check.sends(&[KeptView {
        id: of(json!(id("gen"))),
        model: "m".to_owned(),
        state: KeptState::Done,
        created_at: of(json!(AT)),
        ended_at: Some(of(json!(LATER))),
        text: "t".to_owned(),
        finish: Some("stop".to_owned()),
        prompt_tokens: Some(1),
        answer_tokens: Some(2),
        error: Some("e".to_owned()),
    }]);
    check.sends(&[GenerateView {
        model: "m".to_owned(),
        text: "t".to_owned(),
        reasoning: "r".to_owned(),
        finish: "stop".to_owned(),
        prompt_tokens: Some(1),
        answer_tokens: Some(2),
    }]);
    check.sends(&[NodeCertificates {
        node: of(json!("n")),
        certificates: vec![of(json!({
            "serial": "s", "issued_at": AT, "not_after": LATER, "revoked_at": AT}))],
    }]);
    check.reads::<NodeTokenRequest>(&[json!({"node": "n", "valid_ms": 1})]);
    check.sends(&[NodeTokenMinted {
        id: of(json!(id("key"))),
        node: Some(of(json!("n"))),
        expires_at: Some(of(json!(LATER))),
        token: Some("t".to_owned()),
        address: "a".to_owned(),
    }]);
    check.reads::<TokenizeRequest>(&[json!({"text": "t"})]);
    check.sends(&[TokensView { tokens: vec![1] }]);
    check.reads::<DetokenizeRequest>(&[json!({"tokens": [1]})]);
    check.sends(&[TextView { text: "t".to_owned() }]);
    check.reads::<PredictRequest>(&[json!({"features": [1, 2.5]})]);
    check.reads::<PlainPredictRequest>(&[json!({"model": "m", "features": [[1, 2.5]]})]);
    let outputs = [("y".to_owned(), vec![vec![1.5]])].into();
    check.sends(&[PredictView {
        model: "m".to_owned(),
        prediction: vec![vec![1.5]],
        outputs: Some(outputs),
    }]);
}

fn server(check: &mut Check) {
    check.passes::<ProblemDocument>(&[json!({
        "type": "/docs/errors/OAG-1001", "title": "t", "status": 400, "detail": "d",
        "code": "OAG-1001", "request_id": "r", "errors": [{"field": "f", "message": "m"}],
    })]);
    let event = json!({"resource": "plan", "id": id("pln"), "revision": 9, "deleted": false});
    check.passes::<WatchEvent>(&[event]);
    check.passes::<Bookmark>(&[json!({"revision": 9})]);
    check.sends(&[Health {
        status: "failing".to_owned(),
        failing: vec!["store".to_owned()],
        components: vec![crate::probe::Component {
            name: "store".to_owned(),
            ok: false,
            detail: Some("away".to_owned()),
        }],
    }]);
}

#[test]
fn every_schema_of_the_document_is_what_its_type_reads_and_writes() {
    let mut check = Check::default();
    for part in [names, plans, guard, directory, catalogue, signals, analysis, fleet, server] {
        part(&mut check);
    }
    let document: Value = serde_json::from_str(&crate::openapi_json()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let missing: Vec<&String> =
        schemas.keys().filter(|name| !check.shown.contains(*name)).collect();
    assert!(missing.is_empty(), "no sample of {missing:?}");
    assert_eq!(check.faults(), Vec::<String>::new());
}
