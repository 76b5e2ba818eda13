//! Commands that share a transaction: each is judged as if it were alone, in their order.

use std::pin::pin;

use futures::future::{join_all, maybe_done};
use oag_store::Upkeep;
use oag_store_port::{
    Batch, Change, Committed, Expect, ListQuery, Record, StoreError, Task, TaskToken,
};
use oag_types::Tenant;

use crate::backend::{Backend, NOTE, PLAN, at, batch, claim, task, tenant};
use crate::ledger::checked_rows;

pub(crate) async fn commands_that_wait_share_a_commit(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let appends =
        (0..500).map(|n: u32| store.commit(&t, batch().ledger("intent", "a", n.to_string())));
    assert!(join_all(appends).await.iter().all(Result::is_ok));
    let stats = store.stats();
    assert_eq!((stats.commands, stats.refused, stats.queue_len), (500, 0, 0));
    assert!(stats.groups < 250, "{stats:?}");
    assert!(stats.commit_micros > 0);
    assert_eq!(checked_rows(store.as_ref(), &t).await.len(), 500);
}

/// A caller may go away; what it asked for is done, and those in its group are not touched.
pub(crate) async fn a_caller_that_goes_away_takes_nobody_with_it(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let write = |n: u32| store.commit(&t, batch().put(PLAN, format!("p{n:03}"), "1", ""));
    let mut first = pin!(write(0));
    assert!(futures::poll!(first.as_mut()).is_pending());
    {
        let mut gone = pin!(write(1));
        assert!(futures::poll!(gone.as_mut()).is_pending());
    }
    let (first, last) = tokio::join!(first, write(2));
    assert_eq!((first.unwrap().revision, last.unwrap().revision), (1, 3));
    assert!(store.get(&t, PLAN, "p001").await.unwrap().is_some());
}

/// What a run of commands left behind, but for what is drawn by chance.
#[derive(Debug, PartialEq)]
struct Left {
    revision: u64,
    records: Vec<Record>,
    changes: Vec<Change>,
    rows: Vec<(String, String, Option<Vec<u8>>)>,
    tasks: Vec<Task>,
}

async fn left(store: &dyn Upkeep, t: &Tenant, changes_after: u64, epoch: u64) -> Left {
    let mut records = Vec::new();
    for collection in [PLAN, NOTE] {
        let query = ListQuery { limit: 1_000, ..ListQuery::default() };
        records.extend(store.list(t, collection, query).await.unwrap().records);
    }
    let mut rows = Vec::new();
    for row in checked_rows(store, t).await {
        let entry = row.parse_entry().unwrap();
        rows.push((entry.kind.to_string(), entry.subject, row.payload));
    }
    let mut tasks = Vec::new();
    for queue in ["q", "other"] {
        tasks.extend(store.claim(t, claim(queue, epoch, 99_999, 1_000)).await.unwrap());
    }
    let changes = store.changes(t, changes_after, 1_000).await.unwrap();
    Left { revision: store.revision(t).await.unwrap(), records, changes, rows, tasks }
}

