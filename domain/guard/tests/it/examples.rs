//! The rules one by one, as people would put them.

use std::collections::BTreeMap;

use oag_guard::{
    Approval, Book, FreezeWindow, GuardError, KeyError, KillScope, KillSwitch, Ladder, LadderEntry,
    Outcome, Policy, PolicySet, Quantity, RECENT_MAX, Recurrence, Refusal, Resource, Rung,
    Selector, Step, Weekday, check_approver, judge, mint, parse_key, permissions, satisfied,
    verify,
};
use oag_types::{
    Action, ActionSpec, Decision, Digest, KindName, Origin, Permission, Role, Scope, SealedPlan,
    Timestamp, Undo, Verdict,
};

use crate::world::{Made, RawApproval, RawPlan, RawStep, START_MS, book, everybody, id, make};

fn now() -> Timestamp {
    Timestamp::from_millis(START_MS)
}

fn scale(service: usize, from: i32, by: i32) -> RawStep {
    RawStep {
        kind: 0,
        service,
        from,
        by,
        chained: false,
        risk: 0,
        share: None,
        breaker_open: false,
    }
}

fn plan(origin: Origin, proposer: usize, steps: Vec<RawStep>, approved_by: &[usize]) -> Made {
    let approval = |who: &usize| RawApproval {
        who: *who,
        right_digest: true,
        age_ms: 0,
        left_ms: 60_000,
        known: true,
    };
    let approvals = approved_by.iter().map(approval).collect();
    let raw = RawPlan { origin, proposer, steps, approvals, lives_ms: 1_000_000 };
    make(&raw, 1, now(), &BTreeMap::new())
}

fn judged(book: &Book, made: &Made) -> Verdict {
    made.with_case(now(), |case| judge(book, case))
}

#[track_caller]
fn check(book: &Book, made: &Made, decision: Decision, rule: &str) {
    let verdict = judged(book, made);
    let spoke = verdict.reasons.iter().any(|reason| reason.rule == rule);
    assert!(verdict.decision == decision && spoke, "{rule}: {verdict:#?}");
}

#[test]
fn everybody_may_do_what_their_role_says_and_nothing_else() {
    let policies = PolicySet::default();
    let all = everybody();
    let on = |service: &str, group: &str| {
        Resource::service(service.parse().unwrap(), group.parse().unwrap())
    };
    for (who, permission, resource, rule) in [
        (0, permissions::PRINCIPAL_WRITE, Resource::tenant(), None),
        (2, permissions::SERVICE_STOP, on("cart", "shop"), None),
        (2, permissions::LOG_VIEW, on("cart", "shop"), None),
        (2, permissions::SERVICE_STOP, on("pay", "money"), Some("policy.scope")),
        (2, permissions::SERVICE_SCALE, on("cart", "shop"), Some("policy.default_deny")),
        (2, permissions::SERVICE_DEPLOY, on("cart", "shop"), Some("policy.default_deny")),
        (2, permissions::SERVICE_CONFIGURE, on("cart", "shop"), Some("policy.default_deny")),
        (2, permissions::LEDGER_VIEW, Resource::tenant(), Some("policy.default_deny")),
        (4, permissions::SIGNAL_VIEW, Resource::tenant(), Some("policy.default_deny")),
        (3, permissions::LEDGER_VIEW, Resource::tenant(), None),
        (3, permissions::LOG_VIEW, on("pay", "money"), None),
        (3, permissions::SERVICE_START, on("pay", "money"), Some("policy.default_deny")),
        (6, permissions::SERVICE_VIEW, on("pay", "money"), Some("policy.disabled")),
        (7, permissions::SERVICE_DEPLOY, on("pay", "money"), None),
        (7, permissions::SERVICE_DEPLOY, on("cart", "shop"), Some("policy.scope")),
        (7, permissions::POLICY_WRITE, Resource::tenant(), Some("policy.scope")),
    ] {
        let said = policies.allows(&all[who], &Permission::new(permission), &resource);
        let said = said.err().map(|reason| reason.rule);
        assert_eq!(said.as_deref(), rule, "{who} {permission} {resource}");
    }
}

