//! A ledger that somebody with the whole data directory in their hands has changed.

use std::path::{Path, PathBuf};

use oag_ledger::{Checkpoint, EntryKind, EntryParts, Frontier, SigningKey, new_row, new_salt};
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::world::{Home, Site};

/// An installation that has stopped, with a history of some hundred rows.
struct Archive {
    home: Home,
    rows: u64,
    /// Sizes of the checkpoints kept outside, in order, each once.
    kept: Vec<u64>,
    erased: u64,
}

impl Archive {
    async fn new() -> Self {
        let home = Home::new();
        let mut site = home.start().await;
        site.serve(home.service("shop", 1)).await;
        for number in [1, 2] {
            tell(&site, number).await;
        }
        let erased = 12;
        // More than a tile of 256 rows, with checkpoints on the way.
        for _ in 0..3 {
            for _ in 0..100 {
                record(&site).await;
            }
            let size = site.get("/api/v1/ledger").await["size"].as_u64().unwrap();
            home.exports(size).await;
        }
        let erase = format!("/api/v1/ledger/rows/{erased}/erase");
        let answer = site.post(&erase, json!({"reason": "a customer asked"})).await;
        assert_eq!(answer["erased"], true);
        let live = verify(&home, &home.data(), &[]);
        assert_eq!(live.0, 0, "it can be read while the product runs: {}", live.1);
        site.product.terminate().await.unwrap();
        let rows = rows(&open(&home.data()));
        let kept = home.exported();
        assert!(rows > 300 && kept.len() >= 4, "{rows} rows, checkpoints at {kept:?}");
        assert_eq!(kept.last(), Some(&rows), "the last one covers everything");
        Self { home, rows, kept, erased }
    }

    /// A copy for one attack.
    fn copy(&self, name: &str) -> PathBuf {
        let to = self.home.path().join(name);
        copy_dir(&self.home.data(), &to);
        to
    }

    /// Attacks a copy with SQL; what the check then says.
    fn after(&self, name: &str, sql: &str) -> (i32, Value) {
        let copy = self.copy(name);
        open(&copy).execute_batch(sql).unwrap();
        verify(&self.home, &copy, &[])
    }
}

