//! Carrying a plan out: admit, and for each action intent, act, verify, outcome. Every step is
//! written down before and after, so that after a crash it can be told what was done.

use std::sync::Arc;
use std::time::Duration;

use oag_guard::{Case, Outcome};
use oag_runtime::{OnError, ShutdownHandle, Supervisor, TaskKind};
use oag_store_port::{Batch, Claim, Task, TaskToken};
use oag_types::{Code, Decision, KindName, PlanId, Problem, Tenant, VerificationState};
use serde_json::json;

use crate::desk::{QUEUE, check_base, denied};
use crate::docs::{self, PLANS, store_problem};
use crate::planning::guard_steps;
use crate::{Note, Phase, Pilot, PlanRecord, StepPhase};

/// A plan being carried out, under the token that allows it.
pub(crate) struct Run {
    pub(crate) tenant: Tenant,
    pub(crate) token: TaskToken,
    pub(crate) record: PlanRecord,
    pub(crate) revision: u64,
    pub(crate) shutdown: ShutdownHandle,
}

/// How carrying out came to its end here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The plan is over and the task complete.
    Over,
    /// The process drains; the next one goes on.
    Interrupted,
}

/// What the steps of a plan led to.
pub(crate) enum Course {
    /// On to the next step.
    On,
    /// The plan is over like this.
    Stop(Phase, String),
    /// The process drains.
    Interrupted,
}

impl Pilot {
    /// Takes plans from the queue and carries them out until the drain begins.
    ///
    /// # Errors
    /// When another process took over as leader.
    pub async fn work(
        self: Arc<Self>,
        tenant: Tenant,
        supervisor: Supervisor,
    ) -> Result<(), Problem> {
        let shutdown = supervisor.shutdown().clone();
        let slots = Arc::new(tokio::sync::Semaphore::new(self.config.running_max));
        while !shutdown.is_draining() {
            let claim = Claim {
                queue: QUEUE.to_owned(),
                epoch: self.epoch(),
                now: self.now(),
                lease_ms: self.config.lease_ms,
                limit: slots.available_permits().min(16),
            };
            let tasks = match self.store.claim(&tenant, claim).await {
                Ok(tasks) => tasks,
                Err(error @ oag_store_port::StoreError::Fenced { .. }) => {
                    return Err(store_problem(error));
                }
                Err(error) => {
                    tracing::warn!(%error, "no plans could be claimed");
                    Vec::new()
                }
            };
            for task in tasks {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
                let (pilot, tenant, shutdown) =
                    (Arc::clone(&self), tenant.clone(), shutdown.clone());
                let name = format!("plan {}", task.id);
                supervisor.spawn(name, TaskKind::Drains, OnError::Log, async move {
                    let result = pilot.carry_out(tenant, task, shutdown).await;
                    drop(slot);
                    pilot.work.notify_one();
                    result
                });
            }
            tokio::select! {
                () = self.work.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
                () = shutdown.draining() => {}
            }
        }
        Ok(())
    }

    /// Carries one plan out under its lease, which is renewed meanwhile.
    pub(crate) async fn carry_out(
        &self,
        tenant: Tenant,
        task: Task,
        shutdown: ShutdownHandle,
    ) -> Result<(), Problem> {
        let token = task.token();
        let work = Box::pin(self.carry(tenant.clone(), task, shutdown));
        let renewals = Box::pin(self.renew_for_ever(&tenant, &token));
        let result = tokio::select! {
            result = work => result.map(|_| ()),
            problem = renewals => Err(problem),
        };
        self.lock_busy().retain(|_, busy| plan_of(&token.task) != Some(busy.plan));
        result
    }

    async fn renew_for_ever(&self, tenant: &Tenant, token: &TaskToken) -> Problem {
        let third = u64::try_from(self.config.lease_ms / 3).unwrap_or(1_000).max(100);
        loop {
            tokio::time::sleep(Duration::from_millis(third)).await;
            let until = self.now().plus_millis(self.config.lease_ms);
            match self.store.renew(tenant, token, until).await {
                Ok(()) => {}
                Err(
                    error @ (oag_store_port::StoreError::LostLease(_)
                    | oag_store_port::StoreError::Fenced { .. }),
                ) => return store_problem(error),
                Err(error) => tracing::warn!(%error, "lease not renewed; trying again"),
            }
        }
    }

