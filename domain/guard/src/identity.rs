//! API keys: long random secrets of which only a hash is kept.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oag_types::{Decision, KeyId, Permission, PrincipalId, Reason, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::GuardError;
use crate::permissions::{covers, is_pattern};

const PREFIX: &str = "oag_";
const SECRET_BYTES: usize = 32;
const SECRET_CHARS: usize = 43;
const ID_CHARS: usize = 32;

/// An API key as it is kept. The secret itself is shown once, when the key is made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its id, part of the text that is presented.
    pub id: KeyId,
    /// Whose key it is.
    pub principal: PrincipalId,
    /// What it is for, for people.
    pub name: String,
    /// SHA-256 of the secret, in hexadecimal. The secret has 256 random bits, so no slow hash is
    /// needed: there is nothing to guess.
    pub hash: String,
    /// What of its principal's permissions it carries; all of them when empty. A key can only
    /// narrow.
    pub scopes: Vec<Permission>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From this moment on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// A secret that does not show itself in debug output.
#[derive(Clone)]
pub struct Secret(String);

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is not this key's.
    #[error("the API key is not valid")]
    Wrong,
    /// It was revoked.
    #[error("the API key was revoked at {at}")]
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// It is past its time.
    #[error("the API key expired at {at}")]
    Expired {
        /// When.
        at: Timestamp,
    },
}

impl Secret {
    /// The text itself: to show it once to its owner, or to compare.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("principal", &self.principal)
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .field("revoked_at", &self.revoked_at)
            .field("last_used_at", &self.last_used_at)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// Whether the key carries this permission of its principal.
    ///
    /// # Errors
    /// The reason why not, with the rule `key.scope`.
    pub fn allows(&self, permission: &Permission) -> Result<(), Reason> {
        if self.scopes.is_empty() || self.scopes.iter().any(|scope| covers(scope, permission)) {
            return Ok(());
        }
        let text = format!("the key '{}' does not carry {}", self.name, permission.as_str());
        Err(Reason { rule: "key.scope".to_owned(), decision: Decision::Deny, text })
    }
}

/// Makes a key. The text (`oag_<id>_<secret>`) is to be shown once and kept nowhere.
///
/// # Errors
/// When a scope is no permission, or no randomness is available.
pub fn mint(
    id: KeyId,
    principal: PrincipalId,
    name: String,
    scopes: Vec<Permission>,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(ApiKey, Secret), GuardError> {
    if let Some(index) = scopes.iter().position(|scope| !is_pattern(scope.as_str())) {
        let problem = "is no permission: write resource:verb, such as service:restart";
        return Err(GuardError::invalid(format!("scopes[{index}]"), problem));
    }
    let mut bytes = [0_u8; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| GuardError::NoRandomness)?;
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    let text = Secret(format!("{PREFIX}{}_{secret}", id.uuid().simple()));
    let key = ApiKey {
        id,
        principal,
        name,
        hash: hash(&secret),
        scopes,
        created_at: now,
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    Ok((key, text))
}

/// Takes a presented text apart into the id to look up and the secret to verify.
#[must_use]
pub fn parse_key(text: &str) -> Option<(KeyId, Secret)> {
    let rest = text.strip_prefix(PREFIX)?;
    let (id, secret) = rest.split_at_checked(ID_CHARS)?;
    let secret = secret.strip_prefix('_')?;
    let hex = id.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    if !hex || secret.len() != SECRET_CHARS || URL_SAFE_NO_PAD.decode(secret).is_err() {
        return None;
    }
    let id = format!("{}_{id}", KeyId::PREFIX).parse().ok()?;
    Some((id, Secret(secret.to_owned())))
}

/// Whether the presented secret is this key's and the key is in force. The comparison takes the
/// same time wherever the difference is.
///
/// # Errors
/// Why it is refused; a wrong secret learns nothing else about the key.
pub fn verify(key: &ApiKey, presented: &Secret, now: Timestamp) -> Result<(), KeyError> {
    let given = hash(presented.expose());
    if !bool::from(given.as_bytes().ct_eq(key.hash.as_bytes())) {
        return Err(KeyError::Wrong);
    }
    if let Some(at) = key.revoked_at {
        return Err(KeyError::Revoked { at });
    }
    match key.expires_at {
        Some(at) if now >= at => Err(KeyError::Expired { at }),
        _ => Ok(()),
    }
}

fn hash(secret: &str) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()))
}
