//! Records, conditions, the change feed.

use oag_store_port::{Batch, Expect, ListQuery, NewTask, StoreError, TaskToken};

use crate::backend::{Backend, NOTE, PLAN, at, batch, task, tenant};

pub(crate) async fn a_batch_is_done_whole_or_not_at_all(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let done = store.commit(&t, batch().put(PLAN, "a", "1", "")).await.unwrap();
    let lost = TaskToken { task: "none".into(), attempt: 1, epoch: 0 };
    let everything = |batch: Batch| {
        batch
            .put(PLAN, "b", "2", "")
            .delete(PLAN, "a")
            .task(task("q", "one", 0))
            .ledger("intent", "act", "{}")
    };
    let refused = store.commit(&t, everything(batch()).completing(lost)).await;
    assert!(matches!(refused, Err(StoreError::LostLease(id)) if id == "none"));
    let bad_kind = everything(batch()).ledger("Not A Kind", "act", "{}");
    assert!(matches!(store.commit(&t, bad_kind).await, Err(StoreError::Invalid(_))));
    assert_eq!(store.revision(&t).await.unwrap(), done.revision);
    assert!(store.get(&t, PLAN, "a").await.unwrap().is_some());
    assert!(store.get(&t, PLAN, "b").await.unwrap().is_none());
    assert_eq!(store.ledger_rows(&t, 0, 10).await.unwrap(), []);
    let epoch = store.new_epoch().await.unwrap();
    let claim = crate::backend::claim("q", epoch, 10, 10);
    assert_eq!(store.claim(&t, claim).await.unwrap(), []);
}

pub(crate) async fn expectations_guard_a_batch(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let absent = || Expect::Absent { collection: PLAN, id: "a".into() };
    let revision = |revision| Expect::Revision { collection: PLAN, id: "a".into(), revision };
    let conflict = |result| matches!(result, Err(StoreError::Conflict { collection, id }) if collection == "plan" && id == "a");
    let write = |body: &str, expect| batch().expect(expect).put(PLAN, "a", body, "");
    assert!(conflict(store.commit(&t, write("0", revision(1))).await));
    let first = store.commit(&t, write("1", absent())).await.unwrap().revision;
    assert!(conflict(store.commit(&t, write("2", absent())).await));
    let second = store.commit(&t, write("3", revision(first))).await.unwrap().revision;
    assert!(conflict(store.commit(&t, write("4", revision(first))).await));
    let record = store.get(&t, PLAN, "a").await.unwrap().unwrap();
    assert_eq!((record.body.as_str(), record.revision), ("3", second));
    // Of writers that read the same revision one wins.
    let race = (0..8).map(|n| store.commit(&t, write(&format!("1{n}"), revision(second))));
    let won = futures::future::join_all(race).await.into_iter().filter(Result::is_ok).count();
    assert_eq!(won, 1);
}

pub(crate) async fn records_are_listed_in_pages(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let mut all = batch().put(NOTE, "n5", "{}", "odd");
    for n in 0..10 {
        let tag = if n % 2 == 0 { "even" } else { "odd" };
        all = all.put(PLAN, format!("n{n}"), format!("{{ \"n\" : {n} }}"), tag);
    }
    let committed = store.commit(&t, all).await.unwrap();
    let deleted = batch().delete(PLAN, "n4").delete(PLAN, "absent");
    let committed_after = store.commit(&t, deleted).await.unwrap();
    let pages = async |tag: Option<&str>, descending| {
        let mut query =
            ListQuery { tag: tag.map(str::to_owned), after: None, descending, limit: 4 };
        let (mut ids, mut pages) = (Vec::new(), 0);
        loop {
            let page = store.list(&t, PLAN, query.clone()).await.unwrap();
            assert_eq!(page.revision, committed_after.revision);
            ids.extend(page.records.iter().map(|record| record.id.clone()));
            pages += 1;
            query.after = page.next;
            if query.after.is_none() {
                return (ids.concat(), pages);
            }
        }
    };
    assert_eq!(pages(None, false).await, ("n0n1n2n3n5n6n7n8n9".to_owned(), 3));
    assert_eq!(pages(None, true).await, ("n9n8n7n6n5n3n2n1n0".to_owned(), 3));
    // Four of four: the page is full and the last.
    assert_eq!(pages(Some("even"), false).await, ("n0n2n6n8".to_owned(), 1));
    assert_eq!(pages(Some("odd"), true).await, ("n9n7n5n3n1".to_owned(), 2));
    assert_eq!(pages(Some("none"), true).await, (String::new(), 1));
    let record = store.get(&t, PLAN, "n6").await.unwrap().unwrap();
    assert_eq!(record.body, "{ \"n\" : 6 }", "kept as it was given");
    assert_eq!((record.revision, record.tag.as_str()), (committed.revision, "even"));
    assert_eq!(record.updated_at, at(0));
}

pub(crate) async fn revisions_strictly_grow(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    assert_eq!(store.revision(&t).await.unwrap(), 0);
    let writes = (0..50).map(|n| store.commit(&t, batch().put(PLAN, format!("p{n}"), "1", "")));
    let mut revisions: Vec<_> = futures::future::join_all(writes)
        .await
        .into_iter()
        .map(|done| done.unwrap().revision)
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=50).collect::<Vec<_>>());
    assert_eq!(store.revision(&t).await.unwrap(), 50);
}

