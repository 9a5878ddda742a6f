CREATE TABLE IF NOT EXISTS `sitedrift`.`audit_events_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Day (UTC) of the record.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `content_hash` String COMMENT 'Hash of the record.' CODEC(ZSTD(1)),
    `occurrence` Int64 COMMENT '1 for the first record with this content, 2 for the second, and so on.',
    `at` DateTime64(3, 'UTC') COMMENT 'When it happened, as the site says.',
    `author_id` Nullable(String) COMMENT 'Account that did it (Data Center: user key); null when the site does not say.' CODEC(ZSTD(1)),
    `author_name` Nullable(String) COMMENT 'Its name then.' CODEC(ZSTD(1)),
    `author_type` Nullable(String) COMMENT 'Type of account.' CODEC(ZSTD(1)),
    `remote_address` Nullable(String) COMMENT 'Network address that it came from.' CODEC(ZSTD(1)),
    `category` LowCardinality(String) COMMENT 'Category that the site gives it.',
    `summary` String COMMENT 'What happened.' CODEC(ZSTD(1)),
    `description` Nullable(String) COMMENT 'More of it.' CODEC(ZSTD(1)),
    `by_system_admin` Nullable(Bool) COMMENT 'Whether a system administrator did it; null when the site does not say.',
    `affected_type` Nullable(String) COMMENT 'Type of what it was done to.' CODEC(ZSTD(1)),
    `affected_name` Nullable(String) COMMENT 'Name of what it was done to.' CODEC(ZSTD(1)),
    `changed_values` Nullable(String) COMMENT 'What changed, as a JSON array of objects with name, old and new; null when nothing did.' CODEC(ZSTD(1)),
    `associated_objects` Nullable(String) COMMENT 'What else it is about, as a JSON array of objects with type and name.' CODEC(ZSTD(1)),
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(observed_at)
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of audit_events, also of runs that were never published: read the views. Records of the site\'s audit log, as they came. Records have no id: the same content at the same millisecond is told apart by counting. A first reading begins thirty days back, or where the log begins; the last two days are read again once a day, for records that came late.';

CREATE OR REPLACE VIEW `sitedrift`.`audit_events`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `day` String COMMENT 'Day (UTC) of the record.',
    `content_hash` String COMMENT 'Hash of the record.',
    `occurrence` Int64 COMMENT '1 for the first record with this content, 2 for the second, and so on.',
    `at` DateTime64(3, 'UTC') COMMENT 'When it happened, as the site says.',
    `author_id` Nullable(String) COMMENT 'Account that did it (Data Center: user key); null when the site does not say.',
    `author_name` Nullable(String) COMMENT 'Its name then.',
    `author_type` Nullable(String) COMMENT 'Type of account.',
    `remote_address` Nullable(String) COMMENT 'Network address that it came from.',
    `category` LowCardinality(String) COMMENT 'Category that the site gives it.',
    `summary` String COMMENT 'What happened.',
    `description` Nullable(String) COMMENT 'More of it.',
    `by_system_admin` Nullable(Bool) COMMENT 'Whether a system administrator did it; null when the site does not say.',
    `affected_type` Nullable(String) COMMENT 'Type of what it was done to.',
    `affected_name` Nullable(String) COMMENT 'Name of what it was done to.',
    `changed_values` Nullable(String) COMMENT 'What changed, as a JSON array of objects with name, old and new; null when nothing did.',
    `associated_objects` Nullable(String) COMMENT 'What else it is about, as a JSON array of objects with type and name.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `day`,
    argMax(v.`content_hash`, v.seq) AS `content_hash`,
    argMax(v.`occurrence`, v.seq) AS `occurrence`,
    argMax(v.`at`, v.seq) AS `at`,
    argMax(tuple(v.`author_id`), v.seq).1 AS `author_id`,
    argMax(tuple(v.`author_name`), v.seq).1 AS `author_name`,
    argMax(tuple(v.`author_type`), v.seq).1 AS `author_type`,
    argMax(tuple(v.`remote_address`), v.seq).1 AS `remote_address`,
    argMax(v.`category`, v.seq) AS `category`,
    argMax(v.`summary`, v.seq) AS `summary`,
    argMax(tuple(v.`description`), v.seq).1 AS `description`,
    argMax(tuple(v.`by_system_admin`), v.seq).1 AS `by_system_admin`,
    argMax(tuple(v.`affected_type`), v.seq).1 AS `affected_type`,
    argMax(tuple(v.`affected_name`), v.seq).1 AS `affected_name`,
    argMax(tuple(v.`changed_values`), v.seq).1 AS `changed_values`,
    argMax(tuple(v.`associated_objects`), v.seq).1 AS `associated_objects`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'audit_events') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`audit_events_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Records of the site\'s audit log, as they came. Records have no id: the same content at the same millisecond is told apart by counting. A first reading begins thirty days back, or where the log begins; the last two days are read again once a day, for records that came late.';
