//! Models that run on this machine, each in a process of its own that is kept alive: what ends
//! that process (a fault in foreign code, no memory) ends nothing else.

mod answer;
mod config;
mod desk;
mod keeper;
mod mailbox;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use oag_runtime::{OnError, Supervisor, TaskKind};
use oag_serve::{
    Embeddings, Engine, EngineError, EngineStats, Events, Generation, ModelCard, Skill, Usage,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::SetupError;
use crate::frames::{Ask, Figures, Loaded, Told};
use answer::Answer;
pub use config::{LocalConfig, MemoryKind};
use desk::{Desk, Phase};

/// Runs one GGUF model in a process of its own. Dropping it ends the process.
#[derive(Debug)]
pub struct Local {
    desk: Arc<Desk>,
    /// Its end tells the keeper to stop.
    _here: watch::Sender<()>,
}

impl Local {
    /// Begins to load a model. [`Local::loaded`] tells when it is there; until then, requests are
    /// refused as [`EngineError::Unavailable`].
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn start(config: LocalConfig, supervisor: &Supervisor) -> Result<Self, SetupError> {
        config.check()?;
        let name = format!("engine {}", config.model);
        let desk = Arc::new(Desk::new(config));
        let (here, gone) = watch::channel(());
        let keep = keeper::keep(Arc::clone(&desk), gone, supervisor.shutdown().clone());
        supervisor.spawn(name, TaskKind::Drains, OnError::Log, keep);
        Ok(Self { desk, _here: here })
    }

    /// Waits until the model is loaded, or a try to load it failed. It is tried again either way.
    ///
    /// # Errors
    /// `Unavailable` with what went wrong.
    pub async fn loaded(&self) -> Result<ModelCard, EngineError> {
        let mut phase = self.desk.phase.subscribe();
        let settled = phase.wait_for(|phase| *phase != Phase::Loading).await;
        match settled.as_deref() {
            Ok(Phase::Ready(loaded)) => Ok(self.card(loaded)),
            Ok(Phase::Down(why)) => Err(EngineError::Unavailable(why.clone())),
            _ => Err(EngineError::Unavailable("it was stopped".to_owned())),
        }
    }

    /// How busy the process is, and what it has done since it started.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.desk.figures()
    }

    /// The number of the process that has the model, while there is one.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.desk.process()
    }

    /// How often the process was started again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.desk.restarts.load(Ordering::Relaxed)
    }

    fn card(&self, loaded: &Loaded) -> ModelCard {
        let mut skills = vec![Skill::Complete];
        if loaded.chats {
            skills.push(Skill::Chat);
        }
        if loaded.tools {
            skills.push(Skill::Tools);
        }
        skills.push(Skill::Schema);
        if self.desk.config.embeds {
            skills.push(Skill::Embed);
        }
        skills.extend([Skill::Logprobs, Skill::Tokenize, Skill::Resume]);
        ModelCard {
            name: self.desk.config.model.clone(),
            skills,
            window_tokens: Some(loaded.window_tokens),
            about: loaded.about.clone(),
        }
    }

    fn check(&self, model: &str) -> Result<(), EngineError> {
        if model == self.desk.config.model {
            return Ok(());
        }
        let remedy = format!("this engine has {:?}", self.desk.config.model);
        Err(EngineError::NoModelLoaded { model: model.to_owned(), remedy })
    }
}

#[async_trait]
impl Engine for Local {
    fn name(&self) -> &str {
        &self.desk.config.model
    }

    fn models(&self) -> Vec<ModelCard> {
        match &*self.desk.phase.borrow() {
            Phase::Ready(loaded) => vec![self.card(loaded)],
            _ => Vec::new(),
        }
    }

    fn stats(&self) -> EngineStats {
        let slots = self.desk.config.slots;
        let under_way = u32::try_from(self.desk.under_way()).unwrap_or(u32::MAX);
        EngineStats {
            slots,
            busy: under_way.min(slots),
            waiting: under_way.saturating_sub(slots),
            answers: self.desk.answers.load(Ordering::Relaxed),
            retries: 0,
            tokens: self.desk.tokens.load(Ordering::Relaxed),
        }
    }

    fn kept(&self) -> Option<Vec<String>> {
        Some(self.desk.kept())
    }

    async fn generate(&self, asked: Generation) -> Result<Events, EngineError> {
        self.check(&asked.model)?;
        // A quick model might have begun before anybody looks at the time.
        if asked.context.within.is_some_and(|within| within.is_zero()) {
            return Err(EngineError::Late);
        }
        let until = asked.context.within.map(|within| Instant::now() + within);
        let (handed, mailbox) = self.desk.hand_over(Ask::Generate(Box::new(asked)))?;
        self.desk.answers.fetch_add(1, Ordering::Relaxed);
        let answer = Answer {
            id: handed.id,
            desk: Arc::clone(&self.desk),
            mailbox,
            cancel: Some(handed.cancel),
            until,
            first_max: Duration::from_millis(self.desk.config.first_part_ms),
            pause_max: Duration::from_millis(self.desk.config.pause_max_ms),
        };
        answer.begin().await
    }

    async fn embed(&self, model: &str, texts: Vec<String>) -> Result<Embeddings, EngineError> {
        self.check(model)?;
        if !self.desk.config.embeds {
            let problem = format!("{model:?} makes no embeddings; set `embeds` for it");
            return Err(EngineError::refused("model", problem));
        }
        match self.desk.whole(Ask::Embed(texts)).await? {
            Told::Vectors(vectors, prompt) => {
                let usage = Some(Usage { prompt, ..Usage::default() });
                Ok(Embeddings { vectors, usage })
            }
            _ => Err(confused()),
        }
    }

    async fn tokenize(&self, model: &str, text: String) -> Result<Vec<u32>, EngineError> {
        self.check(model)?;
        match self.desk.whole(Ask::Tokenize(text)).await? {
            Told::Tokens(tokens) => Ok(tokens),
            _ => Err(confused()),
        }
    }

    async fn detokenize(&self, model: &str, tokens: Vec<u32>) -> Result<String, EngineError> {
        self.check(model)?;
        match self.desk.whole(Ask::Detokenize(tokens)).await? {
            Told::Text(text) => Ok(text),
            _ => Err(confused()),
        }
    }
}

fn confused() -> EngineError {
    EngineError::Unavailable("the process answered something else".to_owned())
}
