//! The executor port, carried out on this machine.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use oag_pilot::{ExecError, Executor, Happening, LogLine, Mandate, Observed, Operation};
use oag_runtime::{Clock, IdSource, OnError, RandomIds, Supervisor, TaskKind};
use oag_types::{Problem, Receipt, Service, ServiceName, Tenant};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::files::{create_folder, failed, remove};
use crate::ports::Ports;
use crate::spec::LocalSpec;
use crate::state::Wanted;
use crate::unit::{Entry, Paths, Shared, Unit, lock};
use crate::{LocalConfig, LocalError, balancer, operate, process, reconcile};

type Units = BTreeMap<(Tenant, ServiceName), Arc<Unit>>;

/// Runs services as processes on this machine, each service behind a balancer of its own.
pub struct LocalExecutor {
    shared: Arc<Shared>,
    units: Mutex<Units>,
    /// One service is taken in charge at a time.
    adopting: tokio::sync::Mutex<()>,
    /// Held for as long as this executor lives.
    _lock: File,
}

impl std::fmt::Debug for LocalExecutor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let services = lock(&self.units).len();
        f.debug_struct("LocalExecutor").field("services", &services).finish_non_exhaustive()
    }
}

impl LocalExecutor {
    /// An executor without services; they come by `adopt`. It alone works in its data folder.
    ///
    /// # Errors
    /// When the data folder cannot be used or another executor works in it.
    pub fn new(
        config: LocalConfig,
        clock: Arc<dyn Clock>,
        supervisor: Supervisor,
    ) -> Result<Arc<Self>, LocalError> {
        let folder = config.data_dir.join("local");
        create_folder(&folder)?;
        let path = folder.join("lock");
        let held = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        held.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LocalError::Busy { path: path.clone() },
            TryLockError::Error(source) => failed("lock", &path)(source),
        })?;
        let ids = Arc::new(RandomIds);
        let (installation, seed) = installation(&folder.join("installation"), ids.as_ref())?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(config.connect_timeout_ms)));
        let forwarding = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(config.pool_idle_ms))
            .pool_max_idle_per_host(config.pool_idle_max)
            .set_host(false)
            .build(connector.clone());
        let checking =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let shared = Shared {
            ports: Ports::new(config.port_range, seed),
            boot: process::boot_id(),
            reports: broadcast::Sender::new(config.reports_kept.max(1)),
            config,
            clock,
            supervisor,
            ids,
            installation,
            forwarding,
            checking,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            units: Mutex::default(),
            adopting: tokio::sync::Mutex::default(),
            _lock: held,
        }))
    }

    /// Where a service listens.
    #[must_use]
    pub fn endpoint(&self, tenant: &Tenant, service: &ServiceName) -> Option<SocketAddr> {
        self.unit(tenant, service).map(|unit| unit.address)
    }

    pub(crate) fn unit(&self, tenant: &Tenant, service: &ServiceName) -> Option<Arc<Unit>> {
        lock(&self.units).get(&(tenant.clone(), service.clone())).cloned()
    }

    /// Every service of a tenant.
    pub(crate) fn units_of(&self, tenant: &Tenant) -> Vec<Arc<Unit>> {
        let units = lock(&self.units);
        units
            .iter()
            .filter(|((owner, _), _)| owner == tenant)
            .map(|(_, unit)| unit.clone())
            .collect()
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    fn known(&self, tenant: &Tenant, service: &ServiceName) -> Result<Arc<Unit>, ExecError> {
        self.unit(tenant, service)
            .ok_or_else(|| ExecError::Refused(format!("no service '{service}' runs here")))
    }

    /// Takes charge of a service that is not in charge yet.
    async fn take_charge(&self, tenant: &Tenant, entry: Entry) -> Result<(), LocalError> {
        let paths = Paths::of(&self.shared.config, tenant, &entry.service.name);
        create_folder(&paths.folder)?;
        let known = Wanted::load(&paths.state)?;
        let now = self.shared.clock.now();
        let asked = match (entry.spec.listen_port, &known) {
            (0, Some(known)) => known.port,
            (port, _) => port,
        };
        let (listener, address) = self.listen(asked, entry.spec.listen_port == 0).await?;
        let mut wanted = known.unwrap_or_else(|| {
            let replicas = entry.spec.replicas.unwrap_or(entry.service.scaling.min_replicas);
            Wanted::first(&entry.spec, replicas, address.port(), now)
        });
        wanted.port = address.port();
        wanted.follow(&entry.spec, &self.shared.config, now);
        let key = (tenant.clone(), entry.service.name.clone());
        let unit =
            Unit::new(Arc::clone(&self.shared), tenant.clone(), entry, wanted.clone(), address);
        unit.commit(wanted).await?;
        reconcile::adopt_replicas(&unit).await;
        let supervisor = &self.shared.supervisor;
        let name = format!("{}/{}", key.0, key.1);
        supervisor.spawn(
            format!("local balancer {name}"),
            TaskKind::Drains,
            OnError::Log,
            balancer::run(Arc::clone(&unit), listener),
        );
        supervisor.spawn(
            format!("local reconciler {name}"),
            TaskKind::Drains,
            OnError::Log,
            reconcile::run(Arc::clone(&unit)),
        );
        lock(&self.units).insert(key, unit);
        Ok(())
    }

    /// Listens on a port; 0: on one that is free. A chosen port that somebody else took is given
    /// up for another, one that was asked for is not.
    async fn listen(
        &self,
        port: u16,
        chosen: bool,
    ) -> Result<(TcpListener, SocketAddr), LocalError> {
        let port = if port == 0 { self.shared.ports.take()? } else { port };
        let address = format!("{}:{port}", self.shared.config.balancer_host);
        let bound = TcpListener::bind(&address).await.and_then(|listener| {
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        match bound {
            Ok(bound) => {
                self.shared.ports.reserve(port);
                Ok(bound)
            }
            Err(error) if chosen => {
                tracing::warn!(address, %error, "port of a balancer is taken, another is chosen");
                let port = self.shared.ports.take()?;
                Box::pin(self.listen(port, false)).await
            }
            Err(source) => Err(LocalError::Listen { address, source }),
        }
    }
}

/// The id of this data folder, made at its first use, and a number made of it.
fn installation(path: &std::path::Path, ids: &dyn IdSource) -> Result<(String, u64), LocalError> {
    let id = match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        Ok(_) | Err(_) => {
            let id = ids.uuid().simple().to_string();
            std::fs::write(path, &id).map_err(failed("write", path))?;
            id
        }
    };
    let seed = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Ok((id, seed))
}

pub(crate) fn unavailable(error: &LocalError) -> ExecError {
    ExecError::Unavailable(error.chain())
}

#[async_trait]
impl Executor for LocalExecutor {
    fn name(&self) -> &'static str {
        "local"
    }

    fn check(&self, service: &Service) -> Result<(), Problem> {
        let spec = LocalSpec::read(&service.spec)?;
        let most = self.shared.config.max_replicas_total;
        if spec.replicas.is_some_and(|replicas| replicas > most) {
            return Err(Problem::field("spec.replicas", format!("is above the limit of {most}")));
        }
        Ok(())
    }

    async fn adopt(&self, tenant: &Tenant, service: &Service) -> Result<(), ExecError> {
        let spec =
            LocalSpec::read(&service.spec).map_err(|problem| ExecError::Refused(problem.detail))?;
        let entry = Entry { service: service.clone(), spec };
        let _one = self.adopting.lock().await;
        if self.shared.supervisor.shutdown().is_draining() {
            return Err(ExecError::Unavailable("the product is draining".to_owned()));
        }
        let Some(unit) = self.unit(tenant, &service.name) else {
            return self.take_charge(tenant, entry).await.map_err(|error| unavailable(&error));
        };
        if entry.spec.listen_port != 0 && entry.spec.listen_port != unit.address.port() {
            if !unit.wanted().breaker_tripped {
                // The new balancer begins with a closed one.
                unit.breaker.set(self.shared.clock.now(), false);
            }
            self.forget_tasks(tenant, &service.name).await;
            return self.take_charge(tenant, entry).await.map_err(|error| unavailable(&error));
        }
        let _applying = unit.applying.lock().await;
        let mut wanted = unit.wanted();
        wanted.follow(&entry.spec, &self.shared.config, self.shared.clock.now());
        unit.follow(entry);
        unit.commit(wanted).await.map_err(|error| unavailable(&error))
    }

    async fn forget(&self, tenant: &Tenant, service: &ServiceName) -> Result<(), ExecError> {
        let _one = self.adopting.lock().await;
        let unit = self.known(tenant, service)?;
        self.forget_tasks(tenant, service).await;
        self.shared.ports.release(unit.address.port());
        let gone = remove(&unit.paths.state).and_then(|()| {
            std::fs::remove_dir_all(&unit.paths.folder)
                .map_err(failed("remove", &unit.paths.folder))
        });
        gone.map_err(|error| unavailable(&error))
    }

    async fn observe(&self, tenant: &Tenant, service: &ServiceName) -> Result<Observed, ExecError> {
        Ok(operate::observe(&*self.known(tenant, service)?))
    }

    async fn apply(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        operation: &Operation,
        mandate: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let unit = self.known(tenant, service)?;
        let free = self.free_for(&unit);
        operate::apply(&unit, operation, mandate.key, free).await
    }

    async fn rehearse(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        operation: &Operation,
    ) -> Result<Option<Receipt>, ExecError> {
        let unit = self.known(tenant, service)?;
        operate::rehearse(&unit, operation, self.free_for(&unit)).map(Some)
    }

    fn happenings(&self) -> Option<broadcast::Receiver<Happening>> {
        Some(self.shared.reports.subscribe())
    }

    async fn logs(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<LogLine>, ExecError> {
        let unit = self.known(tenant, service)?;
        let lines = lock(&unit.logs).last(limit);
        Ok(lines)
    }
}

impl LocalExecutor {
    /// The most replicas a service may want, beside all others.
    fn free_for(&self, unit: &Arc<Unit>) -> u32 {
        let others: u32 = lock(&self.units)
            .values()
            .filter(|other| !Arc::ptr_eq(other, unit))
            .map(|other| lock(&other.wanted).replicas)
            .fold(0, u32::saturating_add);
        self.shared.config.max_replicas_total.saturating_sub(others)
    }

    /// Ends the tasks of a service and everything they run.
    async fn forget_tasks(&self, tenant: &Tenant, service: &ServiceName) {
        let Some(unit) = self.unit(tenant, service) else { return };
        unit.closing.cancel();
        unit.ended.cancelled().await;
        lock(&self.units).remove(&(tenant.clone(), service.clone()));
    }
}
