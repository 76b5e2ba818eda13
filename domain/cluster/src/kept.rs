//! Answers that are wanted whatever happens: the request is in the store before it is confirmed,
//! and survives a restart of the controller. What a node has written of the answer by then it
//! brings back with its leases.

use std::sync::Arc;

use oag_runtime::{Clock, OnError, Supervisor, TaskKind};
use oag_serve::{Collected, EngineError, Event, Finish, Generation};
use oag_store_port::{Batch, Collection, ListQuery, Record, Store, StoreError};
use oag_types::{GenerationId, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::answer::Answer;
use crate::control::Cluster;

const KEPT: Collection = Collection("generation");
const OPEN: &str = "open";
const OVER: &str = "over";
const PAGE: usize = 500;

/// How a kept answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptState {
    /// It waits or is being made.
    Open,
    /// It came to its end.
    Done,
    /// It did not.
    Failed,
}

/// An answer that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// Its id.
    pub id: GenerationId,
    /// Who asked.
    pub user: Option<String>,
    /// The model.
    pub model: String,
    /// How it stands.
    pub state: KeptState,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The text, once it is done.
    pub text: String,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// Tokens of the prompt and of the answer, where they are known.
    pub tokens: Option<(u32, u32)>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// What was asked; not kept after the end.
    request: Option<Generation>,
}

/// Keeps answers. Cheap to clone.
#[derive(Clone)]
pub struct KeptStore {
    cluster: Cluster,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    supervisor: Supervisor,
    kept_ms: i64,
}

/// Why an answer is not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The fleet does not take the request.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The store does not.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is in the store is not understood.
    #[error("a kept answer cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl KeptStore {
    /// Over a fleet and a store.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        supervisor: Supervisor,
    ) -> Self {
        let kept_ms = cluster.lock().kept_ms();
        Self { cluster, store, clock, supervisor, kept_ms }
    }

    /// Takes a request in. When this answers, it is in the store.
    ///
    /// # Errors
    /// When the fleet or the store does not take it; then nothing of it is left.
    pub async fn submit(
        &self,
        tenant: &Tenant,
        request: Generation,
    ) -> Result<KeptAnswer, KeptError> {
        let id = self.cluster.next_id();
        let answer = self.cluster.submit_as(id, request.clone())?;
        let kept = KeptAnswer {
            id,
            user: request.context.user.clone(),
            model: request.model.clone(),
            state: KeptState::Open,
            created_at: self.clock.now(),
            ended_at: None,
            text: String::new(),
            finish: None,
            tokens: None,
            error: None,
            request: Some(request),
        };
        if let Err(error) = self.write(tenant, &kept).await {
            self.cluster.cancel(id);
            return Err(error);
        }
        self.follow(tenant, kept.clone(), answer);
        Ok(kept)
    }

    /// A kept answer.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn get(
        &self,
        tenant: &Tenant,
        id: GenerationId,
    ) -> Result<Option<KeptAnswer>, KeptError> {
        let record = self.store.get(tenant, KEPT, &id.to_string()).await?;
        Ok(record.as_ref().map(read).transpose()?)
    }

    /// Calls an answer off. What is over stays as it is.
    pub fn cancel(&self, id: GenerationId) {
        self.cluster.cancel(id);
    }

    /// Takes up what was open when the controller ended. Call it before nodes are let in.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn restore(&self, tenant: &Tenant) -> Result<usize, KeptError> {
        let mut restored = 0;
        for kept in self.all(tenant, OPEN).await? {
            let Some(request) = kept.request.clone() else { continue };
            let answer = self.cluster.restore(kept.id, request);
            self.follow(tenant, kept, answer);
            restored += 1;
        }
        Ok(restored)
    }

    /// Forgets answers that have been over for long.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sweep(&self, tenant: &Tenant) -> Result<usize, KeptError> {
        let now = self.clock.now();
        let limit = now.as_millis() - self.kept_ms;
        let old = |kept: &KeptAnswer| kept.ended_at.is_some_and(|at| at.as_millis() < limit);
        let mut forgotten = 0;
        for kept in self.all(tenant, OVER).await?.into_iter().filter(old) {
            let batch = Batch::at(now).delete(KEPT, kept.id.to_string());
            self.store.commit(tenant, batch).await?;
            forgotten += 1;
        }
        Ok(forgotten)
    }

    async fn all(&self, tenant: &Tenant, tag: &str) -> Result<Vec<KeptAnswer>, KeptError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let tag = Some(tag.to_owned());
            let query = ListQuery { tag, after, descending: false, limit: PAGE };
            let page = self.store.list(tenant, KEPT, query).await?;
            for record in &page.records {
                all.push(read(record)?);
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Writes the end of an answer down when it comes.
    fn follow(&self, tenant: &Tenant, kept: KeptAnswer, answer: Arc<Answer>) {
        let (keeper, tenant) = (self.clone(), tenant.clone());
        let task = async move { keeper.until_over(&tenant, kept, &answer).await };
        self.supervisor.spawn("kept answer", TaskKind::Intake, OnError::Log, task);
    }

    async fn until_over(
        &self,
        tenant: &Tenant,
        mut kept: KeptAnswer,
        answer: &Answer,
    ) -> Result<(), KeptError> {
        let mut all = Collected::default();
        let mut place = 0;
        kept.state = KeptState::Failed;
        while let Some(event) = answer.at(place).await {
            place += 1;
            match event {
                Ok(event @ Event::Delta(_)) => all.take(event),
                Ok(Event::End(ending)) => {
                    kept.state = KeptState::Done;
                    kept.finish = Some(ending.finish);
                    kept.tokens = ending.usage.map(|usage| (usage.prompt, usage.answer));
                    break;
                }
                Err(error) => {
                    kept.error = Some(error.to_string());
                    break;
                }
            }
        }
        // Half an answer is none.
        kept.text = if kept.state == KeptState::Done { all.text } else { String::new() };
        kept.ended_at = Some(self.clock.now());
        kept.request = None;
        self.write(tenant, &kept).await
    }

    async fn write(&self, tenant: &Tenant, kept: &KeptAnswer) -> Result<(), KeptError> {
        let tag = if kept.state == KeptState::Open { OPEN } else { OVER };
        let body = serde_json::to_string(kept)?;
        let batch = Batch::at(self.clock.now()).put(KEPT, kept.id.to_string(), body, tag);
        self.store.commit(tenant, batch).await?;
        Ok(())
    }
}

fn read(record: &Record) -> Result<KeptAnswer, serde_json::Error> {
    serde_json::from_str(&record.body)
}
