//! Commands that are obeyed once, and all those that are not.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use oag_pki::PkiError;
use oag_pki::command::{
    Checker, Command, CommandKind, Envelope, NonceStore, PAYLOAD_TYPE, Refused, SigningKey,
    VerifyingKey, new_nonce, sign,
};
use oag_types::{Digest, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::mode;

const MINUTE_MS: i64 = 60_000;

struct Desk {
    folder: TempDir,
    key: SigningKey,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open(folder.path()).unwrap();
        Self { folder, key }
    }

    fn checker(&self) -> Checker {
        self.checker_with(self.key.public())
    }

    /// As after a start of the node.
    fn checker_with(&self, key: VerifyingKey) -> Checker {
        let nonces = NonceStore::open(&self.folder.path().join("nonces.json")).unwrap();
        Checker::new("shop", "node-1", key, nonces)
    }

    fn signed(&self, change: impl FnOnce(&mut Command)) -> Vec<u8> {
        sign(&self.key, &command(change)).unwrap().to_bytes()
    }

    /// What the key signs when nobody looks at it before.
    fn signed_anyway(&self, payload: &str) -> Vec<u8> {
        self.signed_as(PAYLOAD_TYPE, payload)
    }

    fn signed_as(&self, payload_type: &str, payload: &str) -> Vec<u8> {
        use aws_lc_rs::signature::Ed25519KeyPair;
        use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
        let file = self.folder.path().join("command.key");
        let document = PrivatePkcs8KeyDer::from_pem_file(file).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.secret_pkcs8_der()).unwrap();
        let message =
            format!("DSSEv1 {} {payload_type} {} {payload}", payload_type.len(), payload.len());
        let sig = STANDARD.encode(pair.sign(message.as_bytes()));
        let (payload, keyid) = (STANDARD.encode(payload), self.key.public().id());
        let signatures = [json!({ "keyid": keyid, "sig": sig })];
        json!({ "payload": payload, "payloadType": payload_type, "signatures": signatures })
            .to_string()
            .into_bytes()
    }
}

fn noon() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn at(minutes: i64) -> Timestamp {
    noon().plus_millis(minutes * MINUTE_MS)
}

fn command(change: impl FnOnce(&mut Command)) -> Command {
    let mut command = Command {
        cluster: "shop".to_owned(),
        target: "node-1".to_owned(),
        kind: CommandKind::ModelSwap,
        body: json!({ "model": "glm", "half": 0.5, "name": "ü" }),
        plan: Digest::of(b"plan"),
        nonce: new_nonce().unwrap(),
        not_before: noon(),
        expires: at(5),
    };
    change(&mut command);
    command
}

fn edited(envelope: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(envelope).unwrap();
    edit(&mut value);
    value.to_string().into_bytes()
}

