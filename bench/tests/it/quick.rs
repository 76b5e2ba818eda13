//! Quick runs, one for each benchmark.

use std::process::Command;

use serde_json::Value;

/// The rows of a quick run.
fn quick(bench: &str) -> Vec<(String, f64)> {
    let output = Command::new(env!("CARGO_BIN_EXE_oag-bench"))
        .args([bench, "--quick", "--json"])
        .env_remove("OAG_API_KEY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(run["quick"].as_bool().unwrap());
    assert!(run["machine"]["cores"].as_u64().unwrap() > 0);
    assert_eq!(run["reports"][0]["bench"], bench);
    let rows = run["reports"][0]["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    rows.iter()
        .map(|row| {
            let (what, value) = (row["what"].as_str().unwrap(), row["value"].as_f64().unwrap());
            assert!(value.is_finite() && value >= 0.0, "{what}: {value}");
            assert!(row.get("goal").is_some() == row.get("met").is_some(), "{what}");
            (what.to_owned(), value)
        })
        .collect()
}

fn value(rows: &[(String, f64)], what: &str) -> f64 {
    let row = rows.iter().find(|(name, _)| name == what);
    row.unwrap_or_else(|| panic!("no row '{what}' in {rows:?}")).1
}

#[test]
fn decide() {
    let rows = quick("decide");
    assert_eq!(value(&rows, "decisions"), 12.0 * 4.0);
    assert_eq!(value(&rows, "load forecasts live"), 12.0);
    assert!(value(&rows, "findings") > 0.0);
    let median = value(&rows, "processor time of a step, median");
    assert!(median > 0.0 && median <= value(&rows, "processor time of a step, worst"));
    assert!(value(&rows, "resident memory after") > 1.0);
}

#[test]
fn ingest() {
    let rows = quick("ingest");
    for what in ["hub, batches of 1", "hub, batches of 1000", "HTTP, batches of 1000"] {
        assert!(value(&rows, what) > 0.0, "{what}");
    }
}

#[test]
fn analyze() {
    let rows = quick("analyze");
    for points in [4, 10, 60] {
        let p50 = value(&rows, &format!("{points} points, p50"));
        assert!(p50 > 0.0 && p50 <= value(&rows, &format!("{points} points, p99")));
        let advised = value(&rows, &format!("{points} points, answers that advise replicas"));
        assert!(advised > 0.0 && advised < 60.0);
    }
    assert!(value(&rows, "10 points over HTTP, this process, p50") > 0.0);
}

#[test]
fn ledger() {
    let rows = quick("ledger");
    assert!(value(&rows, "SQLite, rows verified") >= 2_000.0);
    assert!(value(&rows, "SQLite, proofs made, one after the other") > 0.0);
    // Writers at the same time share transactions.
    assert!(value(&rows, "SQLite, 256 writers, rows in a transaction") > 1.0);
}

#[test]
fn store() {
    let rows = quick("store");
    let (p50, p99) = (value(&rows, "SQLite, p50"), value(&rows, "SQLite, p99"));
    assert!(p50 > 0.0 && p50 <= p99 && p99 <= value(&rows, "SQLite, worst"));
    assert!(value(&rows, "SQLite, commits in a transaction") >= 1.0);
}

#[test]
fn series() {
    let rows = quick("series");
    assert_eq!(value(&rows, "samples stored"), 2.0 * 1_440.0 * 12.0);
    let bytes = value(&rows, "a sample on the disk");
    assert!(bytes > 0.1 && bytes < 8.0, "{bytes}");
}

#[test]
fn scaling() {
    let rows = quick("scaling");
    for part in ["later rows", "earlier rows"] {
        let name = |what: &str| format!("{part}, quantile 0.98{what}");
        assert_eq!(value(&rows, &name(": of")), 1.0);
        for rule in ["forecast", "reactive"] {
            let over = value(&rows, &name(&format!(", {rule}: overloaded")));
            let cost = value(&rows, &name(&format!(", {rule}: replicas over need")));
            assert!(over < 50.0 && (0.5..5.0).contains(&cost), "{part}, {rule}: {over} {cost}");
        }
    }
}

#[test]
fn schedule() {
    let rows = quick("schedule");
    for part in ["first half", "second half"] {
        for load in ["0.7", "0.9", "1"] {
            let wait = |policy: &str, what: &str| {
                value(&rows, &format!("{part}, load {load}, {policy}: {what}"))
            };
            for policy in ["fcfs", "sjf", "priority", "mlfq", "default", "sjf, oracle"] {
                let (mean, p99) = (wait(policy, "mean wait"), wait(policy, "p99 wait"));
                assert!(mean <= p99 && p99 <= wait(policy, "maximum wait"), "{policy}");
            }
            // One tenant and one class: priority is the order of arrival.
            assert_eq!(wait("fcfs", "mean wait"), wait("priority", "mean wait"));
            assert!(wait("sjf, oracle", "mean wait") < wait("fcfs", "mean wait"));
        }
        let gain = value(&rows, &format!("{part}, 8 slots: mean wait better by"));
        assert!((0.8..3.0).contains(&gain), "{gain}");
    }
    assert!(value(&rows, "500 queued, 20 workers, best: a decision") > 0.0);
}

#[test]
fn nodes() {
    let rows = quick("nodes");
    assert_eq!(value(&rows, "sessions held"), 100.0);
    assert!(value(&rows, "heartbeats answered") >= 200.0);
}

#[cfg(not(feature = "llama"))]
#[test]
fn without_an_engine_the_way_to_one_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_oag-bench"))
        .args(["engine", "--quick", "--model", "none.gguf"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features llama"));
}
