//! Answers that survive their controller.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oag_runtime::{ShutdownHandle, Supervisor, SystemClock};
use oag_store::{SqliteConfig, SqliteStore};
use oag_store_port::Store;
use oag_types::{GenerationId, Tenant};

use super::world::{World, asked, counted, until};
use crate::{Cluster, ClusterConfig, KeptState, KeptStore};

fn keeper(cluster: &Cluster, store: &Arc<SqliteStore>) -> (KeptStore, ShutdownHandle) {
    let shutdown = ShutdownHandle::new();
    let supervisor = Supervisor::new(shutdown.clone());
    let store = Arc::clone(store) as Arc<dyn Store>;
    (KeptStore::new(cluster.clone(), store, SystemClock::shared(), supervisor), shutdown)
}

async fn wait(keeper: &KeptStore, tenant: &Tenant, id: GenerationId) -> crate::KeptAnswer {
    for _ in 0..2_000 {
        let kept = keeper.get(tenant, id).await.unwrap().unwrap();
        if kept.state != KeptState::Open {
            return kept;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{id} did not come to its end");
}

#[tokio::test]
async fn a_controller_that_is_started_anew_loses_nothing_and_begins_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("truth"), SqliteConfig::default()).unwrap();
    let store = Arc::new(store);
    let mut world = World::new(ClusterConfig::default());
    let (one, two) = (world.node("one", 2), world.node("two", 2));
    until("both nodes", || world.cluster.figures().connected == 2).await;
    let (before, ends) = keeper(&world.cluster, &store);
    let tenant = asked(1).context.tenant;
    let mut ids = Vec::new();
    for at in 0..8 {
        ids.push(before.submit(&tenant, asked(60 + at)).await.unwrap().id);
    }
    tokio::time::sleep(Duration::from_millis(250)).await;

    // It ends in the middle of four, with four more waiting.
    ends.begin();
    world.start_anew(ClusterConfig::default());
    let (after, _ends) = keeper(&world.cluster, &store);
    assert_eq!(after.restore(&tenant).await.unwrap(), 8);
    world.net.cut("one");
    world.net.cut("two");

    for (at, id) in (0..).zip(ids) {
        let kept = wait(&after, &tenant, id).await;
        assert_eq!((kept.state, kept.text), (KeptState::Done, counted(60 + at)), "{id}");
    }
    let begun = [&one, &two].map(|node| node.engine.begun.load(Ordering::SeqCst));
    assert_eq!(begun.iter().sum::<u32>(), 8, "{begun:?}");
    assert_eq!(world.cluster.figures().adopted, 4);
    assert_eq!(after.restore(&tenant).await.unwrap(), 0);
}

#[tokio::test]
async fn what_no_node_comes_back_with_is_begun_anew_and_old_answers_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("truth"), SqliteConfig::default()).unwrap();
    let store = Arc::new(store);
    let config = ClusterConfig { restore_ms: 300, kept_ms: -1, ..ClusterConfig::default() };
    let mut world = World::new(config.clone());
    let one = world.node("one", 1);
    until("the node", || world.cluster.figures().connected == 1).await;
    let (before, ends) = keeper(&world.cluster, &store);
    let tenant = asked(1).context.tenant;
    let id = before.submit(&tenant, asked(50)).await.unwrap().id;
    tokio::time::sleep(Duration::from_millis(100)).await;
    ends.begin();
    // The node is lost with the controller; another comes.
    one.shutdown.begin();
    world.start_anew(config);
    let (after, _ends) = keeper(&world.cluster, &store);
    assert_eq!(after.restore(&tenant).await.unwrap(), 1);
    let _two = world.node("two", 1);
    world.net.cut("one");
    let kept = wait(&after, &tenant, id).await;
    assert_eq!((kept.state, kept.text), (KeptState::Done, counted(50)));
    assert_eq!(after.sweep(&tenant).await.unwrap(), 1);
    assert!(after.get(&tenant, id).await.unwrap().is_none());
}
