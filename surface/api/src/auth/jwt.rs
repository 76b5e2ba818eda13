//! JSON Web Tokens: Ed25519 only, every claim that matters required.
//!
//! Keys that come from a file are read again when the file changed, which is looked for every few
//! seconds and when a token names a key that is not known. A file that cannot be used changes
//! nothing: the keys before stay, and a warning and a figure say so.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oag_runtime::{Figure, Metrics};
use oag_types::{Permission, PrincipalId, Tenant, Timestamp};
use serde::Deserialize;

use crate::config::{ApiError, IssuerConfig, JwtConfig};

/// Clocks may differ by this much.
const LEEWAY_MS: i64 = 30_000;
const TOKEN_BYTES_MAX: usize = 8_192;
const FILE_BYTES_MAX: u64 = 1_024 * 1_024;
/// Anybody can send a token with an unknown key; files are looked at for it no oftener than this.
const UNKNOWN_GAP: Duration = Duration::from_secs(1);

/// The keys of every issuer.
#[derive(Debug)]
pub(crate) struct Tokens {
    issuers: Arc<[Issuer]>,
    check_every: Duration,
    /// When the files were last looked at.
    looked_at: tokio::sync::Mutex<Duration>,
}

type Keys = HashMap<String, DecodingKey>;

struct Issuer {
    config: IssuerConfig,
    keys: RwLock<Arc<Keys>>,
    /// What the file held when it was last read; none when it could not be read.
    text: Mutex<Option<String>>,
    validation: Validation,
    reloads: AtomicU64,
    /// Whether the file as it is cannot be used.
    unusable: AtomicBool,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("issuer", &self.config.issuer).finish_non_exhaustive()
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
    /// No issuer has the key that it names.
    UnknownKey,
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
        Ok(Self {
            issuers,
            check_every: Duration::from_millis(config.file_check_ms),
            looked_at: tokio::sync::Mutex::default(),
        })
    }

    /// Shows the figures.
    pub(crate) fn register(&self, metrics: &Metrics) {
        let issuers = Arc::clone(&self.issuers);
        metrics.register_figures(move || {
            let reloads = issuers.iter().map(|issuer| issuer.reloads.load(Ordering::Relaxed));
            let unusable =
                issuers.iter().filter(|issuer| issuer.unusable.load(Ordering::Relaxed)).count();
            let unusable = u32::try_from(unusable).unwrap_or(u32::MAX);
            let about = "Issuers whose file of keys cannot be used as it is; the keys before hold";
            vec![
                Figure::Total("jwks_reloads", "Times that new keys were read", reloads.sum()),
                Figure::Now("jwks_unusable", about, unusable.into()),
            ]
        });
    }

    /// Checks a token at a moment, with the keys as their files have them; `passed` is the time
    /// that only goes on.
    pub(crate) async fn verify(
        &self,
        token: &str,
        now: Timestamp,
        passed: Duration,
    ) -> Result<Subject, TokenError> {
        self.look(passed, self.check_every).await;
        match self.check(token, now) {
            Err(TokenError::UnknownKey) => {
                self.look(passed, UNKNOWN_GAP).await;
                self.check(token, now)
            }
            checked => checked,
        }
    }

    /// Reads changed files again, unless they were looked at just now. Whoever comes meanwhile
    /// waits, and finds the new keys.
    async fn look(&self, passed: Duration, gap: Duration) {
        if self.issuers.iter().all(|issuer| issuer.config.jwks_file.is_none()) {
            return;
        }
        let mut looked_at = self.looked_at.lock().await;
        if passed.saturating_sub(*looked_at) < gap {
            return;
        }
        *looked_at = passed;
        let issuers = Arc::clone(&self.issuers);
        let work = move || issuers.iter().for_each(Issuer::read_again);
        // The work does not panic; if it did, the keys before would hold.
        let _ = tokio::task::spawn_blocking(work).await;
    }

    /// Checks a token against the keys its `kid` names, at a moment.
    fn check(&self, token: &str, now: Timestamp) -> Result<Subject, TokenError> {
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
        let mut outcome = Err(TokenError::UnknownKey);
        for issuer in self.issuers.iter() {
            let keys = issuer.keys();
            let Some(key) = keys.get(&kid) else { continue };
            match issuer.check(token, key, now) {
                Err(TokenError::Invalid) if outcome == Err(TokenError::UnknownKey) => {
                    outcome = Err(TokenError::Invalid);
                }
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
            (None, Some(path)) => read_file(path).map_err(wrong)?,
            _ => return Err(wrong("give either jwks or jwks_file".to_owned())),
        };
        let keys = keys_of(&text).map_err(wrong)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The time is checked below, by the clock of the process.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Ok(Self {
            config: config.clone(),
            keys: RwLock::new(Arc::new(keys)),
            text: Mutex::new(Some(text)),
            validation,
            reloads: AtomicU64::new(0),
            unusable: AtomicBool::new(false),
        })
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the keys of the file over when it changed and can be used.
    fn read_again(&self) {
        let Some(path) = &self.config.jwks_file else { return };
        let read = read_file(path);
        let mut before = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if before.as_ref() == read.as_ref().ok() {
            return;
        }
        *before = read.as_ref().ok().cloned();
        match read.and_then(|text| keys_of(&text)) {
            Ok(keys) => {
                let (issuer, count) = (&self.config.issuer, keys.len());
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                self.reloads.fetch_add(1, Ordering::Relaxed);
                self.unusable.store(false, Ordering::Relaxed);
                tracing::info!(issuer, keys = count, "new keys of an issuer");
            }
            Err(reason) => {
                let issuer = &self.config.issuer;
                self.unusable.store(true, Ordering::Relaxed);
                tracing::warn!(issuer, reason, "new keys cannot be used; those before stay");
            }
        }
    }

    fn check(&self, token: &str, key: &DecodingKey, now: Timestamp) -> Result<Subject, TokenError> {
        let claims =
            decode::<Claims>(token, key, &self.validation).map_err(|_| TokenError::Invalid)?.claims;
        let now_ms = now.as_millis();
        if claims.nbf.is_some_and(|nbf| now_ms < nbf.saturating_mul(1_000) - LEEWAY_MS) {
            return Err(TokenError::Invalid);
        }
        let principal = match self.config.subjects.get(&claims.sub) {
            Some(principal) => *principal,
            None => claims.sub.parse().map_err(|_| TokenError::Invalid)?,
        };
        if now_ms >= claims.exp.saturating_mul(1_000).saturating_add(LEEWAY_MS) {
            return Err(TokenError::Expired);
        }
        Ok(Subject { principal, tenant: claims.tenant, permissions: claims.permissions })
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(named)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(named)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(format!("{}: is longer than {FILE_BYTES_MAX} bytes", path.display()));
    }
    Ok(text)
}

fn keys_of(text: &str) -> Result<Keys, String> {
    let set: JwkSet = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut keys = Keys::new();
    for key in set.keys.iter().filter(|key| is_usable(key)) {
        let kid = key.common.key_id.clone().ok_or("a key has no kid")?;
        let decoding = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
        if keys.insert(kid.clone(), decoding).is_some() {
            return Err(format!("the kid '{kid}' is there twice"));
        }
    }
    if keys.is_empty() {
        return Err("there is no Ed25519 key for signatures".to_owned());
    }
    Ok(keys)
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
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_millis(900_000)
    }

    fn config(file: &Path) -> JwtConfig {
        serde_json::from_value(json!({"issuers": [{
            "issuer": "i", "audience": "a", "jwks_file": file,
            "subjects": {"li@example.com": "usr_00000000000000000000000000000007"},
        }]}))
        .unwrap()
    }

    struct Signer(Ed25519KeyPair, &'static str);

    impl Signer {
        fn new(kid: &'static str) -> Self {
            Self(Ed25519KeyPair::generate().unwrap(), kid)
        }

        fn key(&self) -> Value {
            let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
            json!({"kty": "OKP", "crv": "Ed25519", "kid": self.1, "x": x})
        }

        fn token(&self, header: Header) -> String {
            let header = Header { kid: Some(self.1.to_owned()), ..header };
            let claims = json!({"iss": "i", "aud": "a", "sub": "li@example.com", "exp": 1_000});
            let pkcs8 = self.0.to_pkcs8v1().unwrap();
            encode(&header, &claims, &EncodingKey::from_ed_der(pkcs8.as_ref())).unwrap()
        }
    }

    fn plain() -> Header {
        Header::new(Algorithm::EdDSA)
    }

    fn write(file: &Path, keys: &[Value]) {
        std::fs::write(file, json!({ "keys": keys }).to_string()).unwrap();
    }

    #[test]
    fn keys_come_from_a_file_and_subjects_by_name() {
        let (signer, file) = (Signer::new("k"), tempfile::NamedTempFile::new().unwrap());
        let foreign = json!({"kty": "RSA", "kid": "r", "n": "AQ", "e": "AQAB"});
        write(file.path(), &[signer.key(), foreign]);
        let tokens = Tokens::load(&config(file.path())).unwrap();
        let subject = tokens.check(&signer.token(plain()), now()).unwrap();
        assert_eq!(subject.principal.to_string(), "usr_00000000000000000000000000000007");
        let critical = Header { crit: Some(vec!["exp".into()]), ..plain() };
        assert_eq!(tokens.check(&signer.token(critical), now()), Err(TokenError::Invalid));
    }

    #[test]
    fn sets_without_a_usable_key_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "AA"}]}"#] {
            std::fs::write(file.path(), text).unwrap();
            assert!(Tokens::load(&config(file.path())).is_err(), "{text}");
        }
        assert!(Tokens::load(&config(Path::new("/nowhere"))).is_err());
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again() {
        let (old, new) = (Signer::new("old"), Signer::new("new"));
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &[old.key()]);
        let tokens = Tokens::load(&config(file.path())).unwrap();
        let passed = Duration::from_secs;
        let verify =
            async |signer: &Signer, at| tokens.verify(&signer.token(plain()), now(), at).await;
        assert!(verify(&old, passed(10)).await.is_ok());
        // Both keys: an unknown one makes it look, though the time is not come.
        write(file.path(), &[old.key(), new.key()]);
        assert!(verify(&old, passed(11)).await.is_ok());
        assert!(verify(&new, passed(11)).await.is_ok());
        // The old one is gone when it next looks.
        write(file.path(), &[new.key()]);
        assert!(verify(&old, passed(12)).await.is_ok());
        assert_eq!(verify(&old, passed(16)).await, Err(TokenError::UnknownKey));
        assert!(verify(&new, passed(16)).await.is_ok());
    }

    #[tokio::test]
    async fn unknown_keys_do_not_make_it_read_all_the_time() {
        let (old, new) = (Signer::new("old"), Signer::new("new"));
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &[old.key()]);
        let tokens = Tokens::load(&config(file.path())).unwrap();
        let at = Duration::from_millis;
        let verify = async |at| tokens.verify(&new.token(plain()), now(), at).await;
        assert_eq!(verify(at(10_000)).await, Err(TokenError::UnknownKey));
        write(file.path(), &[new.key()]);
        assert_eq!(verify(at(10_999)).await, Err(TokenError::UnknownKey));
        assert!(verify(at(11_000)).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_changes_nothing_and_is_shown() {
        let signer = Signer::new("k");
        let file = tempfile::NamedTempFile::new().unwrap();
        write(file.path(), &[signer.key()]);
        let tokens = Tokens::load(&config(file.path())).unwrap();
        let metrics = Metrics::new();
        tokens.register(&metrics);
        let shown = |line: &str| assert!(metrics.encode().contains(line), "{}", metrics.encode());
        let mut passed = Duration::from_secs(10);
        for text in ["{", r#"{"keys": []}"#] {
            std::fs::write(file.path(), text).unwrap();
            assert!(tokens.verify(&signer.token(plain()), now(), passed).await.is_ok(), "{text}");
            shown("openautoglm_jwks_unusable 1");
            passed += Duration::from_secs(5);
        }
        std::fs::remove_file(file.path()).unwrap();
        assert!(tokens.verify(&signer.token(plain()), now(), passed).await.is_ok());
        shown("openautoglm_jwks_unusable 1");
        shown("openautoglm_jwks_reloads_total 0");
        let other = Signer::new("other");
        write(file.path(), &[other.key()]);
        passed += Duration::from_secs(5);
        assert!(tokens.verify(&other.token(plain()), now(), passed).await.is_ok());
        shown("openautoglm_jwks_unusable 0");
        shown("openautoglm_jwks_reloads_total 1");
    }
}
