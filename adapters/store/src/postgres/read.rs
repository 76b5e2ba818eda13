//! Reads. What must fit together is read from one snapshot.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::{Client, GenericClient};
use oag_ledger::{CompletedNode, Hash, HashRange, Row as LedgerRow};
use oag_store_port::{
    Change, Collection, ListQuery, Page, ProofParts, Record, Revision, StoreError,
};
use oag_types::{Tenant, Timestamp};
use tokio_postgres::{IsolationLevel, Row};

use super::connect::{Fail, row, rows};
use crate::check::{from_db, limit, to_db};
use crate::ledger::{self, StoredRow};
use crate::{HeldTask, shape};

type Answer<T> = Result<T, Fail>;

pub(super) async fn get(
    client: &Client,
    tenant: &Tenant,
    collection: Collection,
    id: &str,
) -> Answer<Option<Record>> {
    let sql = "SELECT id, body, revision, tag, updated_at FROM record
               WHERE tenant = $1 AND collection = $2 AND id = $3";
    let found = row(client, sql, &[&tenant.as_str(), &collection.0, &id]).await?;
    Ok(found.as_ref().map(record).transpose()?)
}

pub(super) async fn list(
    client: &mut Client,
    tenant: &Tenant,
    collection: Collection,
    query: &ListQuery,
) -> Answer<Page> {
    // Ids are not empty and at most 200 bytes: the defaults are the two ends.
    let sql = match (query.tag.is_some(), query.descending) {
        (false, false) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = $1 AND collection = $2 AND id > coalesce($3, '')
               AND $4::text IS NULL
             ORDER BY id LIMIT $5"
        }
        (false, true) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = $1 AND collection = $2 AND id < coalesce($3, repeat(chr(1114111), 51))
               AND $4::text IS NULL
             ORDER BY id DESC LIMIT $5"
        }
        (true, false) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = $1 AND collection = $2 AND id > coalesce($3, '') AND tag = $4
             ORDER BY id LIMIT $5"
        }
        (true, true) => {
            "SELECT id, body, revision, tag, updated_at FROM record
             WHERE tenant = $1 AND collection = $2 AND id < coalesce($3, repeat(chr(1114111), 51))
               AND tag = $4
             ORDER BY id DESC LIMIT $5"
        }
    };
    let count = limit(query.limit, 1_000);
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let tx = snapshot.read_only(true).start().await?;
    let (name, more) = (tenant.as_str(), count + 1);
    let found = rows(&tx, sql, &[&name, &collection.0, &query.after, &query.tag, &more]).await?;
    let records = found.iter().map(record).collect::<Result<_, _>>()?;
    let page = shape::page(records, count, revision(&tx, tenant).await?);
    tx.commit().await?;
    Ok(page)
}

pub(super) async fn changes(
    client: &mut Client,
    tenant: &Tenant,
    after: Revision,
    count: usize,
) -> Answer<Vec<Change>> {
    let snapshot = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
    let tx = snapshot.read_only(true).start().await?;
    let name = tenant.as_str();
    let floor = row(&tx, "SELECT changes_floor FROM tenant WHERE tenant = $1", &[&name]).await?;
    let oldest = from_db(floor.map_or(Ok(0), |row| row.try_get(0))?);
    if after < oldest {
        return Err(StoreError::TooOld { oldest }.into());
    }
    let count = limit(count, 10_000);
    let sql = "SELECT revision, collection, id, deleted, at FROM change
               WHERE tenant = $1 AND revision > $2 ORDER BY seq LIMIT $3";
    let found = rows(&tx, sql, &[&name, &to_db(after), &(count + 1)]).await?;
    let found = found.iter().map(change).collect::<Result<_, _>>()?;
    let changes = match shape::whole_revisions(found, count) {
        Ok(changes) => changes,
        Err(revision) => {
            let sql = "SELECT revision, collection, id, deleted, at FROM change
                       WHERE tenant = $1 AND revision = $2 ORDER BY seq";
            let found = rows(&tx, sql, &[&name, &to_db(revision)]).await?;
            found.iter().map(change).collect::<Result<_, _>>()?
        }
    };
    tx.commit().await?;
    Ok(changes)
}

pub(super) async fn revision(client: &impl GenericClient, tenant: &Tenant) -> Answer<Revision> {
    let sql = "SELECT revision FROM tenant WHERE tenant = $1";
    let found = row(client, sql, &[&tenant.as_str()]).await?;
    Ok(from_db(found.map_or(Ok(0), |row| row.try_get(0))?))
}

