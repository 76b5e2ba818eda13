//! Stories, findings and notifications: what people read.

use oag_guard::{Resource, permissions};
use oag_store_port::{Batch, StoreError};
use oag_types::{Finding, PlanId, Problem, ServiceName, StoryId, Tenant};

use crate::docs::{self, FINDINGS, NOTICES, PageOf, PageRequest, STORIES, store_problem, to_json};
use crate::{Caller, LedgerRow, Notification, Pilot, PlanRecord, Story, Versioned};

/// Most findings kept in one story; the oldest stay, since they say how it began.
const STORY_FINDINGS_MAX: usize = 100;

/// A story with everything that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoryView {
    /// The story.
    pub story: Story,
    /// Its plans, in order.
    pub plans: Vec<PlanRecord>,
    /// Ledger rows about its plans and actions, in order of index.
    pub ledger: Vec<LedgerRow>,
}

impl Pilot {
    /// Findings, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn findings(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<Finding>>, Problem> {
        self.require(tenant, caller, permissions::FINDING_VIEW, &Resource::tenant()).await?;
        docs::page(&*self.store, tenant, FINDINGS, None, page, true).await
    }

    /// Stories, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn stories(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<Story>>, Problem> {
        self.require(tenant, caller, permissions::FINDING_VIEW, &Resource::tenant()).await?;
        docs::page(&*self.store, tenant, STORIES, None, page, true).await
    }

    /// A story, from signal to ledger.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn story(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: StoryId,
    ) -> Result<StoryView, Problem> {
        self.require(tenant, caller, permissions::FINDING_VIEW, &Resource::tenant()).await?;
        let story = self.find_story(tenant, id).await?.value;
        let (mut plans, mut ledger) = (Vec::new(), Vec::new());
        for plan in &story.plans {
            let record = self.find_plan(tenant, *plan).await?.value;
            ledger.extend(self.subject_rows(tenant, &plan.to_string()).await?);
            for action in &record.sealed.plan().actions {
                ledger.extend(self.subject_rows(tenant, &action.id.to_string()).await?);
            }
            plans.push(record);
        }
        ledger.sort_by_key(|row| row.index);
        Ok(StoryView { story, plans, ledger })
    }

    /// Records findings of one story, opening it when it is new. Findings carry their story's id.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn record_findings(
        &self,
        tenant: &Tenant,
        findings: Vec<Finding>,
    ) -> Result<(), Problem> {
        let mut rest = findings;
        while let Some(story) = rest.first().map(|finding| finding.story) {
            let (mine, others) = rest.into_iter().partition(|finding| finding.story == story);
            rest = others;
            self.record_in(tenant, story, mine).await?;
        }
        Ok(())
    }

    /// Marks a story as over.
    ///
    /// # Errors
    /// `NOT_FOUND`, or when the store does not answer.
    pub async fn close_story(&self, tenant: &Tenant, id: StoryId) -> Result<(), Problem> {
        let now = self.now();
        self.change_story(tenant, id, |story| story.closed_at = story.closed_at.or(Some(now))).await
    }

    /// Notifications, newest first.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn notifications(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<Notification>>, Problem> {
        self.require(tenant, caller, permissions::PLAN_VIEW, &Resource::tenant()).await?;
        docs::page(&*self.store, tenant, NOTICES, None, page, true).await
    }

    /// Marks a notification as seen by the caller.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`.
    pub async fn see_notification(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        id: oag_types::NotificationId,
    ) -> Result<Versioned<Notification>, Problem> {
        self.require(tenant, caller, permissions::PLAN_VIEW, &Resource::tenant()).await?;
        let text = id.to_string();
        let found: Versioned<Notification> = docs::get(&*self.store, tenant, NOTICES, &text)
            .await?
            .ok_or_else(|| Problem::not_found("notification", id))?;
        let mut notice = found.value;
        notice.seen = notice.seen.or(Some((caller.principal.id, self.now())));
        let batch = self.batch().expect(docs::unchanged(NOTICES, &text, found.revision)).put(
            NOTICES,
            text,
            to_json(&notice)?,
            notice.severity.clone(),
        );
        let revision = self.save(tenant, batch).await?.revision;
        Ok(Versioned { value: notice, revision })
    }

    /// Adds a message to people to a batch.
    pub(crate) fn notice(
        &self,
        batch: Batch,
        severity: &str,
        message: String,
        plan: Option<PlanId>,
    ) -> Result<Batch, Problem> {
        let notice = Notification {
            id: self.ids.next(),
            severity: severity.to_owned(),
            message,
            plan,
            at: self.now(),
            seen: None,
        };
        Ok(batch.put(NOTICES, notice.id.to_string(), to_json(&notice)?, severity))
    }

    /// Adds a plan to its story in a batch, opening the story when it is new.
    pub(crate) async fn plan_in_story(
        &self,
        tenant: &Tenant,
        batch: Batch,
        record: &PlanRecord,
    ) -> Result<Batch, Problem> {
        let plan = record.sealed.plan();
        let id = plan.story.to_string();
        let found = docs::get::<Story>(&*self.store, tenant, STORIES, &id).await?;
        let (condition, mut story) = match found {
            Some(found) => (docs::unchanged(STORIES, &id, found.revision), found.value),
            None => {
                let service = record.services().into_iter().next();
                (docs::absent(STORIES, &id), self.new_story(plan.story, &plan.summary, service))
            }
        };
        story.plans.push(plan.id);
        let tag = tag(&story);
        Ok(batch.expect(condition).put(STORIES, id, to_json(&story)?, tag))
    }

    pub(crate) async fn find_story(
        &self,
        tenant: &Tenant,
        id: StoryId,
    ) -> Result<Versioned<Story>, Problem> {
        docs::get(&*self.store, tenant, STORIES, &id.to_string())
            .await?
            .ok_or_else(|| Problem::not_found("story", id))
    }

    async fn record_in(
        &self,
        tenant: &Tenant,
        id: StoryId,
        findings: Vec<Finding>,
    ) -> Result<(), Problem> {
        let text = id.to_string();
        // Another writer may touch the story meanwhile; then it is read again.
        for _ in 0..5 {
            let found = docs::get::<Story>(&*self.store, tenant, STORIES, &text).await?;
            let (condition, mut story) = match found {
                Some(found) => (docs::unchanged(STORIES, &text, found.revision), found.value),
                None => {
                    let first = findings.first();
                    let title = first.map(|f| f.summary.clone()).unwrap_or_default();
                    let service = first.and_then(|f| f.service.clone());
                    (docs::absent(STORIES, &text), self.new_story(id, &title, service))
                }
            };
            let mut batch = self.batch().expect(condition);
            for finding in &findings {
                let tag = finding.service.as_ref().map(ServiceName::as_str).unwrap_or_default();
                batch = batch.put(FINDINGS, finding.id.to_string(), to_json(finding)?, tag);
                if story.findings.len() < STORY_FINDINGS_MAX {
                    story.findings.push(finding.clone());
                }
            }
            let tag = tag(&story);
            batch = batch.put(STORIES, text.clone(), to_json(&story)?, tag);
            match self.commit(tenant, batch).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(store_problem(error)),
            }
        }
        Err(store_problem(StoreError::Conflict { collection: "story".to_owned(), id: text }))
    }

    async fn change_story(
        &self,
        tenant: &Tenant,
        id: StoryId,
        change: impl FnOnce(&mut Story),
    ) -> Result<(), Problem> {
        let found = self.find_story(tenant, id).await?;
        let mut story = found.value;
        change(&mut story);
        let text = id.to_string();
        let tag = tag(&story);
        let batch = self.batch().expect(docs::unchanged(STORIES, &text, found.revision)).put(
            STORIES,
            text,
            to_json(&story)?,
            tag,
        );
        self.save(tenant, batch).await.map(|_| ())
    }

    fn new_story(&self, id: StoryId, title: &str, service: Option<ServiceName>) -> Story {
        Story {
            id,
            title: title.to_owned(),
            service,
            opened_at: self.now(),
            closed_at: None,
            findings: Vec::new(),
            plans: Vec::new(),
        }
    }
}

fn tag(story: &Story) -> String {
    let state = if story.closed_at.is_some() { "closed" } else { "open" };
    state.to_owned()
}
