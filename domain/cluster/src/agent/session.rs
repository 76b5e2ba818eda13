//! One connection of an agent, from welcome to end.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use oag_runtime::{OnError, TaskKind};
use oag_serve::{EngineError, Engines};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::leases::Leases;
use super::{Agent, DialError, Wire};
use crate::protocol::{Ask, FromNode, Reply, Report, ToNode, Work};

/// How long a controller may take to say welcome.
const WELCOME: Duration = Duration::from_secs(10);
/// How long a controller may take to acknowledge the last reports, and to hear the last word.
const FAREWELL: Duration = Duration::from_secs(2);
/// Answers to calls that may wait to be sent.
const REPLIES_MAX: usize = 1_024;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Over {
    NotBegun(DialError),
    Broken(String),
    Refused(String),
    Drained,
}

/// What goes on during one connection.
struct Talk<'a> {
    agent: &'a Agent,
    told: std::pin::Pin<Box<dyn futures::Sink<FromNode, Error = String> + Send>>,
    replies: mpsc::Sender<FromNode>,
    /// When the controller was heard last.
    heard: Instant,
    /// It was told that this node takes nothing new.
    draining: bool,
    /// Calls that are not answered yet.
    calls: usize,
    /// It takes reports.
    reports: bool,
    /// Until when a node that has nothing else to do waits for its reports to be acknowledged.
    leave_by: Option<Instant>,
}

impl Agent {
    pub(super) async fn speak(self: &Arc<Self>, wire: Wire) -> Over {
        let Wire { mut said, told } = wire;
        let welcome = match tokio::time::timeout(WELCOME, said.next()).await {
            Ok(Some(Ok(ToNode::Welcome(welcome)))) => welcome,
            Ok(Some(Ok(ToNode::Close { reason, again }))) => {
                return if again { Over::Broken(reason) } else { Over::Refused(reason) };
            }
            Ok(Some(Ok(_))) => return Over::Broken("it did not say welcome".to_owned()),
            Ok(Some(Err(why))) => return Over::Broken(why),
            Ok(None) => return Over::Broken("it closed at once".to_owned()),
            Err(_) => return Over::Broken("it said nothing".to_owned()),
        };
        self.leases.keep(&welcome.kept);
        if let (Some(obey), Some(terms)) = (&self.parts.obey, &welcome.terms) {
            obey.learn(terms);
        }
        self.unreported.begin_anew();
        self.set_connected(true);
        tracing::info!("connected to the controller");
        let (replies, mut replied) = mpsc::channel(REPLIES_MAX);
        let (heard, reports) = (Instant::now(), welcome.reports);
        let (draining, calls, leave_by) = (false, 0, None);
        let mut talk =
            Talk { agent: self, told, replies, heard, draining, calls, reports, leave_by };
        let mut beat = tokio::time::interval(self.parts.config.heartbeat);
        let shutdown = self.parts.supervisor.shutdown().clone();
        loop {
            let step = tokio::select! {
                heard = said.next() => match heard {
                    Some(Ok(message)) => talk.hear(message),
                    Some(Err(why)) => Err(Over::Broken(why)),
                    None => Err(Over::Broken("it closed the connection".to_owned())),
                },
                _ = beat.tick() => talk.beat().await,
                () = self.leases.more() => talk.send_work().await,
                () = self.unreported.more(), if reports => {
                    talk.send_reports(self.unreported.next()).await
                }
                Some(reply) = replied.recv() => talk.send_reply(reply).await,
                () = shutdown.draining(), if !talk.draining => talk.drain().await,
                () = patience(talk.waits_until()) => Ok(()),
                () = shutdown.ended() => Err(Over::Drained),
            };
            let step = match step {
                Ok(()) => talk.leave_when_done().await,
                over => over,
            };
            if let Err(over) = step {
                return over;
            }
        }
    }
}

