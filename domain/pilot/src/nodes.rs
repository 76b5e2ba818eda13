//! Which nodes may join the fleet: tokens that are good once, and the certificates that were given.

use oag_guard::{ApiKey, Resource, Secret, mint, parse_key, permissions, verify};
use oag_types::{Code, NodeName, Problem, Tenant, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::docs::{self, NODE_TOKENS, NODES, to_json};
use crate::rules::guard_problem;
use crate::{Caller, PageOf, PageRequest, Pilot, Versioned};

/// How the text of a token begins; that of API keys begins otherwise.
const TOKEN: &str = "oagn_";
const KEY: &str = "oag_";
/// The longest that a token may be good for.
const VALID_MAX_MS: i64 = 7 * 24 * 3_600_000;
/// Certificates of a node that are kept while they are in force.
const CERTIFICATES_MAX: usize = 64;

/// A token with which one node may join, once. It opens nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeToken {
    /// Its id, owner, digest and end; the id is that of the token.
    pub key: ApiKey,
    /// The node it is for; any when none is named.
    pub node: Option<NodeName>,
    /// When it was used, and by whom.
    pub used: Option<(Timestamp, NodeName)>,
}

/// What is known of a node's certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The node.
    pub node: NodeName,
    /// Its certificates that are not over, the newest last.
    pub certificates: Vec<NodeCertificate>,
}

