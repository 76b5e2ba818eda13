//! Keys and signed notes in the C2SP signed-note format, Ed25519 only.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::Error;
use crate::hash::hash_parts;

/// The signature type of plain Ed25519 in a signed note.
const ED25519_TYPE: u8 = 0x01;
/// The longest note that is read, in bytes; room for far more than 16 signatures.
const NOTE_LEN_MAX: usize = 128 * 1024;
/// The most signature lines that are read.
const SIGNATURES_MAX: usize = 64;

/// The private key of a log, with the log's name. Shown without its secret.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl SigningKey {
    /// A fresh key for the log `name`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a name that is empty or has spaces, `+` or control characters;
    /// [`Error::Crypto`] without randomness.
    pub fn generate(name: &str) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::generate()
            .map_err(|_| Error::Crypto { action: "generate a signing key" })?;
        Self::with_pair(name, pair)
    }

    /// The key for the 32 bytes of an Ed25519 seed (RFC 8032).
    ///
    /// # Errors
    /// [`Error::Malformed`] for the name as above, [`Error::Crypto`] for other bytes.
    pub fn from_bytes(name: &str, seed: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| Error::Crypto { action: "read a signing key" })?;
        Self::with_pair(name, pair)
    }

    /// The key in a PKCS#8 document.
    ///
    /// # Errors
    /// [`Error::Malformed`] for the name as above, [`Error::Crypto`] for any other document.
    pub fn from_pkcs8(name: &str, document: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(document)
            .map_err(|_| Error::Crypto { action: "read a signing key" })?;
        Self::with_pair(name, pair)
    }

    /// The key as a PKCS#8 document, to be kept secret. The name is not part of it.
    ///
    /// # Errors
    /// [`Error::Crypto`] when the library refuses.
    pub fn to_pkcs8(&self) -> Result<Vec<u8>, Error> {
        let document =
            self.pair.to_pkcs8().map_err(|_| Error::Crypto { action: "write a signing key" })?;
        Ok(document.as_ref().to_vec())
    }

    /// The public half, to be given to whoever checks the log.
    #[must_use]
    pub fn verifier(&self) -> VerifierKey {
        self.verifier.clone()
    }

    /// The name of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.verifier.name
    }

    /// The text, which ends in a newline, with its signature line.
    pub(crate) fn sign_note(&self, text: &str) -> Result<String, Error> {
        let signature = self
            .pair
            .try_sign(text.as_bytes())
            .map_err(|_| Error::Crypto { action: "sign a note" })?;
        let bytes = [self.verifier.id.as_slice(), signature.as_ref()].concat();
        Ok(format!("{text}\n\u{2014} {} {}\n", self.name(), STANDARD.encode(bytes)))
    }

    fn with_pair(name: &str, pair: Ed25519KeyPair) -> Result<Self, Error> {
        let verifier = VerifierKey::new(name, pair.public_key().as_ref())?;
        Ok(Self { pair, verifier })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningKey")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

/// The public key of a log: shown and read as `name+keyid+base64`, where the key id is eight
/// hexadecimal digits of `SHA-256(name || 0x0A || 0x01 || public key)` and the base64 is of
/// `0x01 || public key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    public: [u8; 32],
}

impl VerifierKey {
    /// The name of the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The 32 bytes of the Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public
    }

    fn new(name: &str, public: &[u8]) -> Result<Self, Error> {
        if !is_key_name(name) {
            return Err(Error::malformed("key", "name is empty or has spaces, '+' or controls"));
        }
        let public = <[u8; 32]>::try_from(public)
            .map_err(|_| Error::malformed("key", format!("{} bytes, not 32", public.len())))?;
        let digest = hash_parts(&[name.as_bytes(), &[b'\n', ED25519_TYPE], &public]);
        let mut id = [0; 4];
        id.copy_from_slice(&digest.0[..4]);
        Ok(Self { name: name.to_owned(), id, public })
    }

    /// The text of a note that this key signed, without the blank line and the signatures.
    ///
    /// Lines of other keys are ignored; a line of this key that does not verify spoils the note.
    pub(crate) fn open_note<'a>(&self, note: &'a str) -> Result<&'a str, Error> {
        let (text, signatures) = split_note(note)?;
        let mut verified = false;
        for (name, bytes) in signatures {
            let Some((id, signature)) = bytes.split_first_chunk::<4>() else { continue };
            if name != self.name || *id != self.id {
                continue;
            }
            UnparsedPublicKey::new(&ED25519, &self.public)
                .verify(text.as_bytes(), signature)
                .map_err(|_| Error::BadSignature { name: self.name.clone() })?;
            verified = true;
        }
        if verified { Ok(text) } else { Err(Error::NotSigned { name: self.name.clone() }) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [[ED25519_TYPE].as_slice(), &self.public].concat();
        write!(formatter, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::malformed("key", "not name+id+base64"));
        };
        let bytes =
            STANDARD.decode(key).map_err(|error| Error::malformed("key", error.to_string()))?;
        let Some((&ED25519_TYPE, public)) = bytes.split_first() else {
            return Err(Error::malformed("key", "not an Ed25519 key"));
        };
        let parsed = Self::new(name, public)?;
        if hex::encode(parsed.id) != id {
            return Err(Error::malformed("key", "the id is not that of name and key"));
        }
        Ok(parsed)
    }
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty()
        && !name.chars().any(|char| char.is_whitespace() || char.is_control() || char == '+')
}

type SignatureLine<'a> = (&'a str, Vec<u8>);

/// The text with its final newline, and the signature lines.
fn split_note(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>), Error> {
    let malformed = |reason: &str| Error::malformed("note", reason);
    if note.len() > NOTE_LEN_MAX {
        return Err(malformed("too long"));
    }
    if note.chars().any(|char| char < ' ' && char != '\n') {
        return Err(malformed("control characters"));
    }
    let split = note.rfind("\n\n").ok_or_else(|| malformed("no blank line"))?;
    let (text, lines) = (&note[..=split], &note[split + 2..]);
    let lines = lines.strip_suffix('\n').ok_or_else(|| malformed("no final newline"))?;
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        let parts = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split_once(' '));
        let (name, encoded) = parts.ok_or_else(|| malformed("not a signature line"))?;
        let bytes = STANDARD.decode(encoded).map_err(|_| malformed("signature is not base64"))?;
        if !is_key_name(name) || bytes.len() < 5 || signatures.len() == SIGNATURES_MAX {
            return Err(malformed("not a signature line, or too many"));
        }
        signatures.push((name, bytes));
    }
    Ok((text, signatures))
}
