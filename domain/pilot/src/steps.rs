//! The steps of a running plan: intent, act, verify, outcome, and what is done after a crash.

use oag_types::{Problem, Repeatability, VerificationState};
use serde_json::json;

use crate::docs::{self, PLANS, to_json};
use crate::run::{Course, Run};
use crate::verify::Watched;
use crate::{Mandate, Phase, Pilot, StepPhase};

impl Pilot {
    /// Goes through the actions in order, from wherever the record says the plan stands.
    pub(crate) async fn go_through_steps(&self, run: &mut Run) -> Result<Course, Problem> {
        for index in 0..run.record.steps.len() {
            match self.step(run, index).await? {
                Course::On => {}
                stop => return Ok(stop),
            }
        }
        Ok(Course::On)
    }

    async fn step(&self, run: &mut Run, index: usize) -> Result<Course, Problem> {
        let phase = run.record.steps[index].phase;
        match phase {
            StepPhase::Pending => {
                if let Some(text) = self.killed(run, index).await? {
                    return Ok(Course::Stop(Phase::Cancelled, text));
                }
                self.intend(run, index).await?;
                self.act(run, index).await
            }
            StepPhase::Intended => {
                let action = &run.record.sealed.plan().actions[index];
                if action.repeat == Repeatability::Neither {
                    return self.unknown(run, index).await;
                }
                // Idempotent: done again under the same key. Observable: the operation names the
                // state it leads to and the executor the keys it did, so that asking again looks
                // first.
                self.act(run, index).await
            }
            StepPhase::Applied => self.verify_step(run, index).await,
            StepPhase::Missed | StepPhase::UndoIntended => self.take_back(run).await,
            // Taking back was interrupted; it goes on from the last step that was begun.
            StepPhase::Undone | StepPhase::NotUndone => self.take_back(run).await,
            // When a later step failed before the crash, its own turn takes everything back.
            StepPhase::Verified
            | StepPhase::Unknown
            | StepPhase::Superseded
            | StepPhase::Skipped => Ok(Course::On),
        }
    }

    async fn intend(&self, run: &mut Run, index: usize) -> Result<(), Problem> {
        self.enter(run, index, StepPhase::Intended);
        let plan = run.record.sealed.plan();
        let story = self.find_story(&run.tenant, plan.story).await?.value;
        let evidence: Vec<_> =
            story.findings.iter().filter(|f| plan.findings.contains(&f.id)).collect();
        let action = &plan.actions[index];
        let payload = json!({
            "plan": plan.id, "digest": run.record.digest, "action": action,
            "proposer": plan.proposer, "reason": plan.reason, "evidence": evidence,
            "verdict": run.record.verdict, "approvals": run.record.approvals,
        });
        let subject = action.id.to_string();
        self.save_step(run, index, Some(("intent", subject, payload.to_string()))).await?;
        self.crash_points.reached("after_intent");
        Ok(())
    }

    async fn act(&self, run: &mut Run, index: usize) -> Result<Course, Problem> {
        let action = run.record.sealed.plan().actions[index].clone();
        let mandate = Mandate { key: &action.idempotency_key, plan: &run.record.digest };
        let result = self.ask_executor(&run.tenant, &action.spec, action.repeat, mandate).await;
        self.crash_points.reached("after_act");
        match result {
            Ok(receipt) => {
                run.record.steps[index].receipt = Some(receipt);
                self.enter(run, index, StepPhase::Applied);
                self.save_step(run, index, None).await?;
                self.crash_points.reached("after_applied");
                self.verify_step(run, index).await
            }
            Err(error) => {
                run.record.steps[index].error = Some(error.to_string());
                self.enter(run, index, StepPhase::Missed);
                let payload = json!({
                    "plan": run.record.id(), "action": action.id, "state": "failed",
                    "error": error.to_string(),
                });
                let row = ("outcome", action.id.to_string(), payload.to_string());
                self.save_step(run, index, Some(row)).await?;
                self.take_back(run).await
            }
        }
    }

