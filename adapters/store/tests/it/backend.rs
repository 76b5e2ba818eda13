//! Fresh stores on both databases.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use oag_store::{PostgresConfig, PostgresStore, SetupError, SqliteConfig, SqliteStore, Upkeep};
use oag_store_port::{Batch, Claim, Collection, NewTask};
use oag_testkit::postgres::Postgres;
use oag_types::{Tenant, Timestamp};
use tempfile::TempDir;

pub(crate) const PLAN: Collection = Collection("plan");
pub(crate) const NOTE: Collection = Collection("note");
/// Small, so that the bound of the change feed is reached.
pub(crate) const CHANGES_KEPT: u64 = 40;

/// Where a store lives, so that a test can open it again.
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Place {
    pub(crate) async fn open(&self) -> Result<Arc<dyn Upkeep>, SetupError> {
        Ok(match self {
            Self::Sqlite(dir) => {
                let config = SqliteConfig { changes_kept: CHANGES_KEPT, ..Default::default() };
                Arc::new(SqliteStore::open(dir, config)?)
            }
            Self::Postgres(url) => {
                let config = PostgresConfig { changes_kept: CHANGES_KEPT, ..Default::default() };
                Arc::new(PostgresStore::connect(url, config).await?)
            }
        })
    }
}

pub(crate) struct Backend {
    pub(crate) store: Arc<dyn Upkeep>,
    pub(crate) place: Place,
    pub(crate) dir: TempDir,
}

impl Backend {
    pub(crate) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(dir.path().join("data"));
        let store = place.open().await.unwrap();
        Self { store, place, dir }
    }

    pub(crate) async fn postgres() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::Postgres(empty_database());
        let store = place.open().await.unwrap();
        Self { store, place, dir }
    }

    /// Another one on the same kind of database.
    pub(crate) async fn fresh_like(&self) -> Self {
        match self.place {
            Place::Sqlite(_) => Self::sqlite().await,
            Place::Postgres(_) => Self::postgres().await,
        }
    }
}

/// A new database on the one server of this test binary.
pub(crate) fn empty_database() -> String {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    let server = SERVER.get_or_init(|| match Postgres::start() {
        Ok(server) => server,
        Err(error) => panic!("these tests need PostgreSQL (apt install postgresql-15): {error:#}"),
    });
    server.fresh_database().unwrap()
}

pub(crate) fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_795_000_000_000 + millis)
}

pub(crate) fn batch() -> Batch {
    Batch::at(at(0))
}

pub(crate) fn task(queue: &str, id: &str, due: i64) -> NewTask {
    let (queue, id, body) = (queue.to_owned(), id.to_owned(), format!("{{\"do\":\"{id}\"}}"));
    NewTask { queue, id, body, due_at: at(due) }
}

pub(crate) fn claim(queue: &str, epoch: u64, now: i64, limit: usize) -> Claim {
    Claim { queue: queue.to_owned(), epoch, now: at(now), lease_ms: 1_000, limit }
}
