//! Asking executors, and taking back what did not lead where it should.

use std::time::Duration;

use oag_guard::Step as GuardStep;
use oag_store_port::Batch;
use oag_types::{
    Action, ActionSpec, Decision, NotificationId, Problem, Receipt, Repeatability, Risk, Tenant,
    Undo,
};
use serde_json::{Value, json};

use crate::docs::{self, NOTICES, PLANS, to_json};
use crate::planning::told;
use crate::run::{Course, Run};
use crate::{ExecError, Mandate, Notification, Operation, Phase, Pilot, StepPhase, kinds};

impl Pilot {
    /// Has an executor do what an action says. Asking again is only done where repeating is safe.
    pub(crate) async fn ask_executor(
        &self,
        tenant: &Tenant,
        spec: &ActionSpec,
        repeat: Repeatability,
        mandate: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let refused = |problem: Problem| ExecError::Refused(problem.detail);
        let kind = kinds::kind(&spec.kind).map_err(refused)?;
        let operation = kind.operation(&spec.params).map_err(refused)?;
        if let Operation::Notify { severity, message } = &operation {
            return self.tell(tenant, mandate.key, severity, message).await;
        }
        let executor = self.executor(&spec.target.executor).map_err(refused)?;
        let mut tries = 1;
        let mut pause = self.config.retry_ms;
        loop {
            let result = executor.apply(tenant, &spec.target.service, &operation, mandate).await;
            match result {
                Err(ExecError::Unavailable(text))
                    if repeat != Repeatability::Neither && tries < self.config.tries_max =>
                {
                    tracing::warn!(tries, error = text, "executor is away; trying again");
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    tries += 1;
                    pause = pause.saturating_mul(2);
                }
                result => return result,
            }
        }
    }

    /// Takes back what a failed plan did, the last action first, each under its own intent and
    /// outcome on the ledger.
    pub(crate) async fn take_back(&self, run: &mut Run) -> Result<Course, Problem> {
        let mut left = Vec::new();
        for index in (0..run.record.steps.len()).rev() {
            let step = &run.record.steps[index];
            let done = step.receipt.is_some();
            match step.phase {
                StepPhase::Missed if !done => {}
                StepPhase::Missed | StepPhase::Verified | StepPhase::UndoIntended => {
                    if let Some(text) = self.take_back_step(run, index).await? {
                        left.push(text);
                    }
                }
                StepPhase::NotUndone => left.push(step.error.clone().unwrap_or_default()),
                _ => {}
            }
        }
        let why = run.record.steps.iter().find_map(|step| step.error.clone());
        let why = why.unwrap_or_else(|| "a promised effect did not come".to_owned());
        if left.is_empty() {
            let undone = run.record.steps.iter().any(|step| step.phase == StepPhase::Undone);
            let (phase, text) = if undone {
                (Phase::Undone, format!("{why}; what was done is taken back"))
            } else {
                (Phase::Failed, format!("{why}; nothing had to be taken back"))
            };
            return Ok(Course::Stop(phase, text));
        }
        Ok(Course::Stop(Phase::Failed, format!("{why}; not taken back: {}", left.join("; "))))
    }

    /// Takes one action back. Returns why not, when it could not be.
    async fn take_back_step(&self, run: &mut Run, index: usize) -> Result<Option<String>, Problem> {
        let action = run.record.sealed.plan().actions[index].clone();
        let spec = match &action.undo {
            Undo::NotNeeded => return Ok(None),
            Undo::Impossible(why) => {
                return self.not_undone(run, index, why.clone()).await.map(Some);
            }
            Undo::By(spec) => ActionSpec::clone(spec),
        };
        if run.record.steps[index].phase != StepPhase::UndoIntended
            && let Some(why) = self.intend_undo(run, index, &action, &spec).await?
        {
            return self.not_undone(run, index, why).await.map(Some);
        }
        let key = format!("{}/undo", action.idempotency_key);
        let mandate = Mandate { key: &key, plan: &run.record.digest };
        let result =
            self.ask_executor(&run.tenant, &spec, Repeatability::Idempotent, mandate).await;
        self.crash_points.reached("after_undo");
        match result {
            Ok(receipt) => {
                let payload = json!({
                    "plan": run.record.id(), "action": action.id, "state": "undone",
                    "receipt": receipt,
                });
                run.record.steps[index].undo_receipt = Some(receipt);
                self.enter(run, index, StepPhase::Undone);
                let row = ("undo_outcome", action.id.to_string(), payload.to_string());
                self.save_step(run, index, Some(row)).await?;
                Ok(None)
            }
            Err(error) => self.not_undone(run, index, error.to_string()).await.map(Some),
        }
    }

