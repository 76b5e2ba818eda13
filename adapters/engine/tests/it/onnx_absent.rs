//! What a build says that runs no ONNX models.

use oag_engine::{OnnxConfig, load_onnx};

#[tokio::test]
async fn a_build_without_the_engine_says_how_to_get_it() {
    let error = load_onnx(OnnxConfig::new("m", "model.onnx")).await.err().unwrap();
    assert!(error.to_string().contains("make build FEATURES=onnx"), "{error}");
}
