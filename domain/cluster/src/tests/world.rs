//! A controller, nodes, and the wires between them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::protocol::{FromNode, Hello, Load, ModelLoad, Offer, Reading, ToNode};
use crate::{
    Agent, AgentConfig, AgentParts, Cluster, ClusterConfig, ClusterParts, Dial, DialError, Ended,
    SessionId, Wire,
};
use async_trait::async_trait;
use futures::stream::{self, StreamExt};
use futures::{SinkExt, sink};
use oag_runtime::{Clock, OnError, RandomIds, SeededIds, ShutdownHandle, Supervisor, TaskKind};
use oag_schedule::Rates;
use oag_schedule::length::Predictor;
use oag_serve::{
    Collected, Context, Delta, Ending, Engine, EngineError, EngineStats, Engines, Event, Events,
    Features, Finish, Generation, Input, ModelCard, PredictedOutput, Predictions, Skill, Usage,
};
use oag_types::{NodeName, Tenant, Timestamp};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The clock of tokio, which tests may stop.
pub(crate) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_780_000_000_000 + self.0.elapsed().as_millis() as i64)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Counts: the answer to any prompt is `0 1 2 …`, one number a token, one token each 10 ms.
pub(crate) struct Counting {
    pub(crate) skills: Vec<Skill>,
    pub(crate) begun: AtomicU32,
    pub(crate) running: Arc<AtomicU32>,
    /// What the next requests are refused with.
    pub(crate) refuse: Mutex<Vec<EngineError>>,
    /// Whose prompts it says that it remembers.
    pub(crate) kept: Mutex<Option<Vec<String>>>,
}

pub(crate) const TOKEN: Duration = Duration::from_millis(10);

struct Runs(Arc<AtomicU32>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Engine for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![ModelCard {
            name: "m".to_owned(),
            skills: self.skills.clone(),
            window_tokens: Some(4_096),
            about: "counts".to_owned(),
        }]
    }

    fn stats(&self) -> EngineStats {
        EngineStats::default()
    }

    fn kept(&self) -> Option<Vec<String>> {
        self.kept.lock().unwrap().clone()
    }

    async fn generate(&self, request: Generation) -> Result<Events, EngineError> {
        if let Some(error) = self.refuse.lock().unwrap().pop() {
            return Err(error);
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.running.fetch_add(1, Ordering::SeqCst);
        let runs = Runs(Arc::clone(&self.running));
        let most = request.limits.tokens_max.unwrap_or(16);
        let from = request.resume.len() as u32;
        let resumes = self.skills.contains(&Skill::Resume);
        let events = stream::unfold((from, runs), move |(at, runs)| async move {
            if at > most {
                return None;
            }
            tokio::time::sleep(TOKEN).await;
            let tokens = if resumes { vec![at] } else { Vec::new() };
            let delta = Delta { text: format!("{at} "), tokens, ..Delta::default() };
            let usage = Usage { prompt: 1, answer: most, ..Usage::default() };
            let end = Ending { finish: Finish::Length, usage: Some(usage) };
            let event = if at == most { Event::End(end) } else { Event::Delta(delta) };
            Some((Ok(event), (at + 1, runs)))
        });
        Ok(events.boxed())
    }

    /// The sum of each row, after as many steps as it says.
    async fn predict(&self, _: &str, features: Features) -> Result<Predictions, EngineError> {
        if let Some(error) = self.refuse.lock().unwrap().pop() {
            return Err(error);
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        let sums = features.rows().iter().map(|row| row.iter().sum());
        let rows: Vec<Vec<f32>> = sums.map(|sum| vec![sum]).collect();
        tokio::time::sleep(TOKEN * rows[0][0] as u32).await;
        Ok(Predictions { outputs: vec![PredictedOutput { name: "sum".to_owned(), rows }] })
    }

    async fn tokenize(&self, _: &str, text: String) -> Result<Vec<u32>, EngineError> {
        Ok(text.split_whitespace().map(|word| word.len() as u32).collect())
    }
}

/// The wires: each connection of a node can be cut, or made to swallow everything.
pub(crate) struct Net {
    cluster: Mutex<Option<Cluster>>,
    cuts: Mutex<HashMap<NodeName, CancellationToken>>,
    pub(crate) silent: Arc<AtomicBool>,
    /// Swallows only what the controller says.
    pub(crate) mute: Arc<AtomicBool>,
    pub(crate) dials: AtomicU64,
}

#[async_trait]
impl Dial for Net {
    async fn dial(&self, hello: Hello) -> Result<Wire, DialError> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let cluster = self.cluster.lock().unwrap().clone();
        let Some(cluster) = cluster else { return Err(DialError::Away("switched off".into())) };
        let node = hello.node_id.clone();
        // As over a real wire: everything is text in between.
        let hello: Hello = serde_json::from_str(&serde_json::to_string(&hello).unwrap()).unwrap();
        let (session, mut inbox) =
            cluster.attach(hello).map_err(|why| DialError::Refused(why.to_string()))?;
        let cut = CancellationToken::new();
        self.cuts.lock().unwrap().insert(node, cut.clone());
        let (down, said) = mpsc::channel::<ToNode>(64);
        let (told, mut up) = mpsc::channel::<FromNode>(64);
        let (silent, mute) = (Arc::clone(&self.silent), Arc::clone(&self.mute));
        let carry = async move {
            loop {
                tokio::select! {
                    () = cut.cancelled() => break,
                    message = inbox.recv() => {
                        let Some(message) = message else { break };
                        let lost = |lost: &AtomicBool| lost.load(Ordering::SeqCst);
                        if lost(&silent) || lost(&mute) { continue }
                        let text = serde_json::to_string(&message).unwrap();
                        if down.send(serde_json::from_str(&text).unwrap()).await.is_err() { break }
                    }
                    message = up.recv() => {
                        let Some(message) = message else { break };
                        if silent.load(Ordering::SeqCst) { continue }
                        let text = serde_json::to_string(&message).unwrap();
                        cluster.take(&session, serde_json::from_str(&text).unwrap());
                    }
                }
            }
            end(&cluster, &session);
        };
        #[expect(clippy::disallowed_methods, reason = "the wire belongs to no supervisor")]
        tokio::spawn(carry);
        let said = stream::unfold(said, async |mut said| Some((Ok(said.recv().await?), said)));
        let told = sink::unfold(told, async |told: mpsc::Sender<FromNode>, message| {
            told.send(message).await.map_err(|_| "cut".to_owned())?;
            Ok(told)
        });
        let told = told.sink_map_err(|why: String| why);
        Ok(Wire { said: said.boxed(), told: Box::pin(told) })
    }
}

