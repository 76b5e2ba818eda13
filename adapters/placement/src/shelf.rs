//! On a node: the models that it serves because it was told to.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use oag_cluster::orders::{Held, Recipe, Settings};
use oag_cluster::protocol::Offer;
use oag_runtime::{OnError, Supervisor, TaskKind};
use oag_serve::{Engine, EngineError, Engines};
use oag_types::Digest;

/// Time between two looks at whether a model's answers have come to their end.
const IDLE_LOOK: Duration = Duration::from_millis(50);

/// Starts engines for files.
#[async_trait]
pub trait Starter: Send + Sync + 'static {
    /// An engine that has the model of a file loaded and warm, and what it offers.
    ///
    /// # Errors
    /// Why the file cannot be served.
    async fn start(
        &self,
        model: &str,
        file: &Path,
        settings: Settings,
    ) -> Result<(Arc<dyn Engine>, Offer), EngineError>;
}

/// The models of a node: those of its command line, and those it was told to serve.
pub struct Shelf {
    engines: Arc<Engines>,
    /// What the command line offers.
    fixed: Vec<Offer>,
    folder: Option<PathBuf>,
    starter: Arc<dyn Starter>,
    supervisor: Supervisor,
    told: Mutex<BTreeMap<String, Told>>,
    /// One order is carried out at a time.
    one: tokio::sync::Mutex<()>,
    /// Called when the offers have changed.
    changed: Box<dyn Fn() + Send + Sync>,
}

/// A model that was told.
struct Told {
    engine: Arc<dyn Engine>,
    offer: Offer,
    held: Held,
    recipe: Recipe,
}

