//! What a group of commands changed, written in a few statements, whatever its size.

use deadpool_postgres::Client;
use futures::future::try_join_all;
use oag_ledger::CompletedNode;
use oag_types::Tenant;
use tokio_postgres::types::ToSql;

use super::connect::{Fail, execute, row};
use super::group::Views;
use super::judge::{ChangeLine, Feed, TaskWrite, Write};
use super::write;
use crate::check::to_db;
use crate::ledger::NewRow;

type Answer<T> = Result<T, Fail>;
type Values<'a> = Box<dyn ToSql + Sync + 'a>;

/// About as much as one statement carries, in bytes; the server takes a thousand times more.
const STATEMENT_BYTES: usize = 1 << 20;
/// What a row costs beside its texts, in bytes.
const ROW_BYTES: usize = 128;

/// A statement with its parameters, arrays of equal length.
struct Statement<'a> {
    sql: &'static str,
    values: Vec<Values<'a>>,
    /// How many rows it must change, when fewer mean that somebody else was there.
    exactly: Option<u64>,
}

/// Everything the views hold. The order matters for nothing but what is made of what was written.
pub(super) async fn flush(client: &Client, views: &Views<'_>, kept: i64) -> Answer<()> {
    let mut statements = Vec::new();
    records(views, &mut statements);
    changes(views, &mut statements);
    tasks(views, &mut statements);
    ledger(views, &mut statements);
    tenants(views, &mut statements);
    // Each is prepared before any is on its way; then all of them are.
    let mut ready = Vec::with_capacity(statements.len());
    for statement in statements {
        ready.push((client.prepare_cached(statement.sql).await?, statement));
    }
    let sent = ready.into_iter().map(|(prepared, statement)| async move {
        let changed = client.execute_raw(&prepared, statement.values).await?;
        match statement.exactly {
            Some(wanted) if changed != wanted => {
                Err(Fail::Again("a task was changed at the same moment".to_owned()))
            }
            _ => Ok(()),
        }
    });
    try_join_all(sent).await?;
    for (tenant, view) in views {
        if !view.changes.is_empty() {
            trim(client, tenant, view.feed, kept).await?;
        }
        for node in &view.ledger.nodes {
            keep_tile(client, tenant, node).await?;
        }
    }
    Ok(())
}

fn records<'a>(views: &'a Views<'_>, to: &mut Vec<Statement<'a>>) {
    let (mut puts, mut deletes) = (Vec::new(), Vec::new());
    for (tenant, view) in views {
        for (key, record) in &view.records {
            match &record.write {
                Some(Write::Put { body, tag, at }) => {
                    let revision = record.revision.unwrap_or_default();
                    puts.push((tenant.as_str(), *key, *body, revision, *tag, at.as_millis()));
                }
                Some(Write::Delete) => deletes.push((tenant.as_str(), *key)),
                None => {}
            }
        }
    }
    for some in pieces(&puts, |put| put.2.len()) {
        to.push(Statement {
            sql: "INSERT INTO record (tenant, collection, id, body, revision, tag, updated_at)
                  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[],
                    $5::bigint[], $6::text[], $7::bigint[])
                  ON CONFLICT (tenant, collection, id) DO UPDATE SET body = excluded.body,
                    revision = excluded.revision, tag = excluded.tag,
                    updated_at = excluded.updated_at",
            values: vec![
                column(some, |put| put.0),
                column(some, |put| put.1.0),
                column(some, |put| put.1.1),
                column(some, |put| put.2),
                column(some, |put| put.3),
                column(some, |put| put.4),
                column(some, |put| put.5),
            ],
            exactly: None,
        });
    }
    for some in pieces(&deletes, |_| 0) {
        to.push(Statement {
            sql: "DELETE FROM record
                  USING unnest($1::text[], $2::text[], $3::text[]) AS gone (tenant, collection, id)
                  WHERE record.tenant = gone.tenant AND record.collection = gone.collection
                    AND record.id = gone.id",
            values: vec![
                column(some, |gone| gone.0),
                column(some, |gone| gone.1.0),
                column(some, |gone| gone.1.1),
            ],
            exactly: None,
        });
    }
}

fn changes<'a>(views: &'a Views<'_>, to: &mut Vec<Statement<'a>>) {
    let lines = views
        .iter()
        .flat_map(|(tenant, view)| view.changes.iter().map(move |line| (tenant.as_str(), line)));
    let lines: Vec<(&str, &ChangeLine<'_>)> = lines.collect();
    for some in pieces(&lines, |_| 0) {
        to.push(Statement {
            sql: "INSERT INTO change (tenant, seq, revision, collection, id, deleted, at)
                  SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[],
                    $5::text[], $6::bigint[], $7::bigint[])",
            values: vec![
                column(some, |line| line.0),
                column(some, |line| line.1.seq),
                column(some, |line| line.1.revision),
                column(some, |line| line.1.key.0),
                column(some, |line| line.1.key.1),
                column(some, |line| i64::from(line.1.deleted)),
                column(some, |line| line.1.at.as_millis()),
            ],
            exactly: None,
        });
    }
}

