-- Full tiles of the ledger's tree: 256 hashes one after another, level 0 those of the rows, above
-- them those of ledger_node. A proof reads one of each level in place of the rows.
CREATE TABLE ledger_tile (
  tenant TEXT NOT NULL REFERENCES tenant (tenant),
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  hashes BLOB NOT NULL,
  PRIMARY KEY (tenant, level, idx)
) STRICT;

INSERT INTO ledger_tile (tenant, level, idx, hashes)
SELECT tenant, 0, idx / 256, unhex(group_concat(hex(leaf_hash), '' ORDER BY idx))
FROM ledger_row GROUP BY tenant, idx / 256
HAVING count(*) = 256 AND sum(length(leaf_hash)) = 8192;

INSERT INTO ledger_tile (tenant, level, idx, hashes)
SELECT tenant, level, idx / 256, unhex(group_concat(hex(hash), '' ORDER BY idx))
FROM ledger_node GROUP BY tenant, level, idx / 256
HAVING count(*) = 256 AND sum(length(hash)) = 8192;
