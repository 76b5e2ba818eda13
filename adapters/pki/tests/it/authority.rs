//! What the authority keeps, and what it signs.

use std::fs;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use oag_pki::{Authority, LIFETIME_MAX, PkiError};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _, SanType,
};
use x509_parser::prelude::{
    FromDer as _, GeneralName, ParsedExtension, X509CertificationRequest, parse_x509_certificate,
};

use crate::cluster::{Cluster, HOUR, HOUR_MS, certificate, mode, request};

#[test]
fn an_authority_stays_itself() {
    let cluster = Cluster::new("shop").unwrap();
    let folder = cluster.folder.path();
    let again = Authority::open(folder, "shop", cluster.now()).unwrap();
    assert_eq!(again.pin(), cluster.authority.pin());
    assert_eq!(again.ca_pem(), cluster.authority.ca_pem());
    assert_eq!((mode(&folder.join("ca.key")).unwrap(), again.cluster()), (0o600, "shop"));
    // The pin is the digest of the public key as certificates write it.
    let key = KeyPair::from_pem(&fs::read_to_string(folder.join("ca.key")).unwrap()).unwrap();
    let of_key = digest(&SHA256, &key.subject_public_key_info());
    assert_eq!(again.pin().to_string(), format!("sha256:{}", hex::encode(of_key)));
}

#[test]
fn the_folder_of_another_cluster_is_refused() {
    let cluster = Cluster::new("shop").unwrap();
    let refused = Authority::open(cluster.folder.path(), "other", cluster.now()).unwrap_err();
    assert!(matches!(&refused, PkiError::OtherCluster { found, .. } if found == "shop"));
}

#[test]
fn a_lost_or_damaged_key_is_never_replaced() {
    let cluster = Cluster::new("shop").unwrap();
    let key = cluster.folder.path().join("ca.key");
    let other = Cluster::new("shop").unwrap();
    fs::copy(other.folder.path().join("ca.key"), &key).unwrap();
    let open = || Authority::open(cluster.folder.path(), "shop", cluster.now());
    assert!(matches!(open(), Err(PkiError::Damaged { .. })), "another key");
    fs::write(&key, "-----BEGIN PRIVATE KEY-----\nAAAA").unwrap();
    assert!(matches!(open(), Err(PkiError::Damaged { .. })), "half a key");
    fs::remove_file(&key).unwrap();
    assert!(matches!(open(), Err(PkiError::Damaged { .. })), "no key");
    assert!(!key.exists());
}

#[test]
fn the_certificate_around_the_key_is_made_anew_and_the_pin_stays() {
    let cluster = Cluster::new("shop").unwrap();
    let (folder, pin) = (cluster.folder.path(), cluster.authority.pin());
    let open = |now| Authority::open(folder, "shop", now).unwrap();
    // A crash between the key and its certificate.
    fs::remove_file(folder.join("ca.pem")).unwrap();
    let second = open(cluster.now());
    assert_eq!(second.pin(), pin);
    // More than half of its ten years are over.
    let later = cluster.now().plus_millis(6 * 365 * 24 * HOUR_MS);
    let third = open(later);
    assert_eq!(third.pin(), pin);
    assert_ne!(third.ca_pem(), second.ca_pem());
    assert_eq!(open(later).ca_pem(), third.ca_pem());
}

#[test]
fn a_certificate_says_what_the_authority_decided_and_not_what_was_asked() {
    let cluster = Cluster::new("shop").unwrap();
    let mut wishes = CertificateParams::new(["evil.test".to_owned()]).unwrap();
    wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    wishes.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let root = "urn:openautoglm:node:root".try_into().unwrap();
    wishes.subject_alt_names.push(SanType::URI(root));
    for key in [KeyPair::generate().unwrap(), KeyPair::generate_for(&PKCS_ED25519).unwrap()] {
        let pem = request(&wishes, &key).unwrap();
        let issued = cluster.authority.issue(&pem, "node-1", cluster.now(), LIFETIME_MAX).unwrap();
        let der = certificate(&issued.certificate_pem).unwrap();
        let (_, read) = parse_x509_certificate(&der).unwrap();
        assert_eq!(read.subject().to_string(), "CN=node-1");
        assert_eq!(read.public_key().subject_public_key.data, key.der_bytes());
        assert!(!read.is_ca());
        let usage = read.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
        let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(*names, [GeneralName::URI("urn:openautoglm:node:node-1")]);
        assert!(!format!("{:?}", read.extensions()).contains("evil"));
        let known = |extension: &ParsedExtension<'_>| {
            !matches!(extension, ParsedExtension::UnsupportedExtension { .. })
        };
        assert!(read.extensions().iter().all(|extension| known(extension.parsed_extension())));
        let validity = read.validity();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert!(seconds <= 24 * 3600, "{seconds} s");
        assert_eq!(issued.identity.node_id, "node-1");
        assert_eq!(issued.identity.not_after.as_millis(), validity.not_after.timestamp() * 1000);
    }
}

