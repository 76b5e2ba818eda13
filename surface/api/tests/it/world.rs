//! The whole API over a SQLite store and an executor in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use oag_api::{ApiConfig, ApiParts, Probe, surface};
use oag_ops::{HubConfig, SignalHub};
use oag_pilot::{
    CheckpointSink, ExecError, Executor, LogKeys, LogLine, Mandate, Meter, NewKey, NewPrincipal,
    NoCrashPoints, Observed, Operation, Pilot, PilotConfig, PilotParts,
};
use oag_runtime::{
    Clock, FakeClock, Metrics, OnError, ProcessStats, RandomIds, ShutdownHandle, Supervisor,
    TaskKind,
};
use oag_store::{SqliteConfig, SqliteStore};
use oag_types::{
    Permission, PrincipalId, PrincipalKind, Problem, Receipt, Role, RoleBinding, Scope, Service,
    ServiceName, Tenant, Timestamp,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::conform;

type Fields = BTreeMap<String, Value>;

/// Services in memory, each with the state it was set to.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<BTreeMap<ServiceName, (u64, Fields)>>>);

#[async_trait]
impl Executor for Stage {
    fn name(&self) -> &str {
        "stage"
    }

    fn check(&self, service: &Service) -> Result<(), Problem> {
        if service.spec.get("bad").is_some() {
            return Err(Problem::field("spec.bad", "is not known to this executor"));
        }
        Ok(())
    }

    async fn adopt(&self, _: &Tenant, service: &Service) -> Result<(), ExecError> {
        let fields = Fields::from([
            ("replicas".into(), json!(2)),
            ("ready_replicas".into(), json!(2)),
            ("running".into(), json!(true)),
            ("version".into(), json!("1")),
            ("restarts".into(), json!(0)),
            ("breaker".into(), json!("closed")),
            ("breaker.failures".into(), json!(3)),
        ]);
        self.0.lock().unwrap().entry(service.name.clone()).or_insert((1, fields));
        Ok(())
    }

    async fn forget(&self, _: &Tenant, name: &ServiceName) -> Result<(), ExecError> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    async fn observe(&self, _: &Tenant, name: &ServiceName) -> Result<Observed, ExecError> {
        let stage = self.0.lock().unwrap();
        let (revision, fields) =
            stage.get(name).cloned().ok_or_else(|| ExecError::Refused("unknown".into()))?;
        Ok(Observed { revision, fields })
    }

    async fn apply(
        &self,
        _: &Tenant,
        name: &ServiceName,
        operation: &Operation,
        _: Mandate<'_>,
    ) -> Result<Receipt, ExecError> {
        let mut stage = self.0.lock().unwrap();
        let Some((revision, fields)) = stage.get_mut(name) else {
            return Err(ExecError::Refused("unknown".into()));
        };
        let before = json!(fields);
        match operation {
            Operation::SetReplicas(count) => {
                fields.insert("replicas".into(), json!(count));
                fields.insert("ready_replicas".into(), json!(count));
            }
            Operation::SetBreaker(open) => {
                fields.insert("breaker".into(), json!(if *open { "open" } else { "closed" }));
            }
            other => return Err(ExecError::Refused(format!("{other:?}"))),
        }
        *revision += 1;
        Ok(Receipt { changed: true, detail: "done".into(), before, after: json!(fields) })
    }

    async fn logs(
        &self,
        _: &Tenant,
        _: &ServiceName,
        limit: usize,
    ) -> Result<Vec<LogLine>, ExecError> {
        let line = |n: usize| LogLine {
            at: Timestamp::from_millis(START),
            replica: "r-1".into(),
            error: false,
            text: format!("line {n}"),
        };
        Ok((0..3.min(limit)).map(line).collect())
    }
}

#[async_trait]
impl Meter for Stage {
    async fn latest(&self, _: &Tenant, _: &ServiceName, _: &str) -> Option<f64> {
        None
    }
}

struct NoSink;

impl CheckpointSink for NoSink {
    fn keep(&self, _: &Tenant, _: u64, _: &str) {}
}

/// 2026-11-21T08:00:00Z.
pub(crate) const START: i64 = 1_795_248_000_000;

pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) pilot: Arc<Pilot>,
    pub(crate) clock: FakeClock,
    pub(crate) supervisor: Supervisor,
    pub(crate) tenant: Tenant,
    pub(crate) admin: String,
    pub(crate) admin_id: PrincipalId,
    _directory: tempfile::TempDir,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) bytes: bytes::Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts the status and gives the document.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        if self.bytes.is_empty() { Value::Null } else { self.json() }
    }

    /// Asserts a whole problem document with this status and code.
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let document = self.expect(status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let read: oag_api::ProblemDocument = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(read.code, code, "{document}");
        assert_eq!(read.status, status);
        assert_eq!(read.type_, format!("/docs/errors/{code}"));
        assert_eq!(read.request_id, self.header("x-request-id"));
        assert!(!read.title.is_empty() && !read.detail.is_empty() && !read.request_id.is_empty());
        document
    }
}

/// A request under construction.
pub(crate) struct Call<'a> {
    world: &'a World,
    method: String,
    path: String,
    builder: http::request::Builder,
    body: Body,
}

