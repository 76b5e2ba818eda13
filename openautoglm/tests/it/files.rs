//! Workers that cannot run the files they are given.

use std::path::Path;

use crate::world::Home;

fn file(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/engine/tests/data");
    data.join(name).display().to_string()
}

/// What a worker says that does not begin its work.
fn fails(home: &Home, words: &[&str]) -> String {
    let begin = ["worker", "--controller", "http://127.0.0.1:9"];
    let (code, _, error) = home.run(&[&begin[..], words].concat());
    assert_eq!(code, 1, "{error}");
    error
}

#[test]
fn a_worker_says_what_is_wrong_with_its_files() {
    let home = Home::new();
    let mlp = file("mlp.onnx");
    let error = fails(&home, &["--model", "a", "--onnx", &mlp, "--onnx", &mlp]);
    assert!(error.contains("more --gguf and --onnx files than --model names"), "{error}");
    let wrong = file("unknown.onnx");
    let error = fails(&home, &["--model", "a", "--onnx", &wrong]);
    let wanted = if cfg!(feature = "onnx") { "shop.example.Blur" } else { "FEATURES=onnx" };
    assert!(error.contains(wanted), "{error}");
}