fn tasks<'a>(views: &'a Views<'_>, to: &mut Vec<Statement<'a>>) {
    let (mut added, mut ended) = (Vec::new(), Vec::new());
    for (tenant, view) in views {
        for (id, task) in &view.tasks {
            match &task.write {
                Some(TaskWrite::Add(task, at)) => added.push((tenant.as_str(), *task, at)),
                Some(TaskWrite::End(at)) => ended.push((tenant.as_str(), *id, at.as_millis())),
                None => {}
            }
        }
    }
    for some in pieces(&added, |task| task.1.body.len()) {
        to.push(Statement {
            sql: "INSERT INTO task (tenant, id, queue, body, due_at, changed_at, state, attempt,
                    lease_until, epoch)
                  SELECT added.*, 0, 0, 0, 0 FROM unnest($1::text[], $2::text[], $3::text[],
                    $4::text[], $5::bigint[], $6::bigint[]) AS added
                  ON CONFLICT (tenant, id) DO NOTHING",
            values: vec![
                column(some, |task| task.0),
                column(some, |task| task.1.id.as_str()),
                column(some, |task| task.1.queue.as_str()),
                column(some, |task| task.1.body.as_str()),
                column(some, |task| task.1.due_at.as_millis()),
                column(some, |task| task.2.as_millis()),
            ],
            exactly: Some(some.len() as u64),
        });
    }
    for some in pieces(&ended, |_| 0) {
        to.push(Statement {
            sql: "UPDATE task SET state = 2, changed_at = ended.at
                  FROM unnest($1::text[], $2::text[], $3::bigint[]) AS ended (tenant, id, at)
                  WHERE task.tenant = ended.tenant AND task.id = ended.id AND task.state = 1",
            values: vec![
                column(some, |task| task.0),
                column(some, |task| task.1),
                column(some, |task| task.2),
            ],
            exactly: Some(some.len() as u64),
        });
    }
}

fn ledger<'a>(views: &'a Views<'_>, to: &mut Vec<Statement<'a>>) {
    for (tenant, view) in views {
        let rows: Vec<&NewRow> = view.ledger.rows.iter().collect();
        for some in pieces(&rows, |row| row.payload.len() + row.entry.len()) {
            to.push(ledger_rows(tenant, some));
        }
        let nodes: Vec<&CompletedNode> = view.ledger.nodes.iter().collect();
        for some in pieces(&nodes, |_| 0) {
            to.push(ledger_nodes(tenant, some));
        }
        if let Some(frontier) = &view.ledger.frontier {
            to.push(Statement {
                sql: "INSERT INTO ledger_state (tenant, frontier) VALUES ($1, $2)
                      ON CONFLICT (tenant) DO UPDATE SET frontier = excluded.frontier",
                values: vec![Box::new(tenant.as_str()), Box::new(frontier.to_bytes())],
                exactly: None,
            });
        }
    }
}

fn ledger_rows<'a>(tenant: &'a Tenant, rows: &[&'a NewRow]) -> Statement<'a> {
    Statement {
        sql: "INSERT INTO ledger_row
                (tenant, idx, kind, subject, entry, leaf_hash, salt, payload)
              SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::bytea[],
                $6::bytea[], $7::bytea[], $8::text[])",
        values: vec![
            Box::new(tenant.as_str()),
            column(rows, |row| to_db(row.index)),
            column(rows, |row| row.kind.as_str()),
            column(rows, |row| row.subject.as_str()),
            column(rows, |row| row.entry.as_slice()),
            column(rows, |row| row.leaf_hash.as_bytes().as_slice()),
            column(rows, |row| row.salt.as_slice()),
            column(rows, |row| row.payload.as_str()),
        ],
        exactly: None,
    }
}

fn ledger_nodes<'a>(tenant: &'a Tenant, nodes: &[&'a CompletedNode]) -> Statement<'a> {
    Statement {
        sql: "INSERT INTO ledger_node (tenant, level, idx, hash)
              SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[])",
        values: vec![
            Box::new(tenant.as_str()),
            column(nodes, |node| i64::from(node.level)),
            column(nodes, |node| to_db(node.index)),
            column(nodes, |node| node.hash.as_bytes().as_slice()),
        ],
        exactly: None,
    }
}

