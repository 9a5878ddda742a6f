CREATE TABLE IF NOT EXISTS `sitedrift`.`external_collaborators_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `account_id` String COMMENT 'Account.' CODEC(ZSTD(1)),
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.' CODEC(ZSTD(1)),
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it.' CODEC(ZSTD(1)),
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown; empty when the source does not tell.',
    `space_ids` Array(String) COMMENT 'Spaces that they were let into; see spaces_known.' CODEC(ZSTD(1)),
    `spaces_known` Bool COMMENT 'Whether space_ids is known: an empty list that is not known is no "nowhere". Where it was known before, the row stays as it was.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of external_collaborators, also of runs that were never published: read the views. Accounts in at least one group that the site flags as external collaborators (guests). With the flags alone, guests in no group are not seen, and accounts whose flag the site leaves out are neither listed nor taken off.';

CREATE OR REPLACE VIEW `sitedrift`.`external_collaborators`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.',
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown; empty when the source does not tell.',
    `space_ids` Array(String) COMMENT 'Spaces that they were let into; see spaces_known.',
    `spaces_known` Bool COMMENT 'Whether space_ids is known: an empty list that is not known is no "nowhere". Where it was known before, the row stays as it was.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(tuple(v.`email`), v.seq).1 AS `email`,
    argMax(v.`account_status`, v.seq) AS `account_status`,
    argMax(v.`space_ids`, v.seq) AS `space_ids`,
    argMax(v.`spaces_known`, v.seq) AS `spaces_known`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'external_collaborators') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`external_collaborators_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Accounts in at least one group that the site flags as external collaborators (guests). With the flags alone, guests in no group are not seen, and accounts whose flag the site leaves out are neither listed nor taken off.';

CREATE OR REPLACE VIEW `sitedrift`.`external_collaborators_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.',
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown; empty when the source does not tell.',
    `space_ids` Array(String) COMMENT 'Spaces that they were let into; see spaces_known.',
    `spaces_known` Bool COMMENT 'Whether space_ids is known: an empty list that is not known is no "nowhere". Where it was known before, the row stays as it was.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(tuple(v.`email`), v.seq).1 AS `email`,
    argMax(v.`account_status`, v.seq) AS `account_status`,
    argMax(v.`space_ids`, v.seq) AS `space_ids`,
    argMax(v.`spaces_known`, v.seq) AS `spaces_known`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'external_collaborators') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`external_collaborators_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As external_collaborators, at a time: external_collaborators_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`external_collaborators_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.',
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown; empty when the source does not tell.',
    `space_ids` Array(String) COMMENT 'Spaces that they were let into; see spaces_known.',
    `spaces_known` Bool COMMENT 'Whether space_ids is known: an empty list that is not known is no "nowhere". Where it was known before, the row stays as it was.',
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
    v.`display_name` AS `display_name`,
    v.`email` AS `email`,
    v.`account_status` AS `account_status`,
    v.`space_ids` AS `space_ids`,
    v.`spaces_known` AS `spaces_known`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'external_collaborators') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`external_collaborators_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of external_collaborators, those that tell of a removal included.';
