CREATE TABLE IF NOT EXISTS `sitedrift`.`group_members_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Id of the group; on Data Center its name.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `account_id` String COMMENT 'Account of the member; on Data Center the user key, or the name of a nested group.' CODEC(ZSTD(1)),
    `group_name` String COMMENT 'Name of the group when the row was written.' CODEC(ZSTD(1)),
    `display_name` Nullable(String) COMMENT 'Name of the member when the row was written; null when their privacy settings hide it.' CODEC(ZSTD(1)),
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, or another; on Data Center user, or group for a nested group.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of group_members, also of runs that were never published: read the views. Who is in which group. Suspended accounts may be left out by the site. On Data Center groups can be in groups: a group that is directly in another one is a row too, with account_type group and its group_id as account_id; the site may list the members of such a group with those of the outer one.';

CREATE OR REPLACE VIEW `sitedrift`.`group_members`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `group_id` String COMMENT 'Id of the group; on Data Center its name.',
    `account_id` String COMMENT 'Account of the member; on Data Center the user key, or the name of a nested group.',
    `group_name` String COMMENT 'Name of the group when the row was written.',
    `display_name` Nullable(String) COMMENT 'Name of the member when the row was written; null when their privacy settings hide it.',
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, or another; on Data Center user, or group for a nested group.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `group_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(v.`group_name`, v.seq) AS `group_name`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(v.`account_type`, v.seq) AS `account_type`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'group_members') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`group_members_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Who is in which group. Suspended accounts may be left out by the site. On Data Center groups can be in groups: a group that is directly in another one is a row too, with account_type group and its group_id as account_id; the site may list the members of such a group with those of the outer one.';

CREATE OR REPLACE VIEW `sitedrift`.`group_members_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `group_id` String COMMENT 'Id of the group; on Data Center its name.',
    `account_id` String COMMENT 'Account of the member; on Data Center the user key, or the name of a nested group.',
    `group_name` String COMMENT 'Name of the group when the row was written.',
    `display_name` Nullable(String) COMMENT 'Name of the member when the row was written; null when their privacy settings hide it.',
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, or another; on Data Center user, or group for a nested group.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `group_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(v.`group_name`, v.seq) AS `group_name`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(v.`account_type`, v.seq) AS `account_type`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'group_members') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`group_members_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As group_members, at a time: group_members_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`group_members_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `group_id` String COMMENT 'Id of the group; on Data Center its name.',
    `account_id` String COMMENT 'Account of the member; on Data Center the user key, or the name of a nested group.',
    `group_name` String COMMENT 'Name of the group when the row was written.',
    `display_name` Nullable(String) COMMENT 'Name of the member when the row was written; null when their privacy settings hide it.',
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, or another; on Data Center user, or group for a nested group.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `group_id`,
    v.`account_id` AS `account_id`,
    v.`group_name` AS `group_name`,
    v.`display_name` AS `display_name`,
    v.`account_type` AS `account_type`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'group_members') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`group_members_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of group_members, those that tell of a removal included.';
