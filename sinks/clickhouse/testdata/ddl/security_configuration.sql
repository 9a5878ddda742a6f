CREATE TABLE IF NOT EXISTS `sitedrift`.`security_configuration_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Endpoint that tells the setting.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `setting` String COMMENT 'Name of the setting.' CODEC(ZSTD(1)),
    `value` Nullable(String) COMMENT 'Value as text; null when the site does not say.' CODEC(ZSTD(1)),
    `value_type` LowCardinality(String) COMMENT 'Type of the value: string, bool, int, list (JSON), or period (a number and its unit, such as 1 YEARS).',
    `value_bool` Nullable(Bool) COMMENT 'The value of a setting of the type bool.',
    `value_int` Nullable(Int64) COMMENT 'The value of a setting of the type int.',
    `origin` LowCardinality(String) COMMENT 'Who decides it: site, or organization (inherited). No source tells a default from a value that somebody set.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of security_configuration, also of runs that were never published: read the views. Settings of the site that bear on its security: one row per setting, from each endpoint that tells some.';

CREATE OR REPLACE VIEW `sitedrift`.`security_configuration`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `source` String COMMENT 'Endpoint that tells the setting.',
    `setting` String COMMENT 'Name of the setting.',
    `value` Nullable(String) COMMENT 'Value as text; null when the site does not say.',
    `value_type` LowCardinality(String) COMMENT 'Type of the value: string, bool, int, list (JSON), or period (a number and its unit, such as 1 YEARS).',
    `value_bool` Nullable(Bool) COMMENT 'The value of a setting of the type bool.',
    `value_int` Nullable(Int64) COMMENT 'The value of a setting of the type int.',
    `origin` LowCardinality(String) COMMENT 'Who decides it: site, or organization (inherited). No source tells a default from a value that somebody set.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `source`,
    argMax(v.`setting`, v.seq) AS `setting`,
    argMax(tuple(v.`value`), v.seq).1 AS `value`,
    argMax(v.`value_type`, v.seq) AS `value_type`,
    argMax(tuple(v.`value_bool`), v.seq).1 AS `value_bool`,
    argMax(tuple(v.`value_int`), v.seq).1 AS `value_int`,
    argMax(v.`origin`, v.seq) AS `origin`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'security_configuration') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`security_configuration_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Settings of the site that bear on its security: one row per setting, from each endpoint that tells some.';

CREATE OR REPLACE VIEW `sitedrift`.`security_configuration_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `source` String COMMENT 'Endpoint that tells the setting.',
    `setting` String COMMENT 'Name of the setting.',
    `value` Nullable(String) COMMENT 'Value as text; null when the site does not say.',
    `value_type` LowCardinality(String) COMMENT 'Type of the value: string, bool, int, list (JSON), or period (a number and its unit, such as 1 YEARS).',
    `value_bool` Nullable(Bool) COMMENT 'The value of a setting of the type bool.',
    `value_int` Nullable(Int64) COMMENT 'The value of a setting of the type int.',
    `origin` LowCardinality(String) COMMENT 'Who decides it: site, or organization (inherited). No source tells a default from a value that somebody set.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `source`,
    argMax(v.`setting`, v.seq) AS `setting`,
    argMax(tuple(v.`value`), v.seq).1 AS `value`,
    argMax(v.`value_type`, v.seq) AS `value_type`,
    argMax(tuple(v.`value_bool`), v.seq).1 AS `value_bool`,
    argMax(tuple(v.`value_int`), v.seq).1 AS `value_int`,
    argMax(v.`origin`, v.seq) AS `origin`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'security_configuration') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`security_configuration_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As security_configuration, at a time: security_configuration_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`security_configuration_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `source` String COMMENT 'Endpoint that tells the setting.',
    `setting` String COMMENT 'Name of the setting.',
    `value` Nullable(String) COMMENT 'Value as text; null when the site does not say.',
    `value_type` LowCardinality(String) COMMENT 'Type of the value: string, bool, int, list (JSON), or period (a number and its unit, such as 1 YEARS).',
    `value_bool` Nullable(Bool) COMMENT 'The value of a setting of the type bool.',
    `value_int` Nullable(Int64) COMMENT 'The value of a setting of the type int.',
    `origin` LowCardinality(String) COMMENT 'Who decides it: site, or organization (inherited). No source tells a default from a value that somebody set.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `source`,
    v.`setting` AS `setting`,
    v.`value` AS `value`,
    v.`value_type` AS `value_type`,
    v.`value_bool` AS `value_bool`,
    v.`value_int` AS `value_int`,
    v.`origin` AS `origin`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'security_configuration') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`security_configuration_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of security_configuration, those that tell of a removal included.';
