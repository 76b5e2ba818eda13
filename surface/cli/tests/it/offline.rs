use insta::assert_snapshot;
use oag_ledger::{
    Checkpoint, EntryKind, EntryParts, Frontier, KnownHashes, ProofBundle, SigningKey, new_row,
};
use serde_json::json;

use crate::harness::{Server, ok, run};

fn write(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    (dir, file)
}

/// A day of load with a peak at noon.
fn records() -> String {
    let mut text = String::from("time,value\n");
    for step in 0..2_880_i64 {
        let day = step as f64 / 2_880.0;
        let load = 20.0 + 180.0 * (-((day - 0.5) * 8.0).powi(2)).exp();
        text.push_str(&format!("{},{load:.3}\n", 1_795_000_000 + step * 30));
    }
    text
}

#[test]
fn a_replay_compares_policies() {
    let (_dir, file) = write("load.csv", &records());
    let args = ["replay", &file, "--compare", "reactive,off", "--capacity", "40"];
    let ran = run(&args, None, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    // How many points of a smooth curve count as odd hangs on the last bits of its numbers, which
    // differ from build to build.
    insta::with_settings!({filters => vec![(r"(?m)^((?:reactive|off) .*\s)\d+$", "$1[findings]")]}, {
        assert_snapshot!(ran.all());
    });
}

#[test]
fn a_replay_with_policies_and_a_service_of_ones_own() {
    let (_dir, file) = write("load.csv", &records());
    let (_dir2, policy) = write("p.yaml", "mode: reactive\nthreshold: 0.5\n");
    let (_dir3, service) = write(
        "s.yaml",
        "name: service\ngroup: g\nexecutor: local\nrevision: 3\n\
         scaling: {min_replicas: 2, max_replicas: 3, capacity_per_replica: 40}\n",
    );
    let careful = format!("careful={policy}");
    let args = [
        "replay",
        &file,
        "--policy",
        &careful,
        "--compare",
        "off",
        "--service-spec",
        &service,
        "-o",
        "json",
    ];
    let ran = run(&args, None, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["policies"][0]["name"], "careful");
    assert_eq!(report["policies"][1]["name"], "off");
}

#[test]
fn a_replay_says_what_it_lacks() {
    let (_dir, file) = write("load.csv", &records());
    let ran = run(&["replay", &file], None, "");
    assert_eq!(ran.code, 2);
    assert_snapshot!(ran.err);
    let (_dir, file) = write("bad.csv", "time,value\nyesterday,3\n");
    let ran = run(&["replay", &file], None, "");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("line 2"), "{}", ran.err);
    let ran = run(&["replay", "/nowhere"], None, "");
    assert_eq!(ran.code, 2);
}

#[test]
fn rules_are_checked_without_a_server() {
    let (_dir, file) = write("l.yaml", "- {name: a, quantity: replicas, max: 3}\n");
    let ran = run(&["limits", "check", "-f", &file], None, "");
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 limit: sound\n"), "{}", ran.err);
    let (_dir, file) = write("l.yaml", "- {name: a, min: 5, max: 3, quantity: replicas}\n");
    let ran = run(&["limits", "check", "-f", &file], None, "");
    assert_eq!(ran.code, 2, "{}", ran.out);
    let (_dir, file) = write("p.yaml", "- {role: a, permission: ['*'], resources: ['*']}\n");
    let ran = run(&["policy", "check", "-f", &file], None, "");
    assert_eq!(ran.code, 2, "{}", ran.out);
}