pub(super) async fn tenants(client: &Client) -> Answer<Vec<Tenant>> {
    let found = rows(client, "SELECT tenant FROM tenant ORDER BY tenant", &[]).await?;
    found.iter().map(|row| Ok(shape::tenant(row.try_get(0)?)?)).collect()
}

pub(super) async fn ledger_rows(
    client: &Client,
    tenant: &Tenant,
    from: u64,
    count: usize,
) -> Answer<Vec<LedgerRow>> {
    let sql = "SELECT idx, entry, leaf_hash, salt, payload FROM ledger_row
               WHERE tenant = $1 AND idx >= $2 ORDER BY idx LIMIT $3";
    let count = limit(count, 4_096);
    let found = rows(client, sql, &[&tenant.as_str(), &to_db(from), &count]).await?;
    found.iter().map(ledger_row).collect()
}

pub(super) async fn ledger_by_subject(
    client: &Client,
    tenant: &Tenant,
    subject: &str,
) -> Answer<Vec<LedgerRow>> {
    let sql = "SELECT idx, entry, leaf_hash, salt, payload FROM ledger_row
               WHERE tenant = $1 AND subject = $2 ORDER BY idx LIMIT 1000";
    let found = rows(client, sql, &[&tenant.as_str(), &subject]).await?;
    found.iter().map(ledger_row).collect()
}

pub(super) async fn ledger_nodes(
    client: &Client,
    tenant: &Tenant,
    level: u8,
    from: u64,
    count: usize,
) -> Answer<Vec<CompletedNode>> {
    let sql = "SELECT idx, hash FROM ledger_node
               WHERE tenant = $1 AND level = $2 AND idx >= $3 ORDER BY idx LIMIT $4";
    let (level_number, count) = (i64::from(level), limit(count, 4_096));
    let found = rows(client, sql, &[&tenant.as_str(), &level_number, &to_db(from), &count]).await?;
    found.iter().map(|row| Ok(ledger::node(level, row.try_get(0)?, row.try_get(1)?)?)).collect()
}

pub(super) async fn ledger_proof(
    client: &Client,
    tenant: &Tenant,
    index: u64,
) -> Answer<Option<ProofParts>> {
    // The tree only grows: whichever is read later has what the other has.
    let (found, frontier) =
        futures::try_join!(ledger_rows(client, tenant, index, 1), ledger_frontier(client, tenant))?;
    let frontier = ledger::frontier(Some(&frontier))?;
    let found = found.into_iter().find(|row| row.index == index && index < frontier.size());
    let Some(row) = found else { return Ok(None) };
    let (known, ranges) = ledger::wanted(index, &frontier)?;
    let hashes = ledger_hashes(client, tenant, &ranges).await?;
    Ok(Some(ledger::proof(row, frontier, known, ranges.into_iter().zip(hashes))))
}

pub(super) async fn ledger_tiles(
    client: &Client,
    tenant: &Tenant,
    level: u8,
    from: u64,
    count: usize,
) -> Answer<Vec<(u64, Vec<u8>)>> {
    let sql = "SELECT idx, hashes FROM ledger_tile
               WHERE tenant = $1 AND level = $2 AND idx >= $3 ORDER BY idx LIMIT $4";
    let (level, count) = (i64::from(level), limit(count, 256));
    let found = rows(client, sql, &[&tenant.as_str(), &level, &to_db(from), &count]).await?;
    found.iter().map(|row| Ok((from_db(row.try_get(0)?), row.try_get(1)?))).collect()
}

pub(super) async fn ledger_hashes(
    client: &Client,
    tenant: &Tenant,
    ranges: &[HashRange],
) -> Answer<Vec<Vec<Hash>>> {
    let places: BTreeSet<(u8, u64)> = ranges.iter().map(|range| ledger::tile_of(*range)).collect();
    let levels: Vec<i64> = places.iter().map(|place| i64::from(place.0)).collect();
    let indices: Vec<i64> = places.iter().map(|place| to_db(place.1)).collect();
    let sql = "SELECT level, tile.idx, tile.hashes
               FROM unnest($2::bigint[], $3::bigint[]) AS wanted (level, idx)
               JOIN ledger_tile AS tile USING (level)
               WHERE tile.tenant = $1 AND tile.idx = wanted.idx";
    let mut tiles = HashMap::new();
    for row in rows(client, sql, &[&tenant.as_str(), &levels, &indices]).await? {
        let level = u8::try_from(row.try_get::<_, i64>(0)?).unwrap_or(u8::MAX);
        let hashes: Vec<u8> = row.try_get(2)?;
        tiles.insert((level, from_db(row.try_get(1)?)), hashes);
    }
    let singles = ranges.iter().filter(|range| !tiles.contains_key(&ledger::tile_of(**range)));
    let mut single = single_hashes(client, tenant, singles.copied()).await?;
    let found = ranges.iter().map(|range| match tiles.get(&ledger::tile_of(*range)) {
        Some(bytes) => Ok(ledger::part(bytes, *range)?),
        None => Ok(single.remove(range).unwrap_or_default()),
    });
    found.collect()
}

