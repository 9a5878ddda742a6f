CREATE TABLE IF NOT EXISTS `sitedrift`.`site_permissions_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `principal_type` LowCardinality(String) COMMENT 'group, user, anonymous (visitors without a login), unlicensed, or another.',
    `principal_id` String COMMENT 'Group id (Data Center: its name) or account (Data Center: user key); the type itself for anonymous and unlicensed.' CODEC(ZSTD(1)),
    `operation` LowCardinality(String) COMMENT 'USE_CONFLUENCE, CREATE_SPACE, ADMINISTER_CONFLUENCE, ADMINISTER_SYSTEM and so on on Cloud; use, create, administer on Data Center.',
    `target_type` LowCardinality(String) COMMENT 'What the operation applies to: application, system, space, personal_space and so on; as the site writes it.',
    `principal_name` Nullable(String) COMMENT 'Name of the group or person when the row was written; null when hidden.' CODEC(ZSTD(1)),
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of site_permissions, also of runs that were never published: read the views. Global permissions: who may use the site, create spaces, administer it; also visitors without a login and users without a licence.';

CREATE OR REPLACE VIEW `sitedrift`.`site_permissions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `principal_type` LowCardinality(String) COMMENT 'group, user, anonymous (visitors without a login), unlicensed, or another.',
    `principal_id` String COMMENT 'Group id (Data Center: its name) or account (Data Center: user key); the type itself for anonymous and unlicensed.',
    `operation` LowCardinality(String) COMMENT 'USE_CONFLUENCE, CREATE_SPACE, ADMINISTER_CONFLUENCE, ADMINISTER_SYSTEM and so on on Cloud; use, create, administer on Data Center.',
    `target_type` LowCardinality(String) COMMENT 'What the operation applies to: application, system, space, personal_space and so on; as the site writes it.',
    `principal_name` Nullable(String) COMMENT 'Name of the group or person when the row was written; null when hidden.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`principal_type`, v.seq) AS `principal_type`,
    argMax(v.`principal_id`, v.seq) AS `principal_id`,
    argMax(v.`operation`, v.seq) AS `operation`,
    argMax(v.`target_type`, v.seq) AS `target_type`,
    argMax(tuple(v.`principal_name`), v.seq).1 AS `principal_name`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'site_permissions') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`site_permissions_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Global permissions: who may use the site, create spaces, administer it; also visitors without a login and users without a licence.';

CREATE OR REPLACE VIEW `sitedrift`.`site_permissions_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `principal_type` LowCardinality(String) COMMENT 'group, user, anonymous (visitors without a login), unlicensed, or another.',
    `principal_id` String COMMENT 'Group id (Data Center: its name) or account (Data Center: user key); the type itself for anonymous and unlicensed.',
    `operation` LowCardinality(String) COMMENT 'USE_CONFLUENCE, CREATE_SPACE, ADMINISTER_CONFLUENCE, ADMINISTER_SYSTEM and so on on Cloud; use, create, administer on Data Center.',
    `target_type` LowCardinality(String) COMMENT 'What the operation applies to: application, system, space, personal_space and so on; as the site writes it.',
    `principal_name` Nullable(String) COMMENT 'Name of the group or person when the row was written; null when hidden.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`principal_type`, v.seq) AS `principal_type`,
    argMax(v.`principal_id`, v.seq) AS `principal_id`,
    argMax(v.`operation`, v.seq) AS `operation`,
    argMax(v.`target_type`, v.seq) AS `target_type`,
    argMax(tuple(v.`principal_name`), v.seq).1 AS `principal_name`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'site_permissions') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`site_permissions_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As site_permissions, at a time: site_permissions_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`site_permissions_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `principal_type` LowCardinality(String) COMMENT 'group, user, anonymous (visitors without a login), unlicensed, or another.',
    `principal_id` String COMMENT 'Group id (Data Center: its name) or account (Data Center: user key); the type itself for anonymous and unlicensed.',
    `operation` LowCardinality(String) COMMENT 'USE_CONFLUENCE, CREATE_SPACE, ADMINISTER_CONFLUENCE, ADMINISTER_SYSTEM and so on on Cloud; use, create, administer on Data Center.',
    `target_type` LowCardinality(String) COMMENT 'What the operation applies to: application, system, space, personal_space and so on; as the site writes it.',
    `principal_name` Nullable(String) COMMENT 'Name of the group or person when the row was written; null when hidden.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`principal_type` AS `principal_type`,
    v.`principal_id` AS `principal_id`,
    v.`operation` AS `operation`,
    v.`target_type` AS `target_type`,
    v.`principal_name` AS `principal_name`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'site_permissions') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`site_permissions_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of site_permissions, those that tell of a removal included.';
