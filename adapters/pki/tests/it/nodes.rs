//! Who comes in with a certificate, and who does not.

use std::sync::Arc;

use oag_pki::{IdentityStore, client_config};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, HandshakeKind, NamedGroup,
    ServerConfig,
};

use crate::cluster::{Cluster, HOUR_MS, Met, NAME, certificate, meet, private};

type Why = fn(&CertificateError) -> bool;

/// The connection failed at the server for this reason, and the client got nothing.
fn refused(met: &Met, why: Why) {
    match &met.node {
        Err(Error::InvalidCertificate(error)) if why(error) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(met.answer, Err(Error::AlertReceived(_))), "{:?}", met.answer);
}

fn expired(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. })
}

#[tokio::test]
async fn a_node_is_known_by_its_certificate() {
    let cluster = Cluster::new("shop").unwrap();
    let node = cluster.node("node-1").unwrap();
    let client = client_config(&node, cluster.clock()).unwrap();
    for name in [NAME, "127.0.0.1"] {
        let met = meet(&cluster.server().unwrap(), &client, name).await.unwrap();
        assert_eq!(met.answer, Ok(()));
        assert_eq!(met.node.unwrap().as_ref(), Some(node.node()));
        assert_eq!(met.group, Some(NamedGroup::X25519MLKEM768));
    }
    assert_eq!(node.node().node_id, "node-1");
}

#[tokio::test]
async fn what_another_authority_signed_is_refused_even_under_the_same_name() {
    let cluster = Cluster::new("shop").unwrap();
    for name in ["elsewhere", "shop"] {
        let other = Cluster::new(name).unwrap();
        let (issued, key) = other.issue("node-1").unwrap();
        let client = cluster.showing(&issued.certificate_pem, &key).unwrap();
        let met = meet(&cluster.server().unwrap(), &client, NAME).await.unwrap();
        refused(&met, |error| {
            matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature)
        });
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let cluster = Cluster::new("shop").unwrap();
    let node = cluster.node("node-1").unwrap();
    let client = client_config(&node, cluster.clock()).unwrap();
    let server = cluster.server().unwrap();
    cluster.clock.advance(HOUR_MS - 2000);
    assert_eq!(meet(&server, &client, NAME).await.unwrap().answer, Ok(()));
    cluster.clock.advance(4000);
    refused(&meet(&server, &client, NAME).await.unwrap(), expired);
}

#[tokio::test]
async fn a_certificate_of_yesterday_is_refused() {
    let cluster = Cluster::new("shop").unwrap();
    let today = cluster.now();
    cluster.clock.advance(-24 * HOUR_MS);
    let node = cluster.node("node-1").unwrap();
    cluster.clock.set(today);
    let client = client_config(&node, cluster.clock()).unwrap();
    refused(&meet(&cluster.server().unwrap(), &client, NAME).await.unwrap(), expired);
}

#[tokio::test]
async fn the_revoked_are_refused_and_others_are_not() {
    let cluster = Cluster::new("shop").unwrap();
    let nodes = ["by-serial", "by-node", "neither"].map(|id| cluster.node(id).unwrap());
    // Made before anything is revoked: the listener does not start anew for it.
    let server = cluster.server().unwrap();
    let until = nodes[0].node().not_after;
    cluster.revoked.revoke_serial(&nodes[0].node().serial, until).unwrap();
    cluster.revoked.revoke_node(&nodes[1].node().node_id, until).unwrap();
    for (node, good) in nodes.iter().zip([false, false, true]) {
        let client = client_config(node, cluster.clock()).unwrap();
        let met = meet(&server, &client, NAME).await.unwrap();
        if good {
            assert_eq!(met.node.unwrap().as_ref(), Some(node.node()));
        } else {
            assert_eq!(met.answer, Err(Error::AlertReceived(AlertDescription::CertificateRevoked)));
            refused(&met, |error| *error == CertificateError::Revoked);
        }
    }
}

/// A resumed session would not look at the certificate again.
#[tokio::test]
async fn no_session_outlives_a_revocation() {
    let cluster = Cluster::new("shop").unwrap();
    let (issued, key) = cluster.issue("node-1").unwrap();
    // This client, unlike our own, remembers its sessions.
    let client = cluster.showing(&issued.certificate_pem, &key).unwrap();
    let server = cluster.server().unwrap();
    for _ in 0..2 {
        let met = meet(&server, &client, NAME).await.unwrap();
        assert_eq!(met.node.unwrap(), Some(issued.identity.clone()));
        assert_eq!(met.kind, Some(HandshakeKind::Full));
    }
    cluster.revoked.revoke_serial(&issued.identity.serial, issued.identity.not_after).unwrap();
    let met = meet(&server, &client, NAME).await.unwrap();
    refused(&met, |error| *error == CertificateError::Revoked);
}

