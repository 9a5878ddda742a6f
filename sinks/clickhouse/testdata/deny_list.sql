-- Views that hide the rows of open runs by a list of them: what the design
-- refuses. TestAtomicity must find half-seen runs through these.
CREATE TABLE sitedrift.open_runs (seq UInt64, closed UInt8) ENGINE = ReplacingMergeTree(closed) ORDER BY seq;

CREATE VIEW sitedrift.spaces_deny AS
SELECT tenant_id, argMax(v.name, v.seq) AS name
FROM sitedrift.spaces_versions AS v
WHERE v.seq NOT IN (SELECT seq FROM sitedrift.open_runs FINAL WHERE closed = 0)
GROUP BY v.tenant_id, v.partition_id, v.key_hash;

CREATE VIEW sitedrift.space_permissions_deny AS
SELECT tenant_id, argMax(v.operation, v.seq) AS operation
FROM sitedrift.space_permissions_versions AS v
WHERE v.seq NOT IN (SELECT seq FROM sitedrift.open_runs FINAL WHERE closed = 0)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
