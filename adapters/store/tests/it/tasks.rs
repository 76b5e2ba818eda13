//! Tasks: one holder at a time.

use std::collections::BTreeMap;

use futures::future::join_all;
use oag_store_port::{StoreError, TaskState, TaskToken};

use crate::backend::{Backend, PLAN, at, batch, claim, task, tenant};

pub(crate) async fn each_task_is_claimed_once(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let epoch = store.new_epoch().await.unwrap();
    let tasks = (0..200).fold(batch(), |b, n| b.task(task("q", &format!("t{n:03}"), n)));
    store
        .commit(&t, tasks.task(task("other", "x", 0)).task(task("q", "later", 500)))
        .await
        .unwrap();
    let claimers = (0..16).map(|_| async {
        let mut mine = Vec::new();
        loop {
            let claimed = store.claim(&t, claim("q", epoch, 300, 3)).await.unwrap();
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed);
        }
    });
    let mut holders = BTreeMap::new();
    for task in join_all(claimers).await.into_iter().flatten() {
        assert_eq!((task.attempt, task.state, task.epoch), (1, TaskState::Leased, epoch));
        assert_eq!(task.lease_until, at(1_300));
        assert_eq!(task.body, format!("{{\"do\":\"{}\"}}", task.id));
        *holders.entry(task.id).or_insert(0) += 1;
    }
    assert_eq!(holders.len(), 200);
    assert!(holders.values().all(|count| *count == 1));
    // In order of time, then id.
    let again = store.claim(&t, claim("q", epoch, 1_300, 2)).await.unwrap();
    assert_eq!(again.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["t000", "t001"]);
}

pub(crate) async fn leases_end_and_are_renewed(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let epoch = store.new_epoch().await.unwrap();
    store.commit(&t, batch().task(task("q", "a", 0))).await.unwrap();
    let first = store.claim(&t, claim("q", epoch, 0, 1)).await.unwrap().remove(0);
    assert_eq!(store.claim(&t, claim("q", epoch, 999, 1)).await.unwrap(), []);
    store.renew(&t, &first.token(), at(5_000)).await.unwrap();
    assert_eq!(store.claim(&t, claim("q", epoch, 4_999, 1)).await.unwrap(), []);
    let second = store.claim(&t, claim("q", epoch, 5_000, 1)).await.unwrap().remove(0);
    assert_eq!(second.attempt, 2);
    let lost =
        |result: Result<(), _>| matches!(result, Err(StoreError::LostLease(id)) if id == "a");
    assert!(lost(store.renew(&t, &first.token(), at(9_000)).await));
    let late = store.complete_if(&t, &first.token(), epoch, batch().put(PLAN, "p", "1", "")).await;
    assert!(lost(late.map(|_| ())));
    assert!(store.get(&t, PLAN, "p").await.unwrap().is_none());
    store.renew(&t, &second.token(), at(9_000)).await.unwrap();
}

pub(crate) async fn a_task_is_completed_once(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let epoch = store.new_epoch().await.unwrap();
    store.commit(&t, batch().task(task("q", "a", 0))).await.unwrap();
    let unclaimed = TaskToken { task: "a".into(), attempt: 0, epoch: 0 };
    assert!(store.commit(&t, batch().completing(unclaimed)).await.is_err());
    let token = store.claim(&t, claim("q", epoch, 0, 1)).await.unwrap()[0].token();
    let completions = (0..8).map(|n| {
        let effect = batch().ledger("outcome", "a", n.to_string()).task(task("q", "next", 0));
        store.complete_if(&t, &token, epoch, effect)
    });
    let done = join_all(completions).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    let lost = |done: &Result<_, _>| matches!(done, Err(StoreError::LostLease(_)));
    assert_eq!(done.iter().filter(|done| lost(done)).count(), 7);
    assert_eq!(store.ledger_rows(&t, 0, 10).await.unwrap().len(), 1);
    let next = store.claim(&t, claim("q", epoch, 99_999, 10)).await.unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!(next[0].id, "next");
}

pub(crate) async fn older_epochs_are_fenced(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let old = store.new_epoch().await.unwrap();
    store.commit(&t, batch().task(task("q", "a", 0))).await.unwrap();
    let held = store.claim(&t, claim("q", old, 0, 1)).await.unwrap().remove(0);
    let new = store.new_epoch().await.unwrap();
    assert_eq!(new, old + 1);
    let fenced = |result: Result<(), StoreError>| match result {
        Err(StoreError::Fenced { mine, present }) => assert_eq!((mine, present), (old, new)),
        other => panic!("not fenced: {other:?}"),
    };
    let write = || batch().put(PLAN, "a", "1", "");
    fenced(store.commit(&t, write().in_epoch(old)).await.map(|_| ()));
    fenced(store.claim(&t, claim("q", old, 0, 1)).await.map(|_| ()));
    fenced(store.renew(&t, &held.token(), at(9_000)).await);
    fenced(store.complete_if(&t, &held.token(), old, write()).await.map(|_| ()));
    assert_eq!(store.revision(&t).await.unwrap(), 1);
    // The lease of the old leader is free at once, long before it ends.
    let taken = store.claim(&t, claim("q", new, 1, 1)).await.unwrap().remove(0);
    assert_eq!((taken.attempt, taken.epoch), (2, new));
    store.complete_if(&t, &taken.token(), new, write()).await.unwrap();
    store.commit(&t, write()).await.unwrap();
    // Take-overs while many write: each epoch is given once, and nobody starves.
    let writers = join_all((0..40).map(|_| store.commit(&t, write().in_epoch(new + 3))));
    let leaders = join_all((0..3).map(|_| store.new_epoch()));
    let (written, raised) = tokio::join!(writers, leaders);
    let mut raised: Vec<_> = raised.into_iter().map(Result::unwrap).collect();
    raised.sort_unstable();
    assert_eq!(raised, [new + 1, new + 2, new + 3]);
    assert!(written.iter().all(Result::is_ok));
}

pub(crate) async fn the_same_task_is_not_enqueued_twice(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let epoch = store.new_epoch().await.unwrap();
    let enqueue = || batch().task(task("q", "a", 0));
    store.commit(&t, enqueue()).await.unwrap();
    store.commit(&t, enqueue()).await.unwrap();
    let mut claimed = store.claim(&t, claim("q", epoch, 0, 10)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    store.commit(&t, enqueue()).await.unwrap();
    let token = claimed.remove(0).token();
    store.complete_if(&t, &token, epoch, batch()).await.unwrap();
    store.commit(&t, enqueue()).await.unwrap();
    assert_eq!(store.claim(&t, claim("q", epoch, 99_999, 10)).await.unwrap(), []);
    // A token names no queue, so another queue cannot have the same id.
    let other = store.commit(&t, batch().task(task("other", "a", 0))).await;
    assert!(matches!(other, Err(StoreError::Invalid(_))), "{other:?}");
    assert_eq!(store.prune(at(0)).await.unwrap(), 0);
    assert_eq!(store.prune(at(1)).await.unwrap(), 1);
    store.commit(&t, enqueue()).await.unwrap();
    assert_eq!(store.claim(&t, claim("q", epoch, 0, 10)).await.unwrap()[0].attempt, 1);
}
