CREATE TABLE IF NOT EXISTS `sitedrift`.`classification_levels_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `level_id` String COMMENT 'Id of the level.' CODEC(ZSTD(1)),
    `status` LowCardinality(String) COMMENT 'DRAFT, PUBLISHED, ARCHIVED or another.',
    `name` Nullable(String) COMMENT 'Name of the level.' CODEC(ZSTD(1)),
    `description` Nullable(String) COMMENT 'What it stands for.' CODEC(ZSTD(1)),
    `guideline` Nullable(String) COMMENT 'What people are told to do.' CODEC(ZSTD(1)),
    `color` Nullable(String) COMMENT 'Colour of its mark.' CODEC(ZSTD(1)),
    `level_order` Nullable(Int64) COMMENT 'Place among the levels.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of classification_levels, also of runs that were never published: read the views. Levels that content can be classified with. Sites whose plan has none answer that there is nothing.';

CREATE OR REPLACE VIEW `sitedrift`.`classification_levels`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `level_id` String COMMENT 'Id of the level.',
    `status` LowCardinality(String) COMMENT 'DRAFT, PUBLISHED, ARCHIVED or another.',
    `name` Nullable(String) COMMENT 'Name of the level.',
    `description` Nullable(String) COMMENT 'What it stands for.',
    `guideline` Nullable(String) COMMENT 'What people are told to do.',
    `color` Nullable(String) COMMENT 'Colour of its mark.',
    `level_order` Nullable(Int64) COMMENT 'Place among the levels.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`level_id`, v.seq) AS `level_id`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(tuple(v.`description`), v.seq).1 AS `description`,
    argMax(tuple(v.`guideline`), v.seq).1 AS `guideline`,
    argMax(tuple(v.`color`), v.seq).1 AS `color`,
    argMax(tuple(v.`level_order`), v.seq).1 AS `level_order`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'classification_levels') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`classification_levels_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Levels that content can be classified with. Sites whose plan has none answer that there is nothing.';

CREATE OR REPLACE VIEW `sitedrift`.`classification_levels_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `level_id` String COMMENT 'Id of the level.',
    `status` LowCardinality(String) COMMENT 'DRAFT, PUBLISHED, ARCHIVED or another.',
    `name` Nullable(String) COMMENT 'Name of the level.',
    `description` Nullable(String) COMMENT 'What it stands for.',
    `guideline` Nullable(String) COMMENT 'What people are told to do.',
    `color` Nullable(String) COMMENT 'Colour of its mark.',
    `level_order` Nullable(Int64) COMMENT 'Place among the levels.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`level_id`, v.seq) AS `level_id`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(tuple(v.`description`), v.seq).1 AS `description`,
    argMax(tuple(v.`guideline`), v.seq).1 AS `guideline`,
    argMax(tuple(v.`color`), v.seq).1 AS `color`,
    argMax(tuple(v.`level_order`), v.seq).1 AS `level_order`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'classification_levels') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`classification_levels_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As classification_levels, at a time: classification_levels_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`classification_levels_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `level_id` String COMMENT 'Id of the level.',
    `status` LowCardinality(String) COMMENT 'DRAFT, PUBLISHED, ARCHIVED or another.',
    `name` Nullable(String) COMMENT 'Name of the level.',
    `description` Nullable(String) COMMENT 'What it stands for.',
    `guideline` Nullable(String) COMMENT 'What people are told to do.',
    `color` Nullable(String) COMMENT 'Colour of its mark.',
    `level_order` Nullable(Int64) COMMENT 'Place among the levels.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`level_id` AS `level_id`,
    v.`status` AS `status`,
    v.`name` AS `name`,
    v.`description` AS `description`,
    v.`guideline` AS `guideline`,
    v.`color` AS `color`,
    v.`level_order` AS `level_order`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'classification_levels') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`classification_levels_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of classification_levels, those that tell of a removal included.';
