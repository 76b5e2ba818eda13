//! Questions to the engine that answers by rules: the pilot, the store and the policies as they
//! are joined. Who may see what is decided there, and nowhere else.

use std::sync::Arc;

use futures::StreamExt;
use oag_ledger::SigningKey;
use oag_local::WatchExecutor;
use oag_ops::{HubConfig, RULES_MODEL, RulesEngine, SignalHub};
use oag_pilot::{
    ActionWish, Caller, CheckpointSink, LogKeys, NewPrincipal, NoCrashPoints, Pilot, PilotConfig,
    PilotParts, Proposal,
};
use oag_runtime::{Clock, FakeClock, SeededIds};
use oag_serve::{Collected, Context, Engine, Generation, Input};
use oag_store::{SqliteConfig, SqliteStore};
use oag_types::{
    Evidence, Finding, FindingKind, KindName, Origin, Permission, PrincipalKind, Role, RoleBinding,
    Scope, Severity, Tenant, Timestamp,
};
use serde_json::json;

use crate::wiring::{HubMeter, PilotRecords};

struct Nowhere;

impl CheckpointSink for Nowhere {
    fn keep(&self, _: &Tenant, _: u64, _: &str) {}
}

struct Shop {
    _directory: tempfile::TempDir,
    pilot: Arc<Pilot>,
    engine: RulesEngine,
    admin: Caller,
    tenant: Tenant,
}

impl Shop {
    /// Two services in groups of their own; a finding and a plan about one of them.
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("truth.db");
        let store = SqliteStore::open(path, SqliteConfig::default()).unwrap();
        let clock: Arc<dyn Clock> =
            Arc::new(FakeClock::at(Timestamp::from_millis(1_795_000_020_000)));
        let hub = Arc::new(SignalHub::new(HubConfig::default(), Arc::clone(&clock), None));
        let key = SigningKey::generate("test/default").unwrap();
        let pilot = Pilot::new(PilotParts {
            store: Arc::new(store),
            clock: Arc::clone(&clock),
            ids: Arc::new(SeededIds::new(7)),
            executors: vec![Arc::new(WatchExecutor::new())],
            meter: Arc::new(HubMeter { hub, clock: Arc::clone(&clock) }),
            log_keys: LogKeys::new("test", key.to_pkcs8().unwrap()).unwrap(),
            checkpoints: Arc::new(Nowhere),
            crash_points: Arc::new(NoCrashPoints),
            config: PilotConfig::default(),
        });
        pilot.take_over().await.unwrap();
        let tenant = Tenant::default_tenant();
        let secret = pilot.bootstrap(&tenant).await.unwrap().unwrap();
        let admin = pilot.authenticate(&tenant, secret.expose()).await.unwrap();
        let records = PilotRecords { pilot: Arc::clone(&pilot), clock };
        let engine = RulesEngine::new(Arc::new(records));
        let shop = Self { _directory: directory, pilot, engine, admin, tenant };
        shop.fill().await;
        shop
    }

    async fn fill(&self) {
        for (name, group) in [("order-service", "shop"), ("payment-service", "money")] {
            let spec = json!({"replicas": 4, "version": "7"});
            let service = json!({"name": name, "group": group, "executor": "watch", "spec": spec});
            let service = serde_json::from_value(service).unwrap();
            self.pilot.put_service(&self.tenant, &self.admin, service, None).await.unwrap();
        }
        let id = |prefix: &str| format!("{prefix}_{:032x}", 1);
        let finding = Finding {
            id: id("fnd").parse().unwrap(),
            story: id("sty").parse().unwrap(),
            kind: FindingKind::Latency,
            service: Some("order-service".parse().unwrap()),
            severity: Severity::Critical,
            confidence: 0.9,
            summary: "latency of order-service is 840 ms".to_owned(),
            evidence: vec![Evidence::new("usually 120 ms")],
            at: Timestamp::from_millis(1_795_000_000_000),
        };
        self.pilot.record_findings(&self.tenant, vec![finding]).await.unwrap();
        let proposal = Proposal {
            story: None,
            origin: Origin::Request,
            reason: "a sale".to_owned(),
            findings: Vec::new(),
            actions: vec![ActionWish {
                kind: KindName::new("scale"),
                service: "order-service".parse().unwrap(),
                params: json!({"replicas": 6}),
                expect: Vec::new(),
            }],
            expires_in_ms: None,
        };
        self.pilot.propose(&self.tenant, &self.admin, proposal).await.unwrap();
    }

    async fn person(&self, role: &str, scope: Scope) -> Caller {
        let roles = vec![RoleBinding { role: Role::new(role), scope }];
        let wanted = NewPrincipal { kind: PrincipalKind::Person, name: role.to_owned(), roles };
        let made = self.pilot.create_principal(&self.tenant, &self.admin, wanted).await.unwrap();
        Caller::of(made.value)
    }

    async fn ask(&self, caller: &Caller, question: &str) -> String {
        let mut context = Context::new(self.tenant.clone(), "r".to_owned());
        context.user = Some(caller.principal.id.to_string());
        context.scopes = Some(caller.scopes.clone());
        let request = Generation::new(RULES_MODEL, Input::question(question), context);
        let mut events = self.engine.generate(request).await.unwrap();
        let mut all = Collected::default();
        while let Some(event) = events.next().await {
            all.take(event.unwrap());
        }
        all.text
    }
}