/// Where the feeds stand now; tenants for which nothing was done are as if they had never been.
fn tenants<'a>(views: &'a Views<'_>, to: &mut Vec<Statement<'a>>) {
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for (tenant, view) in views {
        match view.feed.revision {
            0 => new.push(tenant.as_str()),
            _ => known.push((tenant.as_str(), view.feed)),
        }
    }
    to.push(Statement {
        sql: "UPDATE tenant SET revision = now.revision, change_seq = now.seq
              FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS now (tenant, revision, seq)
              WHERE tenant.tenant = now.tenant",
        values: vec![
            column(&known, |tenant| tenant.0),
            column(&known, |tenant| tenant.1.revision),
            column(&known, |tenant| tenant.1.seq),
        ],
        exactly: None,
    });
    if !new.is_empty() {
        to.push(Statement {
            sql: "DELETE FROM tenant WHERE tenant = ANY($1)",
            values: vec![column(&new, |tenant| *tenant)],
            exactly: None,
        });
    }
}

/// Forgets the oldest changes, whole revisions at a time, and not at every commit.
async fn trim(client: &Client, tenant: &Tenant, feed: Feed, kept: i64) -> Answer<()> {
    if feed.seq - feed.kept_from <= kept.saturating_add(kept / 16) {
        return Ok(());
    }
    let sql = "SELECT max(seq), max(revision) FROM change WHERE tenant = $1 AND revision =
                 (SELECT revision FROM change WHERE tenant = $1 AND seq = $2)";
    let last = row(client, sql, &[&tenant.as_str(), &(feed.seq - kept)]).await?;
    let last = last.ok_or_else(write::damaged)?;
    let (kept_from, floor): (i64, i64) = (last.try_get(0)?, last.try_get(1)?);
    let sql = "DELETE FROM change WHERE tenant = $1 AND seq <= $2";
    execute(client, sql, &[&tenant.as_str(), &kept_from]).await?;
    let sql = "UPDATE tenant SET changes_kept_from = $2, changes_floor = $3 WHERE tenant = $1";
    execute(client, sql, &[&tenant.as_str(), &kept_from, &floor]).await?;
    Ok(())
}

/// The tile under a node, which is full.
async fn keep_tile(client: &Client, tenant: &Tenant, node: &CompletedNode) -> Answer<()> {
    let below = node.level.saturating_sub(1);
    let sql = match below {
        0 => {
            "INSERT INTO ledger_tile (tenant, level, idx, hashes)
             SELECT $1, $2, $3::bigint, string_agg(leaf_hash, ''::bytea ORDER BY idx)
             FROM ledger_row
             WHERE tenant = $1 AND idx BETWEEN $3::bigint * 256 AND $3::bigint * 256 + 255
             HAVING count(*) = 256
             ON CONFLICT (tenant, level, idx) DO UPDATE SET hashes = excluded.hashes"
        }
        _ => {
            "INSERT INTO ledger_tile (tenant, level, idx, hashes)
             SELECT $1, $2, $3::bigint, string_agg(hash, ''::bytea ORDER BY idx)
             FROM ledger_node
             WHERE tenant = $1 AND level = $2
               AND idx BETWEEN $3::bigint * 256 AND $3::bigint * 256 + 255
             HAVING count(*) = 256
             ON CONFLICT (tenant, level, idx) DO UPDATE SET hashes = excluded.hashes"
        }
    };
    execute(client, sql, &[&tenant.as_str(), &i64::from(below), &to_db(node.index)]).await?;
    Ok(())
}

/// One parameter: a value of each row.
fn column<'a, R, V>(rows: &[R], value: impl Fn(&R) -> V) -> Values<'a>
where
    V: ToSql + Sync + 'a,
{
    Box::new(rows.iter().map(value).collect::<Vec<V>>())
}

/// Rows in pieces that a statement can carry.
fn pieces<R>(rows: &[R], bytes: impl Fn(&R) -> usize) -> Vec<&[R]> {
    let (mut pieces, mut begin, mut size) = (Vec::new(), 0, 0);
    for (at, row) in rows.iter().enumerate() {
        let more = bytes(row) + ROW_BYTES;
        if at > begin && size + more > STATEMENT_BYTES {
            pieces.push(&rows[begin..at]);
            (begin, size) = (at, 0);
        }
        size += more;
    }
    if begin < rows.len() {
        pieces.push(&rows[begin..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_in_order_and_none_is_too_long() {
        let rows: Vec<usize> = (0..50).map(|n| n * 10_000).collect();
        let pieces = pieces(&rows, |bytes| *bytes);
        assert!(pieces.len() > 1);
        assert_eq!(pieces.concat(), rows);
        let size = |piece: &[usize]| piece.iter().map(|bytes| bytes + ROW_BYTES).sum::<usize>();
        assert!(pieces.iter().all(|piece| size(piece) <= STATEMENT_BYTES));
        // What alone is too long goes alone.
        let large = [1, STATEMENT_BYTES * 2, 1];
        assert_eq!(super::pieces(&large, |bytes| *bytes).len(), 3);
        assert!(super::pieces(&[] as &[usize], |_| 1).is_empty());
    }
}
