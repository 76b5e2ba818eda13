//! From wishes to a sealed plan, judged by the guard.

use std::collections::BTreeMap;

use oag_guard::{Case, Quantity, Rung, Step as GuardStep, judge, permissions};
use oag_types::{
    Action, ActionSpec, Code, Decision, Digest, Origin, Plan, Principal, Problem, Receipt,
    SealedPlan, Service, ServiceName, Target, Tenant, Timestamp, Verdict,
};
use serde_json::Value;

use crate::catalogue::resource;
use crate::docs::{self, PLANS, internal};
use crate::{
    ActionKind, ActionWish, Caller, Claim, Draft, DraftContext, Note, Observed, Operation, Phase,
    Pilot, PlanRecord, Proposal, Step, StepPhase, Versioned, kinds,
};

/// The executor of `notify`: the product itself.
pub(crate) const OWN_EXECUTOR: &str = "openautoglm";

/// What the guard must know of each action, kept beside the plan's actions.
#[derive(Debug, Clone)]
pub(crate) struct Weighed {
    pub(crate) quantity: Option<Quantity>,
    pub(crate) share: Option<f64>,
    pub(crate) breaker_open: bool,
}

/// A plan that is drafted but not yet judged.
pub(crate) struct Drafted {
    pub(crate) sealed: SealedPlan,
    pub(crate) weighed: Vec<Weighed>,
}

impl Pilot {
    /// What the guard would say of a proposal; nothing is stored and nobody is asked.
    ///
    /// # Errors
    /// `FORBIDDEN`, or a wish that does not fit, with its field.
    pub async fn preview(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        proposal: Proposal,
    ) -> Result<PlanRecord, Problem> {
        let drafted = self.draft(tenant, caller, proposal).await?;
        self.judged(tenant, &caller.principal, &drafted).await
    }

    /// Makes a plan of a proposal and records it with the guard's verdict. A plan of the loop that
    /// the ladder lets run is queued at once; one that needs people asks them; a plan that was
    /// asked for waits for [`Pilot::apply`].
    ///
    /// # Errors
    /// `FORBIDDEN`, or a wish that does not fit, with its field.
    pub async fn propose(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        proposal: Proposal,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        self.propose_on_trial(tenant, caller, proposal, Vec::new()).await
    }

    /// The same, with what the proposal claims about the time after it. Claims of kinds that act
    /// already are not kept: what their actions do is verified.
    ///
    /// # Errors
    /// As [`Pilot::propose`].
    pub async fn propose_on_trial(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        proposal: Proposal,
        claims: Vec<Claim>,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let drafted = self.draft(tenant, caller, proposal).await?;
        let mut record = self.judged(tenant, &caller.principal, &drafted).await?;
        record.phase = first_phase(&record);
        let id = record.id().to_string();
        let queued = record.phase == Phase::Queued;
        let batch = self.batch().expect(docs::absent(PLANS, &id));
        let batch = self.put_plan(batch, &record)?.ledger("plan", id, proposed_payload(&record)?);
        let batch = self.try_out(tenant, batch, &record, claims).await?;
        let mut batch = self.plan_in_story(tenant, batch, &record).await?;
        if record.phase == Phase::AwaitingApproval {
            let text = format!("approval wanted: {}", record.sealed.plan().summary);
            batch = self.notice(batch, "warning", text, Some(record.id()))?;
        }
        if queued {
            batch = batch.task(self.plan_task(&record));
        }
        let revision = self.save(tenant, batch).await?.revision;
        if queued {
            self.work.notify_one();
        }
        Ok(Versioned { value: record, revision })
    }