fn end(cluster: &Cluster, session: &SessionId) {
    cluster.detach(session);
}

impl Net {
    pub(crate) fn cut(&self, node: &str) {
        self.cuts.lock().unwrap()[&name(node)].cancel();
    }

    pub(crate) fn lead_to(&self, cluster: Option<Cluster>) {
        *self.cluster.lock().unwrap() = cluster;
    }
}

pub(crate) fn name(text: &str) -> NodeName {
    NodeName::try_from(text.to_owned()).unwrap()
}

pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) net: Arc<Net>,
    clock: Arc<TokioClock>,
    pub(crate) ends: ShutdownHandle,
    /// What controllers were reported, with the node.
    pub(crate) taken: Taken,
    /// Nodes that were started; each draws its own numbers.
    started: AtomicU64,
}

type Taken = Arc<Mutex<Vec<(NodeName, Reading)>>>;

pub(crate) struct NodeHandle {
    pub(crate) engine: Arc<Counting>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) shutdown: ShutdownHandle,
    pub(crate) ended: tokio::sync::oneshot::Receiver<Ended>,
}

impl World {
    pub(crate) fn new(config: ClusterConfig) -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        let ends = ShutdownHandle::new();
        let taken = Taken::default();
        let cluster = controller(config, &clock, &ends, &taken);
        let net = Arc::new(Net {
            cluster: Mutex::new(Some(cluster.clone())),
            cuts: Mutex::default(),
            silent: Arc::default(),
            mute: Arc::default(),
            dials: AtomicU64::new(0),
        });
        Self { cluster, net, clock, ends, taken, started: AtomicU64::new(0) }
    }

    /// Another controller takes the place of this one, which knows nothing of what was.
    pub(crate) fn start_anew(&mut self, config: ClusterConfig) {
        self.cluster = controller(config, &self.clock, &self.ends, &self.taken);
        self.net.lead_to(Some(self.cluster.clone()));
    }

    pub(crate) fn node(&self, node: &str, slots: u32) -> NodeHandle {
        self.node_with(node, slots, vec![Skill::Chat, Skill::Resume, Skill::Tokenize])
    }

    pub(crate) fn node_with(&self, node: &str, slots: u32, skills: Vec<Skill>) -> NodeHandle {
        self.node_as(AgentConfig::new(name(node)), slots, skills, |agent| agent)
    }

    pub(crate) fn node_as(
        &self,
        config: AgentConfig,
        slots: u32,
        skills: Vec<Skill>,
        made: impl FnOnce(Agent) -> Agent,
    ) -> NodeHandle {
        let net = Arc::clone(&self.net) as Arc<dyn Dial>;
        start(net, config, self.seed(), (slots, skills), made)
    }

    /// A node whose controller is somebody else.
    pub(crate) fn node_over(&self, dial: Arc<dyn Dial>, config: AgentConfig) -> NodeHandle {
        start(dial, config, self.seed(), (1, Vec::new()), |agent| agent)
    }

    fn seed(&self) -> u64 {
        1_000 * self.started.fetch_add(1, Ordering::SeqCst)
    }

    /// Asks for an answer of so many tokens, and reads all of it.
    pub(crate) async fn ask(&self, tokens: u32) -> Result<String, EngineError> {
        read(self.cluster.generate(asked(tokens)).await?).await
    }
}

