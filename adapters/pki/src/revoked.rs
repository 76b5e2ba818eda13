//! Who is not let in any more, whatever the certificate says.

use std::collections::BTreeMap;
use std::sync::Arc;

use oag_types::Timestamp;
use tokio::sync::watch;

use crate::{NodeIdentity, PkiError};

/// The most serial numbers and nodes together.
const ENTRIES_MAX: usize = 100_000;

/// What is revoked, each with the moment from which it does not matter any more because every
/// certificate it is about has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Certificates by serial number, as [`NodeIdentity::serial`] writes it.
    pub serials: BTreeMap<String, Timestamp>,
    /// Nodes by id, with all their certificates.
    pub nodes: BTreeMap<String, Timestamp>,
}

impl Revocations {
    /// Whether a certificate is revoked, by itself or with its node. An entry counts for as long
    /// as it is here, also after its moment.
    #[must_use]
    pub fn hold(&self, identity: &NodeIdentity) -> bool {
        self.serials.contains_key(&identity.serial) || self.nodes.contains_key(&identity.node_id)
    }

    fn len(&self) -> usize {
        self.serials.len() + self.nodes.len()
    }
}

/// The revocations as all connections see them; a clone is the same set. It lives in memory: its
/// owner keeps the truth elsewhere and fills it at the start, before anything listens.
#[derive(Debug, Clone)]
pub struct Revoked {
    current: Arc<watch::Sender<Arc<Revocations>>>,
}

impl Revoked {
    /// With nothing revoked.
    #[must_use]
    pub fn new() -> Self {
        Self { current: Arc::new(watch::Sender::new(Arc::default())) }
    }

    /// What is revoked now.
    #[must_use]
    pub fn current(&self) -> Arc<Revocations> {
        Arc::clone(&self.current.borrow())
    }

    /// How many entries there are, for a figure.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.borrow().len()
    }

    /// Whether nothing is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a whole new set in place of the old.
    ///
    /// # Errors
    /// [`PkiError::Full`] above 100 000 entries; the old set stays.
    pub fn replace(&self, revocations: Revocations) -> Result<(), PkiError> {
        self.change(|current| *current = revocations)
    }

    /// Revokes one certificate.
    ///
    /// # Errors
    /// [`PkiError::Full`] above 100 000 entries; the old set stays.
    pub fn revoke_serial(&self, serial: &str, until: Timestamp) -> Result<(), PkiError> {
        self.change(|current| {
            current.serials.insert(serial.to_owned(), until);
        })
    }

    /// Revokes every certificate of a node.
    ///
    /// # Errors
    /// [`PkiError::Full`] above 100 000 entries; the old set stays.
    pub fn revoke_node(&self, node_id: &str, until: Timestamp) -> Result<(), PkiError> {
        self.change(|current| {
            current.nodes.insert(node_id.to_owned(), until);
        })
    }

    /// Lets go of what does not matter any more.
    pub fn prune(&self, now: Timestamp) {
        self.current.send_if_modified(|current| {
            let before = current.len();
            let kept = Arc::make_mut(current);
            kept.serials.retain(|_, until| *until > now);
            kept.nodes.retain(|_, until| *until > now);
            kept.len() != before
        });
    }

    /// Changes of the set, as they come.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Revocations>> {
        self.current.subscribe()
    }

    /// Waits until a certificate is revoked, so that its open connection can be closed.
    pub async fn wait(&self, identity: &NodeIdentity) {
        let mut changes = self.watch();
        // The set is not dropped before `self`, so that waiting for it does not fail.
        let _ = changes.wait_for(|current| current.hold(identity)).await;
    }

    fn change(&self, change: impl FnOnce(&mut Revocations)) -> Result<(), PkiError> {
        let mut result = Ok(());
        self.current.send_if_modified(|current| {
            let mut changed = Revocations::clone(current);
            change(&mut changed);
            if changed.len() > ENTRIES_MAX {
                result = Err(PkiError::Full { what: "revocations", limit: ENTRIES_MAX });
                return false;
            }
            *current = Arc::new(changed);
            true
        });
        result
    }
}

impl Default for Revoked {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn identity(node_id: &str, serial: &str) -> NodeIdentity {
        NodeIdentity { node_id: node_id.to_owned(), serial: serial.to_owned(), not_after: at(9) }
    }

    #[test]
    fn a_certificate_is_revoked_by_itself_or_with_its_node() {
        let revoked = Revoked::new();
        revoked.revoke_serial("01", at(5)).unwrap();
        revoked.revoke_node("b", at(7)).unwrap();
        let holds = |node: &str, serial: &str| revoked.current().hold(&identity(node, serial));
        assert!(holds("a", "01") && holds("b", "02") && !holds("a", "02"));
        revoked.prune(at(5));
        assert!(!holds("a", "01") && holds("b", "02"));
        assert_eq!(revoked.len(), 1);
    }

    #[test]
    fn what_finds_no_room_is_an_error_and_changes_nothing() {
        let revoked = Revoked::new();
        let entry = |number: usize| (number.to_string(), at(1));
        let serials: BTreeMap<_, _> = (0..ENTRIES_MAX).map(entry).collect();
        revoked.replace(Revocations { serials, ..Revocations::default() }).unwrap();
        let refused = revoked.revoke_node("one more", at(1));
        assert!(matches!(refused, Err(PkiError::Full { .. })));
        assert!(!revoked.current().hold(&identity("one more", "x")));
        assert_eq!(revoked.len(), ENTRIES_MAX);
    }

    #[tokio::test]
    async fn who_waits_is_told_and_others_are_not() {
        let revoked = Revoked::new();
        let (mine, other) = (identity("a", "01"), identity("b", "02"));
        let set = revoked.clone();
        let told = revoked.wait(&mine);
        tokio::pin!(told);
        for node in ["b", "c"] {
            set.revoke_node(node, at(5)).unwrap();
            tokio::select! {
                biased;
                () = &mut told => panic!("told of others"),
                () = tokio::task::yield_now() => {}
            }
        }
        set.revoke_serial("01", at(5)).unwrap();
        told.await;
        revoked.wait(&other).await;
    }
}