const QUESTION: &str = "how is order-service? 急停开关打开了吗？";

#[tokio::test]
async fn an_admin_and_an_auditor_see_everything() {
    let shop = Shop::open().await;
    let auditor = shop.person(Role::AUDITOR, Scope::All).await;
    for caller in [&shop.admin, &auditor] {
        let said = shop.ask(caller, QUESTION).await;
        for part in ["4 个副本", "840 ms", "usually 120 ms", "scale order-service to 6", "a sale"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(
            said.contains("急停开关没有打开") && said.contains("fnd_") && said.contains("pln_")
        );
    }
}

#[tokio::test]
async fn an_operator_sees_their_groups_only() {
    let shop = Shop::open().await;
    let scope = Scope::Groups(vec!["money".parse().unwrap()]);
    let operator = shop.person(Role::OPERATOR, scope).await;
    let said = shop.ask(&operator, QUESTION).await;
    for part in ["840 ms", "fnd_0", "pln_0", "a sale", "副本"] {
        assert!(!said.contains(part), "{part}: {said}");
    }
    let said = shop.ask(&operator, "how many replicas has payment-service?").await;
    assert!(said.contains("payment-service: 4 replicas wanted"), "{said}");
    let said = shop.ask(&operator, "list the services").await;
    assert!(said.contains(": 1 (payment-service)"), "{said}");
}

#[tokio::test]
async fn a_narrowed_key_a_disabled_person_and_a_role_without_rights_see_nothing() {
    let shop = Shop::open().await;
    let mut narrowed = shop.admin.clone();
    narrowed.scopes = vec![Permission::new("model:use")];
    let nobody = shop.person("guest", Scope::All).await;
    let gone = shop.person(Role::ADMIN, Scope::All).await;
    let mut disabled = gone.principal.clone();
    disabled.disabled = true;
    shop.pilot.update_principal(&shop.tenant, &shop.admin, disabled, None).await.unwrap();
    for caller in [narrowed, nobody, gone] {
        for question in [QUESTION, "list all services", "what happened today?", "什么计划在等待？"]
        {
            let said = shop.ask(&caller, question).await;
            // Examples of what can be asked name a service, whatever there is.
            let said: String = said.lines().filter(|line| !line.starts_with("- ")).collect();
            for part in ["order-service", "payment-service", "840 ms", "fnd_0", "pln_0", "a sale"] {
                assert!(!said.contains(part), "{part}: {said}");
            }
        }
    }
}