fn payload(envelope: &[u8]) -> String {
    let value: Value = serde_json::from_slice(envelope).unwrap();
    String::from_utf8(STANDARD.decode(value["payload"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_good_command_is_obeyed_once() {
    let desk = Desk::new();
    let checker = desk.checker();
    for kind in [
        CommandKind::Restart,
        CommandKind::Configuration,
        CommandKind::ModelSwap,
        CommandKind::Script,
    ] {
        let given = command(|command| command.kind = kind);
        let envelope = sign(&desk.key, &given).unwrap().to_bytes();
        assert_eq!(checker.check(&envelope, at(1)).unwrap(), given);
        assert!(matches!(checker.check(&envelope, at(1)), Err(Refused::Replayed)));
    }
    assert_eq!(checker.nonces(), 4);
    let nonces = desk.folder.path().join("nonces.json");
    let key = desk.folder.path().join("command.key");
    assert_eq!((mode(&nonces).unwrap(), mode(&key).unwrap()), (0o600, 0o600));
}

#[test]
fn the_key_stays_and_its_public_half_can_be_carried() {
    let desk = Desk::new();
    let again = SigningKey::open(desk.folder.path()).unwrap().public();
    assert_eq!(again, desk.key.public());
    assert_eq!(again.to_string().parse::<VerifyingKey>().unwrap(), again);
    let envelope = desk.signed(|_| {});
    assert!(desk.checker_with(again).check(&envelope, noon()).is_ok());
    for bad in ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA"] {
        assert!(bad.parse::<VerifyingKey>().is_err(), "{bad}");
    }
    fs::write(desk.folder.path().join("command.key"), "no key").unwrap();
    assert!(matches!(SigningKey::open(desk.folder.path()), Err(PkiError::Damaged { .. })));
}

#[test]
fn an_unknown_key_and_a_bad_signature_are_told_apart() {
    let (desk, thief) = (Desk::new(), Desk::new());
    let checker = desk.checker();
    let envelope = desk.signed(|_| {});
    let stolen = thief.signed(|_| {});
    assert!(matches!(checker.check(&stolen, noon()), Err(Refused::UnknownKey)));
    let own_id = desk.key.public().id();
    let claimed = edited(&stolen, |value| value["signatures"][0]["keyid"] = own_id.into());
    assert!(matches!(checker.check(&claimed, noon()), Err(Refused::BadSignature)));
    let unsigned = edited(&envelope, |value| value["signatures"] = json!([]));
    assert!(matches!(checker.check(&unsigned, noon()), Err(Refused::UnknownKey)));
    let other = sign(&desk.key, &command(|_| {})).unwrap().to_bytes();
    let other: Value = serde_json::from_slice(&other).unwrap();
    let swapped = edited(&envelope, |value| value["signatures"] = other["signatures"].clone());
    assert!(matches!(checker.check(&swapped, noon()), Err(Refused::BadSignature)));
    // A second signature does no harm, nor does a missing hint.
    let more = edited(&envelope, |value| {
        let own = value["signatures"][0]["sig"].clone();
        value["signatures"] = json!([{ "keyid": "other", "sig": "AAAA" }, { "sig": own }]);
    });
    assert!(checker.check(&more, noon()).is_ok());
}

#[test]
fn the_signature_is_over_the_exact_bytes() {
    let desk = Desk::new();
    let checker = desk.checker();
    let envelope = desk.signed(|_| {});
    let bytes = payload(&envelope);
    let value: Value = serde_json::from_str(&bytes).unwrap();
    let alike = [
        serde_json::to_string_pretty(&value).unwrap(),
        value.to_string(),
        format!("{bytes} "),
        bytes.replace("0.5", "0.50"),
        bytes.replace('ü', "\\u00fc"),
        bytes.replace("node-1", "node-2"),
    ];
    for text in alike {
        assert_ne!(text, bytes);
        let changed = edited(&envelope, |value| value["payload"] = STANDARD.encode(&text).into());
        let refused = checker.check(&changed, noon());
        assert!(matches!(refused, Err(Refused::BadSignature)), "{text}: {refused:?}");
    }
    // The envelope around the bytes may be written in another way.
    let value: Value = serde_json::from_slice(&envelope).unwrap();
    let pretty = serde_json::to_vec_pretty(&value).unwrap();
    assert!(checker.check(&pretty, noon()).is_ok());
}

#[test]
fn another_type_is_no_command() {
    let desk = Desk::new();
    let checker = desk.checker();
    let text = serde_json::to_string(&command(|_| {})).unwrap();
    let other = desk.signed_as("application/vnd.in-toto+json", &text);
    assert!(matches!(checker.check(&other, noon()), Err(Refused::OtherType)));
    let renamed = edited(&other, |value| value["payloadType"] = PAYLOAD_TYPE.into());
    assert!(matches!(checker.check(&renamed, noon()), Err(Refused::BadSignature)));
}

#[test]
fn a_command_for_someone_else_is_refused() {
    let desk = Desk::new();
    let checker = desk.checker();
    let envelope = desk.signed(|command| command.cluster = "other".to_owned());
    let refused = checker.check(&envelope, noon());
    assert!(matches!(refused, Err(Refused::OtherCluster(name)) if name == "other"));
    let envelope = desk.signed(|command| command.target = "node-2".to_owned());
    let refused = checker.check(&envelope, noon());
    assert!(matches!(refused, Err(Refused::OtherNode(name)) if name == "node-2"));
    assert_eq!(checker.nonces(), 0);
}

#[test]
fn a_command_has_its_time() {
    let desk = Desk::new();
    let checker = desk.checker();
    let early = noon().plus_millis(-1);
    let envelope = desk.signed(|_| {});
    assert!(matches!(checker.check(&envelope, early), Err(Refused::NotYet(_))));
    assert!(matches!(checker.check(&envelope, at(5)), Err(Refused::Expired(_))));
    // It was not used up by having been refused.
    assert!(checker.check(&envelope, at(5).plus_millis(-1)).is_ok());
    let envelope = desk.signed(|_| {});
    assert!(checker.check(&envelope, noon()).is_ok());
}

#[test]
fn a_command_for_longer_than_five_minutes_is_neither_signed_nor_obeyed() {
    let desk = Desk::new();
    let checker = desk.checker();
    for expires in [at(5).plus_millis(1), at(600), noon(), at(-1)] {
        let long = command(|command| command.expires = expires);
        assert!(matches!(sign(&desk.key, &long), Err(PkiError::Argument { field: "expires", .. })));
        let signed = desk.signed_anyway(&serde_json::to_string(&long).unwrap());
        assert!(matches!(checker.check(&signed, noon()), Err(Refused::Lifetime)), "{expires}");
    }
}

#[test]
fn what_is_not_understood_is_not_obeyed() {
    let desk = Desk::new();
    let checker = desk.checker();
    let text = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(command(|_| {})).unwrap();
        change(&mut value);
        value.to_string()
    };
    let unreadable = [
        text(|value| value["only_if"] = "healthy".into()),
        text(|value| value["kind"] = "format_disk".into()),
        text(|value| value["nonce"] = "short".into()),
        text(|value| value["nonce"] = Value::Null),
        "[]".to_owned(),
    ];
    for text in unreadable {
        let refused = checker.check(&desk.signed_anyway(&text), noon());
        assert!(matches!(refused, Err(Refused::Unreadable(_))), "{text}: {refused:?}");
    }
    let envelope = desk.signed(|_| {});
    let malformed = [
        b"".to_vec(),
        b"{}".to_vec(),
        envelope[..envelope.len() / 2].to_vec(),
        edited(&envelope, |value| value["payload"] = "~".into()),
        edited(&envelope, |value| value["signatures"] = vec![json!({ "sig": "" }); 17].into()),
        [envelope.as_slice(), &vec![b' '; 600_000]].concat(),
    ];
    for bytes in malformed {
        let refused = checker.check(&bytes, noon());
        assert!(matches!(refused, Err(Refused::Malformed(_))), "{refused:?}");
    }
    assert_eq!(checker.nonces(), 0);
}

#[test]
fn what_no_node_would_obey_is_not_signed() {
    let key = Desk::new().key;
    let refused = |change: fn(&mut Command)| match sign(&key, &command(change)) {
        Err(PkiError::Argument { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(|command| command.cluster = "a b".to_owned()), "cluster");
    assert_eq!(refused(|command| command.target = String::new()), "target");
    assert_eq!(refused(|command| command.nonce = "AA".repeat(16)), "nonce");
    assert_eq!(refused(|command| command.body = "x".repeat(300_000).into()), "body");
}

#[test]
fn a_restart_of_the_node_opens_no_replay() {
    let desk = Desk::new();
    let envelope = desk.signed(|_| {});
    assert!(desk.checker().check(&envelope, noon()).is_ok());
    let checker = desk.checker();
    assert!(matches!(checker.check(&envelope, at(4)), Err(Refused::Replayed)));
    assert!(matches!(checker.check(&envelope, at(5)), Err(Refused::Expired(_))));
}

#[test]
fn nonces_are_let_go_with_their_commands_and_a_clock_that_goes_back_opens_no_replay() {
    let desk = Desk::new();
    let checker = desk.checker();
    let first = desk.signed(|_| {});
    assert!(checker.check(&first, noon()).is_ok());
    let later = desk.signed(|command| {
        command.not_before = at(6);
        command.expires = at(8);
    });
    assert!(checker.check(&later, at(6)).is_ok());
    assert_eq!(checker.nonces(), 1);
    // The clock goes back to where the first command is in force, and its nonce is forgotten.
    for checker in [checker, desk.checker()] {
        let refused = checker.check(&first, at(1));
        assert!(matches!(refused, Err(Refused::Forgotten(until)) if until == at(5)), "{refused:?}");
        // What ends after all that was forgotten is obeyed, also with the clock behind.
        let fresh = desk.signed(|command| {
            command.not_before = at(1);
            command.expires = at(6);
        });
        assert!(checker.check(&fresh, at(1)).is_ok());
    }
}

#[test]
fn without_room_or_disk_for_a_nonce_nothing_is_obeyed() {
    let desk = Desk::new();
    let file = desk.folder.path().join("nonces.json");
    let nonces: serde_json::Map<_, _> =
        (0..1024).map(|number| (format!("{number:032x}"), at(5).to_string().into())).collect();
    fs::write(&file, json!({ "nonces": nonces }).to_string()).unwrap();
    let checker = desk.checker();
    let envelope = desk.signed(|command| command.expires = at(4));
    let refused = checker.check(&envelope, noon());
    assert!(matches!(refused, Err(Refused::NotKept(PkiError::Full { .. }))), "{refused:?}");

    // A folder in the place of the file: whoever the test runs as, it cannot be replaced.
    fs::remove_file(&file).unwrap();
    let checker = desk.checker();
    fs::create_dir(&file).unwrap();
    let refused = checker.check(&envelope, noon());
    assert!(matches!(refused, Err(Refused::NotKept(PkiError::File { .. }))), "{refused:?}");
    // It was not obeyed, so that it may come again when the disk is mended.
    fs::remove_dir(&file).unwrap();
    assert!(checker.check(&envelope, noon()).is_ok());
}

#[test]
fn damaged_nonces_are_said_so() {
    let desk = Desk::new();
    let file = desk.folder.path().join("nonces.json");
    desk.checker().check(&desk.signed(|_| {}), noon()).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    assert!(matches!(NonceStore::open(&file), Err(PkiError::Damaged { .. })));
}

#[test]
fn an_envelope_can_be_kept_and_read_again() {
    let desk = Desk::new();
    let envelope = sign(&desk.key, &command(|_| {})).unwrap();
    let read: Envelope = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    assert_eq!(read, envelope);
    let value: Value = serde_json::from_slice(&envelope.to_bytes()).unwrap();
    assert_eq!(value["payloadType"], PAYLOAD_TYPE);
    assert_eq!(value["signatures"][0]["keyid"], desk.key.public().id());
}
