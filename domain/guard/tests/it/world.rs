//! A small shop with people, services and plans to judge.

use std::collections::BTreeMap;

use oag_guard::{
    Approval, BlastRadius, Book, Case, FreezeWindow, KillScope, LimitRule, Policy, Quantity, Rate,
    Selector, Step,
};
use oag_types::{
    Action, ActionSpec, Digest, KindName, Origin, Permission, Plan, Principal, PrincipalId,
    PrincipalKind, Repeatability, Risk, Role, RoleBinding, Scope, SealedPlan, Target, Tenant,
    Timestamp, Undo,
};
use proptest::prelude::*;

pub(crate) const SERVICES: [(&str, &str); 4] =
    [("cart", "shop"), ("web", "shop"), ("pay", "money"), ("bank", "money")];

pub(crate) const KINDS: [(&str, &str); 6] = [
    ("scale", "service:scale"),
    ("restart", "service:restart"),
    ("stop", "service:stop"),
    ("rollback", "service:rollback"),
    ("notify", "notify:send"),
    ("deploy", "service:deploy"),
];

pub(crate) const START_MS: i64 = 1_795_000_000_000;

pub(crate) fn id<T: std::str::FromStr>(prefix: &str, n: usize) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("{prefix}_{n:032x}").parse().unwrap()
}

pub(crate) fn person(n: usize, role: &str, scope: Scope) -> Principal {
    Principal {
        id: id("usr", n),
        kind: PrincipalKind::Person,
        name: format!("person-{n}"),
        roles: vec![RoleBinding { role: Role::new(role), scope }],
        disabled: false,
    }
}

/// Times on a coarse grid, so that ends of windows are met exactly and not only passed.
pub(crate) fn grid(from: i64, to: i64) -> impl Strategy<Value = i64> {
    (from / GRID_MS..=to / GRID_MS).prop_map(|n| n * GRID_MS)
}

const GRID_MS: i64 = 5_000;

/// Everybody there is; the position is the number in the id.
pub(crate) fn everybody() -> Vec<Principal> {
    let groups = |name: &str| Scope::Groups(vec![name.parse().unwrap()]);
    let mut all = vec![
        person(0, "admin", Scope::All),
        person(1, "admin", Scope::All),
        person(2, "operator", groups("shop")),
        person(3, "auditor", Scope::All),
        person(4, "operator", Scope::All),
        person(5, "admin", Scope::All),
        person(6, "admin", Scope::All),
        person(7, "admin", groups("money")),
        person(8, "approver", Scope::All),
        person(9, "admin", Scope::All),
    ];
    all[4].kind = PrincipalKind::ServiceAccount;
    all[5].kind = PrincipalKind::ServiceAccount;
    all[6].disabled = true;
    all
}

pub(crate) fn book() -> Book {
    let mut book = Book::default();
    book.policies.policies.push(Policy {
        role: Role::new("approver"),
        permissions: vec![Permission::new("plan:approve")],
        resources: vec!["*".to_owned()],
    });
    book.limits.rules.clear();
    book
}

