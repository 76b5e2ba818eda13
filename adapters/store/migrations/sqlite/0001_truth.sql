-- The one row about the whole store: the leader's term, and which installation this is.
CREATE TABLE meta (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  epoch INTEGER NOT NULL,
  installation TEXT NOT NULL
) STRICT;
INSERT INTO meta (only_row, epoch, installation) VALUES (1, 0, lower(hex(randomblob(16))));

-- change_seq counts lines of the change feed; changes_floor is the oldest revision it reaches.
CREATE TABLE tenant (
  tenant TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,
  change_seq INTEGER NOT NULL,
  changes_kept_from INTEGER NOT NULL,
  changes_floor INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
  tenant TEXT NOT NULL REFERENCES tenant (tenant),
  collection TEXT NOT NULL,
  id TEXT NOT NULL,
  body TEXT NOT NULL,
  revision INTEGER NOT NULL,
  tag TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, collection, id)
) STRICT;
CREATE INDEX record_by_tag ON record (tenant, collection, tag, id);

CREATE TABLE change (
  tenant TEXT NOT NULL REFERENCES tenant (tenant),
  seq INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  collection TEXT NOT NULL,
  id TEXT NOT NULL,
  deleted INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (tenant, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_by_revision ON change (tenant, revision);

-- state: 0 ready, 1 leased, 2 done, 3 held (restored, waits for a person).
CREATE TABLE task (
  tenant TEXT NOT NULL REFERENCES tenant (tenant),
  id TEXT NOT NULL,
  queue TEXT NOT NULL,
  body TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
  attempt INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
) STRICT;
CREATE INDEX task_open ON task (tenant, queue, due_at, id) WHERE state < 2;
CREATE INDEX task_done ON task (changed_at) WHERE state = 2;
CREATE INDEX task_held ON task (tenant, id) WHERE state = 3;

-- salt and payload go when a row is erased; entry and leaf_hash stay, so proofs keep holding.
CREATE TABLE ledger_row (
  tenant TEXT NOT NULL REFERENCES tenant (tenant),
  idx INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  entry BLOB NOT NULL,
  leaf_hash BLOB NOT NULL,
  salt BLOB,
  payload TEXT,
  PRIMARY KEY (tenant, idx)
) STRICT;
CREATE INDEX ledger_by_subject ON ledger_row (tenant, subject, idx);

CREATE TABLE ledger_node (
  tenant TEXT NOT NULL REFERENCES tenant (tenant),
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (tenant, level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_state (
  tenant TEXT PRIMARY KEY REFERENCES tenant (tenant),
  frontier BLOB NOT NULL
) STRICT, WITHOUT ROWID;