impl Shelf {
    /// With what the command line offers. Files come from the folder; without one, no model is
    /// loaded by order.
    #[must_use]
    pub fn new(
        (engines, fixed): (Arc<Engines>, Vec<Offer>),
        folder: Option<PathBuf>,
        starter: Arc<dyn Starter>,
        supervisor: Supervisor,
        changed: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            engines,
            fixed,
            folder,
            starter,
            supervisor,
            told: Mutex::default(),
            one: tokio::sync::Mutex::default(),
            changed: Box::new(changed),
        })
    }

    /// Everything that is offered now.
    #[must_use]
    pub fn offers(&self) -> Vec<Offer> {
        let told = self.told();
        let of = |told: &Told| Offer { held: Some(told.held.clone()), ..told.offer.clone() };
        self.fixed.iter().cloned().chain(told.values().map(of)).collect()
    }

    /// Serves a model; one of the same name makes way when the new one is ready. When that does
    /// not come, all stays as it was.
    pub(crate) async fn serve(&self, generation: u64, recipe: Recipe) -> Result<(), EngineError> {
        let _one = self.one.lock().await;
        let model = recipe.model.clone();
        if self.fixed.iter().any(|offer| offer.card.name == model) {
            let text = format!("{model:?} is on this node's command line");
            return Err(EngineError::refused("model", text));
        }
        if let Some(told) = self.told().get_mut(&model).filter(|told| told.recipe == recipe) {
            // It is there already, by an earlier order.
            told.held.generation = told.held.generation.max(generation);
            told.held.leaving = false;
            (self.changed)();
            return Ok(());
        }
        self.put(generation, recipe).await
    }

    /// Starts the engine of a model anew.
    pub(crate) async fn restart(&self, generation: u64, model: &str) -> Result<(), EngineError> {
        let _one = self.one.lock().await;
        let known = self.told().get(model).map(|told| told.recipe.clone());
        let Some(recipe) = known else { return Err(self.not_there(model)) };
        self.put(generation, recipe).await
    }

    /// Serves a model that is there with other settings.
    pub(crate) async fn configure(
        &self,
        generation: u64,
        recipe: Recipe,
    ) -> Result<(), EngineError> {
        let known = self.told().get(&recipe.model).map(|told| told.held.file.clone());
        match known {
            Some(file) if file == recipe.file => self.serve(generation, recipe).await,
            Some(file) => {
                let text = format!("{:?} is served from {file}, not {}", recipe.model, recipe.file);
                Err(EngineError::refused("file", text))
            }
            None => Err(self.not_there(&recipe.model)),
        }
    }

    /// Gives a model nothing new, and lets it go when its answers have come to their end.
    pub(crate) async fn leave(self: &Arc<Self>, model: &str) -> Result<(), EngineError> {
        let _one = self.one.lock().await;
        let engine = match self.told().get_mut(model) {
            // It is not there: so it was wanted.
            None => return Ok(()),
            Some(told) if told.held.leaving => return Ok(()),
            Some(told) => {
                told.held.leaving = true;
                Arc::clone(&told.engine)
            }
        };
        (self.changed)();
        let (shelf, model) = (Arc::clone(self), model.to_owned());
        let gone = async move {
            shelf.until_idle(&engine, &model).await;
            Ok::<(), std::convert::Infallible>(())
        };
        self.supervisor.spawn("model that leaves", TaskKind::Intake, OnError::Log, gone);
        Ok(())
    }

    async fn until_idle(&self, engine: &Arc<dyn Engine>, model: &str) {
        // Work that was sent before the controller heard of it may be on its way.
        tokio::time::sleep(10 * IDLE_LOOK).await;
        while engine.stats().busy + engine.stats().waiting > 0 {
            tokio::time::sleep(IDLE_LOOK).await;
        }
        let _one = self.one.lock().await;
        let mut told = self.told();
        // It may have been told to stay, or to be another, meanwhile.
        let goes = told.get(model).is_some_and(|told| told.held.leaving);
        if goes && told.remove(model).is_some() {
            drop(told);
            self.engines.remove(engine.name());
            (self.changed)();
            tracing::info!(model, "model unloaded");
        }
    }

    /// Loads a model and puts it in the place of what was there.
    async fn put(&self, generation: u64, recipe: Recipe) -> Result<(), EngineError> {
        let path = self.file(&recipe)?;
        let settings = Settings::read(&recipe.settings);
        let settings = settings
            .map_err(|(name, why)| EngineError::refused("settings", format!("{name} {why}")))?;
        if let Some(wanted) = recipe.sha256 {
            check(path.clone(), wanted).await?;
        }
        let (engine, offer) = self.starter.start(&recipe.model, &path, settings).await?;
        tracing::info!(model = recipe.model, file = recipe.file, generation, "model loaded");
        let (digest, file) = (recipe.digest(), recipe.file.clone());
        let held = Held { generation, recipe: digest, file, leaving: false };
        // Answers that the engine before it is giving go on.
        self.engines.put(Arc::clone(&engine));
        self.told().insert(recipe.model.clone(), Told { engine, offer, held, recipe });
        (self.changed)();
        Ok(())
    }

    /// The file of a recipe; it lies in the folder, links followed.
    fn file(&self, recipe: &Recipe) -> Result<PathBuf, EngineError> {
        let none = "this node loads no models by order: start it with --models-dir DIR";
        let folder = self.folder.as_ref().ok_or_else(|| EngineError::refused("order", none))?;
        let wrong = |text: String| EngineError::refused("file", text);
        let missing = |error: std::io::Error| wrong(format!("{}: {error}", recipe.file));
        let folder = folder.canonicalize().map_err(missing)?;
        let path = folder.join(&recipe.file).canonicalize().map_err(missing)?;
        if !path.starts_with(&folder) || !path.is_file() {
            return Err(wrong(format!("{} is no file of this node's folder", recipe.file)));
        }
        Ok(path)
    }

    fn not_there(&self, model: &str) -> EngineError {
        let told: Vec<String> = self.told().keys().cloned().collect();
        let remedy = format!("by order this node serves: {}", told.join(", "));
        EngineError::NoModelLoaded { model: model.to_owned(), remedy }
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compares a file with its digest.
async fn check(path: PathBuf, wanted: Digest) -> Result<(), EngineError> {
    let read = move || Digest::of_reader(File::open(path)?);
    let found = tokio::task::spawn_blocking(read).await;
    match found {
        Ok(Ok(found)) if found == wanted => Ok(()),
        Ok(Ok(found)) => {
            let text = format!("the SHA-256 of the file is {found}, and {wanted} is wanted");
            Err(EngineError::refused("sha256", text))
        }
        Ok(Err(error)) => Err(EngineError::Unavailable(format!("the file: {error}"))),
        Err(error) => Err(EngineError::Unavailable(format!("the file: {error}"))),
    }
}