/// A ledger of three rows, the proof of the second, and the public key.
fn proof() -> (String, String) {
    let (mut frontier, mut known) = (Frontier::new(), KnownHashes::new());
    let mut rows = Vec::new();
    for index in 0..3_u64 {
        let parts = EntryParts {
            at: "2026-11-21T08:00:00.000Z".to_owned(),
            tenant: "default".to_owned(),
            kind: EntryKind::INTENT,
            subject: format!("act_{index:032x}"),
        };
        let row = new_row(index, parts, br#"{"kind":"scale"}"#, [7; 32]).unwrap();
        known.insert(0, index, row.leaf_hash);
        for node in frontier.append(row.leaf_hash) {
            known.insert(node.level, node.index, node.hash);
        }
        rows.push(row);
    }
    let key = SigningKey::from_bytes("test", &[1; 32]).unwrap();
    let note = Checkpoint::of("test", &frontier).sign(&key).unwrap();
    let bundle = ProofBundle::new(&rows[1], &frontier, note, &known).unwrap();
    (bundle.to_json().unwrap(), key.verifier().to_string())
}

#[test]
fn a_proof_is_checked_without_a_server() {
    let (text, key) = proof();
    let (_dir, file) = write("proof.json", &text);
    let ran = run(&["ledger", "check-proof", &file, "--key", &key], None, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_snapshot!(ran.all());
    let ran = run(&["ledger", "check-proof", &file, "--key", &key, "-o", "json"], None, "");
    assert!(ran.out.contains("\"holds\": true"), "{}", ran.out);
}

#[test]
fn a_changed_proof_does_not_hold() {
    let (text, key) = proof();
    let (_dir, file) = write("proof.json", &text.replace("\"index\": 1", "\"index\": 0"));
    let ran = run(&["ledger", "check-proof", &file, "--key", &key], None, "");
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.err.starts_with("error: the proof does NOT hold"), "{}", ran.err);
    let other = SigningKey::from_bytes("test", &[2; 32]).unwrap().verifier().to_string();
    let (_dir, file) = write("proof.json", &text);
    let ran = run(&["ledger", "check-proof", &file, "--key", &other], None, "");
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert_eq!(run(&["ledger", "check-proof", &file, "--key", "x"], None, "").code, 2);
    let (_dir, file) = write("proof.json", "{}");
    assert_eq!(run(&["ledger", "check-proof", &file, "--key", &key], None, "").code, 2);
}

#[test]
fn the_ledger_of_a_server() {
    let (text, key) = proof();
    let row = json!({"index": 1, "at": "2026-11-21T08:00:00.000Z", "kind": "intent",
        "subject": "act_1", "leaf_hash": "ab", "payload": {"kind": "scale"}, "erased": false});
    let server = Server::with(vec![
        ok(
            "GET /api/v1/ledger",
            json!({"size": 3, "root": "abcd", "checkpoint": "test\n3\nq80=\n",
            "verifier_key": key}),
        ),
        ok("GET /api/v1/ledger/rows/1", row),
        ok("GET /api/v1/ledger/rows/1/proof", serde_json::from_str(&text).unwrap()),
        ok("POST /api/v1/ledger/rows/1/erase", json!({"erased": true})),
    ]);
    let head = server.run(&["ledger", "head"]).all();
    assert_snapshot!(format!("{head}{}", server.run(&["ledger", "show", "1"]).all()));
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("proof.json").to_str().unwrap().to_owned();
    assert_eq!(server.run(&["ledger", "proof", "1", "--out", &out]).code, 0);
    assert_eq!(run(&["ledger", "check-proof", &out, "--key", &key], None, "").code, 0);
    let ran = server.run(&["ledger", "erase", "1", "--reason", "asked for", "--yes"]);
    assert_eq!(ran.out, "payload of row 1 erased\n");
}

/// Requests of two sizes, as a CSV of the columns that traces have.
fn requests() -> String {
    let mut text = String::from("TIMESTAMP,ContextTokens,GeneratedTokens\n");
    for number in 0..400 {
        let (prompt, answer) = if number % 3 == 0 { (2_000, 400) } else { (100, 20) };
        text.push_str(&format!("{}.5,{prompt},{answer}\n", number + number % 40));
    }
    text
}

#[test]
fn a_simulation_compares_policies_and_draws_them() {
    let (dir, file) = write("trace.csv", &requests());
    let page = dir.path().join("page.html");
    let faults = "crash=1,slow=1,late=1";
    let args = ["simulate", "--trace", &file, "--nodes", "6", "--slots", "2", "--faults", faults];
    let more = ["--oracle", "-o", "json", "--report", page.to_str().unwrap()];
    let ran = run(&[&args[..], &more[..]].concat(), None, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("report: "), "{}", ran.err);
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let (requests, copies) = (document["requests"].as_u64(), document["copies"].as_u64());
    assert_eq!(requests.unwrap(), 400 * copies.unwrap());
    let policies = document["policies"].as_array().unwrap();
    let names: Vec<_> = policies.iter().map(|played| played["policy"].as_str().unwrap()).collect();
    assert_eq!(names, ["fcfs", "balanced", "sjf, oracle"]);
    for played in policies {
        let counts = ["tasks", "refused", "given_up"].map(|name| played[name].as_u64().unwrap());
        assert_eq!(Some(counts.iter().sum()), requests, "{}", played["policy"]);
        assert!(played["losses"].as_u64().unwrap() > 0 && played["waits_s"][100].is_f64());
    }
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.ends_with("</html>\n") && html.matches("<svg class=\"chart\"").count() == 3);
    let again = run(&args, None, "");
    assert_eq!((again.code, &again.out), (0, &run(&args, None, "").out));
    assert!(again.out.contains("6 workers of 2 slots, load 0.9, best, 1 crash, 1 slow, 1 late"));
    assert!(again.out.contains("POLICY") && again.out.contains("LONGEST WAIT"), "{}", again.out);
}

#[test]
fn a_simulation_says_what_is_wrong() {
    let (_dir, file) = write("trace.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n1,2\n");
    let wrong = run(&["simulate", "--trace", &file, "--nodes", "1"], None, "");
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("line 2: 2 fields where 3 were expected"), "{}", wrong.err);
    let (_dir, file) = write("trace.csv", &requests());
    for (more, said) in [
        (["--faults", "crash=3"], "more faults than workers"),
        (["--copies", "1000000"], "are more than 20000000 in one run"),
        (["--report", "/no/such/directory/page.html"], "cannot be written"),
    ] {
        let args = ["simulate", "--trace", &file, "--nodes", "2"];
        let ran = run(&[&args[..], &more[..]].concat(), None, "");
        assert!(ran.code == 2 && ran.err.contains(said), "{}: {}", ran.code, ran.err);
    }
}