impl Talk<'_> {
    fn hear(&mut self, message: ToNode) -> Result<(), Over> {
        self.heard = Instant::now();
        match message {
            ToNode::Lease(work) => self.begin(*work),
            ToNode::Stop { lease } | ToNode::Done { lease } => self.agent.leases.drop_lease(lease),
            ToNode::Call { call, model, ask } => self.answer(call, model, ask),
            ToNode::Order { call, envelope } => self.obey(call, envelope),
            ToNode::Reported { sequence } => self.agent.unreported.acknowledged(sequence),
            ToNode::Heard | ToNode::Welcome(_) => {}
            ToNode::Close { reason, again: true } => return Err(Over::Broken(reason)),
            ToNode::Close { reason, again: false } => return Err(Over::Refused(reason)),
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), Over> {
        let config = &self.agent.parts.config;
        if self.heard.elapsed() > config.heartbeat * config.misses_max {
            return Err(Over::Broken("it was not heard for too long".to_owned()));
        }
        self.agent.unreported.look(config.heartbeat * config.misses_max);
        let mut load = (self.agent.parts.load)();
        self.agent.remembered.add(&mut load, &self.agent.parts.engines);
        self.send(FromNode::Heartbeat { load }).await
    }

    async fn send_reports(&mut self, reports: Vec<Report>) -> Result<(), Over> {
        for report in reports {
            self.told.feed(FromNode::Report(report)).await.map_err(Over::Broken)?;
        }
        self.told.flush().await.map_err(Over::Broken)
    }

    async fn send_work(&mut self) -> Result<(), Over> {
        if self.agent.leases.take_offers_changed() {
            let models = (self.agent.parts.offers)();
            self.send(FromNode::Offers { models }).await?;
        }
        for message in self.agent.leases.unsent() {
            self.told.feed(message).await.map_err(Over::Broken)?;
        }
        self.told.flush().await.map_err(Over::Broken)
    }

    async fn drain(&mut self) -> Result<(), Over> {
        self.draining = true;
        self.send(FromNode::Draining).await
    }

    async fn leave_when_done(&mut self) -> Result<(), Over> {
        if !self.draining || !self.agent.leases.is_empty() || self.calls > 0 {
            return Ok(());
        }
        let by = *self.leave_by.get_or_insert_with(|| Instant::now() + FAREWELL);
        if self.reports && !self.agent.unreported.is_empty() && Instant::now() < by {
            return Ok(());
        }
        self.send(FromNode::Bye).await?;
        let _ = tokio::time::timeout(FAREWELL, self.told.close()).await;
        Err(Over::Drained)
    }

    /// Until when it waits, when it waits for nothing but its reports.
    fn waits_until(&self) -> Option<Instant> {
        self.leave_by.filter(|_| self.agent.leases.is_empty())
    }

    async fn send_reply(&mut self, message: FromNode) -> Result<(), Over> {
        if matches!(message, FromNode::Reply { .. }) {
            self.calls = self.calls.saturating_sub(1);
        }
        self.send(message).await
    }

    async fn send(&mut self, message: FromNode) -> Result<(), Over> {
        self.told.send(message).await.map_err(Over::Broken)
    }

    fn begin(&self, work: Work) {
        let lease = work.lease;
        let Some(stop) = self.agent.leases.take(lease) else {
            tracing::warn!(task = %lease.task, "work refused: there is too much here");
            let error = EngineError::Overloaded { retry_after: Duration::from_secs(1) };
            // Where not even this finds room, the controller hears it as a lease that is lost.
            let _ = self.replies.try_send(FromNode::Failed { lease, sequence: 0, error });
            return;
        };
        let leases = Arc::clone(&self.agent.leases);
        let engines = Arc::clone(&self.agent.parts.engines);
        let remembered = Arc::clone(&self.agent.remembered);
        remembered.begin(&work.request, &engines);
        let (model, request) = (work.request.model.clone(), work.request.context.request.clone());
        let task = async move {
            carry_out(&engines, &leases, work, stop).await;
            remembered.end(&model, &request);
            Ok::<(), std::convert::Infallible>(())
        };
        self.agent.parts.supervisor.spawn("lease", TaskKind::Drains, OnError::Log, task);
    }

    fn answer(&mut self, call: u64, model: String, ask: Ask) {
        let engines = Arc::clone(&self.agent.parts.engines);
        self.reply(call, async move { reply(&engines, &model, ask).await });
    }

    fn obey(&mut self, call: u64, envelope: String) {
        let obey = self.agent.parts.obey.clone();
        self.reply(call, async move {
            let none = || EngineError::refused("order", "this node takes no orders");
            obey.ok_or_else(none)?.obey(&envelope).await.map(Reply::Obeyed)
        });
    }

    /// Says what comes of a call, when it comes.
    fn reply(
        &mut self,
        call: u64,
        reply: impl Future<Output = Result<Reply, EngineError>> + Send + 'static,
    ) {
        self.calls += 1;
        let replies = self.replies.clone();
        let task = async move {
            let reply = reply.await;
            // The connection may be gone; then nobody waits any more.
            let _ = replies.send(FromNode::Reply { call, reply }).await;
            Ok::<(), std::convert::Infallible>(())
        };
        self.agent.parts.supervisor.spawn("call", TaskKind::Drains, OnError::Log, task);
    }
}

/// Ends at that moment, when there is one.
async fn patience(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn carry_out(engines: &Engines, leases: &Leases, work: Work, stop: CancellationToken) {
    let lease = work.lease;
    let all = async {
        let engine = engines.of(&work.request.model)?.engine;
        let mut events = engine.generate(work.request).await?;
        while let Some(event) = events.next().await {
            leases.say(lease, Ok(event?));
        }
        Ok::<(), EngineError>(())
    };
    let over = tokio::select! {
        over = all => over,
        () = stop.cancelled() => return,
    };
    // An answer that just ends is broken, too; after an end this changes nothing.
    let unfinished = || EngineError::BrokeOff("the engine said no end".to_owned());
    leases.say(lease, Err(over.err().unwrap_or_else(unfinished)));
}

async fn reply(engines: &Engines, model: &str, ask: Ask) -> Result<Reply, EngineError> {
    let engine = engines.of(model)?.engine;
    match ask {
        Ask::Embed { texts } => engine.embed(model, texts).await.map(Reply::Embedded),
        Ask::Tokenize { text } => engine.tokenize(model, text).await.map(Reply::Tokens),
        Ask::Detokenize { tokens } => engine.detokenize(model, tokens).await.map(Reply::Text),
        Ask::Predict { features } => engine.predict(model, features).await.map(Reply::Predicted),
    }
}