pub(crate) async fn the_feed_tells_every_change(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    assert_eq!(store.changes(&t, 0, 10).await.unwrap(), []);
    let put = store.commit(&t, batch().put(PLAN, "a", "1", "").put(PLAN, "b", "1", "")).await;
    let put = put.unwrap().revision;
    store.commit(&t, batch().delete(PLAN, "absent")).await.unwrap();
    let deleted = Batch::at(at(5)).put(NOTE, "c", "1", "").delete(PLAN, "a");
    let deleted = store.commit(&t, deleted).await.unwrap().revision;
    let seen = async |after, limit| {
        let changes = store.changes(&t, after, limit).await.unwrap();
        changes.into_iter().map(|c| (c.revision, c.id, c.deleted)).collect::<Vec<_>>()
    };
    let first = [(put, "a".to_owned(), false), (put, "b".to_owned(), false)];
    let second = [(deleted, "c".to_owned(), false), (deleted, "a".to_owned(), true)];
    assert_eq!(seen(0, 10).await, [first.clone(), second.clone()].concat());
    assert_eq!(seen(put, 10).await, second);
    // A revision is never cut: a reader would miss the rest of it.
    assert_eq!(seen(0, 3).await, first);
    assert_eq!(seen(0, 1).await, first);
    assert_eq!(seen(deleted, 1).await, []);
    assert_eq!(store.changes(&t, put, 10).await.unwrap()[0].at, at(5));
}

pub(crate) async fn the_feed_is_bounded(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    for n in 0..60 {
        let body = n.to_string();
        let two = batch().put(PLAN, "a", &body, "").put(PLAN, format!("p{n}"), &body, "");
        store.commit(&t, two).await.unwrap();
    }
    let oldest = match store.changes(&t, 0, 10).await {
        Err(StoreError::TooOld { oldest }) => oldest,
        other => panic!("not too old: {other:?}"),
    };
    assert!((38..=40).contains(&oldest), "{oldest}");
    assert!(matches!(store.changes(&t, oldest - 1, 10).await, Err(StoreError::TooOld { .. })));
    let kept = store.changes(&t, oldest, 1_000).await.unwrap();
    assert_eq!(kept.len() as u64, 2 * (60 - oldest));
    assert_eq!(kept[0].revision, oldest + 1);
    // One batch longer than the whole feed leaves nothing to tell, and says so.
    let large = (0..100).fold(batch(), |batch, n| batch.put(NOTE, format!("n{n}"), "1", ""));
    let revision = store.commit(&t, large).await.unwrap().revision;
    assert!(matches!(
        store.changes(&t, 60, 10).await,
        Err(StoreError::TooOld { oldest }) if oldest == revision
    ));
    assert_eq!(store.changes(&t, revision, 10).await.unwrap(), []);
}

pub(crate) async fn tenants_see_only_their_own(backend: &Backend) {
    let (store, a, b) = (&backend.store, tenant("a"), tenant("b"));
    let write = |body: &str| {
        batch().put(PLAN, "same", body, "").ledger("intent", "act", body).task(task("q", "t", 0))
    };
    store.commit(&a, write("1")).await.unwrap();
    store.commit(&a, write("2")).await.unwrap();
    assert!(store.get(&b, PLAN, "same").await.unwrap().is_none());
    assert_eq!(store.changes(&b, 0, 10).await.unwrap(), []);
    assert_eq!(store.ledger_by_subject(&b, "act").await.unwrap(), []);
    assert_eq!(store.commit(&b, write("3")).await.unwrap().ledger_indices, [0]);
    assert_eq!(store.get(&a, PLAN, "same").await.unwrap().unwrap().body, "2");
    assert_eq!(store.list(&b, PLAN, ListQuery::default()).await.unwrap().records.len(), 1);
    assert_eq!(store.tenants().await.unwrap(), [a.clone(), b.clone()]);
    let epoch = store.new_epoch().await.unwrap();
    let claimed = store.claim(&a, crate::backend::claim("q", epoch, 0, 10)).await.unwrap();
    let token = claimed[0].token();
    let foreign = store.complete_if(&b, &token, epoch, batch()).await;
    assert!(matches!(foreign, Err(StoreError::LostLease(_))));
    assert!(store.ledger_erase(&b, 1).await.is_ok_and(|erased| !erased));
    store.complete_if(&a, &token, epoch, batch()).await.unwrap();
}

pub(crate) async fn wrong_commands_are_refused(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let long = "x".repeat(201);
    let no_body = NewTask { body: "do it".into(), ..task("q", "a", 0) };
    for wrong in [
        batch().put(PLAN, "a", "{", ""),
        batch().put(PLAN, "", "{}", ""),
        batch().put(PLAN, &long, "{}", ""),
        batch().put(PLAN, "a", "{}", &long),
        batch().put(PLAN, "a\0b", "{}", ""),
        batch().delete(PLAN, ""),
        batch().ledger("intent", "act", "not json"),
        batch().ledger("intent", "", "{}"),
        batch().ledger("intent", "a\nb", "{}"),
        batch().task(no_body),
        batch().task(task("", "a", 0)),
    ] {
        let refused = store.commit(&t, wrong.clone()).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{wrong:?}: {refused:?}");
    }
    let odd = "\u{10ffff} ' \" \\ $1 ?1 \u{1}";
    store.commit(&t, batch().put(PLAN, odd, "\"\\u0000\"", odd)).await.unwrap();
    let query = ListQuery { tag: Some(odd.into()), descending: true, limit: 1, after: None };
    assert_eq!(store.list(&t, PLAN, query).await.unwrap().records[0].id, odd);
    store.ping().await.unwrap();
}
