//! What people do with plans: read, apply, approve, cancel, and say what an unknown outcome was.

use oag_guard::{Approval, Case, Refusal, check_approver, judge, permissions};
use oag_store_port::NewTask;
use oag_types::{
    Code, Decision, Digest, Origin, PlanId, PrincipalKind, Problem, ServiceName, Tenant, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::docs::{self, PLANS};
use crate::planning::guard_steps;
use crate::run::plan_of;
use crate::{Caller, Note, Phase, Pilot, PlanRecord, StepPhase, Versioned};

/// The queue of plans to carry out.
pub(crate) const QUEUE: &str = "plan";

/// What a person found an unknown outcome to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// The action was done.
    Done,
    /// It was not done.
    NotDone,
}

impl Pilot {
    /// Sets a plan to work: a proposed one by whoever may, one of the loop by a person, who
    /// thereby approves it. What the guard wants approved waits for it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `DIGEST_MISMATCH`, `PLAN_STALE`, `GUARD_DENIED`, or a phase that does not
    /// allow it.
    pub async fn apply(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: PlanId,
        read: &Digest,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let found = self.plan(tenant, caller, id).await?;
        let record = &found.value;
        check_digest(record, read)?;
        if !matches!(record.phase, Phase::Proposed | Phase::AwaitingApproval) {
            return Err(wrong_phase(record, "apply"));
        }
        let own = record.sealed.plan().proposer == caller.principal.id;
        if record.sealed.plan().origin != Origin::Request && !own {
            return self.approve(tenant, caller, id, read).await;
        }
        self.may_on_targets(tenant, caller, permissions::PLAN_APPLY, record).await?;
        self.rejudge(tenant, found, Some(caller), "applied").await
    }

    /// Approves a plan that was read in full: the digest says which bytes. The last approval
    /// needed sets it to work.
    ///
    /// # Errors
    /// `CANNOT_APPROVE` with the reason, `DIGEST_MISMATCH`, `PLAN_STALE`, or a phase that does
    /// not allow it.
    pub async fn approve(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: PlanId,
        read: &Digest,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let mut found = self.plan(tenant, caller, id).await?;
        self.may_on_targets(tenant, caller, permissions::PLAN_APPROVE, &found.value)
            .await
            .map_err(|problem| Problem::new(Code::CANNOT_APPROVE, problem.detail))?;
        let record = &mut found.value;
        if !matches!(record.phase, Phase::Proposed | Phase::AwaitingApproval) {
            return Err(wrong_phase(record, "approve"));
        }
        let book = self.rules(tenant).await?.value;
        let (who, now) = (&caller.principal, self.now());
        check_approver(&record.sealed, read, who, &book.policies, &record.approvals, now)
            .map_err(|refusal| refusal_problem(&refusal))?;
        let rules = &book.approval_rules;
        let approval = Approval::new(self.ids.next(), &record.sealed, who, rules, now);
        record.approvals.push(approval);
        self.rejudge(tenant, found, Some(caller), "approved").await
    }

    /// Calls a plan off that is not at work yet.
    ///
    /// # Errors
    /// `FORBIDDEN`, or a phase that does not allow it.
    pub async fn cancel(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: PlanId,
        reason: &str,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let found = self.plan(tenant, caller, id).await?;
        let own = found.value.sealed.plan().proposer == caller.principal.id;
        if !own {
            self.may_on_targets(tenant, caller, permissions::PLAN_APPLY, &found.value).await?;
        }
        let early = [Phase::Proposed, Phase::AwaitingApproval, Phase::Queued];
        if !early.contains(&found.value.phase) {
            return Err(wrong_phase(&found.value, "cancel"));
        }
        let text = if reason.trim().is_empty() { "cancelled" } else { reason };
        self.move_to(tenant, found, Phase::Cancelled, Some(caller), text).await
    }

