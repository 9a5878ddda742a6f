CREATE TABLE IF NOT EXISTS `sitedrift`.`users_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `account_id` String COMMENT 'Account; on Data Center the user key, which stays when the username changes.' CODEC(ZSTD(1)),
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, customer, or another; on Data Center user.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.' CODEC(ZSTD(1)),
    `public_name` Nullable(String) COMMENT 'Public name, on Data Center the username; null when hidden.' CODEC(ZSTD(1)),
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it, or when there is none.' CODEC(ZSTD(1)),
    `time_zone` Nullable(String) COMMENT 'Time zone; null when hidden.' CODEC(ZSTD(1)),
    `personal_space_id` Nullable(String) COMMENT 'Id of the personal space, if there is one.' CODEC(ZSTD(1)),
    `is_external` Nullable(Bool) COMMENT 'Whether the account is an external collaborator (guest); null when the site does not say, which is not a no.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of users, also of runs that were never published: read the views. Accounts that are in at least one group of the site; on Data Center all accounts, deactivated ones too. User search, which stops at 10,000, is not used.';

CREATE OR REPLACE VIEW `sitedrift`.`users`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account; on Data Center the user key, which stays when the username changes.',
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, customer, or another; on Data Center user.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.',
    `public_name` Nullable(String) COMMENT 'Public name, on Data Center the username; null when hidden.',
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it, or when there is none.',
    `time_zone` Nullable(String) COMMENT 'Time zone; null when hidden.',
    `personal_space_id` Nullable(String) COMMENT 'Id of the personal space, if there is one.',
    `is_external` Nullable(Bool) COMMENT 'Whether the account is an external collaborator (guest); null when the site does not say, which is not a no.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(v.`account_type`, v.seq) AS `account_type`,
    argMax(v.`account_status`, v.seq) AS `account_status`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(tuple(v.`public_name`), v.seq).1 AS `public_name`,
    argMax(tuple(v.`email`), v.seq).1 AS `email`,
    argMax(tuple(v.`time_zone`), v.seq).1 AS `time_zone`,
    argMax(tuple(v.`personal_space_id`), v.seq).1 AS `personal_space_id`,
    argMax(tuple(v.`is_external`), v.seq).1 AS `is_external`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'users') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`users_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Accounts that are in at least one group of the site; on Data Center all accounts, deactivated ones too. User search, which stops at 10,000, is not used.';

CREATE OR REPLACE VIEW `sitedrift`.`users_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account; on Data Center the user key, which stays when the username changes.',
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, customer, or another; on Data Center user.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.',
    `public_name` Nullable(String) COMMENT 'Public name, on Data Center the username; null when hidden.',
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it, or when there is none.',
    `time_zone` Nullable(String) COMMENT 'Time zone; null when hidden.',
    `personal_space_id` Nullable(String) COMMENT 'Id of the personal space, if there is one.',
    `is_external` Nullable(Bool) COMMENT 'Whether the account is an external collaborator (guest); null when the site does not say, which is not a no.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`account_id`, v.seq) AS `account_id`,
    argMax(v.`account_type`, v.seq) AS `account_type`,
    argMax(v.`account_status`, v.seq) AS `account_status`,
    argMax(tuple(v.`display_name`), v.seq).1 AS `display_name`,
    argMax(tuple(v.`public_name`), v.seq).1 AS `public_name`,
    argMax(tuple(v.`email`), v.seq).1 AS `email`,
    argMax(tuple(v.`time_zone`), v.seq).1 AS `time_zone`,
    argMax(tuple(v.`personal_space_id`), v.seq).1 AS `personal_space_id`,
    argMax(tuple(v.`is_external`), v.seq).1 AS `is_external`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'users') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`users_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As users, at a time: users_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`users_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `account_id` String COMMENT 'Account; on Data Center the user key, which stays when the username changes.',
    `account_type` LowCardinality(String) COMMENT 'atlassian for a person, app, customer, or another; on Data Center user.',
    `account_status` LowCardinality(String) COMMENT 'active, inactive, closed or unknown.',
    `display_name` Nullable(String) COMMENT 'Name as shown; null when hidden.',
    `public_name` Nullable(String) COMMENT 'Public name, on Data Center the username; null when hidden.',
    `email` Nullable(String) COMMENT 'E-mail address; null when their privacy settings hide it, or when there is none.',
    `time_zone` Nullable(String) COMMENT 'Time zone; null when hidden.',
    `personal_space_id` Nullable(String) COMMENT 'Id of the personal space, if there is one.',
    `is_external` Nullable(Bool) COMMENT 'Whether the account is an external collaborator (guest); null when the site does not say, which is not a no.',
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
    v.`account_type` AS `account_type`,
    v.`account_status` AS `account_status`,
    v.`display_name` AS `display_name`,
    v.`public_name` AS `public_name`,
    v.`email` AS `email`,
    v.`time_zone` AS `time_zone`,
    v.`personal_space_id` AS `personal_space_id`,
    v.`is_external` AS `is_external`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'users') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`users_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of users, those that tell of a removal included.';
