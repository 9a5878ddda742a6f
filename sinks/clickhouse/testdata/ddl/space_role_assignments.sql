CREATE TABLE IF NOT EXISTS `sitedrift`.`space_role_assignments_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Id of the space.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `principal_type` LowCardinality(String) COMMENT 'USER, GROUP, ACCESS_CLASS or another.',
    `principal_id` String COMMENT 'Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.' CODEC(ZSTD(1)),
    `role_id` String COMMENT 'Id of the role.' CODEC(ZSTD(1)),
    `space_key` String COMMENT 'Key of the space when the row was written.' CODEC(ZSTD(1)),
    `role_name` Nullable(String) COMMENT 'Name of the role when the row was written.' CODEC(ZSTD(1)),
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of space_role_assignments, also of runs that were never published: read the views. Who has which role in which space, on sites with space roles.';

CREATE OR REPLACE VIEW `sitedrift`.`space_role_assignments`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `principal_type` LowCardinality(String) COMMENT 'USER, GROUP, ACCESS_CLASS or another.',
    `principal_id` String COMMENT 'Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.',
    `role_id` String COMMENT 'Id of the role.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `role_name` Nullable(String) COMMENT 'Name of the role when the row was written.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    argMax(v.`principal_type`, v.seq) AS `principal_type`,
    argMax(v.`principal_id`, v.seq) AS `principal_id`,
    argMax(v.`role_id`, v.seq) AS `role_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`role_name`), v.seq).1 AS `role_name`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_role_assignments') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_role_assignments_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Who has which role in which space, on sites with space roles.';

CREATE OR REPLACE VIEW `sitedrift`.`space_role_assignments_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `principal_type` LowCardinality(String) COMMENT 'USER, GROUP, ACCESS_CLASS or another.',
    `principal_id` String COMMENT 'Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.',
    `role_id` String COMMENT 'Id of the role.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `role_name` Nullable(String) COMMENT 'Name of the role when the row was written.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    argMax(v.`principal_type`, v.seq) AS `principal_type`,
    argMax(v.`principal_id`, v.seq) AS `principal_id`,
    argMax(v.`role_id`, v.seq) AS `role_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`role_name`), v.seq).1 AS `role_name`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_role_assignments') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_role_assignments_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As space_role_assignments, at a time: space_role_assignments_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`space_role_assignments_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `principal_type` LowCardinality(String) COMMENT 'USER, GROUP, ACCESS_CLASS or another.',
    `principal_id` String COMMENT 'Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.',
    `role_id` String COMMENT 'Id of the role.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `role_name` Nullable(String) COMMENT 'Name of the role when the row was written.',
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
    v.`principal_type` AS `principal_type`,
    v.`principal_id` AS `principal_id`,
    v.`role_id` AS `role_id`,
    v.`space_key` AS `space_key`,
    v.`role_name` AS `role_name`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_role_assignments') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_role_assignments_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of space_role_assignments, those that tell of a removal included.';

CREATE OR REPLACE VIEW `sitedrift`.`space_role_assignments_named`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `principal_type` LowCardinality(String) COMMENT 'USER, GROUP, ACCESS_CLASS or another.',
    `principal_id` String COMMENT 'Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.',
    `role_id` String COMMENT 'Id of the role.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `role_name` Nullable(String) COMMENT 'Name of the role when the row was written.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `space_name` Nullable(String) COMMENT 'Name of the space then; null when it was not seen.',
    `principal_name` Nullable(String) COMMENT 'Name of the person or group then; null when it was not seen, or is hidden.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`space_id` AS `space_id`,
    v.`principal_type` AS `principal_type`,
    v.`principal_id` AS `principal_id`,
    v.`role_id` AS `role_id`,
    v.`space_key` AS `space_key`,
    v.`role_name` AS `role_name`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    CAST(coalesce(nullIf(n0.name, ''), NULL) AS Nullable(String)) AS `space_name`,
    CAST(coalesce(if(v.`principal_type` IN ('USER'), nullIf(n1.name, ''), NULL), if(v.`principal_type` IN ('GROUP'), nullIf(n2.name, ''), NULL), NULL) AS Nullable(String)) AS `principal_name`