    /// Completes wishes into actions against the present state, and seals them.
    async fn draft(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        proposal: Proposal,
    ) -> Result<Drafted, Problem> {
        let most = self.config.actions_max;
        if proposal.actions.is_empty() || proposal.actions.len() > most {
            return Err(Problem::field("actions", format!("give 1 to {most} actions")));
        }
        if proposal.reason.trim().is_empty() {
            return Err(Problem::field("reason", "say why, in a sentence"));
        }
        let expires = proposal.expires_in_ms.unwrap_or(self.config.plan_expires_ms);
        if !(1_000..=7 * 24 * 3_600_000).contains(&expires) {
            return Err(Problem::field("expires_in_ms", "must be a second to seven days"));
        }
        let mut actions = Vec::new();
        let mut weighed = Vec::new();
        let mut base = BTreeMap::new();
        for (index, wish) in proposal.actions.iter().enumerate() {
            let at = |problem| at_action(index, problem);
            let service = self.find_service(tenant, &wish.service).await.map_err(at)?.value;
            let target = resource(&service);
            let allowed = self.require(tenant, caller, permissions::PLAN_PROPOSE, &target);
            allowed.await.map_err(at)?;
            let observed = self.state_of(tenant, &service).await.map_err(at)?;
            let (action, weight) = self.complete(wish, &service, &observed).map_err(at)?;
            base.insert(service.name.to_string(), observed.revision);
            actions.push(action);
            weighed.push(weight);
        }
        refuse_contradictions(&actions)?;
        let now = self.now();
        let summaries: Vec<_> = actions.iter().map(|a| a.summary.as_str()).collect();
        let plan = Plan {
            id: self.ids.next(),
            story: proposal.story.unwrap_or_else(|| self.ids.next()),
            tenant: tenant.clone(),
            proposer: caller.principal.id,
            origin: proposal.origin,
            summary: summaries.join("; "),
            reason: proposal.reason,
            findings: proposal.findings,
            actions,
            base,
            created_at: now,
            expires_at: now.plus_millis(expires),
        };
        let sealed = SealedPlan::seal(plan).map_err(docs::internal)?;
        Ok(Drafted { sealed, weighed })
    }

    fn complete(
        &self,
        wish: &ActionWish,
        service: &Service,
        observed: &Observed,
    ) -> Result<(Action, Weighed), Problem> {
        let kind = kinds::kind(&wish.kind)?;
        let context =
            DraftContext { service, observed, params: &wish.params, expect_more: &wish.expect };
        let draft = kind.draft(&context)?;
        let executor = match kind.operation(&draft.params)? {
            Operation::Notify { .. } => OWN_EXECUTOR.to_owned(),
            _ => service.executor.clone(),
        };
        let weight = weigh(&draft, observed);
        let target =
            Target { service: service.name.clone(), group: service.group.clone(), executor };
        let id = self.ids.next();
        let action = Action {
            id,
            spec: ActionSpec { kind: wish.kind.clone(), target, params: draft.params },
            summary: draft.summary,
            expect: draft.expect,
            risk: draft.risk,
            undo: draft.undo,
            repeat: kind.repeat(),
            idempotency_key: id.to_string(),
        };
        Ok((action, weight))
    }

    async fn judged(
        &self,
        tenant: &Tenant,
        proposer: &Principal,
        drafted: &Drafted,
    ) -> Result<PlanRecord, Problem> {
        let book = self.rules(tenant).await?.value;
        let plan = drafted.sealed.plan();
        let steps = guard_steps(&drafted.sealed, &drafted.weighed)?;
        let verdict = judge(
            &book,
            &Case {
                plan: &drafted.sealed,
                steps: &steps,
                proposer,
                approvals: &[],
                approvers: &[],
                now: self.now(),
            },
        );
        let rungs = plan.actions.iter().map(|action| book.ladder.rung(&action.spec.kind));
        let steps = plan.actions.iter().map(|action| Step::pending(action.id)).collect();
        Ok(PlanRecord {
            digest: drafted.sealed.digest(),
            rung: rungs.min().unwrap_or(Rung::Observe),
            sealed: drafted.sealed.clone(),
            phase: Phase::Proposed,
            verdict,
            approvals: Vec::new(),
            steps,
            notes: vec![Note {
                at: plan.created_at,
                by: Some(plan.proposer),
                text: "proposed".to_owned(),
            }],
        })
    }

    /// Weighs the actions of a stored plan again, against the present state.
    pub(crate) async fn weigh_again(
        &self,
        tenant: &Tenant,
        plan: &Plan,
    ) -> Result<(Vec<Weighed>, BTreeMap<ServiceName, Observed>), Problem> {
        let mut seen = BTreeMap::new();
        let mut weighed = Vec::new();
        for action in &plan.actions {
            let service = self.find_service(tenant, &action.spec.target.service).await?.value;
            if service.group != action.spec.target.group {
                let text = format!("{} moved to another group", service.name);
                return Err(Problem::new(Code::PLAN_STALE, text));
            }
            if !seen.contains_key(&service.name) {
                seen.insert(service.name.clone(), self.state_of(tenant, &service).await?);
            }
            let observed = &seen[&service.name];
            let kind = kinds::kind(&action.spec.kind)?;
            weighed.push(weigh_stored(kind, action, &service, observed)?);
        }
        Ok((weighed, seen))
    }
}