    /// Says what an unknown outcome was, after a person looked. Nothing is repeated.
    ///
    /// # Errors
    /// `FORBIDDEN`, a service account, or a phase that does not allow it.
    pub async fn resolve(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: PlanId,
        resolution: Resolution,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let mut found = self.plan(tenant, caller, id).await?;
        self.may_on_targets(tenant, caller, permissions::PLAN_APPROVE, &found.value).await?;
        if caller.principal.kind != PrincipalKind::Person {
            return Err(Problem::new(Code::FORBIDDEN, "a person must look and say what happened"));
        }
        if found.value.phase != Phase::OutcomeUnknown {
            return Err(wrong_phase(&found.value, "resolve"));
        }
        let (phase, step) = match resolution {
            Resolution::Done => (Phase::Succeeded, StepPhase::Verified),
            Resolution::NotDone => (Phase::Failed, StepPhase::Skipped),
        };
        let now = self.now();
        for at in found.value.steps.iter_mut().filter(|s| s.phase == StepPhase::Unknown) {
            at.phase = step;
            at.times.push((step, now));
        }
        let text = match resolution {
            Resolution::Done => "looked at by a person: it was done",
            Resolution::NotDone => "looked at by a person: it was not done",
        };
        self.move_to(tenant, found, phase, Some(caller), text).await
    }

    /// Ends a plan whose task was held by a restore: one that had not begun is called off, with a
    /// warning; one that had begun may have acted since, so a person must look.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn hold_restored(&self, tenant: &Tenant, task: &str) -> Result<(), Problem> {
        let Some(id) = plan_of(task) else { return Ok(()) };
        let Some(mut found) = self.find_plan(tenant, id).await.ok() else { return Ok(()) };
        let now = self.now();
        let (phase, severity, text) = match found.value.phase {
            Phase::Queued => (
                Phase::Cancelled,
                "warning",
                "restored from a backup: it was not carried out; propose it again",
            ),
            Phase::Running => {
                for step in found.value.steps.iter_mut().filter(|s| !s.phase.is_over()) {
                    step.phase = StepPhase::Unknown;
                    step.times.push((StepPhase::Unknown, now));
                }
                let text = "restored from a backup made while it ran: what it did since is not \
                            known; please look, then say so with 'resolve'";
                (Phase::OutcomeUnknown, "critical", text)
            }
            _ => return Ok(()),
        };
        let notice = format!("{}: {text}", found.value.sealed.plan().summary);
        self.move_to(tenant, found, phase, None, text).await?;
        let batch = self.notice(self.batch(), severity, notice, Some(id))?;
        self.save(tenant, batch).await.map(|_| ())
    }

    /// The task that carries a plan out. A plan may be queued more than once (approved again after
    /// its approval ran out); its history tells the times apart.
    pub(crate) fn plan_task(&self, record: &PlanRecord) -> NewTask {
        let id = record.id();
        NewTask {
            queue: QUEUE.to_owned(),
            id: format!("{id}/{}", record.notes.len()),
            body: json!({"plan": id}).to_string(),
            due_at: self.now(),
        }
    }

    /// Judges a waiting plan again with the approvals it has, and moves it where that leads.
    async fn rejudge(
        &self,
        tenant: &Tenant,
        mut found: Versioned<PlanRecord>,
        caller: Option<&Caller>,
        text: &str,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let verdict = self.judge_now(tenant, &found.value).await?;
        found.value.verdict = verdict;
        let phase = match found.value.verdict.decision {
            Decision::Deny => {
                let denied = denied(&found.value.verdict);
                self.move_to(tenant, found, Phase::Denied, caller, &denied.detail).await?;
                return Err(denied);
            }
            Decision::NeedsApproval => Phase::AwaitingApproval,
            Decision::Allow => Phase::Queued,
        };
        self.move_to(tenant, found, phase, caller, text).await
    }

    /// The guard's verdict on a stored plan at the present moment and state.
    pub(crate) async fn judge_now(
        &self,
        tenant: &Tenant,
        record: &PlanRecord,
    ) -> Result<Verdict, Problem> {
        let plan = record.sealed.plan();
        let (weighed, observed) = self.weigh_again(tenant, plan).await?;
        for (service, state) in &observed {
            check_base(record, service, state.revision)?;
        }
        let steps = guard_steps(&record.sealed, &weighed)?;
        let proposer = self.find_principal(tenant, plan.proposer).await?.value;
        let approvers = self.approvers(tenant, record).await?;
        let book = self.rules(tenant).await?.value;
        Ok(judge(
            &book,
            &Case {
                plan: &record.sealed,
                steps: &steps,
                proposer: &proposer,
                approvals: &record.approvals,
                approvers: &approvers,
                now: self.now(),
            },
        ))
    }

    pub(crate) async fn approvers(
        &self,
        tenant: &Tenant,
        record: &PlanRecord,
    ) -> Result<Vec<oag_types::Principal>, Problem> {
        let mut people = Vec::new();
        for approval in &record.approvals {
            people.push(self.find_principal(tenant, approval.principal).await?.value);
        }
        Ok(people)
    }

    /// Writes a plan's new phase, with a note and a ledger row, and wakes the worker if needed.
    pub(crate) async fn move_to(
        &self,
        tenant: &Tenant,
        found: Versioned<PlanRecord>,
        phase: Phase,
        caller: Option<&Caller>,
        text: &str,
    ) -> Result<Versioned<PlanRecord>, Problem> {
        let mut record = found.value;
        let id = record.id().to_string();
        let by = caller.map(|caller| caller.principal.id);
        record.phase = phase;
        record.notes.push(Note { at: self.now(), by, text: text.to_owned() });
        let payload = json!({
            "phase": phase, "by": by, "note": text, "digest": record.digest,
            "verdict": record.verdict, "approvals": record.approvals,
        });
        let batch = self.batch().expect(docs::unchanged(PLANS, &id, found.revision));
        let mut batch =
            self.put_plan(batch, &record)?.ledger("plan", id.clone(), payload.to_string());
        if phase == Phase::Queued {
            batch = batch.task(self.plan_task(&record));
        }
        let revision = self.save(tenant, batch).await?.revision;
        if phase == Phase::Queued {
            self.work.notify_one();
        }
        Ok(Versioned { value: record, revision })
    }
}