    async fn carry(
        &self,
        tenant: Tenant,
        task: Task,
        shutdown: ShutdownHandle,
    ) -> Result<Ended, Problem> {
        let token = task.token();
        let id = plan_of(&token.task).ok_or_else(|| docs::internal("a task without a plan"))?;
        let found = self.find_plan(&tenant, id).await?;
        let mut run =
            Run { tenant, token, record: found.value, revision: found.revision, shutdown };
        if !matches!(run.record.phase, Phase::Queued | Phase::Running) {
            let batch = self.batch().completing(run.token.clone());
            self.save(&run.tenant, batch).await?;
            return Ok(Ended::Over);
        }
        if !self.take_services(&run).await? {
            return Ok(Ended::Interrupted);
        }
        if run.record.phase == Phase::Queued && !self.admit(&mut run).await? {
            return Ok(Ended::Over);
        }
        let course = self.go_through_steps(&mut run).await?;
        match course {
            Course::Interrupted => Ok(Ended::Interrupted),
            Course::On => {
                self.finish(&mut run, Phase::Succeeded, "every promised effect came").await?;
                Ok(Ended::Over)
            }
            Course::Stop(phase, text) => {
                self.finish(&mut run, phase, &text).await?;
                Ok(Ended::Over)
            }
        }
    }

    /// Waits until no other plan is at work on the same services. A plan that is only being
    /// verified makes way. False when the process drains meanwhile.
    async fn take_services(&self, run: &Run) -> Result<bool, Problem> {
        let plan = run.record.id();
        loop {
            if run.shutdown.is_draining() {
                return Ok(false);
            }
            if self.try_take(run, plan) {
                return Ok(true);
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                () = run.shutdown.draining() => {}
            }
        }
    }

    fn try_take(&self, run: &Run, plan: PlanId) -> bool {
        let mut busy = self.lock_busy();
        let keys: Vec<_> =
            run.record.services().into_iter().map(|s| (run.tenant.clone(), s)).collect();
        let mut free = true;
        for key in &keys {
            let Some(other) = busy.get_mut(key).filter(|other| other.plan != plan) else {
                continue;
            };
            free = false;
            if other.verifying && run.record.phase == Phase::Queued {
                other.make_way_for.get_or_insert(plan);
            }
        }
        if free {
            for key in keys {
                let mine = crate::pilot::Busy { plan, verifying: false, make_way_for: None };
                busy.insert(key, mine);
            }
        }
        free
    }

    /// Judges for the last time and, when allowed, writes down in one step that the plan is
    /// running and that the guard let it through. False when the plan is over or waits again.
    async fn admit(&self, run: &mut Run) -> Result<bool, Problem> {
        let _admission = self.admission.lock().await;
        let weighed = match self.weigh_for_run(run).await {
            Ok(weighed) => weighed,
            Err(problem) if problem.code == Code::PLAN_STALE || problem.code == Code::NOT_FOUND => {
                self.leave(run, Phase::Expired, &problem.detail).await?;
                return Ok(false);
            }
            Err(problem) => return Err(problem),
        };
        let steps = guard_steps(&run.record.sealed, &weighed)?;
        let proposer = self.find_principal(&run.tenant, run.record.sealed.plan().proposer).await?;
        let approvers = self.approvers(&run.tenant, &run.record).await?;
        let book = self.rules(&run.tenant).await?;
        let mut changed = oag_guard::Book::clone(&book.value);
        let verdict = changed.admit(&Case {
            plan: &run.record.sealed,
            steps: &steps,
            proposer: &proposer.value,
            approvals: &run.record.approvals,
            approvers: &approvers,
            now: self.now(),
        });
        drop(steps);
        run.record.verdict = verdict;
        match run.record.verdict.decision {
            Decision::Deny => {
                let text = denied(&run.record.verdict).detail;
                self.leave(run, Phase::Denied, &text).await?;
                Ok(false)
            }
            Decision::NeedsApproval => {
                self.leave(run, Phase::AwaitingApproval, "approval is needed (again)").await?;
                Ok(false)
            }
            Decision::Allow => {
                run.record.phase = Phase::Running;
                self.note(run, "let through by the guard");
                let batch = self.plan_batch(run, "admitted")?;
                run.revision = self
                    .save_with_rules(&run.tenant, batch, changed, book.revision)
                    .await?
                    .revision;
                self.crash_points.reached("after_admit");
                Ok(true)
            }
        }
    }