/// One action as generated: indices into the tables above.
#[derive(Debug, Clone)]
pub(crate) struct RawStep {
    pub(crate) kind: usize,
    pub(crate) service: usize,
    pub(crate) from: i32,
    pub(crate) by: i32,
    pub(crate) chained: bool,
    pub(crate) risk: u8,
    pub(crate) share: Option<u8>,
    pub(crate) breaker_open: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct RawApproval {
    pub(crate) who: usize,
    pub(crate) right_digest: bool,
    pub(crate) age_ms: i64,
    pub(crate) left_ms: i64,
    pub(crate) known: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct RawPlan {
    pub(crate) origin: Origin,
    pub(crate) proposer: usize,
    pub(crate) steps: Vec<RawStep>,
    pub(crate) approvals: Vec<RawApproval>,
    pub(crate) lives_ms: i64,
}

pub(crate) fn raw_step() -> impl Strategy<Value = RawStep> {
    let kind = prop_oneof![4 => Just(0_usize), 3 => 1_usize..KINDS.len()];
    let share = prop_oneof![3 => Just(None), 1 => (0_u8..=10).prop_map(Some)];
    let risk = prop_oneof![12 => 0_u8..2, 1 => Just(2_u8)];
    (kind, 0..SERVICES.len(), 0..12_i32, -4..6_i32, any::<bool>(), risk, share, 0..12_u8).prop_map(
        |(kind, service, from, by, chained, risk, share, open)| RawStep {
            kind,
            service,
            from,
            by,
            chained,
            risk,
            share,
            breaker_open: open == 0,
        },
    )
}

pub(crate) fn raw_plan() -> impl Strategy<Value = RawPlan> {
    let origin =
        prop_oneof![2 => Just(Origin::Loop), 1 => Just(Origin::Model), 2 => Just(Origin::Request)];
    let left = prop_oneof![1 => grid(-5_000, 5_000), 8 => grid(0, 90_000)];
    let approval = (0..10_usize, 0..8_u8, grid(0, 60_000), left, 0..10_u8).prop_map(
        |(who, digest, age_ms, left_ms, known)| RawApproval {
            who,
            right_digest: digest != 0,
            age_ms,
            left_ms,
            known: known != 0,
        },
    );
    let who = prop_oneof![1 => 0..10_usize, 2 => Just(4_usize), 2 => Just(0_usize)];
    let lives = prop_oneof![12 => grid(5_000, 600_000), 1 => grid(-5_000, 0)];
    let steps = prop::collection::vec(raw_step(), 0..5);
    (origin, who, steps, prop::collection::vec(approval, 0..4), lives).prop_map(
        |(origin, proposer, steps, approvals, lives_ms)| RawPlan {
            origin,
            proposer,
            steps,
            approvals,
            lives_ms,
        },
    )
}

pub(crate) fn raw_rule() -> impl Strategy<Value = LimitRule> {
    let pick = |values: &'static [&'static str]| {
        prop::collection::vec(prop::sample::select(values), 0..2)
            .prop_map(|picked| picked.into_iter().map(str::to_owned).collect::<Vec<String>>())
    };
    let selector = (
        pick(&["scale", "restart", "*", "s*"]),
        pick(&["notify", "rollback"]),
        pick(&["cart", "*a*"]),
        pick(&["shop", "m*"]),
    )
        .prop_map(|(kinds, except_kinds, services, groups)| Selector {
            kinds,
            except_kinds,
            services,
            groups,
        });
    fn some<T: std::fmt::Debug + Clone>(
        strategy: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<T>> {
        prop::option::weighted(0.3, strategy)
    }
    let radius = (some(1..4_u32), grid(5_000, 200_000), some(0..10_u8)).prop_map(
        |(services_per_window, window_ms, share)| BlastRadius {
            services_per_window,
            window_ms,
            share_of_capacity: share.map(|share| f64::from(share) / 10.0),
        },
    );
    let numbers = (some(0..3_i32), some(5..12_i32), some(0..6_i32), some(1..8_i32));
    let times = (grid(0, 100_000), some(grid(0, 100_000)), some(grid(0, 50_000)));
    let rate = (0..6_u32, grid(5_000, 200_000)).prop_map(|(count, per_ms)| Rate { count, per_ms });
    (selector, some(Just("replicas".to_owned())), numbers, times, some(rate), some(radius))
        .prop_map(|(selector, quantity, (min, max, step, ratio), times, rate, blast_radius)| {
            LimitRule {
                name: "generated".to_owned(),
                selector,
                quantity,
                min: min.map(f64::from),
                max: max.map(f64::from),
                max_step: step.map(f64::from),
                max_step_ratio: ratio.map(|ratio| f64::from(ratio) / 4.0),
                step_window_ms: times.0,
                cooldown_ms: times.1,
                cooldown_up_ms: times.2,
                rate,
                blast_radius,
            }
        })
}

pub(crate) fn raw_freeze() -> impl Strategy<Value = FreezeWindow> {
    let globs = prop::sample::select(vec!["scale", "*", "re*"]);
    (globs, grid(-100_000, 100_000), grid(5_000, 200_000)).prop_map(|(glob, from, len)| {
        FreezeWindow {
            name: "generated".to_owned(),
            from: Timestamp::from_millis(START_MS + from),
            to: Timestamp::from_millis(START_MS + from + len),
            selector: Selector::kinds(&[glob]),
            reason: "sale".to_owned(),
            repeat: None,
        }
    })
}

pub(crate) fn raw_scope() -> impl Strategy<Value = KillScope> {
    prop_oneof![
        Just(KillScope::All),
        Just(KillScope::Groups(vec!["money".parse().unwrap()])),
        Just(KillScope::Groups(Vec::new())),
    ]
}

/// A plan made whole, with all that a case borrows.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) sealed: SealedPlan,
    pub(crate) raw: RawPlan,
    pub(crate) quantities: Vec<Option<Quantity>>,
    pub(crate) proposer: Principal,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) approvers: Vec<Principal>,
}

