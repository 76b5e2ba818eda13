//! Migrations: numbered, forward only, each recorded with the digest of its text.

use oag_types::Digest;

use crate::SetupError;

/// One step of the schema.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) sql: &'static str,
}

impl Migration {
    pub(crate) fn checksum(&self) -> String {
        Digest::of(self.sql.as_bytes()).to_string()
    }
}

/// A step a database says it has.
pub(crate) struct Applied {
    pub(crate) version: i64,
    pub(crate) checksum: String,
}

/// The step that brings the ledger's tiles.
pub(crate) const TILES: i64 = 2;

/// SQLite's steps. A backup has this schema, whichever database it came from.
pub(crate) const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "truth",
        sql: include_str!("../migrations/sqlite/0001_truth.sql"),
    },
    Migration {
        version: TILES,
        name: "ledger_tile",
        sql: include_str!("../migrations/sqlite/0002_ledger_tile.sql"),
    },
];

/// PostgreSQL's steps; the same numbers mean the same tables.
pub(crate) const POSTGRES: &[Migration] = &[
    Migration {
        version: 1,
        name: "truth",
        sql: include_str!("../migrations/postgres/0001_truth.sql"),
    },
    Migration {
        version: TILES,
        name: "ledger_tile",
        sql: include_str!("../migrations/postgres/0002_ledger_tile.sql"),
    },
];

/// The steps still to be done, or why the database cannot be used.
pub(crate) fn pending(
    known: &'static [Migration],
    applied: &[Applied],
) -> Result<Vec<&'static Migration>, SetupError> {
    let newest = known.last().map_or(0, |migration| migration.version);
    if let Some(newer) = applied.iter().find(|step| step.version > newest) {
        return Err(SetupError::NewerSchema { found: newer.version, known: newest });
    }
    let mut pending = Vec::new();
    for migration in known {
        let done = applied.iter().find(|step| step.version == migration.version);
        match done {
            Some(step) if step.checksum != migration.checksum() => {
                let name = migration.name.to_owned();
                return Err(SetupError::AlteredMigration { version: migration.version, name });
            }
            Some(_) => {}
            None => pending.push(migration),
        }
    }
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_steps() {
        let steps = |list: &'static [Migration]| {
            list.iter().map(|step| (step.version, step.name)).collect::<Vec<_>>()
        };
        assert_eq!(steps(SQLITE), steps(POSTGRES));
        assert!(SQLITE.iter().zip(1_i64..).all(|(step, number)| step.version == number));
    }
}
