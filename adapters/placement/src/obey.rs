//! On a node: orders, checked and carried out.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oag_cluster::orders::{Deed, LOADS_MODELS, Obey, RUNS_SCRIPTS, Terms};
use oag_runtime::{Ran, run_bounded};
use oag_serve::EngineError;
use serde_json::{Value, json};

use crate::Shelf;

/// What is kept of a script's output, in bytes of each of its two kinds.
const OUTPUT_MAX: usize = 16 * 1_024;

/// Checks the signature of orders.
#[async_trait]
pub trait Check: Send + Sync + 'static {
    /// The controller has said whose orders count.
    fn learn(&self, terms: &Terms);

    /// What an order asks for, when it is to be obeyed now. It is given out once.
    ///
    /// # Errors
    /// Why it is refused.
    async fn check(&self, envelope: &str) -> Result<Deed, String>;
}

/// Carries orders out on a node.
pub struct Orders {
    shelf: Arc<Shelf>,
    check: Arc<dyn Check>,
    /// The folder of scripts; none: no script is run by order.
    scripts: Option<PathBuf>,
}

impl Orders {
    /// With what a node may be told.
    #[must_use]
    pub fn new(shelf: Arc<Shelf>, check: Arc<dyn Check>, scripts: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self { shelf, check, scripts })
    }

    /// What the node says that it can do, for [`oag_cluster::AgentConfig::capabilities`].
    #[must_use]
    pub fn capabilities(models: bool, scripts: bool) -> Vec<String> {
        let words = [(models, LOADS_MODELS), (scripts, RUNS_SCRIPTS)];
        words.into_iter().filter(|(can, _)| *can).map(|(_, word)| word.to_owned()).collect()
    }

    async fn run(
        &self,
        script: &str,
        args: &[String],
        most: Duration,
    ) -> Result<Value, EngineError> {
        let none = "this node runs no scripts: start it with --scripts-dir DIR";
        let folder = self.scripts.as_ref().ok_or_else(|| EngineError::refused("order", none))?;
        let wrong = |text: String| EngineError::refused("script", text);
        if script.contains('/') || script.starts_with('.') {
            return Err(wrong(format!("{script:?} is no file name")));
        }
        let path = folder.join(script);
        if !path.is_file() {
            return Err(wrong(format!("{script:?} is not in this node's folder of scripts")));
        }
        let mut command = Command::new(&path);
        command
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let ran = run_bounded(command, most, OUTPUT_MAX).await;
        let Ran { status, out, err } =
            ran.map_err(|error| wrong(format!("{script:?} cannot be run: {error}")))?;
        let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
        match status {
            Some(status) if status.success() => Ok(json!({"output": out, "errors": err})),
            Some(status) => {
                Err(EngineError::Unavailable(format!("{script}: {status}: {}", err.trim())))
            }
            None => {
                let most = most.as_millis();
                let text = format!("{script} took longer than {most} ms and was ended");
                Err(EngineError::Unavailable(text))
            }
        }
    }
}

#[async_trait]
impl Obey for Orders {
    fn learn(&self, terms: &Terms) {
        self.check.learn(terms);
    }

    async fn obey(&self, envelope: &str) -> Result<Value, EngineError> {
        let checked = self.check.check(envelope).await;
        let deed = checked.map_err(|why| {
            tracing::warn!(why, "order refused");
            EngineError::refused("order", why)
        })?;
        let done = json!({});
        match deed {
            Deed::Serve { generation, recipe } => {
                self.shelf.serve(generation, recipe).await.map(|()| done)
            }
            Deed::Configure { generation, recipe } => {
                self.shelf.configure(generation, recipe).await.map(|()| done)
            }
            Deed::Restart { generation, model } => {
                self.shelf.restart(generation, &model).await.map(|()| done)
            }
            Deed::Leave { model } => self.shelf.leave(&model).await.map(|()| done),
            Deed::Run { script, args, timeout_ms } => {
                self.run(&script, &args, Duration::from_millis(timeout_ms)).await
            }
        }
    }
}
