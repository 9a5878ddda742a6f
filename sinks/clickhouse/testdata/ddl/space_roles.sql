CREATE TABLE IF NOT EXISTS `sitedrift`.`space_roles_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `role_id` String COMMENT 'Id of the role.' CODEC(ZSTD(1)),
    `type` LowCardinality(String) COMMENT 'SYSTEM, CUSTOM or another.',
    `name` Nullable(String) COMMENT 'Name of the role.' CODEC(ZSTD(1)),
    `description` Nullable(String) COMMENT 'What the site says of it.' CODEC(ZSTD(1)),
    `permissions` Array(String) COMMENT 'Ids of the permissions that it bundles.' CODEC(ZSTD(1)),
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of space_roles, also of runs that were never published: read the views. Roles and the permissions that they bundle, on sites with space roles. Which mode a site is in: the setting space_role_mode of security_configuration.';

CREATE OR REPLACE VIEW `sitedrift`.`space_roles`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `role_id` String COMMENT 'Id of the role.',
    `type` LowCardinality(String) COMMENT 'SYSTEM, CUSTOM or another.',
    `name` Nullable(String) COMMENT 'Name of the role.',
    `description` Nullable(String) COMMENT 'What the site says of it.',
    `permissions` Array(String) COMMENT 'Ids of the permissions that it bundles.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`role_id`, v.seq) AS `role_id`,
    argMax(v.`type`, v.seq) AS `type`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(tuple(v.`description`), v.seq).1 AS `description`,
    argMax(v.`permissions`, v.seq) AS `permissions`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_roles') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_roles_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Roles and the permissions that they bundle, on sites with space roles. Which mode a site is in: the setting space_role_mode of security_configuration.';

CREATE OR REPLACE VIEW `sitedrift`.`space_roles_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `role_id` String COMMENT 'Id of the role.',
    `type` LowCardinality(String) COMMENT 'SYSTEM, CUSTOM or another.',
    `name` Nullable(String) COMMENT 'Name of the role.',
    `description` Nullable(String) COMMENT 'What the site says of it.',
    `permissions` Array(String) COMMENT 'Ids of the permissions that it bundles.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`role_id`, v.seq) AS `role_id`,
    argMax(v.`type`, v.seq) AS `type`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(tuple(v.`description`), v.seq).1 AS `description`,
    argMax(v.`permissions`, v.seq) AS `permissions`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_roles') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_roles_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As space_roles, at a time: space_roles_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`space_roles_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `role_id` String COMMENT 'Id of the role.',
    `type` LowCardinality(String) COMMENT 'SYSTEM, CUSTOM or another.',
    `name` Nullable(String) COMMENT 'Name of the role.',
    `description` Nullable(String) COMMENT 'What the site says of it.',
    `permissions` Array(String) COMMENT 'Ids of the permissions that it bundles.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`role_id` AS `role_id`,
    v.`type` AS `type`,
    v.`name` AS `name`,
    v.`description` AS `description`,
    v.`permissions` AS `permissions`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_roles') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_roles_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of space_roles, those that tell of a removal included.';
