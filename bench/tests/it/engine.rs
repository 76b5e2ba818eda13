//! The engine's figures on a tiny model, beside programs that stand for llama.cpp's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Says what `llama-bench` says of one repetition, with some work in it.
const BENCH: &str = r#"#!/bin/sh
case "$*" in *" -n 0 "*) part=prompt ;; *) part=generation ;; esac
echo "llama-bench: benchmark 1/1: $part run 1/1" >&2
i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done
echo '{"n_prompt": 64}' >&2
"#;

/// Says what `llama-batched-bench` says of three sizes, the last with most work in it.
const BATCHED: &str = r#"#!/bin/sh
for work in 1 50000 200000; do
    i=0; while [ $i -lt $work ]; do i=$((i + 1)); done
    echo '{"pp": 32}'
done
"#;

fn program(file: &Path, text: &str) -> std::io::Result<()> {
    fs::write(file, text)?;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

#[test]
fn a_tiny_model_beside_llama_cpp() {
    let tools = tempfile::tempdir().unwrap();
    let bench = tools.path().join("llama-bench");
    program(&bench, BENCH).unwrap();
    program(&tools.path().join("llama-batched-bench"), BATCHED).unwrap();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/engine/tests/data/qwen3.gguf");
    let output = Command::new(env!("CARGO_BIN_EXE_oag-bench"))
        .args(["engine", "--quick", "--json", "--threads", "1", "--batch", "1,2"])
        .args(["--temperature", "0", "--model", model, "--llama-bench"])
        .arg(&bench)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = run["reports"][0]["rows"].as_array().unwrap();
    let value = |what: &str| {
        let row = rows.iter().find(|row| row["what"] == what);
        row.unwrap_or_else(|| panic!("no row '{what}' in {rows:?}"))["value"].as_f64().unwrap()
    };
    for batch in [1, 2] {
        for part in ["prefill", "decode"] {
            let name = format!("qwen3, batch {batch}, {part}");
            assert!(value(&format!("{name}, engine, wall")) > 0.0);
            assert!(value(&format!("{name}, llama.cpp")) > 0.0);
            let ratio = rows.iter().find(|row| row["what"] == format!("{name}, ratio"));
            assert_eq!(ratio.unwrap()["goal"]["at_least"], 0.97);
        }
    }
    // Where prompts are cut into tokens may shift a little at the seam.
    let read = |what: &str| value(&format!("qwen3, first token, 64 tokens, {what}, read"));
    assert!((56.0..=64.0).contains(&read("new")));
    assert_eq!(read("the same again"), 1.0);
    assert!((1.0..=12.0).contains(&read("another end")));
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_oag-bench"))
        .args(["engine", "--quick", "--model", file!()])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("engine.rs is not a GGUF file"), "{said}");
}
