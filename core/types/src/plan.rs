//! Plans: ordered actions, sealed into exact bytes so that an approval binds to what was read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Action, FindingId, PlanId, PrincipalId, StoryId, Tenant, Timestamp};

/// Where a plan came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The loop decided it from signals.
    Loop,
    /// A person or program asked for it over the API.
    Request,
    /// A language model proposed it.
    Model,
}

/// An ordered list of actions with its reason. Never changed after it is sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// The story it belongs to.
    pub story: StoryId,
    /// The owner.
    pub tenant: Tenant,
    /// Who proposed it; never among those who approve it.
    pub proposer: PrincipalId,
    /// Where it came from.
    pub origin: Origin,
    /// One line for people: what will be done.
    pub summary: String,
    /// Why, in plain words.
    pub reason: String,
    /// The findings it answers.
    pub findings: Vec<FindingId>,
    /// What will be done, in order.
    pub actions: Vec<Action>,
    /// The state it was decided on, per service: executors' revisions. A plan whose base has
    /// moved is refused at execution.
    pub base: std::collections::BTreeMap<String, u64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// After this it is not executed any more.
    pub expires_at: Timestamp,
}

/// SHA-256 over the exact bytes of a sealed plan, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        Self(out)
    }

    /// The digest of everything that can be read.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of_reader(mut from: impl std::io::Read) -> std::io::Result<Self> {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let mut buffer = vec![0; 1 << 20];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => context.update(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let mut out = [0; 32];
        out.copy_from_slice(context.finish().as_ref());
        Ok(Self(out))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut out = [0; 32];
        hex::decode_to_slice(text, &mut out)?;
        Ok(Self(out))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A plan with the exact bytes it was sealed into. The bytes are what is kept, shown, approved
/// and recorded; the digest is over them, so nothing depends on writing JSON twice alike.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedPlan {
    bytes: String,
    digest: Digest,
    plan: Plan,
}

impl SealedPlan {
    /// Seals a plan.
    ///
    /// # Errors
    /// When the plan cannot be written as JSON (a map with keys that are no text).
    pub fn seal(plan: Plan) -> Result<Self, serde_json::Error> {
        let bytes = serde_json::to_string(&plan)?;
        Ok(Self { digest: Digest::of(bytes.as_bytes()), bytes, plan })
    }

    /// Opens sealed bytes again.
    ///
    /// # Errors
    /// When the bytes are no plan.
    pub fn open(bytes: String) -> Result<Self, serde_json::Error> {
        let plan = serde_json::from_str(&bytes)?;
        Ok(Self { digest: Digest::of(bytes.as_bytes()), bytes, plan })
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &str {
        &self.bytes
    }

    /// The digest an approval binds to.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The plan inside.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl Serialize for SealedPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SealedPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::open(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
