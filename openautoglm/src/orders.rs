//! Signed orders: the controller's pen, and the check on a worker.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use async_trait::async_trait;
use oag_cluster::orders::{Deed, Order, Pen, Terms};
use oag_pki::Bundle;
use oag_pki::command::{
    Checker, Command, CommandKind, NonceStore, SigningKey, VerifyingKey, new_nonce, sign,
};
use oag_placement::Check;
use oag_runtime::Clock;
use oag_types::{NodeName, Timestamp};

/// How long before its signature a command counts, for clocks that differ, and how long after, in
/// milliseconds: together no more than the five minutes a command may live.
const SKEW_MS: i64 = 30_000;
const LIFE_MS: i64 = 240_000;

/// Signs orders with the cluster's command key.
pub(crate) struct CommandPen {
    pub(crate) key: SigningKey,
    pub(crate) cluster: String,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Pen for CommandPen {
    fn sign(&self, order: &Order) -> Result<String, String> {
        let now = self.clock.now();
        let later = |millis: i64| Timestamp::from_millis(now.as_millis() + millis);
        let written = |error: &dyn std::fmt::Display| format!("the order is not signed: {error}");
        let command = Command {
            cluster: self.cluster.clone(),
            target: order.node.as_str().to_owned(),
            kind: kind(&order.deed),
            body: serde_json::to_value(&order.deed).map_err(|error| written(&error))?,
            plan: order.plan,
            nonce: new_nonce().map_err(|error| written(&error))?,
            not_before: later(-SKEW_MS),
            expires: later(LIFE_MS),
        };
        let envelope = sign(&self.key, &command).map_err(|error| written(&error))?;
        String::from_utf8(envelope.to_bytes()).map_err(|error| written(&error))
    }

    fn terms(&self) -> Terms {
        Terms { cluster: self.cluster.clone(), key: self.key.public().to_string() }
    }
}

/// What kind of command a deed is.
const fn kind(deed: &Deed) -> CommandKind {
    match deed {
        Deed::Serve { .. } | Deed::Leave { .. } => CommandKind::ModelSwap,
        Deed::Configure { .. } => CommandKind::Configuration,
        Deed::Restart { .. } => CommandKind::Restart,
        Deed::Run { .. } => CommandKind::Script,
    }
}

/// Checks orders on a worker.
pub(crate) struct OrderCheck {
    node: NodeName,
    nonces: PathBuf,
    clock: Arc<dyn Clock>,
    /// Whose orders count came with the certificate; what a session says changes nothing.
    enrolled: bool,
    known: Mutex<Option<(Terms, Arc<Checker>)>>,
}

impl OrderCheck {
    /// For a node; with the bundle it was given when it enrolled, where it was.
    pub(crate) fn new(
        node: NodeName,
        nonces: PathBuf,
        bundle: Option<&Bundle>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let enrolled = bundle.is_some();
        let check = Self { node, nonces, clock, enrolled, known: Mutex::default() };
        if let Some(Bundle { cluster, command_key, .. }) = bundle {
            let terms = Terms { cluster: cluster.clone(), key: command_key.to_string() };
            *check.known() = Some((terms.clone(), check.checker(&terms)?));
        }
        Ok(Arc::new(check))
    }

    fn checker(&self, terms: &Terms) -> Result<Arc<Checker>> {
        let key: VerifyingKey = terms.key.parse()?;
        let nonces = NonceStore::open(&self.nonces)?;
        Ok(Arc::new(Checker::new(&terms.cluster, self.node.as_str(), key, nonces)))
    }

    fn known(&self) -> MutexGuard<'_, Option<(Terms, Arc<Checker>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Check for OrderCheck {
    fn learn(&self, terms: &Terms) {
        let mut known = self.known();
        if self.enrolled || known.as_ref().is_some_and(|(had, _)| had == terms) {
            return;
        }
        match self.checker(terms) {
            Ok(checker) => *known = Some((terms.clone(), checker)),
            Err(error) => tracing::error!(%error, "orders of this controller cannot be checked"),
        }
    }

