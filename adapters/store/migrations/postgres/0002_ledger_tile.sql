-- Full tiles of the ledger's tree: 256 hashes one after another, level 0 those of the rows, above
-- them those of ledger_node. A proof reads one of each level in place of the rows.
CREATE TABLE ledger_tile (
  tenant TEXT COLLATE "C" NOT NULL REFERENCES tenant (tenant),
  level BIGINT NOT NULL,
  idx BIGINT NOT NULL,
  hashes BYTEA NOT NULL,
  PRIMARY KEY (tenant, level, idx)
);
-- Hashes do not compress.
ALTER TABLE ledger_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

INSERT INTO ledger_tile (tenant, level, idx, hashes)
SELECT tenant, 0, idx / 256, string_agg(leaf_hash, ''::bytea ORDER BY idx)
FROM ledger_row GROUP BY tenant, idx / 256
HAVING count(*) = 256 AND sum(length(leaf_hash)) = 8192;

INSERT INTO ledger_tile (tenant, level, idx, hashes)
SELECT tenant, level, idx / 256, string_agg(hash, ''::bytea ORDER BY idx)
FROM ledger_node GROUP BY tenant, level, idx / 256
HAVING count(*) = 256 AND sum(length(hash)) = 8192;
