//! The key that commands are signed with, and its public half.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use oag_types::Digest;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{PkiError, crypto};
use crate::files;

const FILE: &str = "command.key";
const HEAD: &str = "ed25519:";
/// Hexadecimal digits of a key's id.
const ID_LEN: usize = 16;

/// The key that commands are signed with. Shown without its secret.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: VerifyingKey,
}

impl SigningKey {
    /// Loads the key of a folder, or makes one there.
    ///
    /// # Errors
    /// [`PkiError::Damaged`] when the file holds no Ed25519 key, and others when files or the
    /// library refuse.
    pub fn open(folder: &Path) -> Result<Self, PkiError> {
        files::create_folder(folder)?;
        let file = folder.join(FILE);
        let pem = match files::read(&file)? {
            Some(pem) => pem,
            None => {
                let key = KeyPair::generate_for(&PKCS_ED25519);
                let pem = key.map_err(crypto("generate a key"))?.serialize_pem();
                files::write(&file, pem.as_bytes())?;
                pem
            }
        };
        let document = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| PkiError::damaged(&file, error))?;
        let pair = Ed25519KeyPair::from_pkcs8(document.secret_pkcs8_der())
            .map_err(|error| PkiError::damaged(&file, error))?;
        let public = pair.public_key().as_ref().try_into().map_err(crypto("read a key"))?;
        Ok(Self { pair, public: VerifyingKey(public) })
    }

    /// The public half, for the nodes.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// The public half of the command key: shown and read as `ed25519:` and base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// What tells it from other keys in an envelope; a hint, never a proof.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::of(&self.0).to_string().chars().take(ID_LEN).collect()
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}{}", STANDARD.encode(self.0))
    }
}

impl FromStr for VerifyingKey {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let bytes = text.strip_prefix(HEAD).and_then(|key| STANDARD.decode(key).ok());
        let key = bytes.and_then(|bytes| bytes.try_into().ok());
        let wrong = || PkiError::argument("command key", "must be 'ed25519:' and base64");
        key.map(Self).ok_or_else(wrong)
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