/// The plan was decided on this state; when the wanted state moved since, it is out of date.
pub(crate) fn check_base(
    record: &PlanRecord,
    service: &ServiceName,
    revision: u64,
) -> Result<(), Problem> {
    match record.sealed.plan().base.get(service.as_str()) {
        Some(base) if *base != revision => Err(Problem::new(
            Code::PLAN_STALE,
            format!("{service} was changed since this plan was made; make a new one"),
        )),
        _ => Ok(()),
    }
}

pub(crate) fn denied(verdict: &Verdict) -> Problem {
    let speaks = verdict.reasons.iter().filter(|reason| reason.decision == Decision::Deny);
    let kill = verdict.reasons.iter().any(|r| r.rule.starts_with("kill_switch"));
    let text: Vec<_> = speaks.map(|r| format!("{}: {}", r.rule, r.text)).collect();
    Problem::new(if kill { Code::KILL_SWITCH } else { Code::GUARD_DENIED }, text.join("; "))
}

fn check_digest(record: &PlanRecord, read: &Digest) -> Result<(), Problem> {
    if record.digest == *read {
        return Ok(());
    }
    let text = format!("the plan's digest is {}; read the plan again", record.digest);
    Err(Problem::new(Code::DIGEST_MISMATCH, text))
}

fn refusal_problem(refusal: &Refusal) -> Problem {
    let code = match refusal {
        Refusal::DigestMismatch { .. } => Code::DIGEST_MISMATCH,
        Refusal::PlanExpired { .. } => Code::PLAN_STALE,
        _ => Code::CANNOT_APPROVE,
    };
    Problem::new(code, refusal.to_string())
}

fn wrong_phase(record: &PlanRecord, verb: &str) -> Problem {
    let text = format!("the plan is {}; there is nothing to {verb}", record.phase.as_str());
    Problem::new(Code::CONFLICT, text)
}
