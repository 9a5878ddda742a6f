CREATE TABLE IF NOT EXISTS `sitedrift`.`installed_apps_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Kind of app: connect, forge, or plugins (Data Center).' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `app_key` String COMMENT 'Key of the app; for Forge its id.' CODEC(ZSTD(1)),
    `name` Nullable(String) COMMENT 'Name of the app.' CODEC(ZSTD(1)),
    `version` Nullable(String) COMMENT 'Installed version.' CODEC(ZSTD(1)),
    `vendor` Nullable(String) COMMENT 'Who makes it.' CODEC(ZSTD(1)),
    `enabled` Nullable(Bool) COMMENT 'Whether it is switched on; null when the site does not say.',
    `user_installed` Nullable(Bool) COMMENT 'Whether a person installed it, rather than Atlassian; null when the site does not say.',
    `scopes` Array(String) COMMENT 'Scopes that it holds; empty when the list does not tell.' CODEC(ZSTD(1)),
    `egress` Array(String) COMMENT 'Addresses that it may send data to (Forge).' CODEC(ZSTD(1)),
    `license_active` Nullable(Bool) COMMENT 'Whether its licence is valid; null when there is none or the site does not say.',
    `license_type` Nullable(String) COMMENT 'Type of its licence.' CODEC(ZSTD(1)),
    `installed_by` Nullable(String) COMMENT 'Account that installed it.' CODEC(ZSTD(1)),
    `installed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was installed.',
    `distribution` Nullable(String) COMMENT 'Where it comes from: PUBLIC, DEVELOPMENT and so on (Forge).' CODEC(ZSTD(1)),
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of installed_apps, also of runs that were never published: read the views. Apps on the site. How an app gets in follows from its kind: a Connect app signs with a shared secret from a server of its vendor, a Forge app runs at Atlassian with the scopes and the egress that it declares, a Data Center plugin runs inside the server with all rights.';

CREATE OR REPLACE VIEW `sitedrift`.`installed_apps`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `kind` String COMMENT 'Kind of app: connect, forge, or plugins (Data Center).',
    `app_key` String COMMENT 'Key of the app; for Forge its id.',
    `name` Nullable(String) COMMENT 'Name of the app.',
    `version` Nullable(String) COMMENT 'Installed version.',
    `vendor` Nullable(String) COMMENT 'Who makes it.',
    `enabled` Nullable(Bool) COMMENT 'Whether it is switched on; null when the site does not say.',
    `user_installed` Nullable(Bool) COMMENT 'Whether a person installed it, rather than Atlassian; null when the site does not say.',
    `scopes` Array(String) COMMENT 'Scopes that it holds; empty when the list does not tell.',
    `egress` Array(String) COMMENT 'Addresses that it may send data to (Forge).',
    `license_active` Nullable(Bool) COMMENT 'Whether its licence is valid; null when there is none or the site does not say.',
    `license_type` Nullable(String) COMMENT 'Type of its licence.',
    `installed_by` Nullable(String) COMMENT 'Account that installed it.',
    `installed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was installed.',
    `distribution` Nullable(String) COMMENT 'Where it comes from: PUBLIC, DEVELOPMENT and so on (Forge).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `kind`,
    argMax(v.`app_key`, v.seq) AS `app_key`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(tuple(v.`version`), v.seq).1 AS `version`,
    argMax(tuple(v.`vendor`), v.seq).1 AS `vendor`,
    argMax(tuple(v.`enabled`), v.seq).1 AS `enabled`,
    argMax(tuple(v.`user_installed`), v.seq).1 AS `user_installed`,
    argMax(v.`scopes`, v.seq) AS `scopes`,
    argMax(v.`egress`, v.seq) AS `egress`,
    argMax(tuple(v.`license_active`), v.seq).1 AS `license_active`,
    argMax(tuple(v.`license_type`), v.seq).1 AS `license_type`,
    argMax(tuple(v.`installed_by`), v.seq).1 AS `installed_by`,
    argMax(tuple(v.`installed_at`), v.seq).1 AS `installed_at`,
    argMax(tuple(v.`distribution`), v.seq).1 AS `distribution`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'installed_apps') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`installed_apps_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Apps on the site. How an app gets in follows from its kind: a Connect app signs with a shared secret from a server of its vendor, a Forge app runs at Atlassian with the scopes and the egress that it declares, a Data Center plugin runs inside the server with all rights.';

