//! A model that is loaded: threads that calculate, and requests that wait for them.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use oag_serve::{
    Engine, EngineError, EngineStats, Events, Features, Generation, ModelCard, Predictions, Skill,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinError;

use super::config::OnnxConfig;
use super::file::{damaged, read};
use super::plan::Plan;
use crate::SetupError;

/// Predicts with one model.
#[derive(Debug)]
pub(super) struct Onnx {
    config: OnnxConfig,
    card: ModelCard,
    plan: Arc<Plan>,
    threads: u32,
    /// Places for requests, calculated and waiting ones.
    places: Arc<Semaphore>,
    /// Threads that are free.
    free: Arc<Semaphore>,
    answers: AtomicU64,
}

impl Onnx {
    pub(super) async fn load(config: OnnxConfig) -> Result<Self, SetupError> {
        let (file, step_rows) = (config.file.clone(), config.step_rows as usize);
        let load = move || Plan::new(read(&file)?, step_rows);
        // What a damaged file does to the library may be a panic; it ends that thread's work only.
        let loaded = tokio::task::spawn_blocking(load).await;
        let plan = loaded.unwrap_or_else(|broke| Err(damaged(&panic_text(broke))));
        let plan = plan.map_err(|why| {
            let problem = format!("{}: {why}", config.file.display());
            SetupError { field: "file", problem }
        })?;
        let card = ModelCard {
            name: config.model.clone(),
            skills: vec![Skill::Predict],
            window_tokens: None,
            about: format!("{}: {}", config.file.display(), plan.about()),
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = config.threads.unwrap_or_else(|| u32::try_from(cores()).unwrap_or(1));
        Ok(Self {
            card,
            plan: Arc::new(plan),
            threads,
            places: Arc::new(Semaphore::new((threads + config.waiting_max) as usize)),
            free: Arc::new(Semaphore::new(threads as usize)),
            answers: AtomicU64::new(0),
            config,
        })
    }

    fn check(&self, model: &str) -> Result<(), EngineError> {
        if model == self.config.model {
            return Ok(());
        }
        let remedy = format!("this engine has {:?}", self.config.model);
        Err(EngineError::NoModelLoaded { model: model.to_owned(), remedy })
    }

    /// Has a thread do some work, as soon as one is free.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let overloaded = |_| EngineError::Overloaded {
            retry_after: Duration::from_millis(self.config.busy_retry_ms),
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(overloaded)?;
        let stopped = |_| EngineError::Unavailable("it was stopped".to_owned());
        let thread = Arc::clone(&self.free).acquire_owned().await.map_err(stopped)?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        // Whoever leaves drops the other end; place and thread are free when the work has seen it.
        let (watched, _here) = oneshot::channel::<()>();
        let held = move || {
            let _held = (place, thread);
            work(&|| watched.is_closed())
        };
        let done = tokio::task::spawn_blocking(held).await;
        done.unwrap_or_else(|broke| {
            let why = format!("the calculation broke: {}", panic_text(broke));
            Err(EngineError::BrokeOff(why))
        })
    }
}

#[async_trait]
impl Engine for Onnx {
    fn name(&self) -> &str {
        &self.config.model
    }

    fn models(&self) -> Vec<ModelCard> {
        vec![self.card.clone()]
    }

    fn stats(&self) -> EngineStats {
        let permits = |semaphore: &Semaphore| {
            u32::try_from(semaphore.available_permits()).unwrap_or(u32::MAX)
        };
        let busy = self.threads.saturating_sub(permits(&self.free));
        let inside = (self.threads + self.config.waiting_max).saturating_sub(permits(&self.places));
        EngineStats {
            slots: self.threads,
            busy,
            waiting: inside.saturating_sub(busy),
            answers: self.answers.load(Ordering::Relaxed),
            retries: 0,
            tokens: 0,
        }
    }

    async fn generate(&self, asked: Generation) -> Result<Events, EngineError> {
        self.check(&asked.model)?;
        let problem = format!(
            "{:?} predicts from numbers and writes no text; ask it with `predict`",
            asked.model
        );
        Err(EngineError::refused("model", problem))
    }

    async fn predict(&self, model: &str, features: Features) -> Result<Predictions, EngineError> {
        self.check(model)?;
        self.plan.check(&features)?;
        let plan = Arc::clone(&self.plan);
        self.on_thread(move |left| plan.predict(&features, left)).await
    }
}

/// What a thread said when it broke.
fn panic_text(broke: JoinError) -> String {
    match broke.try_into_panic() {
        Ok(said) => said_text(&*said).unwrap_or("for no reason that it told").to_owned(),
        Err(stopped) => stopped.to_string(),
    }
}

fn said_text(said: &(dyn Any + Send)) -> Option<&str> {
    said.downcast_ref::<&str>()
        .copied()
        .or_else(|| said.downcast_ref::<String>().map(String::as_str))
}