/// Makes plan number `n` at `now`; chained steps start where the service stands.
pub(crate) fn make(raw: &RawPlan, n: usize, now: Timestamp, stand: &BTreeMap<usize, f64>) -> Made {
    let mut stand = stand.clone();
    let mut actions = Vec::new();
    let mut quantities = Vec::new();
    for (index, step) in raw.steps.iter().enumerate() {
        actions.push(action(step, n * 16 + index));
        let from = match stand.get(&step.service) {
            Some(from) if step.chained => *from,
            _ => f64::from(step.from),
        };
        let to = (from + f64::from(step.by)).max(0.0);
        let scales = step.kind == 0;
        if scales {
            stand.insert(step.service, to);
        }
        quantities.push(scales.then(|| Quantity { name: "replicas".to_owned(), from, to }));
    }
    let all = everybody();
    let sealed = SealedPlan::seal(Plan {
        id: id("pln", n),
        story: id("sty", n),
        tenant: Tenant::default_tenant(),
        proposer: all[raw.proposer].id,
        origin: raw.origin,
        summary: String::new(),
        reason: String::new(),
        findings: Vec::new(),
        actions,
        base: BTreeMap::new(),
        created_at: now,
        expires_at: now.plus_millis(raw.lives_ms),
    })
    .unwrap();
    let approvals = raw.approvals.iter().enumerate().map(|(index, approval)| Approval {
        id: id("apr", n * 16 + index),
        plan: sealed.plan().id,
        digest: if approval.right_digest { sealed.digest() } else { Digest::of(b"another") },
        principal: all[approval.who].id,
        at: now.plus_millis(-approval.age_ms),
        expires_at: now.plus_millis(approval.left_ms),
    });
    let approvals: Vec<_> = approvals.collect();
    let known = raw.approvals.iter().filter(|approval| approval.known);
    let approvers = known.map(|approval| all[approval.who].clone()).collect();
    let proposer = all[raw.proposer].clone();
    Made { sealed, raw: raw.clone(), quantities, proposer, approvals, approvers }
}

fn action(step: &RawStep, n: usize) -> Action {
    let (service, group) = SERVICES[step.service];
    Action {
        id: id("act", n),
        spec: ActionSpec {
            kind: KindName::new(KINDS[step.kind].0),
            target: Target {
                service: service.parse().unwrap(),
                group: group.parse().unwrap(),
                executor: "local".to_owned(),
            },
            params: serde_json::Value::Null,
        },
        summary: String::new(),
        expect: Vec::new(),
        risk: [Risk::Low, Risk::Medium, Risk::High][usize::from(step.risk)],
        undo: Undo::NotNeeded,
        repeat: Repeatability::Idempotent,
        idempotency_key: n.to_string(),
    }
}

impl Made {
    /// Gives the plan to `use_it` as a case.
    pub(crate) fn with_case<T>(&self, now: Timestamp, use_it: impl FnOnce(&Case<'_>) -> T) -> T {
        let actions = &self.sealed.plan().actions;
        let steps: Vec<_> = actions
            .iter()
            .zip(&self.raw.steps)
            .zip(&self.quantities)
            .map(|((action, raw), quantity)| Step {
                action,
                permission: Permission::new(KINDS[raw.kind].1),
                quantity: quantity.clone(),
                replicas_affected_share: raw.share.map(|share| f64::from(share) / 10.0),
                breaker_open: raw.breaker_open,
            })
            .collect();
        use_it(&Case {
            plan: &self.sealed,
            steps: &steps,
            proposer: &self.proposer,
            approvals: &self.approvals,
            approvers: &self.approvers,
            now,
        })
    }
}

pub(crate) fn number_of(id: PrincipalId) -> usize {
    everybody().iter().position(|who| who.id == id).unwrap()
}
