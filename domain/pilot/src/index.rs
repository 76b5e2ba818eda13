//! The index of plans in hand: which plans of the loop or a model wait or work on which service.
//! Its entries are written in the commit that changes the plan, so that one read tells what is in
//! hand, and a crash cannot part the two.

use std::collections::BTreeMap;

use oag_store_port::{Batch, ListQuery};
use oag_types::{Origin, PlanId, Problem, ServiceName, Tenant};
use serde::{Deserialize, Serialize};

use crate::docs::{self, IN_HAND, PLANS, PageOf, PageRequest, store_problem, to_json};
use crate::{Phase, Pilot, PlanRecord, Versioned};

/// A plan in hand, as far as one service is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InHand {
    /// Which plan.
    pub plan: PlanId,
    /// Where it stands; never a final phase.
    pub phase: Phase,
    /// The replicas it brings the service to, when it scales it.
    pub replicas: Option<u32>,
}

/// Phases in hand, the one that says most first.
const PHASES: [Phase; 4] =
    [Phase::Running, Phase::Queued, Phase::AwaitingApproval, Phase::Proposed];

/// Records written at once while the index is rebuilt.
const REBUILD_BATCH: usize = 200;

impl Pilot {
    /// The plan of the loop or a model that is furthest on a service, when there is one, and
    /// whether all that is left of it is its verification. One read.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn active_plan(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
    ) -> Result<Option<(InHand, bool)>, Problem> {
        let query = ListQuery {
            tag: Some(service.to_string()),
            after: None,
            descending: true,
            limit: 1_000,
        };
        let page = self.store.list(tenant, IN_HAND, query).await.map_err(store_problem)?;
        let mut found: Option<InHand> = None;
        for record in &page.records {
            let entry = docs::from_record::<InHand>(record)?.value;
            // Of equal phases the newest comes first.
            if found.as_ref().is_none_or(|best| rank(entry.phase) < rank(best.phase)) {
                found = Some(entry);
            }
        }
        Ok(found.map(|entry| {
            let busy = self.lock_busy();
            let at_work = busy.get(&(tenant.clone(), service.clone()));
            let verifying = at_work.is_some_and(|b| b.plan == entry.plan && b.verifying);
            (entry, verifying)
        }))
    }

    /// Makes the index what the plans say, for stores written before there was one. Called once at
    /// start, before anything else writes plans. Returns how many entries were wrong.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn rebuild_index(&self, tenant: &Tenant) -> Result<usize, Problem> {
        let mut wanted = BTreeMap::new();
        for phase in PHASES {
            let mut after = None;
            loop {
                let request = PageRequest { after, limit: REBUILD_BATCH };
                let tag = Some(phase.as_str().to_owned());
                let page: PageOf<Versioned<PlanRecord>> =
                    docs::page(&*self.store, tenant, PLANS, tag, request, false).await?;
                wanted.extend(page.items.iter().flat_map(|plan| entries(&plan.value)));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        let mut present = BTreeMap::new();
        for service in docs::all_records(&*self.store, tenant, IN_HAND).await? {
            present.insert(service.id.clone(), docs::from_record::<InHand>(&service)?.value);
        }
        let mut wrong: Vec<(String, Option<InHand>)> = Vec::new();
        let stale = present.keys().filter(|id| !wanted.contains_key(*id));
        wrong.extend(stale.map(|id| (id.clone(), None)));
        let missing = wanted.into_iter().filter(|(id, entry)| present.get(id) != Some(entry));
        wrong.extend(missing.map(|(id, entry)| (id, Some(entry))));
        for part in wrong.chunks(REBUILD_BATCH) {
            let mut batch = self.batch();
            for (id, entry) in part {
                batch = write(batch, id, entry.as_ref())?;
            }
            self.save(tenant, batch).await?;
        }
        Ok(wrong.len())
    }

    /// Adds a plan's record to a batch together with its entries in the index.
    pub(crate) fn put_plan(&self, batch: Batch, record: &PlanRecord) -> Result<Batch, Problem> {
        let phase = record.phase;
        let mut batch = batch.put(PLANS, record.id().to_string(), to_json(record)?, phase.as_str());
        if phase.is_final() && can_act(record) {
            for service in record.services() {
                batch = write(batch, &entry_id(&service, record.id()), None)?;
            }
        }
        for (id, entry) in entries(record) {
            batch = write(batch, &id, Some(&entry))?;
        }
        Ok(batch)
    }
}

fn write(batch: Batch, id: &str, entry: Option<&InHand>) -> Result<Batch, Problem> {
    let Some(entry) = entry else { return Ok(batch.delete(IN_HAND, id)) };
    let service = id.split('/').next().unwrap_or_default();
    Ok(batch.put(IN_HAND, id, to_json(entry)?, service))
}

fn entry_id(service: &ServiceName, plan: PlanId) -> String {
    format!("{service}/{plan}")
}

/// Whether a plan may be carried out without anybody asking for it.
fn can_act(record: &PlanRecord) -> bool {
    matches!(record.sealed.plan().origin, Origin::Loop | Origin::Model)
}

fn rank(phase: Phase) -> usize {
    PHASES.iter().position(|known| *known == phase).unwrap_or(PHASES.len())
}

/// The entries of a plan: one for each service it acts on while it is in hand, none afterwards.
fn entries(record: &PlanRecord) -> Vec<(String, InHand)> {
    if record.phase.is_final() || !can_act(record) {
        return Vec::new();
    }
    let (plan, phase) = (record.id(), record.phase);
    let entry = |service: ServiceName| {
        let scales = |action: &&oag_types::Action| {
            action.spec.kind.as_str() == "scale" && action.spec.target.service == service
        };
        let action = record.sealed.plan().actions.iter().find(scales);
        let replicas = action.and_then(|action| action.spec.params.get("replicas")?.as_u64());
        let replicas = replicas.and_then(|count| u32::try_from(count).ok());
        (entry_id(&service, plan), InHand { plan, phase, replicas })
    };
    record.services().into_iter().map(entry).collect()
}