#[tokio::test]
async fn checkpoints_are_found_where_they_were_told_to_go() {
    let home = Home::new();
    let elsewhere = home.path().join("another-disk");
    home.configure(&format!("[checkpoints]\ndir = \"{}\"", elsewhere.display()));
    let mut site = home.start().await;
    record(&site).await;
    site.product.terminate().await.unwrap();
    assert_eq!(home.exported(), Vec::<u64>::new(), "not where they go by default");
    let (code, report) = verify(&home, &home.data(), &[]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(report["last_match"], report["rows"], "{report}");
}

/// Any change of the rules or the catalogue is a row; this is the quickest.
async fn record(site: &Site) {
    let change = json!({"rung": "observe", "ceiling": "approve", "reason": "one more row"});
    site.put("/api/v1/autonomy/notify", change).await;
}

async fn tell(site: &Site, number: u32) {
    let params = json!({"message": format!("message {number}")});
    let plan = site.carry_out("notify", "shop", params).await;
    assert_eq!(plan["phase"], "succeeded", "{plan}");
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn open(data: &Path) -> Connection {
    Connection::open(data.join("truth/truth.db")).unwrap()
}

fn rows(db: &Connection) -> u64 {
    let count = db.query_row("SELECT count(*) FROM ledger_row", [], |row| row.get::<_, i64>(0));
    count.unwrap().cast_unsigned()
}

/// `ledger verify` for programs, against the exported checkpoints or the given ones.
fn verify(home: &Home, data: &Path, more: &[&str]) -> (i32, Value) {
    let data = data.display().to_string();
    let words = [&["ledger", "verify", "-o", "json", "--data", &data], more].concat();
    let (code, out, error) = home.run(&words);
    let report = serde_json::from_str(&out);
    (code, report.unwrap_or_else(|_| panic!("{code}: {out}{error}")))
}

/// The attacked ledger is refused, and the first wrong rows are named.
#[track_caller]
fn names(found: (i32, Value), first: u64, end: u64, word: &str) {
    let (code, report) = found;
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["sound"], false, "{report}");
    assert_eq!(report["first_rows"], json!([first, end]), "{report}");
    let problem = report["problem"].as_str().unwrap();
    assert!(problem.contains(word), "'{word}' in: {problem}");
}

#[tokio::test]
async fn whatever_is_changed_is_named() {
    let archive = Archive::new().await;
    let (code, report) = verify(&archive.home, &archive.copy("as-it-was"), &[]);
    assert_eq!((code, &report["sound"]), (0, &json!(true)), "{report}");
    assert_eq!((report["rows"].as_u64(), &report["erased"]), (Some(archive.rows), &json!(1)));
    assert!(archive.erased < 50, "below the rows that are attacked");

    for (column, row) in [("entry", 50), ("payload", 60), ("leaf_hash", 65)] {
        let copy = archive.copy(column);
        flip(&open(&copy), column, row);
        let row = row.cast_unsigned();
        names(verify(&archive.home, &copy, &[]), row, row + 1, &row.to_string());
    }
    names(archive.after("gone", "DELETE FROM ledger_row WHERE idx = 70"), 70, 71, "missing");
    let swap = "UPDATE ledger_row SET idx = -1 WHERE idx = 80;
        UPDATE ledger_row SET idx = 80 WHERE idx = 81;
        UPDATE ledger_row SET idx = 81 WHERE idx = -1";
    names(archive.after("swapped", swap), 80, 81, "81");
    let half = "UPDATE ledger_row SET salt = NULL WHERE idx = 90";
    names(archive.after("half", half), 90, 91, "90");
    the_tail_is_cut(&archive);
    everything_is_rewritten(&archive);
}

/// Changes one bit in the middle of a value, which stays a text where it was one.
fn flip(db: &Connection, column: &str, row: i64) {
    let sql = match column {
        "entry" => ["SELECT entry", "UPDATE ledger_row SET entry = ?1"],
        "leaf_hash" => ["SELECT leaf_hash", "UPDATE ledger_row SET leaf_hash = ?1"],
        _ => ["SELECT CAST(payload AS BLOB)", "UPDATE ledger_row SET payload = CAST(?1 AS TEXT)"],
    };
    let read = format!("{} FROM ledger_row WHERE idx = ?1", sql[0]);
    let mut value: Vec<u8> = db.query_row(&read, params![row], |found| found.get(0)).unwrap();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    let changed = db.execute(&format!("{} WHERE idx = ?2", sql[1]), params![value, row]);
    assert_eq!(changed.unwrap(), 1);
}

/// Rows, nodes, frontier and the store's own checkpoints fit together, but rows are missing.
fn the_tail_is_cut(archive: &Archive) {
    let data = archive.copy("cut");
    let size = archive.rows - 20;
    let db = open(&data);
    db.execute("DELETE FROM ledger_row WHERE idx >= ?1", params![size.cast_signed()]).unwrap();
    let cut = "DELETE FROM record WHERE collection = 'checkpoint' AND id > ?1";
    db.execute(cut, params![format!("{size:020}")]).unwrap();
    Forger::of(&data).build(&db);
    drop(db);
    names(verify(&archive.home, &data, &[]), size, archive.rows, "outside");
}

/// One row tells another story, and everything after it was computed and signed anew.
fn everything_is_rewritten(archive: &Archive) {
    let data = archive.copy("rewritten");
    let forger = Forger::of(&data);
    let row = archive.kept[1] + 1;
    let db = open(&data);
    let payload = r#"{"nothing":"happened"}"#;
    let (kind, subject, entry): (String, String, Vec<u8>) = db
        .query_row(
            "SELECT kind, subject, entry FROM ledger_row WHERE idx = ?1",
            params![row.cast_signed()],
            |found| Ok((found.get(0)?, found.get(1)?, found.get(2)?)),
        )
        .unwrap();
    let entry: Value = serde_json::from_slice(&entry).unwrap();
    let parts = EntryParts {
        at: entry["at"].as_str().unwrap().to_owned(),
        tenant: "default".to_owned(),
        kind: EntryKind::new(kind).unwrap(),
        subject,
    };
    let salt = new_salt().unwrap();
    let forged = new_row(row, parts, payload.as_bytes(), salt).unwrap();
    db.execute(
        "UPDATE ledger_row SET entry = ?1, leaf_hash = ?2, salt = ?3, payload = ?4 WHERE idx = ?5",
        params![
            forged.entry,
            forged.leaf_hash.0.to_vec(),
            salt.to_vec(),
            payload,
            row.cast_signed()
        ],
    )
    .unwrap();
    forger.build(&db);
    drop(db);

    let last_match = archive.kept.iter().rev().find(|size| **size <= row).copied();
    let first_fail = archive.kept.iter().find(|size| **size > row).copied();
    let found = verify(&archive.home, &data, &[]);
    assert_eq!(found.1["last_match"].as_u64(), last_match, "{}", found.1);
    assert_eq!(found.1["first_fail"].as_u64(), first_fail, "{}", found.1);
    names(found, last_match.unwrap(), first_fail.unwrap(), "checkpoint");

    // Without a checkpoint kept elsewhere this cannot be seen, and that is said.
    let mut alone = archive.home.command(&["ledger", "verify", "--data"]);
    alone.arg(&data).env("XDG_STATE_HOME", archive.home.path().join("nowhere"));
    let alone = alone.output().unwrap();
    let text = String::from_utf8_lossy(&alone.stdout).into_owned();
    assert_eq!(alone.status.code(), Some(0), "{text}");
    assert!(text.contains("no checkpoint kept outside"), "{text}");
}

/// Somebody with the key of the installation.
struct Forger(SigningKey);

impl Forger {
    fn of(data: &Path) -> Self {
        let name = std::fs::read_to_string(data.join("installation")).unwrap();
        let key = std::fs::read(data.join("ledger.key")).unwrap();
        Self(SigningKey::from_pkcs8(&format!("{}/default", name.trim()), &key).unwrap())
    }

    /// Computes nodes, tiles, frontier and stored checkpoints from the rows that are there.
    fn build(&self, db: &Connection) {
        let mut hashes = db.prepare("SELECT leaf_hash FROM ledger_row ORDER BY idx").unwrap();
        let hashes = hashes.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        let hashes: Vec<Vec<u8>> = hashes.map(Result::unwrap).collect();
        db.execute("DELETE FROM ledger_node", []).unwrap();
        db.execute("DELETE FROM ledger_tile", []).unwrap();
        // Fewer rows than fill a tile of tiles.
        for (tile, rows) in hashes.chunks_exact(256).enumerate() {
            let sql = "INSERT INTO ledger_tile (tenant, level, idx, hashes) \
                       VALUES ('default', 0, ?1, ?2)";
            db.execute(sql, params![tile.cast_signed(), rows.concat()]).unwrap();
        }
        let mut frontier = Frontier::new();
        for hash in hashes {
            let leaf = oag_ledger::Hash(hash.try_into().unwrap());
            for node in frontier.append(leaf) {
                let row = params![node.level, node.index.cast_signed(), node.hash.0.to_vec()];
                db.execute("INSERT INTO ledger_node VALUES ('default', ?1, ?2, ?3)", row).unwrap();
            }
            self.sign(db, &frontier);
        }
        db.execute("UPDATE ledger_state SET frontier = ?1", params![frontier.to_bytes()]).unwrap();
    }

    /// Signs the store's checkpoint of this size anew, when there is one.
    fn sign(&self, db: &Connection, frontier: &Frontier) {
        let note = Checkpoint::of(self.0.name(), frontier).sign(&self.0).unwrap();
        let body = json!({"size": frontier.size(), "note": note}).to_string();
        let sql = "UPDATE record SET body = ?1 WHERE collection = 'checkpoint' AND id = ?2";
        db.execute(sql, params![body, format!("{:020}", frontier.size())]).unwrap();
    }
}