#[test]
fn serial_numbers_are_sixteen_random_bytes() {
    let cluster = Cluster::new("shop").unwrap();
    let serials: Vec<String> =
        (0..32).map(|_| cluster.issue("node-1").unwrap().0.identity.serial).collect();
    for (place, serial) in serials.iter().enumerate() {
        assert_eq!(hex::decode(serial).unwrap().len(), 16);
        assert!(!serials[..place].contains(serial));
    }
    // Every bit is drawn, the highest one too.
    assert!(serials.iter().any(|serial| serial.as_bytes()[0] >= b'8'));
    assert!(serials.iter().any(|serial| serial.as_bytes()[0] < b'8'));
}

#[test]
fn bad_requests_are_refused_with_their_reason() {
    let cluster = Cluster::new("shop").unwrap();
    let blank = CertificateParams::default();
    let good = request(&blank, &KeyPair::generate().unwrap()).unwrap();
    let der = pem_body(&good);
    let mut tampered = der.clone();
    // In the middle of the signature, at the end of a request.
    let place = tampered.len() - 10;
    tampered[place] ^= 1;
    let large = request(&blank, &KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()).unwrap();
    let followed = [der.as_slice(), b"more"].concat();
    let cases = [
        (String::new(), "not in PEM form"),
        ("garbage".to_owned(), "not in PEM form"),
        (cluster.authority.ca_pem().to_owned(), "not in PEM form"),
        (pem(&der[..der.len() / 2]), "not readable"),
        (pem(&followed), "something follows"),
        (pem(&tampered), "not signed with its own key"),
        (with_key_of_another(&der), "not signed with its own key"),
        (large, "neither P-256 nor Ed25519"),
        (good.clone() + &" ".repeat(17_000), "too long"),
    ];
    for (text, reason) in cases {
        let refused = cluster.authority.issue(&text, "node-1", cluster.now(), HOUR).unwrap_err();
        assert!(matches!(refused, PkiError::Request { .. }), "{refused}");
        assert!(refused.to_string().contains(reason), "{refused}, not {reason}");
    }
    assert!(cluster.authority.issue(&good, "node-1", cluster.now(), HOUR).is_ok());
}

#[test]
fn lifetimes_and_ids_have_limits() {
    let cluster = Cluster::new("shop").unwrap();
    let pem = request(&CertificateParams::default(), &KeyPair::generate().unwrap()).unwrap();
    let issue = |id: &str, lifetime| cluster.authority.issue(&pem, id, cluster.now(), lifetime);
    for lifetime in [Duration::ZERO, LIFETIME_MAX + Duration::from_secs(1), Duration::MAX] {
        assert!(matches!(issue("node-1", lifetime), Err(PkiError::Argument { .. })));
    }
    for id in ["", "a/b", "a b", "../ca"] {
        assert!(matches!(issue(id, HOUR), Err(PkiError::Argument { .. })), "{id}");
    }
    for names in [vec![], vec!["a b".to_owned()], vec![String::new()], vec!["a".to_owned(); 65]] {
        let refused = cluster.authority.server_certificate(&names, cluster.now());
        assert!(matches!(refused, Err(PkiError::Argument { .. })), "{names:?}");
    }
}

fn pem_body(text: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let body = STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n")
}

/// The request with a key that its sender does not hold.
fn with_key_of_another(der: &[u8]) -> String {
    let own = X509CertificationRequest::from_der(der).unwrap().1;
    let own = own.certification_request_info.subject_pki.subject_public_key.data;
    let place = der.windows(own.len()).position(|window| window == &own[..]).unwrap();
    let mut changed = der.to_vec();
    changed[place..place + own.len()].copy_from_slice(KeyPair::generate().unwrap().der_bytes());
    pem(&changed)
}