impl Step {
    fn pending(action: oag_types::ActionId) -> Self {
        Self {
            action,
            phase: StepPhase::Pending,
            receipt: None,
            verification: None,
            undo_receipt: None,
            error: None,
            ledger: Vec::new(),
            times: Vec::new(),
        }
    }
}

fn weigh(draft: &Draft, observed: &Observed) -> Weighed {
    Weighed {
        quantity: draft.quantity.clone(),
        share: draft.affected_share,
        breaker_open: observed.text("breaker") == Some("open"),
    }
}

/// The parameters of a drafted action are complete, so its kind can draft it again. When it
/// cannot, the state moved under the plan.
fn weigh_stored(
    kind: &dyn ActionKind,
    action: &Action,
    service: &Service,
    observed: &Observed,
) -> Result<Weighed, Problem> {
    let params = match action.repeat {
        // Restart fills its parameter in by itself.
        oag_types::Repeatability::Observable => Value::Null,
        _ => action.spec.params.clone(),
    };
    let context = DraftContext { service, observed, params: &params, expect_more: &[] };
    let draft =
        kind.draft(&context).map_err(|problem| Problem::new(Code::PLAN_STALE, problem.detail))?;
    Ok(weigh(&draft, observed))
}

/// The guard's view of a plan's actions.
pub(crate) fn guard_steps<'a>(
    sealed: &'a SealedPlan,
    weighed: &[Weighed],
) -> Result<Vec<GuardStep<'a>>, Problem> {
    let actions = sealed.plan().actions.iter();
    actions
        .zip(weighed)
        .map(|(action, weight)| {
            Ok(GuardStep {
                action,
                permission: kinds::kind(&action.spec.kind)?.permission(),
                quantity: weight.quantity.clone(),
                replicas_affected_share: weight.share,
                breaker_open: weight.breaker_open,
            })
        })
        .collect()
}

fn first_phase(record: &PlanRecord) -> Phase {
    let asked_for = record.sealed.plan().origin == Origin::Request;
    match record.verdict.decision {
        Decision::Deny => Phase::Denied,
        _ if asked_for => Phase::Proposed,
        Decision::Allow => Phase::Queued,
        Decision::NeedsApproval if record.rung >= Rung::Approve => Phase::AwaitingApproval,
        Decision::NeedsApproval => Phase::Proposed,
    }
}

fn at_action(index: usize, mut problem: Problem) -> Problem {
    for (field, _) in &mut problem.fields {
        *field = format!("actions[{index}].{field}");
    }
    problem.detail = format!("actions[{index}].{}", problem.detail);
    problem
}

/// Two actions of the same kind on the same service in one plan would each be drafted against the
/// state before the first; the second would not do what its summary says.
fn refuse_contradictions(actions: &[Action]) -> Result<(), Problem> {
    for (index, action) in actions.iter().enumerate() {
        let spec = &action.spec;
        let same = |earlier: &&Action| {
            earlier.spec.kind == spec.kind && earlier.spec.target.service == spec.target.service
        };
        if !matches!(spec.kind.as_str(), "notify" | "shed" | "restore" | "script")
            && actions[..index].iter().any(|earlier| same(&earlier))
        {
            let text =
                format!("'{}' of {} comes twice in this plan", spec.kind, spec.target.service);
            return Err(Problem::field(format!("actions[{index}]"), text));
        }
    }
    Ok(())
}

/// The ledger's row about a new plan: the exact bytes and the verdict.
fn proposed_payload(record: &PlanRecord) -> Result<String, Problem> {
    #[derive(serde::Serialize)]
    struct Payload<'a> {
        digest: Digest,
        plan: &'a str,
        verdict: &'a Verdict,
        rung: Rung,
        phase: Phase,
    }
    let payload = Payload {
        digest: record.digest,
        plan: record.sealed.bytes(),
        verdict: &record.verdict,
        rung: record.rung,
        phase: record.phase,
    };
    serde_json::to_string(&payload).map_err(internal)
}

/// What `notify` did.
pub(crate) fn told(message: &str, at: Timestamp) -> Receipt {
    Receipt {
        changed: true,
        detail: format!("people were told: {message}"),
        before: Value::Null,
        after: serde_json::json!({"at": at}),
    }
}
