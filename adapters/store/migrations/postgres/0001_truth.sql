-- The one row about the whole store: the leader's term, and which installation this is.
CREATE TABLE meta (
  only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
  epoch BIGINT NOT NULL,
  installation TEXT COLLATE "C" NOT NULL
);
INSERT INTO meta (only_row, epoch, installation) VALUES (1, 0, replace(gen_random_uuid()::text, '-', ''));

-- change_seq counts lines of the change feed; changes_floor is the oldest revision it reaches.
CREATE TABLE tenant (
  tenant TEXT COLLATE "C" PRIMARY KEY,
  revision BIGINT NOT NULL,
  change_seq BIGINT NOT NULL,
  changes_kept_from BIGINT NOT NULL,
  changes_floor BIGINT NOT NULL
);

CREATE TABLE record (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenant (tenant),
  collection TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  revision BIGINT NOT NULL,
  tag TEXT COLLATE "C" NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant, collection, id)
);
CREATE INDEX record_by_tag ON record (tenant, collection, tag, id);

CREATE TABLE change (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenant (tenant),
  seq BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  collection TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  deleted BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (tenant, seq)
);
CREATE INDEX change_by_revision ON change (tenant, revision);

-- state: 0 ready, 1 leased, 2 done, 3 held (restored, waits for a person).
CREATE TABLE task (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenant (tenant),
  id TEXT COLLATE "C" NOT NULL,
  queue TEXT COLLATE "C" NOT NULL,
  body TEXT COLLATE "C" NOT NULL,
  state BIGINT NOT NULL CHECK (state BETWEEN 0 AND 3),
  attempt BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  lease_until BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  PRIMARY KEY (tenant, id)
);
CREATE INDEX task_open ON task (tenant, queue, due_at, id) WHERE state < 2;
CREATE INDEX task_done ON task (changed_at) WHERE state = 2;
CREATE INDEX task_held ON task (tenant, id) WHERE state = 3;

-- salt and payload go when a row is erased; entry and leaf_hash stay, so proofs keep holding.
CREATE TABLE ledger_row (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenant (tenant),
  idx BIGINT NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C" NOT NULL,
  entry BYTEA NOT NULL,
  leaf_hash BYTEA NOT NULL,
  salt BYTEA,
  payload TEXT,
  PRIMARY KEY (tenant, idx)
);
CREATE INDEX ledger_by_subject ON ledger_row (tenant, subject, idx);

CREATE TABLE ledger_node (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenant (tenant),
  level BIGINT NOT NULL,
  idx BIGINT NOT NULL,
  hash BYTEA NOT NULL,
  PRIMARY KEY (tenant, level, idx)
);

CREATE TABLE ledger_state (
  tenant TEXT COLLATE "C" PRIMARY KEY REFERENCES tenant (tenant),
  frontier BYTEA NOT NULL
);