/// Hashes of tiles that are not full, by their ranges.
async fn single_hashes(
    client: &Client,
    tenant: &Tenant,
    ranges: impl Iterator<Item = HashRange>,
) -> Answer<HashMap<HashRange, Vec<Hash>>> {
    let ranges: Vec<HashRange> = ranges.collect();
    if ranges.is_empty() {
        return Ok(HashMap::new());
    }
    let levels: Vec<i64> = ranges.iter().map(|range| i64::from(range.level)).collect();
    let from: Vec<i64> = ranges.iter().map(|range| to_db(range.start)).collect();
    let until: Vec<i64> =
        ranges.iter().map(|range| to_db(range.start.saturating_add(range.count))).collect();
    let sql = "SELECT wanted.place, kept.hash
               FROM unnest($2::bigint[], $3::bigint[], $4::bigint[])
                 WITH ORDINALITY AS wanted (level, first, until, place)
               CROSS JOIN LATERAL (
                 SELECT idx, leaf_hash AS hash FROM ledger_row
                 WHERE wanted.level = 0 AND tenant = $1 AND idx >= first AND idx < until
                 UNION ALL
                 SELECT idx, hash FROM ledger_node
                 WHERE level = wanted.level AND tenant = $1 AND idx >= first AND idx < until
               ) AS kept
               ORDER BY wanted.place, kept.idx";
    let mut found: HashMap<HashRange, Vec<Hash>> = HashMap::new();
    for row in rows(client, sql, &[&tenant.as_str(), &levels, &from, &until]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        if let Some(range) = ranges.get(place) {
            found.entry(*range).or_default().push(ledger::hash(row.try_get(1)?)?);
        }
    }
    Ok(found)
}

pub(super) async fn ledger_frontier(client: &Client, tenant: &Tenant) -> Answer<Vec<u8>> {
    let sql = "SELECT frontier FROM ledger_state WHERE tenant = $1";
    let found = row(client, sql, &[&tenant.as_str()]).await?;
    Ok(found.map_or_else(|| Ok(ledger::empty_frontier()), |row| row.try_get(0))?)
}

pub(super) async fn held_tasks(client: &Client, tenant: &Tenant) -> Answer<Vec<HeldTask>> {
    let sql = "SELECT id, queue, body, attempt, due_at FROM task
               WHERE tenant = $1 AND state = 3 ORDER BY id LIMIT 1000";
    let found = rows(client, sql, &[&tenant.as_str()]).await?;
    let held = |row: &Row| {
        Ok(HeldTask {
            tenant: tenant.clone(),
            id: row.try_get(0)?,
            queue: row.try_get(1)?,
            body: row.try_get(2)?,
            attempt: u32::try_from(row.try_get::<_, i64>(3)?).unwrap_or(u32::MAX),
            due_at: Timestamp::from_millis(row.try_get(4)?),
        })
    };
    found.iter().map(held).collect()
}

fn record(row: &Row) -> Result<Record, tokio_postgres::Error> {
    Ok(Record {
        id: row.try_get(0)?,
        body: row.try_get(1)?,
        revision: from_db(row.try_get(2)?),
        tag: row.try_get(3)?,
        updated_at: Timestamp::from_millis(row.try_get(4)?),
    })
}

fn change(row: &Row) -> Result<Change, tokio_postgres::Error> {
    Ok(Change {
        revision: from_db(row.try_get(0)?),
        collection: row.try_get(1)?,
        id: row.try_get(2)?,
        deleted: row.try_get::<_, i64>(3)? != 0,
        at: Timestamp::from_millis(row.try_get(4)?),
    })
}

fn ledger_row(row: &Row) -> Answer<LedgerRow> {
    Ok(ledger::row(StoredRow {
        index: row.try_get(0)?,
        entry: row.try_get(1)?,
        leaf_hash: row.try_get(2)?,
        salt: row.try_get(3)?,
        payload: row.try_get(4)?,
    })?)
}