    /// Has the guard let the undo through and writes the intent down, in one step. Returns why
    /// the guard refused, when it did.
    async fn intend_undo(
        &self,
        run: &mut Run,
        index: usize,
        action: &Action,
        spec: &ActionSpec,
    ) -> Result<Option<String>, Problem> {
        let kind = kinds::kind(&spec.kind)?;
        let undo = Action {
            id: self.ids.next(),
            spec: spec.clone(),
            summary: format!("take back: {}", action.summary),
            expect: Vec::new(),
            risk: Risk::Low,
            undo: Undo::NotNeeded,
            repeat: kind.repeat(),
            idempotency_key: format!("{}/undo", action.idempotency_key),
        };
        let step = GuardStep {
            action: &undo,
            permission: kind.permission(),
            quantity: self.undo_quantity(run, spec).await,
            replicas_affected_share: None,
            breaker_open: false,
        };
        let _admission = self.admission.lock().await;
        let book = self.rules(&run.tenant).await?;
        let mut changed = oag_guard::Book::clone(&book.value);
        let verdict = changed.admit_undo(&run.record.sealed, action.id, &step, self.now());
        if verdict.decision != Decision::Allow {
            return Ok(Some(crate::desk::denied(&verdict).detail));
        }
        self.enter(run, index, StepPhase::UndoIntended);
        let payload = json!({
            "plan": run.record.id(), "action": action.id, "undo": spec, "verdict": verdict,
        });
        let id = run.record.id().to_string();
        let batch = self
            .batch()
            .expect(docs::unchanged(PLANS, &id, run.revision))
            .put(PLANS, id, to_json(&run.record)?, run.record.phase.as_str())
            .ledger("undo_intent", action.id.to_string(), payload.to_string());
        run.revision =
            self.save_with_rules(&run.tenant, batch, changed, book.revision).await?.revision;
        self.crash_points.reached("after_undo_intent");
        Ok(None)
    }

    /// The quantity an undo changes, read off its parameters and the present state.
    async fn undo_quantity(&self, run: &Run, spec: &ActionSpec) -> Option<oag_guard::Quantity> {
        let to = spec.params.get("replicas").and_then(Value::as_f64)?;
        let executor = self.executors.get(&spec.target.executor)?;
        let observed = executor.observe(&run.tenant, &spec.target.service).await.ok()?;
        let from = observed.number("replicas")?;
        Some(oag_guard::Quantity { name: "replicas".to_owned(), from, to })
    }

    async fn not_undone(
        &self,
        run: &mut Run,
        index: usize,
        why: String,
    ) -> Result<String, Problem> {
        let action = run.record.sealed.plan().actions[index].id;
        run.record.steps[index].error = Some(why.clone());
        self.enter(run, index, StepPhase::NotUndone);
        let payload = json!({
            "plan": run.record.id(), "action": action, "state": "not undone", "error": why,
        });
        let row = ("undo_outcome", action.to_string(), payload.to_string());
        self.save_step(run, index, Some(row)).await?;
        Ok(why)
    }

    /// Writes a message to people, at most once for a key.
    async fn tell(
        &self,
        tenant: &Tenant,
        key: &str,
        severity: &str,
        message: &str,
    ) -> Result<Receipt, ExecError> {
        let away = |problem: Problem| ExecError::Unavailable(problem.detail);
        let action: oag_types::ActionId =
            key.parse().map_err(|error| ExecError::Refused(format!("{error}")))?;
        let now = self.now();
        let notice = Notification {
            id: NotificationId::from_uuid(action.uuid()),
            severity: severity.to_owned(),
            message: message.to_owned(),
            plan: None,
            at: now,
            seen: None,
        };
        let id = notice.id.to_string();
        let found: Option<crate::Versioned<Notification>> =
            docs::get(&*self.store, tenant, NOTICES, &id).await.map_err(away)?;
        if found.is_some() {
            return Ok(Receipt { changed: false, ..told(message, now) });
        }
        let batch = Batch::at(now).put(NOTICES, id, to_json(&notice).map_err(away)?, severity);
        self.save(tenant, batch).await.map_err(away)?;
        Ok(told(message, now))
    }
}