    async fn check(&self, envelope: &str) -> Result<Deed, String> {
        let checker = self.known().as_ref().map(|(_, checker)| Arc::clone(checker));
        let checker = checker.ok_or("the controller has not said whose orders count")?;
        let (envelope, now) = (envelope.to_owned(), self.clock.now());
        // The nonce goes to the disk first.
        let checked =
            tokio::task::spawn_blocking(move || checker.check(envelope.as_bytes(), now)).await;
        let command = checked.map_err(|error| error.to_string())?;
        let command = command.map_err(|error| error.to_string())?;
        let deed: Deed = serde_json::from_value(command.body)
            .map_err(|error| format!("the order is not understood: {error}"))?;
        if kind(&deed) != command.kind {
            return Err(format!("{:?} is no command of this kind", command.kind));
        }
        tracing::info!(plan = %command.plan, kind = ?command.kind, "order to be obeyed");
        Ok(deed)
    }
}

#[cfg(test)]
mod tests {
    use oag_cluster::orders::Recipe;
    use oag_runtime::FakeClock;
    use oag_types::Digest;
    use tempfile::TempDir;

    use super::*;

    fn name(text: &str) -> NodeName {
        NodeName::try_from(text.to_owned()).unwrap()
    }

    struct World {
        folder: TempDir,
        clock: Arc<FakeClock>,
        pen: CommandPen,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(FakeClock::at(Timestamp::from_millis(1_780_000_000_000)));
            let key = SigningKey::open(&folder.path().join("keys")).unwrap();
            let pen = CommandPen { key, cluster: "shop".to_owned(), clock: clock.clone() };
            Self { folder, clock, pen }
        }

        fn check(&self, node: &str) -> Arc<OrderCheck> {
            let nonces = self.folder.path().join(format!("{node}.nonces"));
            let check = OrderCheck::new(name(node), nonces, None, self.clock.clone()).unwrap();
            check.learn(&self.pen.terms());
            check
        }

        fn order(&self, node: &str) -> Order {
            let recipe = Recipe {
                model: "m".to_owned(),
                file: "m.gguf".to_owned(),
                sha256: None,
                settings: Default::default(),
            };
            let deed = Deed::Serve { generation: 1, recipe };
            Order { node: name(node), deed, plan: Digest::of(b"plan") }
        }
    }

    #[tokio::test]
    async fn an_order_is_obeyed_once_by_the_node_it_is_for_while_it_is_fresh() {
        let world = World::new();
        let order = world.order("w-1");
        let envelope = world.pen.sign(&order).unwrap();
        let (mine, other) = (world.check("w-1"), world.check("w-2"));
        assert_eq!(mine.check(&envelope).await.unwrap(), order.deed);
        assert!(mine.check(&envelope).await.unwrap_err().contains("given before"));
        // Nor after a restart of the node.
        assert!(world.check("w-1").check(&envelope).await.unwrap_err().contains("given before"));
        assert!(other.check(&envelope).await.unwrap_err().contains("w-1"));
        let late = world.pen.sign(&order).unwrap();
        world.clock.advance(LIFE_MS);
        assert!(mine.check(&late).await.unwrap_err().contains("before"));
    }

    #[tokio::test]
    async fn another_key_counts_only_where_no_certificate_said_whose_orders_do() {
        let (world, thief) = (World::new(), World::new());
        let check = world.check("w-1");
        let forged = thief.pen.sign(&thief.order("w-1")).unwrap();
        assert!(check.check(&forged).await.unwrap_err().contains("key"));
        let bundle = Bundle {
            cluster: "shop".to_owned(),
            ca_pem: String::new(),
            command_key: world.pen.key.public(),
        };
        let nonces = world.folder.path().join("enrolled.nonces");
        let enrolled =
            OrderCheck::new(name("w-1"), nonces, Some(&bundle), world.clock.clone()).unwrap();
        enrolled.learn(&thief.pen.terms());
        assert!(enrolled.check(&forged).await.is_err());
        let real = world.pen.sign(&world.order("w-1")).unwrap();
        assert!(enrolled.check(&real).await.is_ok());
    }
}
