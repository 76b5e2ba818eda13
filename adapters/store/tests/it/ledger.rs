//! The ledger inside the store: what is stored is what `oag-ledger` computes from the rows.

use futures::future::join_all;
use oag_ledger::{CompletedNode, Frontier, Row, leaf_hash, payload_digest};
use oag_store::Upkeep;
use oag_store_port::{Expect, StoreError};
use oag_types::Tenant;

use crate::backend::{Backend, PLAN, batch, tenant};

/// Every row, after checking that tree and rows are one.
pub(crate) async fn checked_rows(store: &dyn Upkeep, tenant: &Tenant) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let more = store.ledger_rows(tenant, rows.len() as u64, 100).await.unwrap();
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    let (mut frontier, mut nodes) = (Frontier::new(), Vec::new());
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.index, index as u64, "indices have no gaps");
        let entry = row.parse_entry().unwrap();
        assert_eq!(entry.tenant, tenant.as_str());
        assert_eq!(row.leaf_hash, leaf_hash(&row.entry));
        if let (Some(salt), Some(payload)) = (&row.salt, &row.payload) {
            let salt: [u8; 32] = salt.as_slice().try_into().unwrap();
            assert_eq!(entry.payload_digest, payload_digest(&salt, payload));
        }
        nodes.extend(frontier.append(row.leaf_hash));
    }
    assert_eq!(store.ledger_frontier(tenant).await.unwrap(), frontier.to_bytes());
    let stored: Vec<CompletedNode> = store.ledger_nodes(tenant, 1, 0, 1_000).await.unwrap();
    assert_eq!(stored, nodes);
    rows
}

pub(crate) async fn the_tree_is_that_of_its_rows(backend: &Backend) {
    let (store, t, other) = (&backend.store, tenant("t"), tenant("other"));
    let never = || Expect::Absent { collection: PLAN, id: "there".into() };
    store.commit(&t, batch().put(PLAN, "there", "1", "")).await.unwrap();
    let appends = (0..300).map(|n: u32| {
        let subject = format!("act_{n}");
        let batch = batch()
            .ledger("intent", &subject, format!("{{\"n\":{n}}}"))
            .ledger("outcome", &subject, "null");
        let (batch, tenant) = match n % 4 {
            0 => (batch.expect(never()), &t),
            1 => (batch, &other),
            _ => (batch, &t),
        };
        store.commit(tenant, batch)
    });
    let done = join_all(appends).await;
    let indices: Vec<u64> = done.iter().flatten().flat_map(|d| d.ledger_indices.clone()).collect();
    assert_eq!(done.iter().filter(|done| done.is_err()).count(), 75);
    assert_eq!(indices.len(), 450);
    assert!(done.iter().flatten().all(|d| d.ledger_indices[0] + 1 == d.ledger_indices[1]));
    assert_eq!(checked_rows(store.as_ref(), &t).await.len(), 300);
    assert_eq!(checked_rows(store.as_ref(), &other).await.len(), 150);
    assert_eq!(store.ledger_nodes(&t, 1, 0, 10).await.unwrap().len(), 1);
    // After another start the tree goes on where it was.
    let row = store.ledger_rows(&t, 299, 10).await.unwrap().remove(0);
    assert_eq!(row.index, 299);
    store.commit(&t, batch().ledger("intent", "act_0", "{}")).await.unwrap();
    let about = store.ledger_by_subject(&t, "act_2").await.unwrap();
    let kinds: Vec<_> = about.iter().map(|row| row.parse_entry().unwrap().kind).collect();
    assert_eq!(kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), ["intent", "outcome"]);
    assert_eq!(about[0].payload.as_deref(), Some(b"{\"n\":2}".as_slice()));
}

pub(crate) async fn a_bad_command_fails_alone(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let commands = (0..100).map(|n: u32| {
        let batch = batch().put(PLAN, format!("p{n:03}"), "1", "").ledger("intent", "act", "{}");
        let batch = match n % 10 {
            3 => batch.expect(Expect::Revision {
                collection: PLAN,
                id: "nobody".into(),
                revision: 7,
            }),
            6 => batch.ledger("BAD", "act", "{}"),
            _ => batch,
        };
        store.commit(&t, batch)
    });
    for (n, done) in join_all(commands).await.into_iter().enumerate() {
        match n % 10 {
            3 => assert!(matches!(done, Err(StoreError::Conflict { .. }))),
            6 => assert!(matches!(done, Err(StoreError::Invalid(_)))),
            _ => assert!(done.is_ok(), "{done:?}"),
        }
        let written = store.get(&t, PLAN, &format!("p{n:03}")).await.unwrap().is_some();
        assert_eq!(written, !matches!(n % 10, 3 | 6));
    }
    assert_eq!(checked_rows(store.as_ref(), &t).await.len(), 80);
    let stats = store.stats();
    assert_eq!((stats.refused, stats.queue_len), (20, 0));
}

pub(crate) async fn an_erased_row_stays_proven(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    for n in 0..5 {
        store.commit(&t, batch().ledger("identity", "usr_1", format!("\"{n}\""))).await.unwrap();
    }
    let before = checked_rows(store.as_ref(), &t).await;
    assert!(store.ledger_erase(&t, 2).await.unwrap());
    assert!(!store.ledger_erase(&t, 2).await.unwrap(), "there is nothing any more");
    assert!(!store.ledger_erase(&t, 99).await.unwrap());
    let after = checked_rows(store.as_ref(), &t).await;
    assert!(after[2].is_erased());
    assert_eq!(after[2], before[2].clone().erased());
    assert_eq!(after[3], before[3]);
    assert_eq!(store.ledger_by_subject(&t, "usr_1").await.unwrap(), after);
}