    async fn weigh_for_run(&self, run: &Run) -> Result<Vec<crate::planning::Weighed>, Problem> {
        let (weighed, observed) = self.weigh_again(&run.tenant, run.record.sealed.plan()).await?;
        for (service, state) in &observed {
            check_base(&run.record, service, state.revision)?;
        }
        Ok(weighed)
    }

    /// Puts a plan that was not let through where it belongs, and completes the task.
    async fn leave(&self, run: &mut Run, phase: Phase, text: &str) -> Result<(), Problem> {
        run.record.phase = phase;
        self.note(run, text);
        let mut batch = self.plan_batch(run, "not admitted")?.completing(run.token.clone());
        if phase == Phase::AwaitingApproval || phase == Phase::Denied {
            let text = format!("{}: {text}", run.record.sealed.plan().summary);
            batch = self.notice(batch, "warning", text, Some(run.record.id()))?;
        }
        run.revision = self.save(&run.tenant, batch).await?.revision;
        Ok(())
    }

    /// Ends the plan: its last phase, what was learnt, and the task, in one step.
    async fn finish(&self, run: &mut Run, phase: Phase, text: &str) -> Result<(), Problem> {
        for step in run.record.steps.iter_mut().filter(|s| s.phase == StepPhase::Pending) {
            step.phase = StepPhase::Skipped;
        }
        run.record.phase = phase;
        self.note(run, text);
        let outcomes = outcomes(&run.record);
        let mut batch = self.plan_batch(run, text)?.completing(run.token.clone());
        let severity = match phase {
            Phase::Succeeded | Phase::Superseded | Phase::Cancelled => None,
            Phase::Undone => Some("warning"),
            _ => Some("critical"),
        };
        if let Some(severity) = severity {
            let text = format!("{}: {} — {text}", phase.as_str(), run.record.sealed.plan().summary);
            batch = self.notice(batch, severity, text, Some(run.record.id()))?;
        }
        let _admission = self.admission.lock().await;
        let book = self.rules(&run.tenant).await?;
        let mut changed = oag_guard::Book::clone(&book.value);
        let now = self.now();
        for (kind, outcome) in outcomes {
            let change = changed.ladder.record(&kind, outcome, now);
            batch = self.tell_change(batch, change.as_ref())?;
        }
        self.crash_points.reached("before_finish");
        let saved = self.save_with_rules(&run.tenant, batch, changed, book.revision).await?;
        run.revision = saved.revision;
        self.crash_points.reached("after_finish");
        Ok(())
    }

    fn plan_batch(&self, run: &Run, text: &str) -> Result<Batch, Problem> {
        let id = run.record.id().to_string();
        let payload = json!({
            "phase": run.record.phase, "digest": run.record.digest,
            "verdict": run.record.verdict, "note": text,
        });
        let batch = self.batch().expect(docs::unchanged(PLANS, &id, run.revision));
        Ok(self.put_plan(batch, &run.record)?.ledger("plan", id, payload.to_string()))
    }

    fn note(&self, run: &mut Run, text: &str) {
        run.record.notes.push(Note { at: self.now(), by: None, text: text.to_owned() });
    }
}

/// What the ladder learns from a plan that is over.
fn outcomes(record: &PlanRecord) -> Vec<(KindName, Outcome)> {
    let actions = record.sealed.plan().actions.iter();
    actions
        .zip(&record.steps)
        .filter_map(|(action, step)| {
            let missed = step.verification.as_ref().map(|v| v.state)
                == Some(VerificationState::Missed)
                || step.error.is_some();
            let outcome = match step.phase {
                StepPhase::Verified => Outcome::Verified,
                StepPhase::Unknown => Outcome::Unknown,
                StepPhase::Missed | StepPhase::Undone | StepPhase::NotUndone if missed => {
                    Outcome::Failed
                }
                _ => return None,
            };
            Some((action.spec.kind.clone(), outcome))
        })
        .collect()
}

/// The plan that a task carries out.
pub(crate) fn plan_of(task: &str) -> Option<PlanId> {
    task.split('/').next().and_then(|id| id.parse().ok())
}
