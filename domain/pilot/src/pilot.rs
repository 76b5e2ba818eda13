//! The pilot: one value that holds the parts, shared by the API, the loop and the worker.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oag_guard::Book;
use oag_ledger::SigningKey;
use oag_runtime::{Clock, IdSource};
use oag_store_port::{Batch, Committed, Epoch, Store, StoreError};
use oag_types::{Code, PlanId, Problem, ServiceName, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::docs::store_problem;
use crate::happenings::Counting;
use crate::{Executor, Meter, Versioned};

/// What the pilot can be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PilotConfig {
    /// How long a plan waits before it expires, in milliseconds, unless it says otherwise.
    pub plan_expires_ms: i64,
    /// Plans carried out at once.
    pub running_max: usize,
    /// Actions in one plan at most.
    pub actions_max: usize,
    /// Length of a worker's lease on a plan, in milliseconds.
    pub lease_ms: i64,
    /// Shortest time between two looks during verification, in milliseconds.
    pub look_ms: u64,
    /// Tries of an action whose executor is away, when repeating it is safe.
    pub tries_max: u32,
    /// Wait before the second try, in milliseconds; doubled each time.
    pub retry_ms: u64,
    /// Rows after which a new checkpoint is signed at the latest.
    pub checkpoint_rows: u64,
    /// Longest time between a row and its checkpoint, in milliseconds.
    pub checkpoint_ms: u64,
}

impl Default for PilotConfig {
    fn default() -> Self {
        Self {
            plan_expires_ms: 30 * 60_000,
            running_max: 16,
            actions_max: 50,
            lease_ms: 30_000,
            look_ms: 200,
            tries_max: 4,
            retry_ms: 250,
            checkpoint_rows: 1_000,
            checkpoint_ms: 10_000,
        }
    }
}

/// Named points between two steps of an action, for tests that end the process there.
pub trait CrashPoints: Send + Sync + 'static {
    /// Called when a point is reached. May never return.
    fn reached(&self, point: &'static str);
}

/// No points: nothing happens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCrashPoints;

impl CrashPoints for NoCrashPoints {
    fn reached(&self, _point: &'static str) {}
}

/// Takes signed checkpoints to where the data directory's fate does not reach them.
pub trait CheckpointSink: Send + Sync + 'static {
    /// Keeps a signed checkpoint. Failures are logged by the sink; checkpoints that could not be
    /// exported are in the store still.
    fn keep(&self, tenant: &Tenant, size: u64, note: &str);
}

/// The private key of this installation's ledgers. Each tenant has a log of its own, named
/// `ORIGIN/TENANT`.
#[derive(Clone)]
pub struct LogKeys {
    origin: String,
    pkcs8: Vec<u8>,
}

impl LogKeys {
    /// From the name of the installation and a private key in PKCS #8.
    ///
    /// # Errors
    /// When the name or the key is not valid.
    pub fn new(origin: &str, pkcs8: Vec<u8>) -> Result<Self, oag_ledger::Error> {
        let keys = Self { origin: origin.to_owned(), pkcs8 };
        keys.of(&Tenant::default_tenant())?;
        Ok(keys)
    }

    /// The key of a tenant's log.
    ///
    /// # Errors
    /// When the key is not valid.
    pub fn of(&self, tenant: &Tenant) -> Result<SigningKey, oag_ledger::Error> {
        SigningKey::from_pkcs8(&format!("{}/{tenant}", self.origin), &self.pkcs8)
    }
}

/// What a pilot is made of.
pub struct PilotParts {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn IdSource>,
    /// Who carries actions out.
    pub executors: Vec<Arc<dyn Executor>>,
    /// Present values of metrics, for verification.
    pub meter: Arc<dyn Meter>,
    /// Signs checkpoints of the ledgers.
    pub log_keys: LogKeys,
    /// Where checkpoints are kept.
    pub checkpoints: Arc<dyn CheckpointSink>,
    /// Points for crash tests.
    pub crash_points: Arc<dyn CrashPoints>,
    /// Settings.
    pub config: PilotConfig,
}

