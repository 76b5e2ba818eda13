//! Signed notes and keys: what is accepted, and that nothing else is.

use oag_ledger::{Checkpoint, EMPTY_ROOT, Error, Hash, SigningKey, VerifierKey, leaf_hash};
use proptest::prelude::*;

use crate::log::ORIGIN;

fn key() -> SigningKey {
    SigningKey::from_bytes(ORIGIN, &[9; 32]).unwrap()
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: ORIGIN.into(), size: 42, root: leaf_hash(b"root") }
}

#[test]
fn a_signed_checkpoint_has_the_lines_of_the_format_and_opens() {
    let note = checkpoint().sign(&key()).unwrap();
    let head = format!("{ORIGIN}\n42\n{}\n\n\u{2014} {ORIGIN} ", leaf_hash(b"root").to_base64());
    assert!(note.starts_with(&head) && note.ends_with('\n'), "{note}");
    assert_eq!(Checkpoint::open(&note, &key().verifier()).unwrap(), checkpoint());
}

/// A key and a note published with the Go implementation of the format.
#[test]
fn a_key_of_another_implementation_is_read_and_written_alike() {
    for text in [
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    ] {
        assert_eq!(text.parse::<VerifierKey>().unwrap().to_string(), text);
    }
    let note = concat!(
        "If you think cryptography is the answer to your problem,\n",
        "then you don't know what your problem is.\n",
        "\n",
        "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvq",
        "fqdngotpRZb6KE6RyyBwJnAM=\n",
    );
    let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    // The signature holds; it is the text that is no checkpoint.
    let error = Checkpoint::open(note, &key.parse().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Malformed { what: "checkpoint", .. }), "{error}");
    let error = Checkpoint::open(&note.replace("your", "my"), &key.parse().unwrap()).unwrap_err();
    assert!(matches!(error, Error::BadSignature { .. }), "{error}");
}

#[test]
fn keys_round_trip_through_pkcs8_and_text() {
    let generated = SigningKey::generate(ORIGIN).unwrap();
    let again = SigningKey::from_pkcs8(ORIGIN, &generated.to_pkcs8().unwrap()).unwrap();
    assert_eq!(again.verifier(), generated.verifier());
    let text = generated.verifier().to_string();
    assert_eq!(text.parse::<VerifierKey>().unwrap(), generated.verifier());
    let note = checkpoint().sign(&again).unwrap();
    Checkpoint::open(&note, &text.parse().unwrap()).unwrap();
    assert!(!format!("{:?}", key()).contains("pair"));
    assert_ne!(generated.verifier(), SigningKey::generate(ORIGIN).unwrap().verifier());
}

#[test]
fn odd_keys_are_refused() {
    let text = key().verifier().to_string();
    for name in ["", "a b", "a+b", "a\nb", "a\u{2003}b"] {
        SigningKey::generate(name).unwrap_err();
    }
    for other in [
        text.replace(ORIGIN, "other.test/log"),
        text.replace("+A", "+B"),
        text.replace('+', "-"),
        format!("{text}AA"),
        String::new(),
    ] {
        assert!(other.parse::<VerifierKey>().is_err(), "{other}");
    }
    SigningKey::from_bytes(ORIGIN, &[9; 31]).unwrap_err();
    SigningKey::from_pkcs8(ORIGIN, b"no key").unwrap_err();
}

#[test]
fn another_key_or_another_origin_is_refused() {
    let note = checkpoint().sign(&key()).unwrap();
    let stranger = SigningKey::from_bytes(ORIGIN, &[8; 32]).unwrap().verifier();
    assert!(matches!(Checkpoint::open(&note, &stranger), Err(Error::NotSigned { .. })));
    let elsewhere = SigningKey::from_bytes("example.test/other", &[9; 32]).unwrap();
    assert!(matches!(Checkpoint::open(&note, &elsewhere.verifier()), Err(Error::NotSigned { .. })));
    assert!(matches!(checkpoint().sign(&elsewhere), Err(Error::WrongOrigin { .. })));
}

#[test]
fn other_signatures_are_ignored_but_not_broken_ones_of_the_key() {
    let note = checkpoint().sign(&key()).unwrap();
    let witness = SigningKey::from_bytes("witness.test", &[1; 32]).unwrap();
    let line = |note: &str| note.rsplit("\n\n").next().unwrap().to_owned();
    let foreign = Checkpoint { origin: "witness.test".into(), ..checkpoint() };
    let foreign_line = line(&foreign.sign(&witness).unwrap());
    Checkpoint::open(&format!("{note}{foreign_line}"), &key().verifier()).unwrap();
    let older = Checkpoint { size: 41, ..checkpoint() };
    let stale_line = line(&older.sign(&key()).unwrap());
    let error = Checkpoint::open(&format!("{note}{stale_line}"), &key().verifier()).unwrap_err();
    assert!(matches!(error, Error::BadSignature { .. }));
}

#[test]
fn the_empty_log_has_a_checkpoint() {
    let empty = Checkpoint { origin: ORIGIN.into(), size: 0, root: EMPTY_ROOT };
    let note = empty.sign(&key()).unwrap();
    assert!(
        note.starts_with(&format!("{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="))
    );
    assert_eq!(Checkpoint::open(&note, &key().verifier()).unwrap(), empty);
}

proptest! {
    #[test]
    fn checkpoints_round_trip(size in any::<u64>(), root in any::<[u8; 32]>()) {
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: Hash(root) };
        let note = checkpoint.sign(&key()).unwrap();
        prop_assert_eq!(Checkpoint::open(&note, &key().verifier()).unwrap(), checkpoint);
    }

    #[test]
    fn any_altered_byte_spoils_a_note(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = checkpoint().sign(&key()).unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(note) = String::from_utf8(bytes) {
            prop_assert!(Checkpoint::open(&note, &key().verifier()).is_err(), "{}", note);
        }
    }

    #[test]
    fn any_text_is_refused_without_a_panic(text in "[ -~\n\u{2014}]{0,200}") {
        prop_assert!(Checkpoint::open(&text, &key().verifier()).is_err());
        let _ = text.parse::<VerifierKey>();
    }
}
