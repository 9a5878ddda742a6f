CREATE TABLE IF NOT EXISTS `sitedrift`.`everythings_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Part.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `id` String COMMENT 'Id.' CODEC(ZSTD(1)),
    `text` String COMMENT 'Text.' CODEC(ZSTD(1)),
    `null_text` Nullable(String) COMMENT 'Text or null.' CODEC(ZSTD(1)),
    `few` LowCardinality(String) COMMENT 'Few.',
    `int` Int64 COMMENT 'Int.',
    `null_int` Nullable(Int64) COMMENT 'Int or null.',
    `bool` Bool COMMENT 'Bool.',
    `null_bool` Nullable(Bool) COMMENT 'Bool or null.',
    `at_time` DateTime64(3, 'UTC') COMMENT 'Time.',
    `null_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Time or null.',
    `words` Array(String) COMMENT 'Set.' CODEC(ZSTD(1)),
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of everythings, also of runs that were never published: read the views. One of each kind.';

CREATE OR REPLACE VIEW `sitedrift`.`everythings`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `part` String COMMENT 'Part.',
    `id` String COMMENT 'Id.',
    `text` String COMMENT 'Text.',
    `null_text` Nullable(String) COMMENT 'Text or null.',
    `few` LowCardinality(String) COMMENT 'Few.',
    `int` Int64 COMMENT 'Int.',
    `null_int` Nullable(Int64) COMMENT 'Int or null.',
    `bool` Bool COMMENT 'Bool.',
    `null_bool` Nullable(Bool) COMMENT 'Bool or null.',
    `at_time` DateTime64(3, 'UTC') COMMENT 'Time.',
    `null_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Time or null.',
    `words` Array(String) COMMENT 'Set.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `part`,
    argMax(v.`id`, v.seq) AS `id`,
    argMax(v.`text`, v.seq) AS `text`,
    argMax(tuple(v.`null_text`), v.seq).1 AS `null_text`,
    argMax(v.`few`, v.seq) AS `few`,
    argMax(v.`int`, v.seq) AS `int`,
    argMax(tuple(v.`null_int`), v.seq).1 AS `null_int`,
    argMax(v.`bool`, v.seq) AS `bool`,
    argMax(tuple(v.`null_bool`), v.seq).1 AS `null_bool`,
    argMax(v.`at_time`, v.seq) AS `at_time`,
    argMax(tuple(v.`null_at`), v.seq).1 AS `null_at`,
    argMax(v.`words`, v.seq) AS `words`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'everythings') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`everythings_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'One of each kind.';
