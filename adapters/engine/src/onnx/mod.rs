//! Models in ONNX files, which predict numbers from numbers, in this process.

mod config;
#[cfg(feature = "onnx")]
mod engine;
#[cfg(feature = "onnx")]
mod file;
#[cfg(feature = "onnx")]
mod plan;

use std::sync::Arc;

use oag_serve::Engine;

use crate::SetupError;
pub use config::OnnxConfig;

/// Loads a model, and tries it out once.
///
/// # Errors
/// When a setting cannot be used, or the file: because it is damaged, has an operator that is not
/// known here, or leaves more of its inputs open than how many rows there are.
#[cfg(feature = "onnx")]
pub async fn load_onnx(config: OnnxConfig) -> Result<Arc<dyn Engine>, SetupError> {
    config.check()?;
    Ok(Arc::new(engine::Onnx::load(config).await?))
}

/// Tells that this build runs no such models.
///
/// # Errors
/// Always; with the command that builds one which does.
#[cfg(not(feature = "onnx"))]
pub async fn load_onnx(config: OnnxConfig) -> Result<Arc<dyn Engine>, SetupError> {
    config.check()?;
    let problem = "this build runs no ONNX models: build it with `make build FEATURES=onnx`";
    Err(SetupError { field: "file", problem: problem.to_owned() })
}
