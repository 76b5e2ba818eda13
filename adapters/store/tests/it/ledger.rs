//! The ledger inside the store: what is stored is what `oag-ledger` computes from the rows.

use futures::future::join_all;
use oag_ledger::{
    Error, Frontier, Hash, HashRange, ProofBundle, Report, Row, Verifier, leaf_hash, payload_digest,
};
use oag_store::{LedgerReader, PostgresConfig, Upkeep};
use oag_store_port::{Batch, Expect, StoreError};
use oag_types::Tenant;

use crate::backend::{Backend, PLAN, Place, batch, tenant};
use crate::migrations::tamper;

/// The hashes of a level, tile by tile, and nothing behind them.
async fn level(store: &dyn Upkeep, tenant: &Tenant, level: u8, count: usize) -> Vec<Hash> {
    let tiles = (0..=count as u64 / 256)
        .map(|index| HashRange { level, start: index * 256, count: 256 })
        .collect::<Vec<_>>();
    store.ledger_hashes(tenant, &tiles).await.unwrap().concat()
}

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
    let leaves: Vec<Hash> = rows.iter().map(|row| row.leaf_hash).collect();
    assert_eq!(level(store, tenant, 0, leaves.len()).await, leaves);
    let above: Vec<Hash> = nodes.iter().filter(|node| node.level == 1).map(|n| n.hash).collect();
    assert_eq!(level(store, tenant, 1, above.len()).await, above);
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
    // After another start the tree goes on where it was.
    let row = store.ledger_rows(&t, 299, 10).await.unwrap().remove(0);
    assert_eq!(row.index, 299);
    store.commit(&t, batch().ledger("intent", "act_0", "{}")).await.unwrap();
    let about = store.ledger_by_subject(&t, "act_2").await.unwrap();
    let kinds: Vec<_> = about.iter().map(|row| row.parse_entry().unwrap().kind).collect();
    assert_eq!(kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), ["intent", "outcome"]);
    assert_eq!(about[0].payload.as_deref(), Some(b"{\"n\":2}".as_slice()));
}

/// A ledger of many rows, a hundred to a commit.
pub(crate) async fn fill(store: &dyn Upkeep, t: &Tenant, rows: usize) {
    for first in (0..rows).step_by(100) {
        let numbers = first..rows.min(first + 100);
        let append = |b: Batch, n: usize| b.ledger("intent", format!("act_{n}"), n.to_string());
        store.commit(t, numbers.fold(batch(), append)).await.unwrap();
    }
}

/// A proof from the hashes the store gives, and nothing else.
pub(crate) async fn prove(store: &dyn Upkeep, t: &Tenant, index: u64) -> Result<(), Error> {
    let parts = store.ledger_proof(t, index).await.unwrap().unwrap();
    assert_eq!(parts.row.index, index);
    assert_eq!(parts.frontier.to_bytes(), store.ledger_frontier(t).await.unwrap());
    ProofBundle::new(&parts.row, &parts.frontier, String::new(), &parts.hashes).map(|_| ())
}

pub(crate) async fn every_row_can_be_proven(backend: &Backend) {
    let (store, t) = (backend.store.as_ref(), tenant("t"));
    for size in [1, 255, 256, 600] {
        let before = checked_rows(store, &t).await.len();
        fill(store, &t, size - before).await;
        for index in [0, 100, 254, 255, 256, 300, 511, 512, 599] {
            if index < size as u64 {
                prove(store, &t, index).await.unwrap();
            }
        }
    }
    checked_rows(store, &t).await;
    assert!(store.ledger_proof(&t, 600).await.unwrap().is_none());
    assert!(store.ledger_proof(&tenant("nobody"), 0).await.unwrap().is_none());
    assert_eq!(store.ledger_hashes(&tenant("nobody"), &[]).await.unwrap(), Vec::<Vec<Hash>>::new());
    // Full tiles are all that is read: what happens to other rows of a tile does not matter, and
    // what happens to the tile is noticed before a proof is given away.
    tamper(backend, "UPDATE ledger_row SET leaf_hash = salt WHERE idx <> 300").await;
    prove(store, &t, 300).await.unwrap();
    let wrong = prove(store, &t, 590).await;
    assert!(matches!(wrong, Err(Error::ProofFailed { .. })), "{wrong:?}");
    let other = "UPDATE ledger_tile SET hashes = (SELECT hashes FROM ledger_tile WHERE idx = 0)";
    tamper(backend, other).await;
    let wrong = prove(store, &t, 300).await;
    assert!(matches!(wrong, Err(Error::ProofFailed { .. })), "{wrong:?}");
}

/// What a pass over the store says that sees it from outside.
pub(crate) async fn inspect(backend: &Backend, t: &Tenant) -> Report {
    let reader = match &backend.place {
        Place::Sqlite(dir) => LedgerReader::open(dir).unwrap(),
        Place::Postgres(url) => {
            LedgerReader::connect(url, &PostgresConfig::default()).await.unwrap()
        }
    };
    let mut verifier = Verifier::new(Vec::new());
    for level in 0..3 {
        for (index, bytes) in reader.tiles(t, level, 0, 100).await.unwrap() {
            verifier.push_tile(level, index, bytes);
        }
        for node in reader.nodes(t, level + 1, 0, 100).await.unwrap() {
            verifier.push_node(node);
        }
    }
    for row in reader.rows(t, 0, 4_096).await.unwrap() {
        verifier.push(&row);
    }
    let frontier = Frontier::parse(&reader.frontier(t).await.unwrap()).unwrap();
    verifier.finish(&frontier)
}

pub(crate) async fn a_pass_from_outside_sees_one_moment(backend: &Backend) {
    let (store, t) = (backend.store.as_ref(), tenant("t"));
    fill(store, &t, 600).await;
    store.commit(&t, batch().put(PLAN, "b", "2", "").put(PLAN, "a", "1", "")).await.unwrap();
    let report = inspect(backend, &t).await;
    assert!(report.is_sound() && report.rows == 600, "{report:?}");
    let reader = match &backend.place {
        Place::Sqlite(dir) => LedgerReader::open(dir).unwrap(),
        Place::Postgres(url) => {
            LedgerReader::connect(url, &PostgresConfig::default()).await.unwrap()
        }
    };
    let before = reader.frontier(&t).await.unwrap();
    fill(store, &t, 1).await;
    assert_eq!(reader.rows(&t, 590, 100).await.unwrap().len(), 10);
    assert_eq!(reader.frontier(&t).await.unwrap(), before);
    assert_eq!(reader.bodies(&t, "plan").await.unwrap(), ["1", "2"]);
    drop(reader);
    for (act, rows) in [
        ("UPDATE ledger_row SET leaf_hash = salt WHERE idx = 44", 44..45),
        ("UPDATE ledger_tile SET hashes = (SELECT hashes FROM ledger_tile WHERE idx = 1)", 0..1),
        ("DELETE FROM ledger_row WHERE idx = 0", 0..1),
    ] {
        tamper(backend, act).await;
        let problem = inspect(backend, &t).await.problem.unwrap();
        assert_eq!(problem.rows(), rows, "{problem}");
    }
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
