//! Enrolment: a node that knows nothing but a pin.

use std::sync::Arc;

use oag_pki::{Pin, client_config, pinned_config};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, NamedGroup, ServerConfig};

use crate::cluster::{Cluster, HOUR_MS, Met, NAME, certificate, meet, private};

fn untrusted(met: &Met, why: fn(&CertificateError) -> bool) {
    match &met.answer {
        Err(Error::InvalidCertificate(error)) if why(error) => {}
        other => panic!("{other:?}"),
    }
    assert!(matches!(met.node, Err(Error::AlertReceived(_))), "{:?}", met.node);
}

fn unknown(error: &CertificateError) -> bool {
    *error == CertificateError::UnknownIssuer
}

fn shows(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private(key))
        .unwrap()
}

#[tokio::test]
async fn with_the_right_pin_a_node_without_certificate_comes_in_nameless() {
    let cluster = Cluster::new("shop").unwrap();
    // As a person carries it.
    let pin: Pin = cluster.authority.pin().to_string().parse().unwrap();
    let client = pinned_config(pin, cluster.clock()).unwrap();
    for name in [NAME, "127.0.0.1"] {
        let met = meet(&cluster.server().unwrap(), &client, name).await.unwrap();
        assert_eq!((met.answer, met.node), (Ok(()), Ok(None)));
        assert_eq!(met.group, Some(NamedGroup::X25519MLKEM768));
    }
}

#[tokio::test]
async fn with_the_pin_of_another_authority_it_does_not() {
    let cluster = Cluster::new("shop").unwrap();
    let other = Cluster::new("shop").unwrap();
    let client = pinned_config(other.authority.pin(), cluster.clock()).unwrap();
    untrusted(&meet(&cluster.server().unwrap(), &client, NAME).await.unwrap(), unknown);
}

#[tokio::test]
async fn the_pin_does_not_free_from_the_name() {
    let cluster = Cluster::new("shop").unwrap();
    let client = pinned_config(cluster.authority.pin(), cluster.clock()).unwrap();
    for name in ["other.test", "127.0.0.2"] {
        let met = meet(&cluster.server().unwrap(), &client, name).await.unwrap();
        untrusted(&met, |error| {
            matches!(
                error,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        });
    }
}

/// The authority's certificate is public: to show it proves nothing.
#[tokio::test]
async fn showing_the_pinned_authority_beside_another_certificate_is_not_enough() {
    let cluster = Cluster::new("shop").unwrap();
    let thief = Cluster::new("shop").unwrap();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (pem, key) = thief.forge(&params).unwrap();
    let leaf = certificate(&pem).unwrap();
    let pinned = certificate(cluster.authority.ca_pem()).unwrap();
    let own = certificate(thief.authority.ca_pem()).unwrap();
    let client = pinned_config(cluster.authority.pin(), cluster.clock()).unwrap();
    for chain in [vec![leaf.clone(), pinned.clone()], vec![leaf.clone(), own, pinned], vec![leaf]] {
        let met = meet(&shows(chain, &key), &client, NAME).await.unwrap();
        untrusted(&met, |error| {
            matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature)
        });
    }
    // The same certificate, signed by the pinned authority, is.
    let (pem, key) = cluster.forge(&params).unwrap();
    let chain = [pem.as_str(), cluster.authority.ca_pem()];
    let server = shows(chain.map(|pem| certificate(pem).unwrap()).to_vec(), &key);
    assert_eq!(meet(&server, &client, NAME).await.unwrap().answer, Ok(()));
}

/// A certificate that holds the authority's key, and that the authority never signed, is none.
#[tokio::test]
async fn an_authority_that_did_not_sign_itself_is_none() {
    let cluster = Cluster::new("shop").unwrap();
    let mut spoilt = certificate(cluster.authority.ca_pem()).unwrap().to_vec();
    *spoilt.last_mut().unwrap() ^= 1;
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let (pem, key) = cluster.forge(&params).unwrap();
    let server = shows(vec![certificate(&pem).unwrap(), spoilt.into()], &key);
    let client = pinned_config(cluster.authority.pin(), cluster.clock()).unwrap();
    untrusted(&meet(&server, &client, NAME).await.unwrap(), unknown);
}

#[tokio::test]
async fn a_listener_renews_its_certificate_while_it_listens() {
    let cluster = Cluster::new("shop").unwrap();
    let server = cluster.server().unwrap();
    let pinned = pinned_config(cluster.authority.pin(), cluster.clock()).unwrap();
    let old = cluster.certificate.not_after();
    cluster.clock.set(old.plus_millis(HOUR_MS));
    let own = client_config(&cluster.node("node-1").unwrap(), cluster.clock()).unwrap();
    for client in [&pinned, &own] {
        untrusted(&meet(&server, client, NAME).await.unwrap(), |error| {
            matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. })
        });
    }
    cluster.certificate.renew(&cluster.authority, cluster.now()).unwrap();
    assert!(cluster.certificate.half_life() > old);
    for client in [&pinned, &own] {
        assert_eq!(meet(&server, client, NAME).await.unwrap().answer, Ok(()));
    }
}

#[test]
fn what_is_no_pin_is_said_so() {
    let digits = "ab".repeat(32);
    let good = format!("sha256:{digits}");
    assert_eq!(good.parse::<Pin>().unwrap().to_string(), good);
    assert!(format!("{good}\n").parse::<Pin>().is_ok());
    for bad in ["", "sha256:", &digits, &format!("sha1:{digits}"), &good[..70], &format!("{good}a")]
    {
        let error = bad.parse::<Pin>().unwrap_err().to_string();
        assert!(error.contains("64 hexadecimal digits"), "{error}");
    }
}
