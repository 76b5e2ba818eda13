//! Proposals on trial: what actions on the rungs *observe* and *dry run* claim is kept with their
//! plan, looked back on when its time has come, and counted for the ladder, once.

use oag_guard::{Book, LadderChange, Outcome, Rung};
use oag_store_port::Batch;
use oag_types::{
    Action, ActionId, KindName, Observable, PlanId, Problem, Receipt, Repeatability, Tenant,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::docs::{self, PageRequest, TRIALS, to_json};
use crate::planning::told;
use crate::{Claim, ExecError, Operation, Phase, Pilot, PlanRecord, kinds};

/// An action that was proposed and not done, until it is known whether it was right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its plan.
    pub plan: PlanId,
    /// The action.
    pub action: ActionId,
    /// The kind that is on trial.
    pub kind: KindName,
    /// The rung it stood on.
    pub rung: Rung,
    /// When it was proposed.
    pub made_at: Timestamp,
    /// What it said would come.
    pub claim: Claim,
    /// How its dry run went, on that rung.
    pub rehearsal: Option<Rehearsal>,
}

/// How a dry run went at the time of the proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rehearsal {
    /// The executor took the arguments in the present state, and every promised effect can be
    /// seen. What it would have answered.
    Clean(Receipt),
    /// It would not have worked, and why.
    Fault(String),
    /// It cannot be told, and why.
    Untold(String),
}

/// What people did with a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing yet.
    Waiting,
    /// Somebody approved it.
    Approved,
    /// Somebody called it off.
    Rejected,
    /// It is over without anybody's word.
    Over,
}

/// What looking back on a proposal showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hindsight {
    /// Whether it was right; nothing when that cannot be told, and then it is not counted.
    pub right: Option<bool>,
    /// Why, with the numbers.
    pub text: String,
    /// The values looked at: when their step began, and how much.
    pub values: Vec<(Timestamp, f64)>,
}

impl Trial {
    /// When everything it speaks of can be looked at: one step after its time, for values that
    /// come late.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        self.claim.window(self.made_at).1.plus_millis(self.claim.step_ms.max(1))
    }

    fn id(&self) -> String {
        format!("{}/{}", self.plan, self.action)
    }

    fn outcome(&self, right: Option<bool>) -> Option<Outcome> {
        match (self.rung, right?) {
            (Rung::Observe, true) => Some(Outcome::ProposalRight),
            (Rung::Observe, false) => Some(Outcome::ProposalWrong),
            (Rung::DryRun, true) => Some(Outcome::DryRunClean),
            (Rung::DryRun, false) => Some(Outcome::DryRunFailed),
            _ => None,
        }
    }
}

