//! The proof that travels alone, checked by the crate and by the script of the documentation.

use std::io::Write as _;
use std::process::{Command, Stdio};

use oag_ledger::{Checkpoint, EntryKind, Error, ProofBundle, SigningKey, VerifierKey};

use crate::log::{Log, ORIGIN};

const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ledger.md"));

fn bundle(index: usize, size: u64) -> (ProofBundle, VerifierKey) {
    let log = Log::new(700);
    let key = SigningKey::from_bytes(ORIGIN, &[5; 32]).unwrap();
    let note = log.checkpoint(size).sign(&key).unwrap();
    let bundle = ProofBundle::new(&log.rows[index], &log.frontier_at(size), note, &log);
    (bundle.unwrap(), key.verifier())
}

#[test]
fn a_proof_from_changed_hashes_is_not_given_away() {
    let log = Log::new(700);
    let made = |row: usize, log: &Log| {
        ProofBundle::new(&log.rows[row], &log.frontier_at(700), String::new(), log)
    };
    made(300, &log).unwrap();
    let mut changed = log.clone();
    changed.nodes[0].hash.0[0] ^= 1;
    let frontier = log.frontier_at(700);
    let refused = ProofBundle::new(&changed.rows[300], &frontier, String::new(), &changed);
    assert!(matches!(refused, Err(Error::ProofFailed { .. })), "{refused:?}");
    let mut changed = log.clone();
    changed.rows[300].entry.push(b' ');
    assert!(matches!(made(300, &changed), Err(Error::ProofFailed { .. })));
}

#[test]
fn a_bundle_proves_its_entry_and_payload() {
    let (bundle, key) = bundle(300, 650);
    let read = ProofBundle::from_json(&bundle.to_json().unwrap()).unwrap();
    assert_eq!(read, bundle);
    let proven = read.verify(&key).unwrap();
    assert_eq!((proven.index, proven.checkpoint.size), (300, 650));
    assert_eq!((proven.entry.kind, proven.entry.subject.as_str()), (EntryKind::INTENT, "act_150"));
    assert_eq!(proven.payload.unwrap(), br#"{"n":300,"word":"as recorded"}"#);
}

#[test]
fn a_bundle_without_its_payload_still_proves_the_entry() {
    let (bundle, key) = bundle(0, 1);
    let bundle = bundle.withheld();
    let text = bundle.to_json().unwrap();
    assert!(!text.contains("\"payload\": ") && !text.contains("salt"), "{text}");
    assert_eq!(ProofBundle::from_json(&text).unwrap().verify(&key).unwrap().payload, None);
}

#[test]
fn an_altered_bundle_proves_nothing() {
    let (sound, key) = bundle(300, 650);
    let with = |change: &dyn Fn(&mut ProofBundle)| {
        let mut bundle = sound.clone();
        change(&mut bundle);
        bundle.verify(&key).unwrap_err()
    };
    let other = Log::new(301).rows[299].entry.clone();
    assert!(matches!(with(&|b| b.entry = other.clone()), Error::ProofFailed { .. }));
    assert!(matches!(with(&|b| b.entry.push(b' ')), Error::Malformed { what: "entry", .. }));
    assert!(matches!(with(&|b| b.index = 301), Error::ProofFailed { .. }));
    assert!(matches!(with(&|b| b.index = 650), Error::OutOfRange { .. }));
    assert!(matches!(with(&|b| b.proof.truncate(3)), Error::ProofFailed { .. }));
    assert!(matches!(with(&|b| b.proof[2].0[0] ^= 1), Error::ProofFailed { .. }));
    assert!(matches!(with(&|b| b.payload = Some(vec![])), Error::PayloadMismatch { .. }));
    assert!(matches!(with(&|b| b.payload = None), Error::HalfErased));
    assert!(matches!(with(&|b| b.salt = None), Error::HalfErased));
    let resized = |b: &mut ProofBundle| b.checkpoint_note = b.checkpoint_note.replace("650", "651");
    assert!(matches!(with(&resized), Error::BadSignature { .. }));
    let stranger = SigningKey::generate(ORIGIN).unwrap().verifier();
    assert!(matches!(sound.verify(&stranger), Err(Error::NotSigned { .. })));
}

#[test]
fn json_of_another_shape_is_refused() {
    let (bundle, _) = bundle(3, 9);
    let text = bundle.to_json().unwrap();
    for other in [
        text.replace("\"v\": 1", "\"v\": 2"),
        text.replace("\"index\"", "\"place\""),
        text.replace("\"v\": 1", "\"v\": 1, \"more\": 1"),
        text.replace("\"salt\": \"", "\"salt\": \"zz"),
        String::from("{}"),
    ] {
        assert!(ProofBundle::from_json(&other).is_err(), "{other}");
    }
}

/// The script printed in the documentation, run as it stands there.
fn run_script(bundle: &str) -> (bool, String) {
    let (_, after) = GUIDE.split_once("```python\n").unwrap();
    let (script, _) = after.split_once("```").unwrap();
    let mut child = Command::new("python3")
        .args(["-I", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bundle.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_documented_script_agrees() {
    for (index, size) in [(0, 1), (0, 700), (300, 650), (299, 300), (699, 700), (5, 8)] {
        let (bundle, key) = bundle(index, size);
        let root = Checkpoint::open(&bundle.checkpoint_note, &key).unwrap().root;
        let (passed, printed) = run_script(&bundle.to_json().unwrap());
        assert!(passed, "{index} of {size}: {printed}");
        assert!(printed.contains(&root.to_base64()), "{printed}");
        assert!(printed.contains("payload matches"), "{printed}");
    }
    let (sound, _) = bundle(300, 650);
    let (passed, printed) = run_script(&sound.clone().withheld().to_json().unwrap());
    assert!(passed && printed.contains("payload not given"), "{printed}");
    let changes: [fn(&mut ProofBundle); 5] = [
        |bundle| bundle.index = 301,
        |bundle| bundle.proof[0].0[0] ^= 1,
        |bundle| bundle.proof.truncate(3),
        |bundle| bundle.entry[40] ^= 1,
        |bundle| bundle.payload = Some(b"other".to_vec()),
    ];
    for change in changes {
        let mut bundle = sound.clone();
        change(&mut bundle);
        assert!(!run_script(&bundle.to_json().unwrap()).0);
    }
}
