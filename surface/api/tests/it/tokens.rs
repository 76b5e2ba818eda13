//! JSON Web Tokens: the good one passes, every trick does not.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use oag_api::{ApiConfig, IssuerConfig, JwtConfig};
use serde_json::{Value, json};

use crate::world::{START, World};

struct Issuer {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl Issuer {
    fn new() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let pkcs8 = pair.to_pkcs8v1().unwrap().as_ref().to_vec();
        Self { pkcs8, public: pair.public_key().as_ref().to_vec() }
    }

    fn jwks(&self) -> String {
        json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "k1",
            "x": URL_SAFE_NO_PAD.encode(&self.public),
        }]})
        .to_string()
    }

    fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        encode(&header, claims, &EncodingKey::from_ed_der(&self.pkcs8)).unwrap()
    }
}

fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

async fn world(issuer: &Issuer) -> World {
    // The world makes its admin itself, so subjects are ids.
    let one = IssuerConfig {
        issuer: "https://id.example".into(),
        audience: "openautoglm".into(),
        jwks: Some(issuer.jwks()),
        jwks_file: None,
        subjects: Default::default(),
    };
    let jwt = JwtConfig { issuers: vec![one], ..JwtConfig::default() };
    let config = ApiConfig { jwt, auth_failures_per_minute: 1_000, ..ApiConfig::default() };
    World::with(config, Vec::new()).await
}

fn claims(world: &World) -> Value {
    json!({
        "iss": "https://id.example", "aud": "openautoglm", "sub": world.admin_id.to_string(),
        "exp": START / 1_000 + 600,
    })
}

fn changed(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(name).map(|_| ()).unwrap(),
        value => claims[name] = value,
    }
    claims
}

#[tokio::test]
async fn a_good_token_passes_and_can_be_narrowed() {
    let issuer = Issuer::new();
    let world = world(&issuer).await;
    let token = issuer.token(Some("k1"), &claims(&world));
    let me = world.get("/api/v1/whoami").key(&token).send().await.expect(200);
    assert_eq!(me["id"], world.admin_id.to_string());
    assert_eq!(me["key"], Value::Null);
    let several = changed(claims(&world), "aud", json!(["other", "openautoglm"]));
    let token = issuer.token(Some("k1"), &several);
    world.get("/api/v1/whoami").key(&token).send().await.expect(200);
    let narrow = changed(claims(&world), "permissions", json!(["service:view"]));
    let token = issuer.token(Some("k1"), &narrow);
    world.get("/api/v1/services").key(&token).send().await.expect(200);
    world.get("/api/v1/ledger").key(&token).send().await.problem(403, "OAG-1201");
}

#[tokio::test]
async fn every_trick_is_refused_in_the_same_words() {
    let issuer = Issuer::new();
    let other = Issuer::new();
    let world = world(&issuer).await;
    let good = claims(&world);
    let change =
        |name: &str, value: Value| issuer.token(Some("k1"), &changed(good.clone(), name, value));
    let none = json!({"alg": "none", "typ": "JWT", "kid": "k1"});
    let mut hs256 = Header::new(Algorithm::HS256);
    hs256.kid = Some("k1".into());
    let confused = encode(&hs256, &good, &EncodingKey::from_secret(&issuer.public)).unwrap();
    let with_text = encode(&hs256, &good, &EncodingKey::from_secret(issuer.jwks().as_bytes()));
    let valid = issuer.token(Some("k1"), &good);
    let (head, signature) = valid.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let payload = changed(good.clone(), "sub", json!("usr_00000000000000000000000000000001"));
    let swapped = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let tricks = [
        ("no algorithm", unsigned(&none, &good, "")),
        ("no algorithm, a signature", unsigned(&none, &good, signature)),
        ("HS256 with the public key", confused),
        ("HS256 with the key set", with_text.unwrap()),
        ("another key", other.token(Some("k1"), &good)),
        ("unknown kid", issuer.token(Some("k2"), &good)),
        ("no kid", issuer.token(None, &good)),
        ("changed payload", swapped),
        ("wrong audience", change("aud", json!("other"))),
        ("no audience", change("aud", Value::Null)),
        ("wrong issuer", change("iss", json!("https://evil.example"))),
        ("no issuer", change("iss", Value::Null)),
        ("no subject", change("sub", Value::Null)),
        ("no expiry", change("exp", Value::Null)),
        ("expiry as text", change("exp", json!("tomorrow"))),
        ("not yet valid", change("nbf", json!(START / 1_000 + 300))),
        ("unknown subject", change("sub", json!("usr_00000000000000000000000000000001"))),
        ("subject that is no id", change("sub", json!("admin"))),
        ("wrong tenant", change("tenant", json!("other"))),
    ];
    let mut details = Vec::new();
    for (what, token) in tricks {
        let reply = world.get("/api/v1/whoami").key(&token).send().await;
        assert_eq!(reply.status.as_u16(), 401, "{what}: {}", reply.text());
        details.push(reply.problem(401, "OAG-1101")["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1);
    let expired = change("exp", json!(START / 1_000 - 31));
    world.get("/api/v1/whoami").key(&expired).send().await.problem(401, "OAG-1102");
    let just_expired = change("exp", json!(START / 1_000 - 29));
    world.get("/api/v1/whoami").key(&just_expired).send().await.expect(200);
}

#[test]
fn keys_that_cannot_be_used_are_refused_at_start() {
    let reads = |text: &str| {
        let issuers = format!(r#"{{"issuers": [{{"issuer": "i", "audience": "a", {text}}}]}}"#);
        serde_json::from_str::<JwtConfig>(&issuers)
    };
    assert!(reads(r#""jwks": "{}""#).is_ok());
    assert!(reads(r#""algorithms": ["HS256"]"#).is_err());
}