#[test]
fn policies_are_data() {
    let text = r#"{"role": "release", "permissions": ["service:restart", "log:view", "config:write"],
                   "resources": ["prod-db", "staging-*", "group:payments"]}"#;
    let policy: Policy = serde_json::from_str(text).unwrap();
    let mut set = PolicySet::default();
    set.policies.push(policy);
    set.validate().unwrap();
    assert!(set.unknown_permissions().is_empty());
    let who = crate::world::person(1, "release", Scope::All);
    let may = |permission: &str, service: &str, group: &str| {
        let on = Resource::service(service.parse().unwrap(), group.parse().unwrap());
        set.allows(&who, &Permission::new(permission), &on).is_ok()
    };
    assert!(may("service:restart", "prod-db", "data"));
    assert!(may("log:view", "staging-web", "web"));
    assert!(may("service:restart", "ledger", "payments"));
    assert!(!may("service:restart", "prod-web", "web"));
    assert!(!may("service:stop", "prod-db", "data"));
}

#[test]
fn wrong_policies_are_refused_with_the_place() {
    let unknown = r#"{"role": "x", "permissions": [], "resources": [], "effect": "allow"}"#;
    let error = serde_json::from_str::<Policy>(unknown).unwrap_err().to_string();
    assert!(error.contains("unknown field `effect`"), "{error}");
    let with = |permission: &str, resource: &str| {
        let mut set = PolicySet::default();
        set.policies.push(Policy {
            role: Role::new("x"),
            permissions: vec![Permission::new(permission)],
            resources: vec![resource.to_owned()],
        });
        set.validate().unwrap_err().to_string()
    };
    assert!(with("restart", "*").starts_with("policies[3].permissions[0]: 'restart' is no"));
    assert!(with("a:b", "Prod").starts_with("policies[3].resources[0]: 'Prod' matches no name"));
    let locked = PolicySet { policies: Vec::new() }.validate().unwrap_err();
    assert!(locked.to_string().contains("nobody could change policies"), "{locked}");
}

