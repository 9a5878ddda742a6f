CREATE TABLE IF NOT EXISTS `sitedrift`.`public_links_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Id of the space.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `page_id` String COMMENT 'Id of the page.' CODEC(ZSTD(1)),
    `space_key` String COMMENT 'Key of the space when the row was written.' CODEC(ZSTD(1)),
    `title` Nullable(String) COMMENT 'Title of the page when the row was written.' CODEC(ZSTD(1)),
    `type` Nullable(String) COMMENT 'page, blogpost, whiteboard and so on.' CODEC(ZSTD(1)),
    `status` LowCardinality(String) COMMENT 'ON.',
    `access_type` LowCardinality(String) COMMENT 'EXTERNAL (anybody), INTERNAL_LICENSED, or another; empty when the site does not say.',
    `enabled_by` Nullable(String) COMMENT 'Account that turned the link on last.' CODEC(ZSTD(1)),
    `enabled_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the link was turned on last.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of public_links, also of runs that were never published: read the views. Pages with a public link that works: anybody who has it can open the page. A link that is turned off or blocked is not listed. The link itself is a key to the page, and is never stored.';

CREATE OR REPLACE VIEW `sitedrift`.`public_links`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `page_id` String COMMENT 'Id of the page.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `title` Nullable(String) COMMENT 'Title of the page when the row was written.',
    `type` Nullable(String) COMMENT 'page, blogpost, whiteboard and so on.',
    `status` LowCardinality(String) COMMENT 'ON.',
    `access_type` LowCardinality(String) COMMENT 'EXTERNAL (anybody), INTERNAL_LICENSED, or another; empty when the site does not say.',
    `enabled_by` Nullable(String) COMMENT 'Account that turned the link on last.',
    `enabled_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the link was turned on last.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    argMax(v.`page_id`, v.seq) AS `page_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`title`), v.seq).1 AS `title`,
    argMax(tuple(v.`type`), v.seq).1 AS `type`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(v.`access_type`, v.seq) AS `access_type`,
    argMax(tuple(v.`enabled_by`), v.seq).1 AS `enabled_by`,
    argMax(tuple(v.`enabled_at`), v.seq).1 AS `enabled_at`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'public_links') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`public_links_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Pages with a public link that works: anybody who has it can open the page. A link that is turned off or blocked is not listed. The link itself is a key to the page, and is never stored.';

CREATE OR REPLACE VIEW `sitedrift`.`public_links_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `page_id` String COMMENT 'Id of the page.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `title` Nullable(String) COMMENT 'Title of the page when the row was written.',
    `type` Nullable(String) COMMENT 'page, blogpost, whiteboard and so on.',
    `status` LowCardinality(String) COMMENT 'ON.',
    `access_type` LowCardinality(String) COMMENT 'EXTERNAL (anybody), INTERNAL_LICENSED, or another; empty when the site does not say.',
    `enabled_by` Nullable(String) COMMENT 'Account that turned the link on last.',
    `enabled_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the link was turned on last.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    argMax(v.`page_id`, v.seq) AS `page_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`title`), v.seq).1 AS `title`,
    argMax(tuple(v.`type`), v.seq).1 AS `type`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(v.`access_type`, v.seq) AS `access_type`,
    argMax(tuple(v.`enabled_by`), v.seq).1 AS `enabled_by`,
    argMax(tuple(v.`enabled_at`), v.seq).1 AS `enabled_at`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'public_links') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`public_links_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As public_links, at a time: public_links_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`public_links_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `page_id` String COMMENT 'Id of the page.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `title` Nullable(String) COMMENT 'Title of the page when the row was written.',
    `type` Nullable(String) COMMENT 'page, blogpost, whiteboard and so on.',
    `status` LowCardinality(String) COMMENT 'ON.',
    `access_type` LowCardinality(String) COMMENT 'EXTERNAL (anybody), INTERNAL_LICENSED, or another; empty when the site does not say.',
    `enabled_by` Nullable(String) COMMENT 'Account that turned the link on last.',
    `enabled_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the link was turned on last.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    v.`page_id` AS `page_id`,
    v.`space_key` AS `space_key`,
    v.`title` AS `title`,
    v.`type` AS `type`,
    v.`status` AS `status`,
    v.`access_type` AS `access_type`,
    v.`enabled_by` AS `enabled_by`,
    v.`enabled_at` AS `enabled_at`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'public_links') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`public_links_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of public_links, those that tell of a removal included.';