CREATE OR REPLACE VIEW `sitedrift`.`installed_apps_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `kind` String COMMENT 'Kind of app: connect, forge, or plugins (Data Center).',
    `app_key` String COMMENT 'Key of the app; for Forge its id.',
    `name` Nullable(String) COMMENT 'Name of the app.',
    `version` Nullable(String) COMMENT 'Installed version.',
    `vendor` Nullable(String) COMMENT 'Who makes it.',
    `enabled` Nullable(Bool) COMMENT 'Whether it is switched on; null when the site does not say.',
    `user_installed` Nullable(Bool) COMMENT 'Whether a person installed it, rather than Atlassian; null when the site does not say.',
    `scopes` Array(String) COMMENT 'Scopes that it holds; empty when the list does not tell.',
    `egress` Array(String) COMMENT 'Addresses that it may send data to (Forge).',
    `license_active` Nullable(Bool) COMMENT 'Whether its licence is valid; null when there is none or the site does not say.',
    `license_type` Nullable(String) COMMENT 'Type of its licence.',
    `installed_by` Nullable(String) COMMENT 'Account that installed it.',
    `installed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was installed.',
    `distribution` Nullable(String) COMMENT 'Where it comes from: PUBLIC, DEVELOPMENT and so on (Forge).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `kind`,
    argMax(v.`app_key`, v.seq) AS `app_key`,
    argMax(tuple(v.`name`), v.seq).1 AS `name`,
    argMax(tuple(v.`version`), v.seq).1 AS `version`,
    argMax(tuple(v.`vendor`), v.seq).1 AS `vendor`,
    argMax(tuple(v.`enabled`), v.seq).1 AS `enabled`,
    argMax(tuple(v.`user_installed`), v.seq).1 AS `user_installed`,
    argMax(v.`scopes`, v.seq) AS `scopes`,
    argMax(v.`egress`, v.seq) AS `egress`,
    argMax(tuple(v.`license_active`), v.seq).1 AS `license_active`,
    argMax(tuple(v.`license_type`), v.seq).1 AS `license_type`,
    argMax(tuple(v.`installed_by`), v.seq).1 AS `installed_by`,
    argMax(tuple(v.`installed_at`), v.seq).1 AS `installed_at`,
    argMax(tuple(v.`distribution`), v.seq).1 AS `distribution`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'installed_apps') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`installed_apps_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As installed_apps, at a time: installed_apps_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`installed_apps_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `kind` String COMMENT 'Kind of app: connect, forge, or plugins (Data Center).',
    `app_key` String COMMENT 'Key of the app; for Forge its id.',
    `name` Nullable(String) COMMENT 'Name of the app.',
    `version` Nullable(String) COMMENT 'Installed version.',
    `vendor` Nullable(String) COMMENT 'Who makes it.',
    `enabled` Nullable(Bool) COMMENT 'Whether it is switched on; null when the site does not say.',
    `user_installed` Nullable(Bool) COMMENT 'Whether a person installed it, rather than Atlassian; null when the site does not say.',
    `scopes` Array(String) COMMENT 'Scopes that it holds; empty when the list does not tell.',
    `egress` Array(String) COMMENT 'Addresses that it may send data to (Forge).',
    `license_active` Nullable(Bool) COMMENT 'Whether its licence is valid; null when there is none or the site does not say.',
    `license_type` Nullable(String) COMMENT 'Type of its licence.',
    `installed_by` Nullable(String) COMMENT 'Account that installed it.',
    `installed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When it was installed.',
    `distribution` Nullable(String) COMMENT 'Where it comes from: PUBLIC, DEVELOPMENT and so on (Forge).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `kind`,
    v.`app_key` AS `app_key`,
    v.`name` AS `name`,
    v.`version` AS `version`,
    v.`vendor` AS `vendor`,
    v.`enabled` AS `enabled`,
    v.`user_installed` AS `user_installed`,
    v.`scopes` AS `scopes`,
    v.`egress` AS `egress`,
    v.`license_active` AS `license_active`,
    v.`license_type` AS `license_type`,
    v.`installed_by` AS `installed_by`,
    v.`installed_at` AS `installed_at`,
    v.`distribution` AS `distribution`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'installed_apps') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`installed_apps_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of installed_apps, those that tell of a removal included.';
