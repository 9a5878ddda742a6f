CREATE TABLE IF NOT EXISTS `sitedrift`.`user_activity_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `account_id` String COMMENT 'Account.' CODEC(ZSTD(1)),
    `product` String COMMENT 'Product, such as confluence.' CODEC(ZSTD(1)),
    `display_name` Nullable(String) COMMENT 'Name when the row was written; null when hidden.' CODEC(ZSTD(1)),
    `last_active_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Last use, as of observed_at; null: never used by then if source is organization, not known if it is audit.',
    `source` LowCardinality(String) COMMENT 'Who told, as of observed_at, and perhaps no longer does. organization: the product\'s own records; audit: derived from the audit log.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of user_activity, also of runs that were never published: read the views. When each account used each product last. source says who tells: the organization, to which viewing a page counts, up to a day late; or, without a key of the organization, the newest record of the audit log, which knows who changed something and nothing of who only read.';

CREATE OR REPLACE VIEW `sitedrift`.`user_activity`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account.',
    `product` String COMMENT 'Product, such as confluence.',
    `display_name` Nullable(String) COMMENT 'Name when the row was written; null when hidden.',
    `last_active_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Last use, as of observed_at; null: never used by then if source is organization, not known if it is audit.',
    `source` LowCardinality(String) COMMENT 'Who told, as of observed_at, and perhaps no longer does. organization: the product\'s own records; audit: derived from the audit log.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(v.`product`, v.seq) AS `product`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(tuple(v.`last_active_at`), v.seq).1 AS `last_active_at`,
    argMax(v.`source`, v.seq) AS `source`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'user_activity') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`user_activity_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'When each account used each product last. source says who tells: the organization, to which viewing a page counts, up to a day late; or, without a key of the organization, the newest record of the audit log, which knows who changed something and nothing of who only read.';

CREATE OR REPLACE VIEW `sitedrift`.`user_activity_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account.',
    `product` String COMMENT 'Product, such as confluence.',
    `display_name` Nullable(String) COMMENT 'Name when the row was written; null when hidden.',
    `last_active_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Last use, as of observed_at; null: never used by then if source is organization, not known if it is audit.',
    `source` LowCardinality(String) COMMENT 'Who told, as of observed_at, and perhaps no longer does. organization: the product\'s own records; audit: derived from the audit log.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(v.`product`, v.seq) AS `product`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(tuple(v.`last_active_at`), v.seq).1 AS `last_active_at`,
    argMax(v.`source`, v.seq) AS `source`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'user_activity') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`user_activity_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As user_activity, at a time: user_activity_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`user_activity_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account.',
    `product` String COMMENT 'Product, such as confluence.',
    `display_name` Nullable(String) COMMENT 'Name when the row was written; null when hidden.',
    `last_active_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Last use, as of observed_at; null: never used by then if source is organization, not known if it is audit.',
    `source` LowCardinality(String) COMMENT 'Who told, as of observed_at, and perhaps no longer does. organization: the product\'s own records; audit: derived from the audit log.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`account_id` AS `account_id`,
    v.`product` AS `product`,
    v.`display_name` AS `display_name`,
    v.`last_active_at` AS `last_active_at`,
    v.`source` AS `source`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'user_activity') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`user_activity_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of user_activity, those that tell of a removal included.';
