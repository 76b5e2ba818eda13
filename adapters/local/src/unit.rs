//! One service in the executor's charge, with everything its tasks share.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use oag_pilot::Happening;
use oag_runtime::{Clock, IdSource, Supervisor};
use oag_types::{Service, ServiceName, Tenant};
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::LocalConfig;
use crate::breaker::{ServiceBreaker, Teller};
use crate::gate::{Gate, Limits};
use crate::logs::LogBook;
use crate::meter::Meter;
use crate::ports::Ports;
use crate::proxy::Upload;
use crate::replica::{Phase, Replica};
use crate::spec::LocalSpec;
use crate::state::Wanted;
use crate::trouble::Trouble;

/// What all services share.
pub(crate) struct Shared {
    pub(crate) config: LocalConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) supervisor: Supervisor,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) ports: Ports,
    /// Names this data folder in the markers of its processes.
    pub(crate) installation: String,
    pub(crate) boot: String,
    pub(crate) forwarding: Client<HttpConnector, Upload>,
    pub(crate) checking: Client<HttpConnector, Empty<Bytes>>,
    /// Takes reports of what happens; whoever wants to know subscribes.
    pub(crate) reports: broadcast::Sender<Happening>,
}

/// Where the files of a service are.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The wanted state.
    pub(crate) state: PathBuf,
    /// Records and output of replicas.
    pub(crate) folder: PathBuf,
}

impl Paths {
    pub(crate) fn of(config: &LocalConfig, tenant: &Tenant, service: &ServiceName) -> Self {
        let tenant = config.data_dir.join("local").join(tenant.as_str());
        Self {
            state: tenant.join(format!("{service}.json")),
            folder: tenant.join(format!("{service}.d")),
        }
    }

    pub(crate) fn record(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    pub(crate) fn output(&self, id: &str, error: bool) -> PathBuf {
        self.folder.join(format!("{id}.{}", if error { "err" } else { "out" }))
    }
}

/// The catalogue entry as it was last read.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) service: Service,
    pub(crate) spec: LocalSpec,
}

/// One service.
pub(crate) struct Unit {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tenant: Tenant,
    pub(crate) name: ServiceName,
    pub(crate) paths: Paths,
    pub(crate) address: SocketAddr,
    pub(crate) gate: Arc<Gate>,
    pub(crate) meter: Meter,
    pub(crate) breaker: ServiceBreaker,
    /// Wakes the reconciler; it looks at everything anew.
    pub(crate) wake: Notify,
    /// Cancelled when the service is forgotten.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the balancer has answered its last request.
    pub(crate) quiet: CancellationToken,
    /// Cancelled when the reconciler has ended.
    pub(crate) ended: CancellationToken,
    /// One change of the wanted state at a time.
    pub(crate) applying: tokio::sync::Mutex<()>,
    pub(crate) scripts: Semaphore,
    pub(crate) entry: Mutex<Arc<Entry>>,
    pub(crate) wanted: Mutex<Wanted>,
    pub(crate) replicas: Mutex<Vec<Replica>>,
    pub(crate) trouble: Mutex<Trouble>,
    pub(crate) logs: Mutex<LogBook>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Unit {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tenant: Tenant,
        entry: Entry,
        wanted: Wanted,
        address: SocketAddr,
    ) -> Arc<Self> {
        let config = &shared.config;
        let name = entry.service.name.clone();
        Arc::new(Self {
            paths: Paths::of(config, &tenant, &name),
            gate: Gate::new(Arc::clone(&shared.clock), limits(config, &entry.spec)),
            meter: Meter::default(),
            breaker: ServiceBreaker::new(
                entry.spec.breaker,
                wanted.breaker_tripped,
                Teller::new(&tenant, &name, &shared.reports),
            ),
            wake: Notify::new(),
            closing: CancellationToken::new(),
            quiet: CancellationToken::new(),
            ended: CancellationToken::new(),
            applying: tokio::sync::Mutex::new(()),
            scripts: Semaphore::new(config.scripts_parallel.max(1)),
            entry: Mutex::new(Arc::new(entry)),
            wanted: Mutex::new(wanted),
            replicas: Mutex::default(),
            trouble: Mutex::default(),
            logs: Mutex::new(LogBook::new(config.log_lines_kept)),
            shared,
            tenant,
            name,
            address,
        })
    }

    pub(crate) fn entry(&self) -> Arc<Entry> {
        Arc::clone(&lock(&self.entry))
    }

    /// The wanted state as it is now.
    pub(crate) fn wanted(&self) -> Wanted {
        lock(&self.wanted).clone()
    }

    /// Time by the monotonic clock.
    pub(crate) fn monotonic(&self) -> Duration {
        self.shared.clock.monotonic()
    }

    /// Takes in a changed catalogue entry.
    pub(crate) fn follow(&self, entry: Entry) {
        self.gate.set_limits(limits(&self.shared.config, &entry.spec));
        self.breaker.configure(self.shared.clock.now(), entry.spec.breaker);
        *lock(&self.entry) = Arc::new(entry);
    }

    /// Writes the wanted state down and then makes it the present one.
    pub(crate) async fn commit(&self, wanted: Wanted) -> Result<(), crate::LocalError> {
        let path = self.paths.state.clone();
        let saved = wanted.clone();
        let written = tokio::task::spawn_blocking(move || saved.save(&path)).await;
        written.unwrap_or_else(|error| {
            Err(crate::LocalError::File {
                what: "write",
                path: self.paths.state.clone(),
                source: std::io::Error::other(error),
            })
        })?;
        let before = std::mem::replace(&mut *lock(&self.wanted), wanted).generation;
        if before != lock(&self.wanted).generation {
            // What went wrong with other replicas must not hold these up.
            *lock(&self.trouble) = Trouble::default();
        }
        self.wake.notify_one();
        Ok(())
    }

    /// What a marker of this service's processes starts with.
    pub(crate) fn marker_prefix(&self) -> String {
        format!("{}/{}/{}/", self.shared.installation, self.tenant, self.name)
    }

    pub(crate) fn ready(&self) -> usize {
        lock(&self.replicas).iter().filter(|replica| replica.phase == Phase::Ready).count()
    }
}

fn limits(config: &LocalConfig, spec: &LocalSpec) -> Limits {
    Limits {
        per_replica: spec.concurrency_per_replica.and_then(|most| usize::try_from(most).ok()),
        in_flight_max: config.in_flight_max,
        queue_max: config.queue_max,
        queue_wait: Duration::from_millis(config.queue_wait_ms),
    }
}