    async fn verify_step(&self, run: &mut Run, index: usize) -> Result<Course, Problem> {
        let action = run.record.sealed.plan().actions[index].clone();
        let last = index + 1 == run.record.steps.len();
        self.set_verifying(run, last);
        let watched =
            self.watch_effects(&run.tenant, run.record.id(), &action, &run.shutdown).await;
        self.set_verifying(run, false);
        let (phase, verification, text) = match watched {
            Watched::Interrupted => return Ok(Course::Interrupted),
            Watched::Superseded(newer, verification) => {
                (StepPhase::Superseded, verification, format!("{newer} took over"))
            }
            Watched::Ended(verification) => match verification.state {
                VerificationState::Reached => (StepPhase::Verified, verification, String::new()),
                _ => (StepPhase::Missed, verification, String::new()),
            },
        };
        let payload = json!({
            "plan": run.record.id(), "action": action.id, "state": phase,
            "receipt": run.record.steps[index].receipt, "verification": verification,
            "note": text,
        });
        run.record.steps[index].verification = Some(verification);
        self.enter(run, index, phase);
        let row = ("outcome", action.id.to_string(), payload.to_string());
        self.save_step(run, index, Some(row)).await?;
        self.crash_points.reached("after_outcome");
        match phase {
            StepPhase::Verified => Ok(Course::On),
            StepPhase::Superseded => Ok(Course::Stop(Phase::Superseded, text)),
            _ => self.take_back(run).await,
        }
    }

    /// The process ended while an action was under way that can neither be repeated nor seen.
    async fn unknown(&self, run: &mut Run, index: usize) -> Result<Course, Problem> {
        let action = run.record.sealed.plan().actions[index].clone();
        self.enter(run, index, StepPhase::Unknown);
        let text = format!(
            "{}: the product was interrupted while this ran. Whether it was done is not known; \
             it is not repeated. Please look, then say so with 'resolve'.",
            action.summary
        );
        run.record.steps[index].error = Some(text.clone());
        let payload = json!({"plan": run.record.id(), "action": action.id, "state": "unknown"});
        let row = ("outcome", action.id.to_string(), payload.to_string());
        self.save_step(run, index, Some(row)).await?;
        Ok(Course::Stop(Phase::OutcomeUnknown, text))
    }

    /// Whether the kill switch stops an action now, and what to say.
    pub(crate) async fn killed(&self, run: &Run, index: usize) -> Result<Option<String>, Problem> {
        let book = self.rules(&run.tenant).await?.value;
        let group = &run.record.sealed.plan().actions[index].spec.target.group;
        let stops = book.kill_switch.stops(group);
        Ok(stops.then(|| format!("stopped by the kill switch: {}", book.kill_switch.reason)))
    }

    pub(crate) fn enter(&self, run: &mut Run, index: usize, phase: StepPhase) {
        let now = self.now();
        let step = &mut run.record.steps[index];
        step.phase = phase;
        step.times.push((phase, now));
    }

    /// Writes the plan's record after a step, with a ledger row when there is one.
    pub(crate) async fn save_step(
        &self,
        run: &mut Run,
        index: usize,
        row: Option<(&str, String, String)>,
    ) -> Result<(), Problem> {
        let id = run.record.id().to_string();
        let mut batch = self.batch().expect(docs::unchanged(PLANS, &id, run.revision)).put(
            PLANS,
            id,
            to_json(&run.record)?,
            run.record.phase.as_str(),
        );
        if let Some((kind, subject, payload)) = row {
            batch = batch.ledger(kind, subject, payload);
        }
        let committed = self.save(&run.tenant, batch).await?;
        run.revision = committed.revision;
        // Written with the next step; the rows can be found by subject before that.
        run.record.steps[index].ledger.extend(committed.ledger_indices);
        Ok(())
    }

    fn set_verifying(&self, run: &Run, verifying: bool) {
        let plan = run.record.id();
        for busy in self.lock_busy().values_mut().filter(|busy| busy.plan == plan) {
            busy.verifying = verifying;
        }
    }
}