#[test]
fn the_default_book_is_valid_and_survives_json() {
    let book = Book::default();
    book.validate().unwrap();
    let text = serde_json::to_string(&book).unwrap();
    assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
    assert_eq!(serde_json::from_str::<Book>("{}").unwrap(), book);
    assert!(serde_json::from_str::<Book>(r#"{"polices": []}"#).is_err());
    let newer = Book { version: 2, ..Book::default() };
    assert_eq!(newer.validate(), Err(GuardError::Version { found: 2, known: 1 }));
    let mut twice = Book::default();
    twice.limits.rules.push(twice.limits.rules[0].clone());
    let error = twice.validate().unwrap_err().to_string();
    assert_eq!(error, "limits.rules[4].name: 'replicas' is used by an earlier rule");
}

#[test]
fn a_new_installation_only_observes() {
    let book = Book::default();
    check(
        &book,
        &plan(Origin::Loop, 4, vec![scale(0, 2, 1)], &[]),
        Decision::NeedsApproval,
        "autonomy.observe",
    );
    check(
        &book,
        &plan(Origin::Loop, 4, vec![scale(0, 2, 1)], &[0]),
        Decision::Allow,
        "approval.given",
    );
    check(
        &book,
        &plan(Origin::Request, 0, vec![scale(0, 2, 4)], &[]),
        Decision::Allow,
        "policy.role",
    );
}

#[test]
fn five_steps_of_one_are_a_step_of_five() {
    let mut book = Book::default();
    book.limits.rules[0].max_step = Some(4.0);
    book.limits.rules[0].cooldown_up_ms = Some(0);
    let one = plan(Origin::Request, 0, vec![scale(0, 10, 5)], &[]);
    check(&book, &one, Decision::Deny, "limit.max_step");
    let relative = plan(Origin::Request, 0, vec![scale(0, 10, 1); 5], &[]);
    check(&book, &relative, Decision::Deny, "limit.max_step");
    book.limits.rules[0].step_window_ms = 0;
    check(&book, &relative, Decision::Deny, "limit.max_step");
    let chained = (0..5).map(|n| scale(0, 10 + n, 1)).collect();
    check(&book, &plan(Origin::Request, 0, chained, &[]), Decision::Deny, "limit.max_step");
    check(
        &book,
        &plan(Origin::Request, 0, vec![scale(0, 10, 4)], &[]),
        Decision::Allow,
        "limit.kept",
    );
}

#[test]
fn default_limits_hold() {
    let book = Book::default();
    let deny = |step: RawStep, rule: &str| {
        check(&book, &plan(Origin::Request, 0, vec![step], &[]), Decision::Deny, rule);
    };
    deny(scale(0, 18, 3), "limit.max");
    deny(scale(0, 1, -1), "limit.min");
    deny(scale(0, 5, -3), "limit.blast_share");
    deny(scale(0, 2, 6), "limit.max_step");
    let back_in = plan(Origin::Request, 0, vec![scale(0, 30, -5)], &[]);
    check(&book, &back_in, Decision::Allow, "limit.kept");
}

#[test]
fn every_reason_is_given_at_once() {
    let mut book = book();
    book.kill_switch = KillSwitch::engaged(KillScope::All, id("usr", 0), now(), "fire".to_owned());
    book.freezes.push(FreezeWindow {
        name: "sale".to_owned(),
        from: now(),
        to: now().plus_millis(1),
        selector: Selector::default(),
        reason: "the sale".to_owned(),
        repeat: None,
    });
    let verdict = judged(&book, &plan(Origin::Request, 3, vec![scale(0, 1, 1)], &[0, 1]));
    let rules: Vec<_> = verdict.reasons.iter().map(|reason| reason.rule.as_str()).collect();
    assert_eq!(rules, ["policy.default_deny", "kill_switch", "freeze"]);
    assert_eq!((verdict.decision, verdict.approvals_needed), (Decision::Deny, 0));
}

#[test]
fn high_risk_asks_two_people() {
    let book = Book::default();
    let risky = RawStep { risk: 2, ..scale(0, 2, 1) };
    let with = |by: &[usize]| judged(&book, &plan(Origin::Loop, 4, vec![risky.clone()], by));
    assert_eq!((with(&[]).decision, with(&[]).approvals_needed), (Decision::NeedsApproval, 2));
    assert_eq!(with(&[0]).approvals_needed, 2);
    assert_eq!(with(&[0, 0]).decision, Decision::NeedsApproval, "one person twice is one person");
    assert_eq!(with(&[0, 5]).decision, Decision::NeedsApproval, "a service account is nobody");
    assert_eq!(with(&[0, 1]).decision, Decision::Allow);
}

#[test]
fn a_person_gets_no_further_through_a_model() {
    let mut book = Book::default();
    let automatic =
        LadderEntry { rung: Rung::Automatic, ceiling: Rung::Automatic, ..LadderEntry::default() };
    book.ladder.entries.insert(KindName::new("scale"), automatic);
    let by_loop = plan(Origin::Model, 4, vec![scale(0, 2, 1)], &[]);
    check(&book, &by_loop, Decision::Allow, "autonomy.automatic");
    let by_operator = plan(Origin::Model, 2, vec![scale(0, 2, 1)], &[]);
    check(&book, &by_operator, Decision::NeedsApproval, "policy.own_permission");
}

#[test]
fn approvers_are_checked() {
    let made = plan(Origin::Loop, 4, vec![scale(0, 2, 1)], &[0]);
    let (sealed, all, policies) = (&made.sealed, everybody(), PolicySet::default());
    let digest = sealed.digest();
    let check = |who: usize, digest: &Digest, given: &[Approval], at: Timestamp| {
        check_approver(sealed, digest, &all[who], &policies, given, at)
    };
    assert_eq!(check(0, &digest, &[], now()), Ok(()));
    assert!(matches!(check(5, &digest, &[], now()), Err(Refusal::NotAPerson { .. })));
    assert!(matches!(check(6, &digest, &[], now()), Err(Refusal::Disabled { .. })));
    assert!(matches!(check(7, &digest, &[], now()), Err(Refusal::NotPermitted(_))));
    assert!(matches!(check(2, &digest, &[], now()), Err(Refusal::NotPermitted(_))));
    let other = Digest::of(b"another");
    assert!(matches!(check(0, &other, &[], now()), Err(Refusal::DigestMismatch { .. })));
    let late = sealed.plan().expires_at;
    assert!(matches!(check(0, &digest, &[], late), Err(Refusal::PlanExpired { .. })));
    let again = check(0, &digest, &made.approvals, now());
    assert!(matches!(again, Err(Refusal::AlreadyApproved { .. })));
    let own = plan(Origin::Request, 0, vec![scale(0, 2, 1)], &[]);
    let refused = check_approver(&own.sealed, &own.sealed.digest(), &all[0], &policies, &[], now());
    assert!(matches!(refused, Err(Refusal::OwnPlan { .. })));
    assert!(satisfied(1, sealed, &made.approvals, now()));
    assert!(!satisfied(
        2,
        sealed,
        &[made.approvals.clone(), made.approvals.clone()].concat(),
        now()
    ));
    assert!(!satisfied(1, sealed, &made.approvals, now().plus_millis(60_000)));
    assert!(!satisfied(
        1,
        sealed,
        &[Approval { digest: other, ..made.approvals[0].clone() }],
        now()
    ));
    let by_proposer = Approval { principal: all[4].id, ..made.approvals[0].clone() };
    assert!(!satisfied(1, sealed, &[by_proposer], now()));
}

#[test]
fn the_steps_judged_are_the_steps_sealed() {
    let book = book();
    let made = plan(Origin::Request, 0, vec![scale(0, 2, 1)], &[]);
    let other = plan(Origin::Request, 0, vec![scale(1, 2, 1)], &[]);
    let verdict = made.with_case(now(), |case| {
        other.with_case(now(), |others| {
            judge(&book, &oag_guard::Case { steps: others.steps, ..*case })
        })
    });
    assert_eq!(verdict.decision, Decision::Deny);
    let none = made.with_case(now(), |case| judge(&book, &oag_guard::Case { steps: &[], ..*case }));
    assert_eq!(none.decision, Decision::Deny);
}

#[test]
fn numbers_that_are_none_are_denied() {
    let made = plan(Origin::Request, 0, vec![scale(0, 2, 1)], &[]);
    for (to, share) in
        [(f64::NAN, None), (f64::INFINITY, None), (3.0, Some(f64::NAN)), (3.0, Some(1.5))]
    {
        let verdict = made.with_case(now(), |case| {
            let quantity = Some(Quantity { name: "replicas".to_owned(), from: 2.0, to });
            let step = Step { quantity, replicas_affected_share: share, ..case.steps[0].clone() };
            judge(&book(), &oag_guard::Case { steps: &[step], ..*case })
        });
        assert_eq!(verdict.decision, Decision::Deny, "{to} {share:?}");
    }
}

#[test]
fn the_way_back_passes_once_and_only_as_it_was_sealed() {
    let mut made = plan(Origin::Request, 0, vec![scale(0, 2, 3)], &[]);
    let mut sealed = made.sealed.plan().clone();
    let back =
        ActionSpec { params: serde_json::json!({"replicas": 2}), ..sealed.actions[0].spec.clone() };
    sealed.actions[0].undo = Undo::By(Box::new(back.clone()));
    made.sealed = SealedPlan::seal(sealed).unwrap();
    let undone = made.sealed.plan().actions[0].id;
    let action = Action { id: id("act", 99), spec: back, ..made.sealed.plan().actions[0].clone() };
    let step = Step {
        action: &action,
        permission: Permission::new("service:scale"),
        quantity: Some(Quantity { name: "replicas".to_owned(), from: 5.0, to: 2.0 }),
        replicas_affected_share: None,
        breaker_open: true,
    };
    let mut book = Book::default();
    let early = book.admit_undo(&made.sealed, undone, &step, now());
    assert_eq!(early.decision, Decision::Deny, "nothing was done yet");
    assert_eq!(made.with_case(now(), |case| book.admit(case)).decision, Decision::Allow);
    let mut killed = book.clone();
    killed.kill_switch = KillSwitch::engaged(KillScope::All, id("usr", 0), now(), String::new());
    assert_eq!(killed.admit_undo(&made.sealed, undone, &step, now()).decision, Decision::Deny);
    let mut other = action.clone();
    other.spec.params = serde_json::json!({"replicas": 1});
    let forged = Step { action: &other, ..step.clone() };
    assert_eq!(book.admit_undo(&made.sealed, undone, &forged, now()).decision, Decision::Deny);
    assert_eq!(book.admit_undo(&made.sealed, undone, &step, now()).decision, Decision::Allow);
    assert_eq!(book.admit_undo(&made.sealed, undone, &step, now()).decision, Decision::Deny);
    assert_eq!(book.recent.len(), 2);
}

#[test]
fn freezes_repeat_on_their_days_at_local_time() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let night = FreezeWindow {
        name: "friday night".to_owned(),
        from: time("2026-11-01T00:00:00Z"),
        to: time("2026-12-31T00:00:00Z"),
        selector: Selector::default(),
        reason: "quiet".to_owned(),
        repeat: Some(Recurrence {
            days: vec![Weekday::Friday],
            start_minute: 22 * 60,
            end_minute: 6 * 60,
            utc_offset_minutes: 480,
        }),
    };
    for (at, active) in [
        ("2026-11-20T13:59:59Z", false),
        ("2026-11-20T14:00:00Z", true),
        ("2026-11-20T21:59:59Z", true),
        ("2026-11-20T22:00:00Z", false),
        ("2026-11-19T15:00:00Z", false),
        ("2027-01-01T15:00:00Z", false),
    ] {
        assert_eq!(night.active_at(time(at)), active, "{at}");
    }
    let daily =
        Recurrence { days: Vec::new(), start_minute: 0, end_minute: 1_440, utc_offset_minutes: 0 };
    assert!(daily.active_at(now()));
}

#[test]
fn kinds_climb_by_their_record_and_fall_at_once() {
    let (mut ladder, scale) = (Ladder::default(), KindName::new("scale"));
    let climb = |ladder: &mut Ladder, outcome: Outcome| {
        (1..=200).find_map(|n| ladder.record(&scale, outcome, now()).map(|change| (n, change)))
    };
    let (n, change) = climb(&mut ladder, Outcome::ProposalRight).unwrap();
    assert_eq!((n, change.from, change.to), (25, Rung::Observe, Rung::DryRun));
    assert!(
        change.reason.starts_with("25 of 25 proposals right: at least 90.2 %"),
        "{}",
        change.reason
    );
    let (n, change) = climb(&mut ladder, Outcome::DryRunClean).unwrap();
    assert_eq!((n, change.to), (25, Rung::Approve));
    assert_eq!(climb(&mut ladder, Outcome::Verified), None, "automatic is a person's decision");
    let scale = KindName::new("scale");
    let by = id("usr", 0);
    let set =
        ladder.set(&scale, Rung::Approve, Rung::Automatic, by, "it went well", now()).unwrap();
    assert_eq!((set.by, set.ceiling), (Some(by), Rung::Automatic));
    let change = (0..30).find_map(|_| ladder.record(&scale, Outcome::Verified, now())).unwrap();
    assert_eq!((change.to, change.record.verified), (Rung::Automatic, 30));
    assert_eq!(ladder.record(&scale, Outcome::Undone, now()), None);
    let unknown = ladder.record(&scale, Outcome::Unknown, now()).unwrap();
    assert_eq!((unknown.from, unknown.to), (Rung::Automatic, Rung::Approve));
    let failed = ladder.record(&scale, Outcome::Failed, now()).unwrap();
    assert_eq!((failed.from, failed.to), (Rung::Approve, Rung::DryRun));
    assert_eq!(ladder.entry(&scale).record, oag_guard::TrackRecord::default());
    assert!(ladder.set(&scale, Rung::Automatic, Rung::Approve, by, "x", now()).is_err());
    assert!(ladder.set(&scale, Rung::Approve, Rung::Approve, by, " ", now()).is_err());
}

#[test]
fn a_mixed_record_does_not_climb() {
    let (mut ladder, kind) = (Ladder::default(), KindName::new("stop"));
    for n in 0..1_000 {
        let outcome = if n % 8 == 0 { Outcome::ProposalWrong } else { Outcome::ProposalRight };
        assert_eq!(ladder.record(&kind, outcome, now()), None);
    }
    assert_eq!(ladder.rung(&kind), Rung::Observe);
}

#[test]
fn keys_open_only_for_their_secret() {
    let scopes = vec![Permission::new("service:*"), Permission::new("log:view")];
    let expires = Some(now().plus_millis(10));
    let minted = mint(id("key", 7), id("usr", 1), "ci".to_owned(), scopes, expires, now());
    let (mut key, text) = minted.unwrap();
    assert_eq!(text.expose().len(), 4 + 32 + 1 + 43);
    let (found, secret) = parse_key(text.expose()).unwrap();
    assert_eq!((found, verify(&key, &secret, now())), (key.id, Ok(())));
    assert!(key.allows(&Permission::new("service:stop")).is_ok());
    assert_eq!(key.allows(&Permission::new("plan:approve")).unwrap_err().rule, "key.scope");
    let (_, other) =
        mint(id("key", 7), id("usr", 1), "ci".to_owned(), Vec::new(), None, now()).unwrap();
    let (_, wrong) = parse_key(other.expose()).unwrap();
    assert_eq!(verify(&key, &wrong, now()), Err(KeyError::Wrong));
    assert!(matches!(verify(&key, &secret, now().plus_millis(10)), Err(KeyError::Expired { .. })));
    key.revoked_at = Some(now());
    assert!(matches!(verify(&key, &secret, now()), Err(KeyError::Revoked { .. })));
    let shown = format!("{key:?} {text:?} {secret:?}");
    assert!(!shown.contains(&key.hash) && !shown.contains(secret.expose()), "{shown}");
    for bad in ["", "oag_", "oag_zz", &text.expose()[1..], &text.expose()[..79], "oag_订单"] {
        assert!(parse_key(bad).is_none(), "{bad}");
    }
    assert!(parse_key(&format!("{}A", text.expose())).is_none());
}

#[test]
fn what_cannot_be_remembered_is_refused() {
    let mut book = book();
    let mut rule = oag_guard::LimitRule::new("pace", Selector::kinds(&["scale"]));
    rule.rate = Some(oag_guard::Rate { count: 1_000_000, per_ms: 600_000 });
    book.limits.rules.push(rule);
    let made = plan(Origin::Request, 0, vec![scale(0, 2, 1)], &[]);
    assert_eq!(made.with_case(now(), |case| book.admit(case)).decision, Decision::Allow);
    let first = book.recent[0].clone();
    let other = oag_guard::Done { plan: id("pln", 77), quantity: None, ..first };
    book.recent = vec![other.clone(); RECENT_MAX].into();
    check(&book, &made, Decision::Deny, "limit.memory");
    let unneeded = oag_guard::Done { kind: KindName::new("notify"), ..other };
    book.recent = vec![unneeded; RECENT_MAX].into();
    assert_eq!(made.with_case(now(), |case| book.admit(case)).decision, Decision::Allow);
    assert_eq!(book.recent.len(), RECENT_MAX);
    assert_eq!(book.recent[RECENT_MAX - 1].kind, KindName::new("scale"));
}
