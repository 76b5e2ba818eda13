//! What a node keeps.

use std::fs;

use oag_pki::command::SigningKey;
use oag_pki::{IdentityStore, PkiError, Request};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};

use crate::cluster::{Cluster, HOUR, HOUR_MS, mode};

fn answer(cluster: &Cluster, request: &Request) -> (String, oag_pki::Bundle) {
    let issued = cluster.authority.issue(request.csr_pem(), "node-1", cluster.now(), HOUR).unwrap();
    let command_key = SigningKey::open(cluster.folder.path()).unwrap().public();
    (issued.certificate_pem, cluster.authority.bundle(command_key))
}

#[test]
fn a_node_is_nobody_until_it_has_enrolled_and_then_stays_somebody() {
    let cluster = Cluster::new("shop").unwrap();
    let folder = cluster.folder.path().join("deep").join("node");
    let store = IdentityStore::open(&folder).unwrap();
    assert!(store.identity().unwrap().is_none());
    let identity = cluster.enrol(&store, "node-1").unwrap();
    let again = IdentityStore::open(&folder).unwrap().identity().unwrap().unwrap();
    assert_eq!(again.node(), identity.node());
    assert_eq!(again.half_life(), identity.half_life());
    assert_eq!(again.bundle(), identity.bundle());
    assert_eq!(again.pin(), cluster.authority.pin());
    assert_eq!((mode(&folder).unwrap(), mode(&folder.join("node.json")).unwrap()), (0o700, 0o600));
    let secret = fs::read_to_string(folder.join("node.json")).unwrap();
    let secret = secret.split("PRIVATE KEY-----\\n").nth(1).unwrap();
    assert!(!format!("{identity:?}").contains(&secret[..20]));
}

#[test]
fn what_does_not_belong_together_is_not_kept() {
    let (cluster, other) = (Cluster::new("shop").unwrap(), Cluster::new("shop").unwrap());
    let store = IdentityStore::open(&cluster.folder.path().join("node")).unwrap();
    let refused = |request: Request, certificate: &str, bundle| {
        let refused = store.install(request, certificate, bundle).unwrap_err();
        assert!(matches!(refused, PkiError::Untrusted { .. }), "{refused}");
        assert!(store.identity().unwrap().is_none());
        refused.to_string()
    };
    let new = || store.new_key_and_csr().unwrap();

    let (certificate, bundle) = answer(&cluster, &new());
    assert!(refused(new(), &certificate, bundle.clone()).contains("another key"));
    let request = new();
    let (certificate, _) = answer(&other, &request);
    assert!(refused(request, &certificate, bundle.clone()).contains("another authority"));
    let mut params = CertificateParams::new(["controller.test".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert!(refused(new(), &cluster.forge(&params).unwrap().0, bundle.clone()).contains("key"));
    assert!(refused(new(), "", bundle).contains("PEM"));
}

#[test]
fn a_member_of_one_cluster_does_not_slip_into_another() {
    let (cluster, other) = (Cluster::new("shop").unwrap(), Cluster::new("shop").unwrap());
    let store = IdentityStore::open(&cluster.folder.path().join("node")).unwrap();
    let first = cluster.enrol(&store, "node-1").unwrap();
    assert!(other.enrol(&store, "node-1").unwrap_err().to_string().contains("forget"));
    assert_eq!(store.identity().unwrap().unwrap().node(), first.node());
    store.forget().unwrap();
    store.forget().unwrap();
    other.enrol(&store, "node-1").unwrap();
    assert_eq!(store.identity().unwrap().unwrap().pin(), other.authority.pin());
}

#[test]
fn a_damaged_identity_is_said_so() {
    let cluster = Cluster::new("shop").unwrap();
    let folder = cluster.folder.path().join("node");
    let store = IdentityStore::open(&folder).unwrap();
    cluster.enrol(&store, "node-1").unwrap();
    let text = fs::read_to_string(folder.join("node.json")).unwrap();
    let other = IdentityStore::open(&cluster.folder.path().join("other")).unwrap();
    cluster.enrol(&other, "node-2").unwrap();
    let field = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        value["key_pem"].as_str().unwrap().to_owned()
    };
    let other = fs::read_to_string(cluster.folder.path().join("other/node.json")).unwrap();
    let escaped = |key: String| key.replace('\n', "\\n").replace('\r', "\\r");
    let mixed = text.replace(&escaped(field(&text)), &escaped(field(&other)));
    assert_ne!(mixed, text);
    for damaged in ["", &text[..text.len() / 2], &mixed] {
        fs::write(folder.join("node.json"), damaged).unwrap();
        assert!(matches!(store.identity(), Err(PkiError::Damaged { .. })), "{damaged}");
    }
}

#[test]
fn a_bundle_is_checked_against_the_pin() {
    let (cluster, other) = (Cluster::new("shop").unwrap(), Cluster::new("shop").unwrap());
    let bundle = cluster.node("node-1").unwrap().bundle().clone();
    let (pin, now) = (cluster.authority.pin(), cluster.now());
    bundle.check(pin, now).unwrap();
    let written = serde_json::to_string(&bundle).unwrap();
    assert_eq!(serde_json::from_str::<oag_pki::Bundle>(&written).unwrap(), bundle);

    let mut renamed = bundle.clone();
    renamed.cluster = "other".to_owned();
    let swapped = other.node("node-1").unwrap().bundle().clone();
    let mut broken = bundle.clone();
    broken.ca_pem.truncate(60);
    for wrong in [renamed, swapped, broken] {
        assert!(matches!(wrong.check(pin, now), Err(PkiError::Untrusted { .. })));
    }
    let decades = now.plus_millis(20 * 365 * 24 * HOUR_MS);
    assert!(matches!(bundle.check(pin, decades), Err(PkiError::Untrusted { .. })));
}
