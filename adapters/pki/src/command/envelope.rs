//! The envelope: DSSE v1, in its JSON form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use super::checker::Refused;
use super::key::{SigningKey, VerifyingKey};

/// The longest envelope that is read, in bytes: a payload in base64, with room for the rest.
const ENVELOPE_LEN_MAX: usize = 2 * super::PAYLOAD_LEN_MAX;
const SIGNATURES_MAX: usize = 16;

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    #[serde(default)]
    keyid: String,
    sig: String,
}

impl Envelope {
    pub(super) fn sign(key: &SigningKey, payload_type: &str, payload: &[u8]) -> Self {
        let sig = STANDARD.encode(key.sign(&signed_bytes(payload_type, payload)));
        Self {
            payload: STANDARD.encode(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![Signature { keyid: key.public().id(), sig }],
        }
    }

    /// As it travels: JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Three texts and a list of them cannot fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The payload of an envelope, when the key has signed it as being of this type.
    pub(super) fn open(
        bytes: &[u8],
        payload_type: &str,
        key: &VerifyingKey,
    ) -> Result<Vec<u8>, Refused> {
        if bytes.len() > ENVELOPE_LEN_MAX {
            return Err(Refused::Malformed("it is too long".to_owned()));
        }
        let envelope: Self =
            serde_json::from_slice(bytes).map_err(|error| Refused::Malformed(error.to_string()))?;
        if envelope.payload_type != payload_type {
            return Err(Refused::OtherType);
        }
        if envelope.signatures.len() > SIGNATURES_MAX {
            return Err(Refused::Malformed("it has too many signatures".to_owned()));
        }
        let payload = decode(&envelope.payload)?;
        let message = signed_bytes(payload_type, &payload);
        let mut refused = Refused::UnknownKey;
        for signature in &envelope.signatures {
            // The id saves no work that matters; it tells a wrong key from a wrong signature.
            if !signature.keyid.is_empty() && signature.keyid != key.id() {
                continue;
            }
            if key.has_signed(&message, &decode(&signature.sig)?) {
                return Ok(payload);
            }
            refused = Refused::BadSignature;
        }
        Err(refused)
    }
}

/// What is signed: type and payload with their lengths, so that neither can pass for the other
/// (the pre-authentication encoding of DSSE).
fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Either alphabet, as DSSE has it.
fn decode(text: &str) -> Result<Vec<u8>, Refused> {
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
    decoded.map_err(|_| Refused::Malformed("it is not in base64".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, protocol.md of DSSE.
    #[test]
    fn what_is_signed_is_that_of_the_specification() {
        assert_eq!(
            signed_bytes("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
