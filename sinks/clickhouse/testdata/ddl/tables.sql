CREATE DATABASE IF NOT EXISTS `sitedrift`;

CREATE TABLE IF NOT EXISTS `sitedrift`.`installation`
(
    `installation` UUID COMMENT 'Identity of the state database.',
    `created_at` DateTime64(3, 'UTC') COMMENT 'When it first wrote here.'
)
ENGINE = MergeTree
ORDER BY (created_at, installation)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0
COMMENT 'The one installation that writes here: the earliest row.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`schema_objects`
(
    `name` String COMMENT 'View.' CODEC(ZSTD(1)),
    `statement` String COMMENT 'Hash of the statement that created it.' CODEC(ZSTD(1)),
    `stored` String COMMENT 'Hash of the definition that the server made of it.' CODEC(ZSTD(1)),
    `created_at` DateTime64(3, 'UTC') COMMENT 'When it was created.'
)
ENGINE = ReplacingMergeTree(created_at)
ORDER BY (name)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0
COMMENT 'Views as they were last created, so that a changed definition is noticed.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`schema_versions`
(
    `version` UInt32 COMMENT 'Number that grows with each change of the schema.',
    `oldest` UInt32 COMMENT 'Releases that know this version or a newer one may use it.',
    `created_at` DateTime64(3, 'UTC') COMMENT 'When the database was brought to it.'
)
ENGINE = MergeTree
ORDER BY (version)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0
COMMENT 'Versions that the schema has had; the highest is the present one.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`heads`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset.',
    `dataset_group` LowCardinality(String) COMMENT 'Group of datasets that one run reads.',
    `committed_seq` UInt64 COMMENT 'Last decided attempt.',
    `void` Array(UInt64) COMMENT 'Attempts up to it that were never decided; their rows are not shown.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset.',
    `rows` UInt64 COMMENT 'Current rows.',
    `digest` UInt128 COMMENT 'Sum of the digests of the current rows, modulo 2^128.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading.',
    `run_id` UUID COMMENT 'Run that was decided.',
    `version` UInt32 COMMENT 'Version of the dataset\'s declaration that wrote it.',
    `installation` UUID COMMENT 'Installation that the ledger belongs to.'
)
ENGINE = ReplacingMergeTree(committed_seq)
ORDER BY (dataset, tenant_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0
COMMENT 'What readers may see of each dataset: rows up to committed_seq that are not void. Every view reads it first.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`expected`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset.',
    `dataset_group` LowCardinality(String) COMMENT 'Group of datasets that one run reads.',
    `cadence_seconds` UInt64 COMMENT 'Expected time between two runs; 0 when there is no schedule.',
    `paused` Bool COMMENT 'The tenant\'s schedule is paused.',
    `removed` Bool COMMENT 'The tenant is gone.',
    `updated_at` DateTime64(3, 'UTC') COMMENT 'When this was written.'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (tenant_id, dataset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0
COMMENT 'What each tenant is meant to deliver; written by administration, not by runs.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`changes_log`
(
    `event_id` UUID COMMENT 'Identity of the event; the same however often it is delivered.',
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset that the entity belongs to.',
    `partition_id` String COMMENT 'Part of the dataset that the entity belongs to: a space, a group; empty for the whole.' CODEC(ZSTD(1)),
    `entity_key` String COMMENT 'Key of the entity inside its partition.' CODEC(ZSTD(1)),
    `entity_name` String COMMENT 'The entity\'s name for people, as of the change.' CODEC(ZSTD(1)),
    `change` LowCardinality(String) COMMENT 'added, changed, removed, vanished, baseline or coverage.',
    `fields` Array(String) COMMENT 'Names of the columns that changed.' CODEC(ZSTD(1)),
    `before` String COMMENT 'JSON object of the changed columns as they were.' CODEC(ZSTD(1)),
    `after` String COMMENT 'JSON object of the changed columns as they are now.' CODEC(ZSTD(1)),
    `severity` LowCardinality(String) COMMENT 'info, low, medium or high, by the dataset\'s rules.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that showed the change.',
    `not_before` Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the previous complete read: the change happened after it.',
    `run_id` UUID COMMENT 'Run that found it.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset.',
    `seq` UInt64 COMMENT 'Attempt number of the run.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(observed_at)
ORDER BY (tenant_id, dataset, observed_at, event_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Changes, also of runs that were never published: read the view changes.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`coverage_log`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset.',
    `partition_id` String COMMENT 'Part of the dataset; empty stands for the dataset as a whole, whose state comes first: the parts of what cannot be read as a whole keep what was seen of them last.' CODEC(ZSTD(1)),
    `state` LowCardinality(String) COMMENT 'complete, partial, forbidden, not_exposed, not_licensed, blocked_by_policy, gone, failed or held.',
    `evidence` String COMMENT 'What the site answered; of what was read completely, by which interface and kind of credential.' CODEC(ZSTD(1)),
    `unlock` String COMMENT 'What would make it readable.' CODEC(ZSTD(1)),
    `last_complete_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the last complete read before this state.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'When the state was seen first.',
    `run_id` UUID COMMENT 'Run that saw it.',
    `seq` UInt64 COMMENT 'Attempt number of the run.'
)
ENGINE = MergeTree
ORDER BY (tenant_id, dataset, partition_id, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Coverage, also of runs that were never published: read the views coverage and coverage_history.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`runs_log`
(
    `run_id` UUID COMMENT 'The run.',
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset_group` LowCardinality(String) COMMENT 'Group of datasets that the run read.',
    `seq` UInt64 COMMENT 'Attempt number; grows per tenant and group.',
    `outcome` LowCardinality(String) COMMENT 'no_change, changed, held, baseline_mismatch, failed, abandoned, quarantined, erased or restored.',
    `trigger` LowCardinality(String) COMMENT 'schedule, catch_up, retry or manual.',
    `started_at` DateTime64(3, 'UTC') COMMENT 'Start of the run.',
    `ended_at` DateTime64(3, 'UTC') COMMENT 'End of the run.',
    `datasets` Array(String) COMMENT 'Datasets that the run was to read.' CODEC(ZSTD(1)),
    `complete` Array(String) COMMENT 'Datasets that it read completely.' CODEC(ZSTD(1)),
    `gate` LowCardinality(String) COMMENT 'Dataset whose published state shows this row; empty when the row stands alone.',
    `api_calls` Int64 COMMENT 'Requests to the site\'s API, retries included.',
    `retries` Int64 COMMENT 'Requests that were repeats.',
    `throttled` Int64 COMMENT 'Answers with status 429.',
    `points` Int64 COMMENT 'Rate-limit points, estimated.',
    `bytes` Int64 COMMENT 'Bytes of answers.',
    `rows_read` Int64 COMMENT 'Rows read from the site.',
    `rows_written` Int64 COMMENT 'Versions written to the warehouse.',
    `added` Int64 COMMENT 'Entities that are new.',
    `changed` Int64 COMMENT 'Entities that changed.',
    `removed` Int64 COMMENT 'Entities that are gone.',
    `vanished` Int64 COMMENT 'Entities that are out of view.',
    `incomplete` Int64 COMMENT 'Partitions that could not be read completely.',
    `error` String COMMENT 'Why the run failed or is incomplete.' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(started_at)
ORDER BY (tenant_id, dataset_group, started_at, run_id, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000
COMMENT 'Runs, also those that were never published: read the view runs.';
