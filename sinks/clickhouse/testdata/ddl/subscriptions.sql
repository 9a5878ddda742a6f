CREATE TABLE IF NOT EXISTS `sitedrift`.`subscriptions_versions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `product` String COMMENT 'Product, such as confluence.' CODEC(ZSTD(1)),
    `seats_used` Nullable(Int64) COMMENT 'Users who count; null when the site does not say.',
    `seats_free` Nullable(Int64) COMMENT 'Seats left; null when unlimited or not known.',
    `seats_total` Nullable(Int64) COMMENT 'Seats in all; null when unlimited or not known.',
    `unlimited` Nullable(Bool) COMMENT 'Whether there is no limit; null when the site does not say.',
    `plan` Nullable(String) COMMENT 'Plan, such as premium.' CODEC(ZSTD(1)),
    `license_type` Nullable(String) COMMENT 'Type of the licence (Data Center).' CODEC(ZSTD(1)),
    `active` Nullable(Bool) COMMENT 'Whether the licence or the site is active.',
    `expires_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the licence ends (Data Center).',
    `maintained_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'When maintenance ends (Data Center).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Every version of subscriptions, also of runs that were never published: read the views. Seats of each product: used, free, in total. On Cloud from the organization, or from licence endpoints that Atlassian does not document.';

CREATE OR REPLACE VIEW `sitedrift`.`subscriptions`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `product` String COMMENT 'Product, such as confluence.',
    `seats_used` Nullable(Int64) COMMENT 'Users who count; null when the site does not say.',
    `seats_free` Nullable(Int64) COMMENT 'Seats left; null when unlimited or not known.',
    `seats_total` Nullable(Int64) COMMENT 'Seats in all; null when unlimited or not known.',
    `unlimited` Nullable(Bool) COMMENT 'Whether there is no limit; null when the site does not say.',
    `plan` Nullable(String) COMMENT 'Plan, such as premium.',
    `license_type` Nullable(String) COMMENT 'Type of the licence (Data Center).',
    `active` Nullable(Bool) COMMENT 'Whether the licence or the site is active.',
    `expires_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the licence ends (Data Center).',
    `maintained_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'When maintenance ends (Data Center).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`product`, v.seq) AS `product`,
    argMax(tuple(v.`seats_used`), v.seq).1 AS `seats_used`,
    argMax(tuple(v.`seats_free`), v.seq).1 AS `seats_free`,
    argMax(tuple(v.`seats_total`), v.seq).1 AS `seats_total`,
    argMax(tuple(v.`unlimited`), v.seq).1 AS `unlimited`,
    argMax(tuple(v.`plan`), v.seq).1 AS `plan`,
    argMax(tuple(v.`license_type`), v.seq).1 AS `license_type`,
    argMax(tuple(v.`active`), v.seq).1 AS `active`,
    argMax(tuple(v.`expires_at`), v.seq).1 AS `expires_at`,
    argMax(tuple(v.`maintained_until`), v.seq).1 AS `maintained_until`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'subscriptions') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`subscriptions_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'Seats of each product: used, free, in total. On Cloud from the organization, or from licence endpoints that Atlassian does not document.';

CREATE OR REPLACE VIEW `sitedrift`.`subscriptions_at`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `product` String COMMENT 'Product, such as confluence.',
    `seats_used` Nullable(Int64) COMMENT 'Users who count; null when the site does not say.',
    `seats_free` Nullable(Int64) COMMENT 'Seats left; null when unlimited or not known.',
    `seats_total` Nullable(Int64) COMMENT 'Seats in all; null when unlimited or not known.',
    `unlimited` Nullable(Bool) COMMENT 'Whether there is no limit; null when the site does not say.',
    `plan` Nullable(String) COMMENT 'Plan, such as premium.',
    `license_type` Nullable(String) COMMENT 'Type of the licence (Data Center).',
    `active` Nullable(Bool) COMMENT 'Whether the licence or the site is active.',
    `expires_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the licence ends (Data Center).',
    `maintained_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'When maintenance ends (Data Center).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    argMax(v.`product`, v.seq) AS `product`,
    argMax(tuple(v.`seats_used`), v.seq).1 AS `seats_used`,
    argMax(tuple(v.`seats_free`), v.seq).1 AS `seats_free`,
    argMax(tuple(v.`seats_total`), v.seq).1 AS `seats_total`,
    argMax(tuple(v.`unlimited`), v.seq).1 AS `unlimited`,
    argMax(tuple(v.`plan`), v.seq).1 AS `plan`,
    argMax(tuple(v.`license_type`), v.seq).1 AS `license_type`,
    argMax(tuple(v.`active`), v.seq).1 AS `active`,
    argMax(tuple(v.`expires_at`), v.seq).1 AS `expires_at`,
    argMax(tuple(v.`maintained_until`), v.seq).1 AS `maintained_until`,
    argMax(v.`first_seen_at`, v.seq) AS `first_seen_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'subscriptions') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`subscriptions_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq) AND v.observed_at <= {at:DateTime64(3, 'UTC')}
GROUP BY v.tenant_id, v.partition_id, v.key_hash
HAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')
COMMENT 'As subscriptions, at a time: subscriptions_at(at = \'2026-03-01 00:00:00\'), UTC.';

CREATE OR REPLACE VIEW `sitedrift`.`subscriptions_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `product` String COMMENT 'Product, such as confluence.',
    `seats_used` Nullable(Int64) COMMENT 'Users who count; null when the site does not say.',
    `seats_free` Nullable(Int64) COMMENT 'Seats left; null when unlimited or not known.',
    `seats_total` Nullable(Int64) COMMENT 'Seats in all; null when unlimited or not known.',
    `unlimited` Nullable(Bool) COMMENT 'Whether there is no limit; null when the site does not say.',
    `plan` Nullable(String) COMMENT 'Plan, such as premium.',
    `license_type` Nullable(String) COMMENT 'Type of the licence (Data Center).',
    `active` Nullable(Bool) COMMENT 'Whether the licence or the site is active.',
    `expires_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'When the licence ends (Data Center).',
    `maintained_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'When maintenance ends (Data Center).',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version.',
    `run_id` UUID COMMENT 'Run that wrote this version.',
    `valid_from` DateTime64(3, 'UTC') COMMENT 'From when on the entity looked like this, or was gone.',
    `valid_to` Nullable(DateTime64(3, 'UTC')) COMMENT 'Until when; null: until now.',
    `change` LowCardinality(String) COMMENT 'baseline, added, changed, removed or out_of_view.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`product` AS `product`,
    v.`seats_used` AS `seats_used`,
    v.`seats_free` AS `seats_free`,
    v.`seats_total` AS `seats_total`,
    v.`unlimited` AS `unlimited`,
    v.`plan` AS `plan`,
    v.`license_type` AS `license_type`,
    v.`active` AS `active`,
    v.`expires_at` AS `expires_at`,
    v.`maintained_until` AS `maintained_until`,
    v.`first_seen_at` AS `first_seen_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.observed_at AS `valid_from`,
    leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS `valid_to`,
    CAST(v.op, 'String') AS `change`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL WHERE dataset = 'subscriptions') AS h
INNER JOIN (SELECT * FROM `sitedrift`.`subscriptions_versions`) AS v ON v.tenant_id = h.tenant_id
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'Every version of the rows of subscriptions, those that tell of a removal included.';
