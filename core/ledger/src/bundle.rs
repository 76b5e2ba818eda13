//! A proof that travels alone: one entry, the way to a root, and the checkpoint that signs it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::row::check_payload;
use crate::{
    Checkpoint, Entry, Error, Frontier, Hash, HashSource, Row, VerifierKey, inclusion_proof,
    leaf_hash, verify_inclusion,
};

/// The version written into every bundle.
const VERSION: u32 = 1;

/// Everything a third party needs, besides the log's public key, to check that one entry is in
/// the log. `docs/ledger.md` describes the JSON and how to check it by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofBundle {
    /// The exact bytes of the entry.
    pub entry: Vec<u8>,
    /// The payload, unless erased or withheld.
    pub payload: Option<Vec<u8>>,
    /// The salt, exactly when the payload is there.
    pub salt: Option<Vec<u8>>,
    /// The position of the entry.
    pub index: u64,
    /// The inclusion proof for the size of the checkpoint.
    pub proof: Vec<Hash>,
    /// The signed note of the checkpoint.
    pub checkpoint_note: String,
}

/// What a bundle proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The checkpoint whose tree has the entry.
    pub checkpoint: Checkpoint,
    /// The position of the entry.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// The payload the entry commits to; `None` when erased or withheld.
    pub payload: Option<Vec<u8>>,
}

/// The JSON shape.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u32,
    index: u64,
    entry: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    proof: Vec<String>,
    checkpoint_note: String,
}

impl ProofBundle {
    /// The bundle for `row` under the checkpoint over `frontier` whose note is given. A proof
    /// that does not lead from the row to the frontier's root is not given away.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the checkpoint is older than the row, [`Error::ProofFailed`] when
    /// the row, the hashes of the source or the frontier were changed, and what the source answers.
    pub fn new(
        row: &Row,
        frontier: &Frontier,
        checkpoint_note: String,
        source: &impl HashSource,
    ) -> Result<Self, Error> {
        let size = frontier.size();
        let proof = inclusion_proof(row.index, size, source)?;
        verify_inclusion(row.index, size, leaf_hash(&row.entry), &proof, frontier.root())?;
        Ok(Self {
            entry: row.entry.clone(),
            payload: row.payload.clone(),
            salt: row.salt.clone(),
            index: row.index,
            proof,
            checkpoint_note,
        })
    }

    /// The same proof without payload and salt, for a reader who must not see them.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self { payload: None, salt: None, ..self }
    }

    /// Checks everything: the checkpoint's signature and origin, the entry's encoding, the way
    /// from it to the root, and the payload when it is there.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], [`Entry::parse`] and [`verify_inclusion`];
    /// [`Error::PayloadMismatch`] and [`Error::HalfErased`] for the payload.
    pub fn verify(&self, key: &VerifierKey) -> Result<Proven, Error> {
        let checkpoint = Checkpoint::open(&self.checkpoint_note, key)?;
        let entry = Entry::parse(&self.entry)?;
        let leaf = leaf_hash(&self.entry);
        verify_inclusion(self.index, checkpoint.size, leaf, &self.proof, checkpoint.root)?;
        check_payload(entry.payload_digest, self.salt.as_deref(), self.payload.as_deref())?;
        Ok(Proven { checkpoint, index: self.index, entry, payload: self.payload.clone() })
    }

    /// The JSON text.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the entry is not UTF-8.
    pub fn to_json(&self) -> Result<String, Error> {
        let entry = String::from_utf8(self.entry.clone())
            .map_err(|_| Error::malformed("bundle", "the entry is not UTF-8"))?;
        let wire = Wire {
            v: VERSION,
            index: self.index,
            entry,
            payload: self.payload.as_ref().map(|payload| STANDARD.encode(payload)),
            salt: self.salt.as_ref().map(hex::encode),
            proof: self.proof.iter().map(Hash::to_string).collect(),
            checkpoint_note: self.checkpoint_note.clone(),
        };
        serde_json::to_string_pretty(&wire)
            .map_err(|error| Error::malformed("bundle", error.to_string()))
    }

    /// Reads the JSON text. Nothing is checked yet but its shape.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let malformed =
            |error: &dyn std::fmt::Display| Error::malformed("bundle", error.to_string());
        let wire: Wire = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        if wire.v != VERSION {
            return Err(Error::malformed("bundle", format!("version {}", wire.v)));
        }
        let payload = wire.payload.map(|text| STANDARD.decode(text)).transpose();
        let salt = wire.salt.map(hex::decode).transpose();
        Ok(Self {
            entry: wire.entry.into_bytes(),
            payload: payload.map_err(|error| malformed(&error))?,
            salt: salt.map_err(|error| malformed(&error))?,
            index: wire.index,
            proof: wire.proof.iter().map(|hash| Hash::from_hex(hash)).collect::<Result<_, _>>()?,
            checkpoint_note: wire.checkpoint_note,
        })
    }
}
