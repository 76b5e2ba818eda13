//! A controller and nodes in one process, on stopped time.

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt, sink, stream};
use oag_cluster::orders::{Deed, Obey, Order, Pen, Settings, Terms};
use oag_cluster::protocol::{FromNode, Hello, Load, Offer, Reading, ToNode};
use oag_cluster::{
    Agent, AgentConfig, AgentParts, Cluster, ClusterConfig, ClusterParts, Dial, DialError, Wire,
};
use oag_pilot::{ExecError, Executor, Mandate, Observed, Operation};
use oag_runtime::{Clock, OnError, RandomIds, ShutdownHandle, Supervisor, TaskKind};
use oag_schedule::{Rates, length::Predictor};
use oag_serve::{Engine, EngineError, EngineStats, Engines, Events, Generation, ModelCard, Skill};
use oag_store::{SqliteConfig, SqliteStore};
use oag_store_port::Store;
use oag_types::{Digest, NodeName, Receipt, Service, ServiceName, Tenant, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{Check, FleetExecutor, Orders, PlacementConfig, Shelf, Starter};

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_780_000_000_000 + self.0.elapsed().as_millis() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// An engine that says which file it is of, and is as busy as it is told.
struct Dummy {
    model: String,
    about: String,
    busy: Arc<Mutex<u32>>,
}

#[async_trait]
impl Engine for Dummy {
    fn name(&self) -> &str {
        &self.model
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![self.card()]
    }

    fn stats(&self) -> EngineStats {
        EngineStats { busy: *self.busy.lock().unwrap(), ..EngineStats::default() }
    }

    async fn generate(&self, _: Generation) -> Result<Events, EngineError> {
        Err(EngineError::refused("model", "it is a dummy"))
    }
}

impl Dummy {
    fn card(&self) -> ModelCard {
        ModelCard {
            name: self.model.clone(),
            skills: vec![Skill::Complete],
            window_tokens: Some(512),
            about: self.about.clone(),
        }
    }
}

/// Starts dummies; files whose name begins with `bad` cannot be served.
#[derive(Default)]
struct Dummies {
    started: Mutex<Vec<String>>,
    busy: Arc<Mutex<u32>>,
}

#[async_trait]
impl Starter for Dummies {
    async fn start(
        &self,
        model: &str,
        file: &Path,
        settings: Settings,
    ) -> Result<(Arc<dyn Engine>, Offer), EngineError> {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let about = file.file_name().unwrap().to_string_lossy().into_owned();
        self.started.lock().unwrap().push(about.clone());
        if about.starts_with("bad") {
            return Err(EngineError::Unavailable("it is damaged".to_owned()));
        }
        let dummy = Dummy { model: model.to_owned(), about, busy: Arc::clone(&self.busy) };
        let offer = Offer {
            card: dummy.card(),
            slots: settings.slots.unwrap_or(1),
            window_tokens: 512,
            memory_tokens: 512,
            rates: Rates::default(),
            held: None,
        };
        Ok((Arc::new(dummy), offer))
    }
}

/// The signature is left out here.
struct Plain(Mutex<Vec<Digest>>);

impl Pen for Plain {
    fn sign(&self, order: &Order) -> Result<String, String> {
        self.0.lock().unwrap().push(order.plan);
        Ok(json!({"to": order.node, "deed": order.deed}).to_string())
    }

    fn terms(&self) -> Terms {
        Terms { cluster: "test".to_owned(), key: "none".to_owned() }
    }
}

#[async_trait]
impl Check for Plain {
    fn learn(&self, terms: &Terms) {
        assert_eq!(terms.cluster, "test");
    }

    async fn check(&self, envelope: &str) -> Result<Deed, String> {
        let order: Value = serde_json::from_str(envelope).map_err(|error| error.to_string())?;
        serde_json::from_value(order["deed"].clone()).map_err(|error| error.to_string())
    }
}

struct Direct(Cluster);

#[async_trait]
impl Dial for Direct {
    async fn dial(&self, hello: Hello) -> Result<Wire, DialError> {
        let cluster = self.0.clone();
        let refused = |why: oag_cluster::Refused| DialError::Refused(why.to_string());
        let (session, inbox) = cluster.attach(hello).map_err(refused)?;
        let said = stream::unfold(inbox, async |mut inbox| {
            let message: ToNode = inbox.recv().await?;
            Some((Ok(ToNode::from_text(&message.to_text()).unwrap()), inbox))
        });
        let told = sink::unfold((cluster, session), async |(cluster, session), message| {
            let message: FromNode = message;
            cluster.take(&session, FromNode::from_text(&message.to_text()).unwrap());
            Ok::<_, String>((cluster, session))
        });
        Ok(Wire { said: said.boxed(), told: Box::pin(told.sink_map_err(|why: String| why)) })
    }
}

struct World {
    cluster: Cluster,
    executor: Arc<FleetExecutor>,
    pen: Arc<Plain>,
    supervisor: Supervisor,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    folder: TempDir,
}

struct Node {
    shelf: Arc<Shelf>,
    dummies: Arc<Dummies>,
    shutdown: ShutdownHandle,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.gguf", "b.gguf", "bad.gguf"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let script = folder.path().join("hello.sh");
        std::fs::write(&script, "#!/bin/sh\necho \"hello $1\"\n[ \"$1\" != fail ]\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let supervisor = Supervisor::new(ShutdownHandle::new());
        let clock: Arc<dyn Clock> = Arc::new(TokioClock(Instant::now()));
        let pen = Arc::new(Plain(Mutex::default()));
        let cluster = Cluster::new(ClusterParts {
            config: ClusterConfig::default(),
            predictor: Predictor::default(),
            epoch: 1,
            clock: Arc::clone(&clock),
            ids: Arc::new(RandomIds),
            pen: Some(Arc::clone(&pen) as Arc<dyn Pen>),
            reports: Arc::new(|_: &NodeName, _: Vec<Reading>| {}),
        })
        .unwrap();
        let run = cluster.clone().run(supervisor.shutdown().clone());
        supervisor.spawn("fleet", TaskKind::Intake, OnError::Log, run);
        let file = folder.path().join("truth.db");
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(file, SqliteConfig::default()).unwrap());
        let config = PlacementConfig::default();
        let executor = FleetExecutor::new(
            cluster.clone(),
            Arc::clone(&store),
            config,
            Arc::clone(&clock),
            supervisor.clone(),
        );
        let run = Arc::clone(&executor).run();
        supervisor.spawn("placement", TaskKind::Intake, OnError::Log, run);
        Self { cluster, executor, pen, supervisor, store, clock, folder }
    }

    fn node(&self, name: &str) -> Node {
        let shutdown = ShutdownHandle::new();
        let supervisor = Supervisor::new(shutdown.clone());
        let dummies = Arc::new(Dummies::default());
        let engines = Arc::new(Engines::new());
        let agent: Arc<OnceLock<Arc<Agent>>> = Arc::default();
        let told = Arc::clone(&agent);
        let folder = self.folder.path().to_owned();
        let shelf = Shelf::new(
            (Arc::clone(&engines), Vec::new()),
            Some(folder.clone()),
            Arc::clone(&dummies) as Arc<dyn Starter>,
            supervisor.clone(),
            move || told.get().into_iter().for_each(|agent| agent.offers_changed()),
        );
        let check = Arc::clone(&self.pen) as Arc<dyn Check>;
        let orders = Orders::new(Arc::clone(&shelf), check, Some(folder));
        let offered = Arc::clone(&shelf);
        let node = NodeName::try_from(name.to_owned()).unwrap();
        let capabilities = Orders::capabilities(true, true);
        let running = Arc::new(Agent::new(AgentParts {
            config: AgentConfig { capabilities, ..AgentConfig::new(node) },
            engines,
            offers: Arc::new(move || offered.offers()),
            load: Arc::new(Load::default),
            obey: Some(orders as Arc<dyn Obey>),
            dial: Arc::new(Direct(self.cluster.clone())),
            supervisor: supervisor.clone(),
            ids: Arc::new(RandomIds),
        }));
        agent.set(Arc::clone(&running)).ok().unwrap();
        supervisor.spawn("agent", TaskKind::Drains, OnError::Log, async move {
            running.run().await;
            Ok::<(), String>(())
        });
        Node { shelf, dummies, shutdown }
    }

    async fn adopt(&self) {
        let spec = json!({
            "file": "a.gguf",
            "versions": {"2": {"file": "b.gguf"}, "bad": {"file": "bad.gguf"}},
            "scripts": {"hello": {"file": "hello.sh"}},
        });
        let entry = json!({"name": "m", "group": "ai", "executor": "fleet", "spec": spec});
        let entry: Service = serde_json::from_value(entry).unwrap();
        self.executor.adopt(&tenant(), &entry).await.unwrap();
    }

    async fn apply(&self, key: &str, operation: Operation) -> Result<Receipt, ExecError> {
        let mandate = Mandate { key, plan: &Digest::of(key.as_bytes()) };
        self.executor.apply(&tenant(), &model(), &operation, mandate).await
    }

    async fn seen(&self) -> Observed {
        self.executor.observe(&tenant(), &model()).await.unwrap()
    }

    /// Waits until something is seen; time goes on by itself meanwhile.
    async fn until(&self, what: &str, is: impl Fn(&Observed) -> bool) -> Observed {
        let mut last = None;
        for _ in 0..2_000 {
            let seen = self.seen().await;
            if is(&seen) {
                return seen;
            }
            last = Some(seen);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("this did not come: {what}; seen was {last:?}");
    }

    async fn settled(&self) -> Observed {
        self.until("settled", |seen| seen.fields["settled"] == true).await
    }
}

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

fn model() -> ServiceName {
    ServiceName::try_from("m".to_owned()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_model_is_loaded_where_it_is_wanted_and_again_when_its_node_is_gone() {
    let world = World::new();
    let (first, _second) = (world.node("w-1"), world.node("w-2"));
    world.adopt().await;
    let seen = world.settled().await;
    assert_eq!(
        (seen.number("ready_replicas"), seen.fields["running"].as_bool()),
        (Some(0.0), Some(false))
    );
    world.apply("load", Operation::SetRunning(true)).await.unwrap();
    let seen = world.until("loaded", |seen| seen.number("ready_replicas") == Some(1.0)).await;
    assert_eq!(seen.fields["nodes"], json!(["w-1"]));
    // Its orders are on account of the plan.
    assert!(world.pen.0.lock().unwrap().contains(&Digest::of(b"load")));
    first.shutdown.begin();
    let moved = |seen: &Observed| seen.fields["nodes"] == json!(["w-2"]);
    world.until("loaded elsewhere", moved).await;
    world.settled().await;
}

#[tokio::test(start_paused = true)]
async fn another_version_takes_the_place_of_the_first_and_a_bad_one_does_not() {
    let world = World::new();
    let nodes = [world.node("w-1"), world.node("w-2")];
    world.adopt().await;
    world.apply("two", Operation::SetReplicas(2)).await.unwrap();
    world.apply("load", Operation::SetRunning(true)).await.unwrap();
    world.until("both", |seen| seen.number("ready_replicas") == Some(2.0)).await;
    world.settled().await;
    world.apply("swap", Operation::Deploy("2".to_owned())).await.unwrap();
    world.settled().await;
    let about = |node: &Node| node.shelf.offers()[0].card.about.clone();
    assert_eq!(nodes.each_ref().map(about), ["b.gguf", "b.gguf"]);
    world.apply("worse", Operation::Deploy("bad".to_owned())).await.unwrap();
    let damaged = |text: &str| text.contains("it is damaged");
    let trouble = |seen: &Observed| seen.text("unhealthy").is_some_and(damaged);
    let seen = world.until("trouble", trouble).await;
    assert_eq!((seen.number("ready_replicas"), seen.text("version")), (Some(2.0), Some("2")));
    tokio::time::sleep(Duration::from_secs(5)).await;
    // It stopped at the first node.
    assert!(!nodes[1].dummies.started.lock().unwrap().contains(&"bad.gguf".to_owned()));
    world.apply("back", Operation::Deploy("2".to_owned())).await.unwrap();
    let seen = world.settled().await;
    assert!(seen.text("unhealthy").is_none());
    // What had it all the time did not load it again.
    let started = nodes[1].dummies.started.lock().unwrap().clone();
    assert_eq!(started, ["a.gguf", "b.gguf"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_answers_leaves_when_its_answers_are_over() {
    let world = World::new();
    let node = world.node("w-1");
    world.adopt().await;
    world.apply("load", Operation::SetRunning(true)).await.unwrap();
    world.until("loaded", |seen| seen.number("ready_replicas") == Some(1.0)).await;
    *node.dummies.busy.lock().unwrap() = 1;
    world.apply("unload", Operation::SetRunning(false)).await.unwrap();
    world.until("not ready", |seen| seen.number("ready_replicas") == Some(0.0)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.shelf.offers().len(), 1);
    *node.dummies.busy.lock().unwrap() = 0;
    world.until("gone", |seen| seen.fields["nodes"] == json!([])).await;
    assert!(node.shelf.offers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn restarts_settings_and_scripts_reach_the_nodes() {
    let world = World::new();
    let node = world.node("w-1");
    world.adopt().await;
    world.apply("load", Operation::SetRunning(true)).await.unwrap();
    world.until("loaded", |seen| seen.number("ready_replicas") == Some(1.0)).await;
    world.settled().await;
    world.apply("again", Operation::Restart(1)).await.unwrap();
    world.settled().await;
    assert_eq!(node.dummies.started.lock().unwrap().len(), 2);
    let slots = Operation::Configure([("slots".to_owned(), Some("7".to_owned()))].into());
    world.apply("slots", slots).await.unwrap();
    world.settled().await;
    assert_eq!(node.shelf.offers()[0].slots, 7);
    let script =
        |arg: &str| Operation::RunScript { script: "hello".to_owned(), args: vec![arg.to_owned()] };
    let said = world.apply("s-1", script("you")).await.unwrap();
    assert_eq!(said.after["w-1"]["output"], "hello you\n");
    assert!(!world.apply("s-1", script("you")).await.unwrap().changed);
    let failed = world.apply("s-2", script("fail")).await.unwrap_err();
    assert!(matches!(failed, ExecError::Failed(_)), "{failed:?}");
    assert!(world.apply("s-3", Operation::Restart(1)).await.is_ok_and(|done| !done.changed));
    let lines = world.executor.logs(&tenant(), &model(), 100).await.unwrap();
    assert!(lines.iter().any(|line| line.text.contains("restart m: done")), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_wanted_survives_and_what_nobody_wants_is_unloaded() {
    let world = World::new();
    let node = world.node("w-1");
    world.adopt().await;
    world.apply("load", Operation::SetRunning(true)).await.unwrap();
    world.until("loaded", |seen| seen.number("ready_replicas") == Some(1.0)).await;
    let later = FleetExecutor::new(
        world.cluster.clone(),
        Arc::clone(&world.store),
        PlacementConfig::default(),
        Arc::clone(&world.clock),
        world.supervisor.clone(),
    );
    let spec = json!({"file": "a.gguf"});
    let entry = json!({"name": "m", "group": "ai", "executor": "fleet", "spec": spec});
    let entry: Service = serde_json::from_value(entry).unwrap();
    later.adopt(&tenant(), &entry).await.unwrap();
    let seen = later.observe(&tenant(), &model()).await.unwrap();
    assert_eq!(
        (seen.fields["running"].as_bool(), seen.fields["settled"].as_bool()),
        (Some(true), Some(true))
    );
    let mut twin = entry.clone();
    twin.name = ServiceName::try_from("twin".to_owned()).unwrap();
    twin.spec = json!({"file": "a.gguf", "model": "m"});
    assert!(matches!(later.adopt(&tenant(), &twin).await, Err(ExecError::Refused(_))));
    world.executor.forget(&tenant(), &model()).await.unwrap();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(node.shelf.offers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_refuses_what_is_not_in_its_folder_or_not_the_file_that_is_meant() {
    let world = World::new();
    let node = world.node("w-1");
    let recipe = |file: &str, sha256: Option<Digest>| oag_cluster::orders::Recipe {
        model: "m".to_owned(),
        file: file.to_owned(),
        sha256,
        settings: Default::default(),
    };
    for file in ["../etc/passwd", "/etc/passwd", "missing.gguf", "."] {
        let refused = node.shelf.serve(1, recipe(file, None)).await.unwrap_err();
        assert!(refused.to_string().contains("file"), "{file}: {refused}");
    }
    let other = node.shelf.serve(1, recipe("a.gguf", Some(Digest::of(b"other")))).await;
    assert!(other.unwrap_err().to_string().contains("SHA-256"));
    node.shelf.serve(1, recipe("a.gguf", Some(Digest::of(b"a.gguf")))).await.unwrap();
    let moved = node.shelf.configure(2, recipe("b.gguf", None)).await.unwrap_err();
    assert!(moved.to_string().contains("a.gguf"), "{moved}");
    assert!(node.shelf.restart(2, "other").await.is_err());
}