async fn oldest(store: &dyn Upkeep, t: &Tenant) -> u64 {
    match store.changes(t, 0, 1).await {
        Err(StoreError::TooOld { oldest }) => oldest,
        _ => 0,
    }
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// A batch of a few parts over a handful of ids, so that batches get in each other's way.
async fn random_batch(dice: &mut Dice, store: &dyn Upkeep, t: &Tenant, epoch: u64) -> Batch {
    let mut batch = batch();
    for _ in 0..=dice.below(3) {
        let id = format!("r{}", dice.below(5));
        let collection = if dice.below(2) == 0 { PLAN } else { NOTE };
        let name = format!("t{:02}", dice.below(14));
        batch = match dice.below(9) {
            0 | 1 => batch.put(collection, id, format!("{}", dice.below(100)), "tag"),
            2 => batch.delete(collection, id),
            3 => batch.expect(Expect::Absent { collection, id }),
            4 => {
                let found = store.get(t, collection, &id).await.unwrap();
                let revision = found.map_or(7, |record| record.revision);
                batch.expect(Expect::Revision { collection, id, revision })
            }
            5 => batch.task(task(if dice.below(6) == 0 { "other" } else { "q" }, &name, 0)),
            6 => {
                let attempt = if dice.below(8) == 0 { 2 } else { 1 };
                batch.completing(TaskToken { task: name, attempt, epoch })
            }
            7 => batch.in_epoch(if dice.below(8) == 0 { epoch - 1 } else { epoch }),
            _ => {
                let kind = if dice.below(10) == 0 { "BAD" } else { "intent" };
                batch.ledger(kind, id, dice.below(100).to_string())
            }
        };
    }
    batch
}

async fn prepare(store: &dyn Upkeep, tenants: &[Tenant]) -> u64 {
    let mut epoch = 0;
    while epoch < 2 {
        epoch = store.new_epoch().await.unwrap();
    }
    for t in tenants {
        let tasks = (0..10).map(|n| task("q", &format!("t{n:02}"), n));
        store.commit(t, tasks.fold(batch(), Batch::task)).await.unwrap();
        assert_eq!(store.claim(t, claim("q", epoch, 500, 6)).await.unwrap().len(), 6);
    }
    epoch
}

/// One store does commands one after the other, another all at once: nobody can tell which.
pub(crate) async fn a_group_does_what_its_commands_do_one_by_one(backend: &Backend) {
    let twin = backend.fresh_like().await;
    let (alone, grouped) = (backend.store.as_ref(), twin.store.as_ref());
    let tenants = [tenant("t"), tenant("u")];
    let epoch = prepare(alone, &tenants).await;
    assert_eq!(prepare(grouped, &tenants).await, epoch);
    let told = |answer: Result<Committed, StoreError>| answer.map_err(|error| error.to_string());
    let (mut dice, mut done, mut refused) = (Dice(20_261), 0, 0);
    for round in 0..4 {
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..60 {
            let t = &tenants[usize::try_from(dice.below(2)).unwrap()];
            let batch = random_batch(&mut dice, alone, t, epoch).await;
            expected.push(told(alone.commit(t, batch.clone()).await));
            commands.push((t, batch));
        }
        let before = grouped.stats().groups;
        let mut waiting: Vec<_> = commands
            .into_iter()
            .map(|(t, batch)| Box::pin(maybe_done(grouped.commit(t, batch))))
            .collect();
        // Each is handed in before the next; some may have their answer by then.
        for command in &mut waiting {
            let _ = futures::poll!(command.as_mut());
        }
        join_all(&mut waiting).await;
        let answers: Vec<_> =
            waiting.iter_mut().map(|one| told(one.as_mut().take_output().unwrap())).collect();
        assert_eq!(answers, expected, "round {round}");
        assert!(grouped.stats().groups - before < 30, "they share commits");
        done += answers.iter().filter(|answer| answer.is_ok()).count();
        refused += answers.iter().filter(|answer| answer.is_err()).count();
    }
    assert!(done > 60 && refused > 60, "{done} done, {refused} refused");
    for t in &tenants {
        let after = oldest(alone, t).await.max(oldest(grouped, t).await);
        let expected = left(alone, t, after, epoch).await;
        assert!(expected.changes.len() > 10 && !expected.rows.is_empty());
        assert_eq!(left(grouped, t, after, epoch).await, expected);
    }
}

/// What a refused command looked at is free as soon as its caller hears of it.
pub(crate) async fn a_refused_command_holds_nothing(backend: &Backend) {
    let (store, t) = (&backend.store, tenant("t"));
    let epoch = store.new_epoch().await.unwrap();
    store.commit(&t, batch().task(task("q", "a", 0))).await.unwrap();
    for round in 0..30 {
        let token = TaskToken { task: "a".into(), attempt: 99, epoch };
        let refused = store.commit(&t, batch().completing(token)).await;
        assert!(matches!(refused, Err(StoreError::LostLease(_))), "{refused:?}");
        let claimed = store.claim(&t, claim("q", epoch, round * 10_000, 1)).await.unwrap();
        assert_eq!(claimed.len(), 1, "round {round}");
    }
}

/// A tenant for which nothing was done is not there afterwards.
pub(crate) async fn a_refused_command_makes_no_tenant(backend: &Backend) {
    let store = &backend.store;
    let refused =
        || batch().expect(Expect::Revision { collection: PLAN, id: "a".into(), revision: 1 });
    let (a, b, c) = (tenant("a"), tenant("b"), tenant("c"));
    for _ in 0..2 {
        let (first, second, third) = tokio::join!(
            store.commit(&a, refused()),
            store.commit(&b, batch().put(PLAN, "a", "1", "")),
            store.commit(&c, refused())
        );
        assert!(matches!(first, Err(StoreError::Conflict { .. })));
        assert!(matches!(third, Err(StoreError::Conflict { .. })));
        second.unwrap();
        assert_eq!(store.tenants().await.unwrap(), std::slice::from_ref(&b));
    }
    let made = store.commit(&a, batch().put(PLAN, "a", "1", "")).await.unwrap();
    assert_eq!(
        (made.revision, store.get(&a, PLAN, "a").await.unwrap().unwrap().updated_at),
        (1, at(0))
    );
}

/// Hands in twenty batches at once while something holds the writer, of a queue of four and groups
/// of one, and lets it go once the queue was full. The answer is how many were written.
pub(crate) async fn overfill(
    store: &dyn Upkeep,
    t: &Tenant,
    put: impl Fn(&str) -> Batch,
    let_go: impl Future<Output = ()>,
) -> usize {
    let writes = join_all((0..20).map(|n| store.commit(t, put(&format!("p{n}")))));
    let release = async {
        while store.stats().overloaded == 0 {
            tokio::task::yield_now().await;
        }
        let_go.await;
    };
    let (done, ()) = tokio::join!(writes, release);
    let full = done.iter().filter(|d| matches!(d, Err(StoreError::Overloaded))).count();
    let written = done.iter().filter(|d| d.is_ok()).count();
    assert_eq!(full + written, 20);
    assert!((4..=6).contains(&written), "{written}");
    let stats = store.stats();
    assert_eq!((stats.queue_len, stats.queue_max), (0, 4));
    assert_eq!(stats.overloaded, full as u64);
    written
}