FROM (SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    argMax(v.`principal_type`, v.seq) AS `principal_type`,
    argMax(v.`principal_id`, v.seq) AS `principal_id`,
    argMax(v.`role_id`, v.seq) AS `role_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`role_name`), v.seq).1 AS `role_name`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_role_assignments') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_role_assignments_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')) AS v
LEFT JOIN (SELECT tenant_id, `space_id` AS id, toNullable(`name`) AS name FROM (SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`space_id`, v.seq) AS `space_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(v.`name`, v.seq) AS `name`,
    argMax(v.`type`, v.seq) AS `type`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(tuple(v.`alias`), v.seq).1 AS `alias`,
    argMax(tuple(v.`author_id`), v.seq).1 AS `author_id`,
    argMax(tuple(v.`homepage_id`), v.seq).1 AS `homepage_id`,
    argMax(tuple(v.`created_at`), v.seq).1 AS `created_at`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'spaces') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`spaces_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view'))) AS n0 ON n0.tenant_id = v.tenant_id AND n0.id = v.`space_id`
LEFT JOIN (SELECT tenant_id, `account_id` AS id, toNullable(`display_name`) AS name FROM (SELECT
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
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view'))) AS n1 ON n1.tenant_id = v.tenant_id AND n1.id = v.`principal_id`
LEFT JOIN (SELECT tenant_id, `group_id` AS id, toNullable(`name`) AS name FROM (SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`group_id`, v.seq) AS `group_id`,
    argMax(v.`name`, v.seq) AS `name`,
    argMax(v.`type`, v.seq) AS `type`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'groups') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`groups_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view'))) AS n2 ON n2.tenant_id = v.tenant_id AND n2.id = v.`principal_id`
COMMENT 'As space_role_assignments, with the names behind the ids.';

CREATE OR REPLACE VIEW `sitedrift`.`space_role_assignments_named_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `space_id` String COMMENT 'Id of the space.',
    `principal_type` LowCardinality(String) COMMENT 'USER, GROUP, ACCESS_CLASS or another.',
    `principal_id` String COMMENT 'Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.',
    `role_id` String COMMENT 'Id of the role.',
    `space_key` String COMMENT 'Key of the space when the row was written.',
    `role_name` Nullable(String) COMMENT 'Name of the role when the row was written.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `space_name` Nullable(String) COMMENT 'Name of the space then; null when it was not seen.',
    `principal_name` Nullable(String) COMMENT 'Name of the person or group then; null when it was not seen, or is hidden.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`space_id` AS `space_id`,
    v.`principal_type` AS `principal_type`,
    v.`principal_id` AS `principal_id`,
    v.`role_id` AS `role_id`,
    v.`space_key` AS `space_key`,
    v.`role_name` AS `role_name`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    CAST(coalesce(nullIf(n0.name, ''), NULL) AS Nullable(String)) AS `space_name`,
    CAST(coalesce(if(v.`principal_type` IN ('USER'), nullIf(n1.name, ''), NULL), if(v.`principal_type` IN ('GROUP'), nullIf(n2.name, ''), NULL), NULL) AS Nullable(String)) AS `principal_name`
FROM (SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`partition_id` AS `space_id`,
    argMax(v.`principal_type`, v.seq) AS `principal_type`,
    argMax(v.`principal_id`, v.seq) AS `principal_id`,
    argMax(v.`role_id`, v.seq) AS `role_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(tuple(v.`role_name`), v.seq).1 AS `role_name`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'space_role_assignments') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`space_role_assignments_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')) AS v
LEFT JOIN (SELECT tenant_id, `space_id` AS id, toNullable(`name`) AS name FROM (SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`space_id`, v.seq) AS `space_id`,
    argMax(v.`space_key`, v.seq) AS `space_key`,
    argMax(v.`name`, v.seq) AS `name`,
    argMax(v.`type`, v.seq) AS `type`,
    argMax(v.`status`, v.seq) AS `status`,
    argMax(tuple(v.`alias`), v.seq).1 AS `alias`,
    argMax(tuple(v.`author_id`), v.seq).1 AS `author_id`,
    argMax(tuple(v.`homepage_id`), v.seq).1 AS `homepage_id`,
    argMax(tuple(v.`created_at`), v.seq).1 AS `created_at`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'spaces') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`spaces_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view'))) AS n0 ON n0.tenant_id = v.tenant_id AND n0.id = v.`space_id`
LEFT JOIN (SELECT tenant_id, `account_id` AS id, toNullable(`display_name`) AS name FROM (SELECT
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
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view'))) AS n1 ON n1.tenant_id = v.tenant_id AND n1.id = v.`principal_id`
LEFT JOIN (SELECT tenant_id, `group_id` AS id, toNullable(`name`) AS name FROM (SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`group_id`, v.seq) AS `group_id`,
    argMax(v.`name`, v.seq) AS `name`,
    argMax(v.`type`, v.seq) AS `type`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'groups') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`groups_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view'))) AS n2 ON n2.tenant_id = v.tenant_id AND n2.id = v.`principal_id`
COMMENT 'As space_role_assignments_at, with the names behind the ids, at a time, UTC.';