#[tokio::test]
async fn a_certificate_without_a_node_or_for_servers_is_refused() {
    let cluster = Cluster::new("shop").unwrap();
    let uri = |id: &str| SanType::URI(format!("urn:openautoglm:node:{id}").try_into().unwrap());
    let (client, server) =
        (ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth);
    let not_named =
        |error: &CertificateError| *error == CertificateError::ApplicationVerificationFailure;
    let wrong_use = |error: &CertificateError| {
        matches!(
            error,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
        )
    };
    let cases: [(_, _, Why); 4] = [
        (client.clone(), vec![], not_named),
        (client.clone(), vec![uri("a"), uri("b")], not_named),
        (client, vec![uri("../a")], not_named),
        (server, vec![uri("a")], wrong_use),
    ];
    for (usage, names, why) in cases {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![usage];
        params.subject_alt_names = names;
        let (pem, key) = cluster.forge(&params).unwrap();
        let client = cluster.showing(&pem, &key).unwrap();
        refused(&meet(&cluster.server().unwrap(), &client, NAME).await.unwrap(), why);
    }
}

#[tokio::test]
async fn the_certificate_of_a_node_does_not_make_a_controller() {
    let cluster = Cluster::new("shop").unwrap();
    let node = cluster.node("node-1").unwrap();
    let (issued, key) = cluster.issue(NAME).unwrap();
    let chain = [issued.certificate_pem.as_str(), cluster.authority.ca_pem()];
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(|pem| certificate(pem).unwrap()).to_vec(), private(&key))
        .unwrap();
    let own = client_config(&node, cluster.clock()).unwrap();
    let pinned = oag_pki::pinned_config(cluster.authority.pin(), cluster.clock()).unwrap();
    for client in [own, pinned] {
        let met = meet(&server, &client, NAME).await.unwrap();
        assert!(matches!(met.answer, Err(Error::InvalidCertificate(_))), "{:?}", met.answer);
    }
}

#[tokio::test]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let cluster = Cluster::new("shop").unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(cluster.roots().unwrap())
        .with_no_client_auth();
    let met = meet(&cluster.server().unwrap(), &client, NAME).await.unwrap();
    assert!(matches!(met.node, Err(Error::PeerIncompatible(_))), "{:?}", met.node);
    assert_eq!(met.answer, Err(Error::AlertReceived(AlertDescription::ProtocolVersion)));
}

/// A client without the post-quantum exchange still comes in, in the usual way.
#[tokio::test]
async fn who_has_no_post_quantum_exchange_is_served_without() {
    let cluster = Cluster::new("shop").unwrap();
    let mut provider = default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(cluster.roots().unwrap())
        .with_no_client_auth();
    let met = meet(&cluster.server().unwrap(), &client, NAME).await.unwrap();
    assert_eq!((met.answer, met.group), (Ok(()), Some(NamedGroup::X25519)));
}

#[tokio::test]
async fn a_node_rotates_its_certificate() {
    let cluster = Cluster::new("shop").unwrap();
    let store = IdentityStore::open(&cluster.folder.path().join("node")).unwrap();
    let first = cluster.enrol(&store, "node-1").unwrap();
    assert!(cluster.now() < first.half_life() && first.half_life() < first.node().not_after);
    cluster.clock.set(first.half_life());
    let second = cluster.enrol(&store, "node-1").unwrap();
    assert_ne!(first.node().serial, second.node().serial);
    assert!(second.node().not_after > first.node().not_after);
    // The old one has been replaced, and the new one lasts longer.
    cluster.clock.set(first.node().not_after.plus_millis(1000));
    let kept = store.identity().unwrap().unwrap();
    assert_eq!(kept.node(), second.node());
    let server = cluster.server().unwrap();
    let client = client_config(&kept, cluster.clock()).unwrap();
    let met = meet(&server, &client, NAME).await.unwrap();
    assert_eq!(met.node.unwrap().as_ref(), Some(second.node()));
    let client = client_config(&first, cluster.clock()).unwrap();
    refused(&meet(&server, &client, NAME).await.unwrap(), expired);
}
