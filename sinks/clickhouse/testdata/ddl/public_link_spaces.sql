CREATE TABLE IF NOT EXISTS `sitedrift`.`public_link_spaces_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `space_id` String COMMENT 'Id of the space.' CODEC(ZSTD(1)),
    `space_key` String COMMENT 'Key of the space when the row was written.' CODEC(ZSTD(1)),
    `name` Nullable(String) COMMENT 'Name of the space when the row was written.' CODEC(ZSTD(1)),
    `status` LowCardinality(String) COMMENT 'ON, OFF, BLOCKED_BY_ORG, BLOCKED_BY_PRODUCT, BLOCKED_BY_CONTAINER_POLICY or another.',
    `policy_set` Nullable(Bool) COMMENT 'Whether a policy for a classification level decides; null when the site does not say.',
    `active_links` Nullable(Int64) COMMENT 'Number of links that work now; null when the site does not say.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of public_link_spaces, also of runs that were never published: read the views. Whether pages of a space can be opened by anybody who has a link, and how many links there are. The links themselves are never stored.';

CREATE OR REPLACE VIEW `sitedrift`.`public_link_spaces`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `name` Nullable(String) COMMENT 'Name of the space when the row was written.',
    `status` LowCardinality(String) COMMENT 'ON, OFF, BLOCKED_BY_ORG, BLOCKED_BY_PRODUCT, BLOCKED_BY_CONTAINER_POLICY or another.',
    `policy_set` Nullable(Bool) COMMENT 'Whether a policy for a classification level decides; null when the site does not say.',
    `active_links` Nullable(Int64) COMMENT 'Number of links that work now; null when the site does not say.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`space_id`, v.seq) AS `space_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(tuple(v.`policy_set`), v.seq).1 AS `policy_set`,
    argMax(tuple(v.`active_links`), v.seq).1 AS `active_links`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'public_link_spaces') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`public_link_spaces_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Whether pages of a space can be opened by anybody who has a link, and how many links there are. The links themselves are never stored.';

CREATE OR REPLACE VIEW `sitedrift`.`public_link_spaces_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `name` Nullable(String) COMMENT 'Name of the space when the row was written.',
    `status` LowCardinality(String) COMMENT 'ON, OFF, BLOCKED_BY_ORG, BLOCKED_BY_PRODUCT, BLOCKED_BY_CONTAINER_POLICY or another.',
    `policy_set` Nullable(Bool) COMMENT 'Whether a policy for a classification level decides; null when the site does not say.',
    `active_links` Nullable(Int64) COMMENT 'Number of links that work now; null when the site does not say.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`space_id`, v.seq) AS `space_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(tuple(v.`policy_set`), v.seq).1 AS `policy_set`,
    argMax(tuple(v.`active_links`), v.seq).1 AS `active_links`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'public_link_spaces') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`public_link_spaces_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As public_link_spaces, at a time: public_link_spaces_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`public_link_spaces_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `name` Nullable(String) COMMENT 'Name of the space when the row was written.',
    `status` LowCardinality(String) COMMENT 'ON, OFF, BLOCKED_BY_ORG, BLOCKED_BY_PRODUCT, BLOCKED_BY_CONTAINER_POLICY or another.',
    `policy_set` Nullable(Bool) COMMENT 'Whether a policy for a classification level decides; null when the site does not say.',
    `active_links` Nullable(Int64) COMMENT 'Number of links that work now; null when the site does not say.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`space_id` AS `space_id`,
    v.`space_key` AS `space_key`,
    v.`name` AS `name`,
    v.`status` AS `status`,
    v.`policy_set` AS `policy_set`,
    v.`active_links` AS `active_links`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'public_link_spaces') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`public_link_spaces_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of public_link_spaces, those that tell of a removal included.';