/// Plans and everything about them. Cheap to share; all methods take `&self`.
pub struct Pilot {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) executors: HashMap<String, Arc<dyn Executor>>,
    pub(crate) meter: Arc<dyn Meter>,
    pub(crate) log_keys: LogKeys,
    pub(crate) checkpoints: Arc<dyn CheckpointSink>,
    pub(crate) crash_points: Arc<dyn CrashPoints>,
    pub(crate) config: PilotConfig,
    pub(crate) epoch: AtomicU64,
    /// Judging and writing down what was let through happen under this lock, one at a time.
    pub(crate) admission: tokio::sync::Mutex<()>,
    pub(crate) books: Mutex<HashMap<Tenant, Versioned<Arc<Book>>>>,
    /// Which plan is at work on which service, and whether it is asked to make way.
    pub(crate) busy: Mutex<HashMap<(Tenant, ServiceName), Busy>>,
    pub(crate) work: Notify,
    pub(crate) committed: watch::Sender<u64>,
    pub(crate) signed_sizes: Mutex<HashMap<Tenant, (u64, Timestamp)>>,
    pub(crate) happenings: Counting,
}

/// A plan at work on a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Busy {
    pub(crate) plan: PlanId,
    /// All its actions are applied; only the verification goes on.
    pub(crate) verifying: bool,
    /// The plan that wants to take over.
    pub(crate) make_way_for: Option<PlanId>,
}

impl Pilot {
    /// A pilot of these parts. It does nothing until it is asked or its worker runs.
    #[must_use]
    pub fn new(parts: PilotParts) -> Arc<Self> {
        let executors = parts.executors.into_iter().map(|e| (e.name().to_owned(), e)).collect();
        Arc::new(Self {
            store: parts.store,
            clock: parts.clock,
            ids: parts.ids,
            executors,
            meter: parts.meter,
            log_keys: parts.log_keys,
            checkpoints: parts.checkpoints,
            crash_points: parts.crash_points,
            config: parts.config,
            epoch: AtomicU64::new(0),
            admission: tokio::sync::Mutex::new(()),
            books: Mutex::default(),
            busy: Mutex::default(),
            work: Notify::new(),
            committed: watch::Sender::new(0),
            signed_sizes: Mutex::default(),
            happenings: Counting::default(),
        })
    }

    /// The store, for readers that watch changes.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Ticks with the revision of each commit made here.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &PilotConfig {
        &self.config
    }

    /// Takes over as leader of this store: older processes can write plans no more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn take_over(&self) -> Result<Epoch, Problem> {
        let epoch = self.store.new_epoch().await.map_err(store_problem)?;
        self.epoch.store(epoch, Ordering::SeqCst);
        Ok(epoch)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.load(Ordering::SeqCst)
    }

    /// An empty batch at the present moment in the present epoch.
    pub(crate) fn batch(&self) -> Batch {
        Batch::at(self.now()).in_epoch(self.epoch())
    }

    /// Commits and tells watchers.
    pub(crate) async fn commit(
        &self,
        tenant: &Tenant,
        batch: Batch,
    ) -> Result<Committed, StoreError> {
        let committed = self.store.commit(tenant, batch).await?;
        self.committed.send_replace(committed.revision);
        Ok(committed)
    }

    /// Commits and says what went wrong in the caller's words.
    pub(crate) async fn save(&self, tenant: &Tenant, batch: Batch) -> Result<Committed, Problem> {
        self.commit(tenant, batch).await.map_err(store_problem)
    }

    pub(crate) fn executor(&self, name: &str) -> Result<&Arc<dyn Executor>, Problem> {
        self.executors.get(name).ok_or_else(|| {
            let mut names: Vec<_> = self.executors.keys().map(String::as_str).collect();
            names.sort_unstable();
            let text = format!("no executor '{name}'; there are: {}", names.join(", "));
            Problem::field("executor", text)
        })
    }

    pub(crate) fn lock_busy(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<(Tenant, ServiceName), Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that what was read is not what is there.
pub(crate) fn revision_mismatch(what: &str, wanted: u64, present: u64) -> Problem {
    Problem::new(
        Code::REVISION_MISMATCH,
        format!(
            "{what} is at revision {present}, not {wanted}: read it again, then repeat the change"
        ),
    )
}