impl Pilot {
    /// Trials that are not over: all, or those of one plan.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn trials(
        &self,
        tenant: &Tenant,
        plan: Option<PlanId>,
    ) -> Result<Vec<Trial>, Problem> {
        let Some(plan) = plan else {
            let all = docs::all::<Trial>(&*self.store, tenant, TRIALS).await?;
            return Ok(all.into_iter().map(|trial| trial.value).collect());
        };
        let request =
            PageRequest { after: Some(format!("{plan}/")), limit: self.config.actions_max };
        let page = docs::page::<Trial>(&*self.store, tenant, TRIALS, None, request, false).await?;
        let trials = page.items.into_iter().map(|trial| trial.value);
        Ok(trials.filter(|trial| trial.plan == plan).collect())
    }

    /// What people did with a plan.
    ///
    /// # Errors
    /// `NOT_FOUND`, or when the store does not answer.
    pub async fn fate(&self, tenant: &Tenant, plan: PlanId) -> Result<Fate, Problem> {
        Ok(fate(&self.find_plan(tenant, plan).await?.value))
    }

    /// Ends a trial: what was seen goes on the ledger and, when it tells something, counts for the
    /// ladder, all in one step. A trial that is over already is left alone. A kind that left the
    /// rung it was tried on has begun a new record, which the trial is no part of.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn end_trial(
        &self,
        tenant: &Tenant,
        trial: &Trial,
        hindsight: &Hindsight,
    ) -> Result<Option<LadderChange>, Problem> {
        let id = trial.id();
        let _admission = self.admission.lock().await;
        let Some(found) = docs::get::<Trial>(&*self.store, tenant, TRIALS, &id).await? else {
            return Ok(None);
        };
        let trial = &found.value;
        let book = self.rules(tenant).await?;
        let entry = book.value.ladder.entry(&trial.kind);
        let same = entry.rung == trial.rung
            && entry.changed_at.is_none_or(|changed| changed <= trial.made_at);
        let outcome = trial.outcome(hindsight.right).filter(|_| same);
        let payload = json!({
            "plan": trial.plan, "action": trial.action, "kind": trial.kind, "rung": trial.rung,
            "claim": trial.claim, "right": hindsight.right, "text": hindsight.text,
            "values": hindsight.values, "counted": outcome.is_some(),
        });
        let batch = self
            .batch()
            .expect(docs::unchanged(TRIALS, &id, found.revision))
            .delete(TRIALS, id)
            .ledger("hindsight", trial.plan.to_string(), payload.to_string());
        let Some(outcome) = outcome else {
            self.save(tenant, batch).await?;
            return Ok(None);
        };
        let mut changed = Book::clone(&book.value);
        let change = changed.ladder.record(&trial.kind, outcome, self.now());
        let batch = self.tell_change(batch, change.as_ref())?;
        self.save_with_rules(tenant, batch, changed, book.revision).await?;
        Ok(change)
    }

    /// Adds a change of the ladder to a batch: for the ledger, and for people.
    pub(crate) fn tell_change(
        &self,
        batch: Batch,
        change: Option<&LadderChange>,
    ) -> Result<Batch, Problem> {
        let Some(change) = change else { return Ok(batch) };
        let (kind, from, to) = (&change.kind, change.from.as_str(), change.to.as_str());
        let text = format!("'{kind}' went from '{from}' to '{to}': {}", change.reason);
        let severity = if change.to > change.from { "info" } else { "warning" };
        let batch = batch.ledger("autonomy", format!("kind:{kind}"), to_json(change)?);
        self.notice(batch, severity, text, None)
    }

    /// Puts the claims of a new plan on trial, in the batch that records the plan: those of kinds
    /// that only watch or play through. What the guard denied would not have been done, so nothing
    /// can be learnt from it.
    pub(crate) async fn try_out(
        &self,
        tenant: &Tenant,
        mut batch: Batch,
        record: &PlanRecord,
        claims: Vec<Claim>,
    ) -> Result<Batch, Problem> {
        if claims.is_empty() || record.phase == Phase::Denied {
            return Ok(batch);
        }
        let ladder = &self.rules(tenant).await?.value.ladder;
        let plan = record.sealed.plan();
        for claim in claims {
            let Some(action) = plan.actions.get(claim.action) else { continue };
            let (kind, rung) = (action.spec.kind.clone(), ladder.rung(&action.spec.kind));
            let rehearsal = match rung {
                Rung::Observe => None,
                Rung::DryRun => Some(self.rehearse(tenant, record, action).await),
                Rung::Approve | Rung::Automatic => continue,
            };
            if let Some(rehearsal) = &rehearsal {
                let payload = json!({"plan": plan.id, "action": action.id, "dry_run": rehearsal});
                batch = batch.ledger("dry_run", action.id.to_string(), payload.to_string());
            }
            let (made_at, tag) = (plan.created_at, claim.service.to_string());
            let (plan, action) = (plan.id, action.id);
            let trial = Trial { plan, action, kind, rung, made_at, claim, rehearsal };
            let id = trial.id();
            let body = to_json(&trial)?;
            batch = batch.expect(docs::absent(TRIALS, &id)).put(TRIALS, id, body, tag);
        }
        Ok(batch)
    }

    /// Plays an action through: the arguments and the present state by the executor that would
    /// carry it out, and whether each promised effect could be seen afterwards.
    async fn rehearse(&self, tenant: &Tenant, record: &PlanRecord, action: &Action) -> Rehearsal {
        let untold = |error: String| Rehearsal::Untold(error);
        let spec = &action.spec;
        let service = &spec.target.service;
        let operation = match kinds::kind(&spec.kind).and_then(|k| k.operation(&spec.params)) {
            Ok(operation) => operation,
            Err(problem) => return Rehearsal::Fault(problem.detail),
        };
        if let Operation::Notify { message, .. } = &operation {
            return Rehearsal::Clean(told(message, self.now()));
        }
        let executor = match self.executor(&spec.target.executor) {
            Ok(executor) => executor,
            Err(problem) => return Rehearsal::Fault(problem.detail),
        };
        let state = match executor.observe(tenant, service).await {
            Ok(state) => state,
            Err(error) => return untold(format!("its state cannot be read: {error}")),
        };
        if crate::desk::check_base(record, service, state.revision).is_err() {
            return untold(format!("{service} was changed while this was proposed"));
        }
        let receipt = match executor.rehearse(tenant, service, &operation).await {
            Ok(Some(receipt)) => receipt,
            Ok(None) => {
                return untold(format!("the executor '{}' cannot rehearse", executor.name()));
            }
            Err(ExecError::Unavailable(text)) => return untold(text),
            Err(error) => return Rehearsal::Fault(error.to_string()),
        };
        if !receipt.changed && action.repeat != Repeatability::Neither {
            return Rehearsal::Fault(format!("nothing would change: {}", receipt.detail));
        }
        for expected in &action.expect {
            let (seen, what) = match &expected.observe {
                Observable::State(field) => {
                    let told = state.fields.contains_key(field) || !receipt.after[field].is_null();
                    (told || expected.value.is_null(), field)
                }
                Observable::Metric(name) => {
                    (self.meter.latest(tenant, service, name).await.is_some(), name)
                }
            };
            if !seen {
                return Rehearsal::Fault(format!("'{what}' is promised and cannot be seen"));
            }
        }
        Rehearsal::Clean(receipt)
    }
}

fn fate(record: &PlanRecord) -> Fate {
    match record.phase {
        _ if !record.approvals.is_empty() => Fate::Approved,
        Phase::Proposed | Phase::AwaitingApproval => Fate::Waiting,
        Phase::Cancelled if record.notes.last().is_some_and(|note| note.by.is_some()) => {
            Fate::Rejected
        }
        _ => Fate::Over,
    }
}
