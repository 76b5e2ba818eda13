//! What a build without an engine of its own says.

use oag_engine::{Local, LocalConfig};
use oag_runtime::{ShutdownHandle, Supervisor};
use oag_serve::Engine;

#[tokio::test]
async fn a_build_without_an_engine_says_how_to_get_one() {
    let supervisor = Supervisor::new(ShutdownHandle::new());
    let mut config = LocalConfig::new("tiny", "model.gguf");
    config.program = Some(env!("CARGO_BIN_EXE_oag-engine-child").into());
    let engine = Local::start(config, &supervisor).unwrap();
    let error = engine.loaded().await.unwrap_err().to_string();
    assert!(error.contains("make build FEATURES=llama"), "{error}");
    assert!(engine.models().is_empty());
}
