CREATE TABLE IF NOT EXISTS `sitedrift`.`groups_versions` ON CLUSTER 'main'
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `partition_id` String COMMENT 'Always empty: the dataset is one whole.' CODEC(ZSTD(1)),
    `key_hash` FixedString(16) COMMENT 'Identity of the entity inside its partition.',
    `seq` UInt64 COMMENT 'Attempt number of the run that wrote the version.',
    `op` Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5) COMMENT 'What the version tells of its entity.',
    `row_hash` FixedString(32) COMMENT 'Hash of the compared values.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset: a stretch of runs under one fingerprint.',
    `group_id` String COMMENT 'Id of the group; on Data Center its name.' CODEC(ZSTD(1)),
    `name` String COMMENT 'Name of the group.' CODEC(ZSTD(1)),
    `type` LowCardinality(String) COMMENT 'Type that the site gives it; group.',
    `first_seen_at` DateTime64(3, 'UTC') COMMENT 'When the entity was seen first.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that saw this version; the same for all rows of a run.',
    `run_id` UUID COMMENT 'Run that wrote the version.'
)
ENGINE = ReplicatedMergeTree
ORDER BY (tenant_id, partition_id, key_hash, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 1000
COMMENT 'Every version of groups, also of runs that were never published: read the views. Groups that Confluence knows.';

CREATE TABLE IF NOT EXISTS `sitedrift`.`heads` ON CLUSTER 'main'
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
ENGINE = ReplicatedReplacingMergeTree(committed_seq)
ORDER BY (dataset, tenant_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, replicated_deduplication_window = 0
COMMENT 'What readers may see of each dataset: rows up to committed_seq that are not void. Every view reads it first.';
