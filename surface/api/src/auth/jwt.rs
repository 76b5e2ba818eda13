//! JSON Web Tokens: Ed25519 only, every claim that matters required.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oag_types::{Permission, PrincipalId, Tenant, Timestamp};
use serde::Deserialize;

use crate::config::{ApiError, IssuerConfig, JwtConfig};

/// Clocks may differ by this much.
const LEEWAY_MS: i64 = 30_000;
const TOKEN_BYTES_MAX: usize = 8_192;

/// The keys of every issuer.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issuers: Vec<Issuer>,
}

struct Issuer {
    keys: BTreeMap<String, DecodingKey>,
    validation: Validation,
    subjects: BTreeMap<String, PrincipalId>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("keys", &self.keys.keys()).finish_non_exhaustive()
    }
}

/// What a token that holds says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) principal: PrincipalId,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) permissions: Vec<Permission>,
}

/// Why a token does not hold. The caller is told only whether it was good once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenError {
    Invalid,
    Expired,
}

/// Other claims than these are ignored.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    tenant: Option<Tenant>,
    /// Narrows what the principal may, as the scopes of a key do.
    #[serde(default)]
    permissions: Vec<Permission>,
}

impl Tokens {
    /// Reads the keys of every issuer.
    pub(crate) fn load(config: &JwtConfig) -> Result<Self, ApiError> {
        let issuers = config.issuers.iter().map(Issuer::load).collect::<Result<_, _>>()?;
        Ok(Self { issuers })
    }

    /// Checks a token against the keys its `kid` names, at a moment.
    pub(crate) fn check(&self, token: &str, now: Timestamp) -> Result<Subject, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        let kind = header.typ.as_deref().unwrap_or("JWT");
        let known = ["JWT", "at+jwt"].iter().any(|name| name.eq_ignore_ascii_case(kind));
        // An extension that must be understood is none that we understand.
        if header.alg != Algorithm::EdDSA || !known || header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let kid = header.kid.ok_or(TokenError::Invalid)?;
        let mut outcome = Err(TokenError::Invalid);
        for issuer in &self.issuers {
            let Some(key) = issuer.keys.get(&kid) else { continue };
            match issuer.check(token, key, now) {
                Err(TokenError::Invalid) => {}
                found => outcome = found,
            }
        }
        outcome
    }
}

impl Issuer {
    fn load(config: &IssuerConfig) -> Result<Self, ApiError> {
        let wrong = |reason: String| ApiError::Jwks { issuer: config.issuer.clone(), reason };
        if config.issuer.is_empty() || config.audience.is_empty() {
            return Err(wrong("issuer and audience must not be empty".to_owned()));
        }
        let text = match (&config.jwks, &config.jwks_file) {
            (Some(text), None) => text.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| wrong(format!("{}: {error}", path.display())))?,
            _ => return Err(wrong("give either jwks or jwks_file".to_owned())),
        };
        let set: JwkSet = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let mut keys = BTreeMap::new();
        for key in set.keys.iter().filter(|key| is_usable(key)) {
            let kid = key.common.key_id.clone().ok_or_else(|| wrong("a key has no kid".into()))?;
            let decoding = DecodingKey::from_jwk(key).map_err(|error| wrong(error.to_string()))?;
            if keys.insert(kid.clone(), decoding).is_some() {
                return Err(wrong(format!("the kid '{kid}' is there twice")));
            }
        }
        if keys.is_empty() {
            return Err(wrong("there is no Ed25519 key for signatures".to_owned()));
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The time is checked below, by the clock of the process.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self { keys, validation, subjects: config.subjects.clone() })
    }

    fn check(&self, token: &str, key: &DecodingKey, now: Timestamp) -> Result<Subject, TokenError> {
        let claims =
            decode::<Claims>(token, key, &self.validation).map_err(|_| TokenError::Invalid)?.claims;
        let now_ms = now.as_millis();
        if claims.nbf.is_some_and(|nbf| now_ms < nbf.saturating_mul(1_000) - LEEWAY_MS) {
            return Err(TokenError::Invalid);
        }
        let principal = match self.subjects.get(&claims.sub) {
            Some(principal) => *principal,
            None => claims.sub.parse().map_err(|_| TokenError::Invalid)?,
        };
        if now_ms >= claims.exp.saturating_mul(1_000).saturating_add(LEEWAY_MS) {
            return Err(TokenError::Expired);
        }
        Ok(Subject { principal, tenant: claims.tenant, permissions: claims.permissions })
    }
}

fn is_usable(key: &Jwk) -> bool {
    let ed25519 = matches!(
        &key.algorithm,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519
    );
    let for_signing =
        key.common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let algorithm = key.common.key_algorithm.as_ref().is_none_or(|alg| *alg == KeyAlgorithm::EdDSA);
    ed25519 && for_signing && algorithm
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    fn config(file: &std::path::Path) -> JwtConfig {
        serde_json::from_value(json!({"issuers": [{
            "issuer": "i", "audience": "a", "jwks_file": file,
            "subjects": {"li@example.com": "usr_00000000000000000000000000000007"},
        }]}))
        .unwrap()
    }

    #[test]
    fn keys_come_from_a_file_and_subjects_by_name() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x});
        let set = json!({"keys": [key, {"kty": "RSA", "kid": "r", "n": "AQ", "e": "AQAB"}]});
        std::fs::write(file.path(), set.to_string()).unwrap();
        let tokens = Tokens::load(&config(file.path())).unwrap();
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some("k".into());
        let claims = json!({"iss": "i", "aud": "a", "sub": "li@example.com", "exp": 1_000});
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let signing = EncodingKey::from_ed_der(pkcs8.as_ref());
        let token = encode(&header, &claims, &signing).unwrap();
        let now = Timestamp::from_millis(900_000);
        let subject = tokens.check(&token, now).unwrap();
        assert_eq!(subject.principal.to_string(), "usr_00000000000000000000000000000007");
        header.crit = Some(vec!["exp".into()]);
        let token = encode(&header, &claims, &signing).unwrap();
        assert_eq!(tokens.check(&token, now), Err(TokenError::Invalid));
    }

    #[test]
    fn sets_without_a_usable_key_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#] {
            std::fs::write(file.path(), text).unwrap();
            assert!(Tokens::load(&config(file.path())).is_err(), "{text}");
        }
        assert!(Tokens::load(&config(std::path::Path::new("/nowhere"))).is_err());
    }
}