impl Call<'_> {
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    pub(crate) fn body(self, media: &str, body: impl Into<Body>) -> Self {
        let mut call = self.header("content-type", media);
        call.body = body.into();
        call
    }

    pub(crate) async fn response(self) -> axum::response::Response {
        let mut request: Request<Body> = self.builder.body(self.body).unwrap();
        let address: SocketAddr = "192.0.2.7:40000".parse().unwrap();
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        self.world.router.clone().oneshot(request).await.unwrap()
    }

    /// The whole answer; one in JSON must look as the document says.
    pub(crate) async fn send(self) -> Reply {
        let (method, path) = (self.method.clone(), self.path.clone());
        let (parts, body) = self.response().await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let reply = Reply { status: parts.status, headers: parts.headers, bytes };
        let media = reply.header("content-type");
        if media.ends_with("json") && !path.ends_with("openapi.json") {
            conform::check(&method, &path, reply.status.as_u16(), media, &reply.json());
        }
        reply
    }

    /// As the admin.
    pub(crate) async fn admin(self) -> Reply {
        let key = self.world.admin.clone();
        self.key(&key).send().await
    }
}

pub(crate) fn service(name: &str, group: &str) -> Value {
    json!({
        "name": name, "group": group, "executor": "stage", "spec": {},
        "scaling": {"min_replicas": 1, "max_replicas": 20, "step_ms": 1000},
    })
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ApiConfig::default(), Vec::new()).await
    }

    pub(crate) async fn with(config: ApiConfig, probes: Vec<Arc<dyn Probe>>) -> Self {
        Self::over(config, probes, SqliteConfig::default()).await
    }

    pub(crate) async fn over(
        config: ApiConfig,
        probes: Vec<Arc<dyn Probe>>,
        sqlite: SqliteConfig,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path().join("data"), sqlite).unwrap());
        let clock = FakeClock::at(Timestamp::from_millis(START));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let stage = Stage::default();
        let key = oag_ledger::SigningKey::generate("test/default").unwrap();
        let pilot = Pilot::new(PilotParts {
            store,
            clock: Arc::clone(&shared),
            ids: Arc::new(RandomIds),
            executors: vec![Arc::new(stage.clone())],
            meter: Arc::new(stage),
            log_keys: LogKeys::new("test", key.to_pkcs8().unwrap()).unwrap(),
            checkpoints: Arc::new(NoSink),
            crash_points: Arc::new(NoCrashPoints),
            config: PilotConfig::default(),
        });
        pilot.take_over().await.unwrap();
        let tenant = config.tenant.clone();
        let admin = pilot.bootstrap(&tenant).await.unwrap().unwrap().expose().to_owned();
        let admin_id = pilot.authenticate(&tenant, &admin).await.unwrap().principal.id;
        let supervisor = Supervisor::new(ShutdownHandle::new());
        let figures =
            || ProcessStats { resident_bytes: 1024, cpu_seconds: 1.5, open_fds: 9, threads: 4 };
        let surface = surface(ApiParts {
            pilot: Arc::clone(&pilot),
            hub: Arc::new(SignalHub::new(HubConfig::default(), Arc::clone(&shared), None)),
            ops: None,
            engines: Arc::default(),
            fleet: None,
            kept: None,
            gate: None,
            metrics: Metrics::new(),
            clock: shared,
            ids: Arc::new(RandomIds),
            supervisor: supervisor.clone(),
            probes,
            process: Some(Arc::new(figures)),
            config,
        })
        .unwrap();
        let world = Self {
            router: surface.router,
            pilot,
            clock,
            supervisor,
            tenant,
            admin,
            admin_id,
            _directory: directory,
        };
        for (name, group) in [("order-service", "orders"), ("pay-service", "payments")] {
            let path = format!("/api/v1/services/{name}");
            world.put(&path).json(&service(name, group)).admin().await.expect(201);
        }
        world
    }

    pub(crate) fn start_worker(&self) {
        let work = Arc::clone(&self.pilot).work(self.tenant.clone(), self.supervisor.clone());
        self.supervisor.spawn("worker", TaskKind::Drains, OnError::Log, work);
    }

    pub(crate) fn call(&self, method: &str, path: &str) -> Call<'_> {
        let builder = Request::builder().method(method).uri(path);
        let (method, path) = (method.to_owned(), path.to_owned());
        Call { world: self, method, path, builder, body: Body::empty() }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call("POST", path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call("PUT", path)
    }

    /// A person with a role and a key of their own.
    pub(crate) async fn person(
        &self,
        name: &str,
        role: &str,
        scope: Scope,
    ) -> (PrincipalId, String) {
        self.principal(PrincipalKind::Person, name, role, scope, &[]).await
    }

    pub(crate) async fn principal(
        &self,
        kind: PrincipalKind,
        name: &str,
        role: &str,
        scope: Scope,
        scopes: &[&str],
    ) -> (PrincipalId, String) {
        let admin = self.pilot.authenticate(&self.tenant, &self.admin).await.unwrap();
        let roles = vec![RoleBinding { role: Role::new(role), scope }];
        let wanted = NewPrincipal { kind, name: name.to_owned(), roles };
        let made = self.pilot.create_principal(&self.tenant, &admin, wanted).await.unwrap().value;
        let wanted = NewKey {
            principal: made.id,
            name: "test".to_owned(),
            scopes: scopes.iter().map(|scope| Permission::new(*scope)).collect(),
            expires_at: None,
        };
        let (_, secret) = self.pilot.mint_key(&self.tenant, &admin, wanted).await.unwrap();
        (made.id, secret.expose().to_owned())
    }

    /// An operator of the group `orders`.
    pub(crate) async fn operator(&self) -> String {
        let groups = Scope::Groups(vec!["orders".parse().unwrap()]);
        self.person("Olga", Role::OPERATOR, groups).await.1
    }

    pub(crate) async fn auditor(&self) -> String {
        self.person("Anna", Role::AUDITOR, Scope::All).await.1
    }
}

pub(crate) fn scale(replicas: u32) -> Value {
    json!({
        "reason": "a test asks for it",
        "actions": [{"kind": "scale", "service": "order-service", "params": {"replicas": replicas}}],
    })
}