fn start(
    dial: Arc<dyn Dial>,
    config: AgentConfig,
    seed: u64,
    (slots, skills): (u32, Vec<Skill>),
    made: impl FnOnce(Agent) -> Agent,
) -> NodeHandle {
    let engine = Arc::new(Counting {
        skills,
        begun: AtomicU32::new(0),
        running: Arc::default(),
        refuse: Mutex::default(),
        kept: Mutex::default(),
    });
    let engines = Arc::new(Engines::new());
    engines.put(Arc::clone(&engine) as Arc<dyn Engine>);
    let card = engine.models().remove(0);
    let offer = Offer {
        card,
        slots,
        window_tokens: 4_096,
        memory_tokens: 65_536,
        rates: Rates::default(),
        held: None,
    };
    let shutdown = ShutdownHandle::new();
    let supervisor = Supervisor::new(shutdown.clone());
    let agent = Arc::new(made(Agent::new(AgentParts {
        config: AgentConfig { heartbeat: Duration::from_millis(500), ..config },
        engines,
        offers: Arc::new(move || vec![offer.clone()]),
        load: Arc::new(|| {
            let model = ModelLoad { model: "m".to_owned(), ..ModelLoad::default() };
            Load { models: vec![model], ..Load::default() }
        }),
        obey: None,
        dial,
        supervisor: supervisor.clone(),
        ids: Arc::new(SeededIds::new(seed)),
    })));
    let (tell, ended) = tokio::sync::oneshot::channel();
    let running = Arc::clone(&agent);
    supervisor.spawn("agent", TaskKind::Drains, OnError::Log, async move {
        let _ = tell.send(running.run().await);
        Ok::<(), String>(())
    });
    NodeHandle { engine, agent, shutdown, ended }
}

fn controller(
    config: ClusterConfig,
    clock: &Arc<TokioClock>,
    ends: &ShutdownHandle,
    taken: &Taken,
) -> Cluster {
    let taken = Arc::clone(taken);
    let cluster = Cluster::new(ClusterParts {
        config,
        predictor: Predictor::default(),
        epoch: 1,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        ids: Arc::new(RandomIds),
        pen: None,
        reports: Arc::new(move |node: &NodeName, samples: Vec<Reading>| {
            let samples = samples.into_iter().map(|sample| (node.clone(), sample));
            taken.lock().unwrap().extend(samples);
        }),
    })
    .unwrap();
    let supervisor = Supervisor::new(ends.clone());
    let run = cluster.clone().run(ends.clone());
    supervisor.spawn("fleet", TaskKind::Drains, OnError::Log, run);
    cluster
}

pub(crate) fn asked(tokens: u32) -> Generation {
    let tenant = Tenant::try_from("shop".to_owned()).unwrap();
    let context = Context::new(tenant, "req".to_owned());
    let mut request = Generation::new("m", Input::question("count"), context);
    request.limits.tokens_max = Some(tokens);
    request
}

pub(crate) async fn read(mut events: Events) -> Result<String, EngineError> {
    let mut all = Collected::default();
    while let Some(event) = events.next().await {
        all.take(event?);
    }
    assert!(all.ending.is_some(), "an answer without an end: {all:?}");
    Ok(all.text)
}

/// What the answer to a question of so many tokens must be.
pub(crate) fn counted(tokens: u32) -> String {
    (0..tokens).map(|number| format!("{number} ")).collect()
}

/// Waits until something holds; time goes on by itself meanwhile.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("this did not come: {what}");
}