/// A certificate that was given to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeCertificate {
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// When it was given.
    pub issued_at: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Pilot {
    /// Makes a token. Its text is shown this once.
    ///
    /// # Errors
    /// `FORBIDDEN`, or a time that is none or too long.
    pub async fn mint_node_token(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        node: Option<NodeName>,
        valid_ms: i64,
    ) -> Result<(NodeToken, String), Problem> {
        self.require(tenant, caller, permissions::NODE_ENROL, &Resource::tenant()).await?;
        if !(1_000..=VALID_MAX_MS).contains(&valid_ms) {
            return Err(Problem::field("valid_ms", "is from one second to seven days"));
        }
        let now = self.now();
        let ends = Timestamp::from_millis(now.as_millis() + valid_ms);
        let (id, name) = (self.ids.next(), "node token".to_owned());
        let (key, secret) = mint(id, caller.principal.id, name, Vec::new(), Some(ends), now)
            .map_err(|error| guard_problem(&error))?;
        let text = secret.expose().replacen(KEY, TOKEN, 1);
        let token = NodeToken { key, node, used: None };
        let id = token.key.id.to_string();
        let payload = json!({
            "minted": id, "node": token.node, "expires_at": ends, "by": caller.principal.id,
        });
        let batch = self
            .batch()
            .expect(docs::absent(NODE_TOKENS, &id))
            .put(NODE_TOKENS, id.clone(), to_json(&token)?, String::new())
            .ledger("node", id, payload.to_string());
        self.save(tenant, batch).await?;
        Ok((token, text))
    }

    /// Tokens, never their secrets.
    ///
    /// # Errors
    /// `FORBIDDEN`, or when the store does not answer.
    pub async fn node_tokens(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        page: PageRequest,
    ) -> Result<PageOf<Versioned<NodeToken>>, Problem> {
        self.require(tenant, caller, permissions::NODE_ENROL, &Resource::tenant()).await?;
        docs::page(&*self.store, tenant, NODE_TOKENS, None, page, true).await
    }

    /// Uses a token up for a node. Of two that try, one succeeds.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when it is not known or for another node, `CREDENTIALS_EXPIRED` when it
    /// is over or was used.
    pub async fn redeem_node_token(
        &self,
        tenant: &Tenant,
        presented: &str,
        node: &NodeName,
    ) -> Result<(), Problem> {
        let unknown = || Problem::new(Code::UNAUTHENTICATED, "the node token is not valid");
        let text = presented.strip_prefix(TOKEN).ok_or_else(unknown)?;
        let (id, secret): (_, Secret) = parse_key(&format!("{KEY}{text}")).ok_or_else(unknown)?;
        let id = id.to_string();
        let found = docs::get::<NodeToken>(&*self.store, tenant, NODE_TOKENS, &id).await?;
        let found = found.ok_or_else(unknown)?;
        let gone = |text: &str| Problem::new(Code::CREDENTIALS_EXPIRED, text.to_owned());
        verify(&found.value.key, &secret, self.now()).map_err(|error| match error {
            oag_guard::KeyError::Wrong => unknown(),
            _ => gone("the node token is over; make another with `openautoglm nodes enrol`"),
        })?;
        if found.value.node.as_ref().is_some_and(|wanted| wanted != node) {
            return Err(unknown());
        }
        if found.value.used.is_some() {
            return Err(gone("the node token was used; each is good for one node, once"));
        }
        let mut token = found.value;
        token.used = Some((self.now(), node.clone()));
        let payload = json!({ "redeemed": id, "node": node }).to_string();
        let batch = self
            .batch()
            .expect(docs::unchanged(NODE_TOKENS, &id, found.revision))
            .put(NODE_TOKENS, id, to_json(&token)?, String::new())
            .ledger("node", format!("node:{node}"), payload);
        self.save(tenant, batch).await.map(|_| ())
    }

    /// Writes down that a node was given a certificate, before it gets it.
    ///
    /// # Errors
    /// When the store does not answer; then it must not get it.
    pub async fn note_certificate(
        &self,
        tenant: &Tenant,
        node: &NodeName,
        serial: &str,
        not_after: Timestamp,
    ) -> Result<(), Problem> {
        let (now, id) = (self.now(), node.as_str());
        let found = docs::get::<NodeRecord>(&*self.store, tenant, NODES, id).await?;
        let condition = match &found {
            Some(found) => docs::unchanged(NODES, id, found.revision),
            None => docs::absent(NODES, id),
        };
        let fresh = || NodeRecord { node: node.clone(), certificates: Vec::new() };
        let mut record = found.map_or_else(fresh, |found| found.value);
        record.certificates.retain(|certificate| certificate.not_after > now);
        if record.certificates.len() >= CERTIFICATES_MAX {
            let text = format!("{node} has {CERTIFICATES_MAX} certificates in force; wait");
            return Err(Problem::new(Code::OVERLOADED, text).retry_after(60));
        }
        let serial = serial.to_owned();
        let payload = json!({ "certificate": serial, "not_after": not_after }).to_string();
        let revoked_at = None;
        let certificate = NodeCertificate { serial, issued_at: now, not_after, revoked_at };
        record.certificates.push(certificate);
        let batch = self
            .batch()
            .expect(condition)
            .put(NODES, id, to_json(&record)?, String::new())
            .ledger("node", format!("node:{node}"), payload);
        self.save(tenant, batch).await.map(|_| ())
    }

    /// Revokes every certificate of a node. With a new token it can join again.
    ///
    /// # Errors
    /// `FORBIDDEN`, or `NOT_FOUND` for a node without certificates.
    pub async fn revoke_node(
        &self,
        tenant: &Tenant,
        caller: &Caller,
        node: &NodeName,
        reason: &str,
    ) -> Result<NodeRecord, Problem> {
        self.require(tenant, caller, permissions::NODE_ENROL, &Resource::tenant()).await?;
        let (now, id) = (self.now(), node.as_str());
        let found = docs::get::<NodeRecord>(&*self.store, tenant, NODES, id).await?;
        let found = found.ok_or_else(|| Problem::not_found("node with certificates", node))?;
        let mut record = found.value;
        for certificate in &mut record.certificates {
            certificate.revoked_at.get_or_insert(now);
        }
        let payload = json!({ "revoked": node, "reason": reason, "by": caller.principal.id });
        let batch = self
            .batch()
            .expect(docs::unchanged(NODES, id, found.revision))
            .put(NODES, id, to_json(&record)?, String::new())
            .ledger("node", format!("node:{node}"), payload.to_string());
        self.save(tenant, batch).await?;
        Ok(record)
    }

    /// What is known of all certificates.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn node_records(&self, tenant: &Tenant) -> Result<Vec<NodeRecord>, Problem> {
        let all = docs::all::<NodeRecord>(&*self.store, tenant, NODES).await?;
        Ok(all.into_iter().map(|found| found.value).collect())
    }
}
