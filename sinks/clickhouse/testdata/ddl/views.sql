CREATE OR REPLACE VIEW `sitedrift`.`changes`
(
    `event_id` UUID COMMENT 'Identity of the event; the same however often it is delivered.',
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset that the entity belongs to.',
    `partition_id` String COMMENT 'Part of the dataset that the entity belongs to: a space, a group; empty for the whole.',
    `entity_key` String COMMENT 'Key of the entity inside its partition.',
    `entity_name` String COMMENT 'The entity\'s name for people, as of the change.',
    `change` LowCardinality(String) COMMENT 'added, changed, removed, vanished, baseline or coverage.',
    `fields` Array(String) COMMENT 'Names of the columns that changed.',
    `before` String COMMENT 'JSON object of the changed columns as they were.',
    `after` String COMMENT 'JSON object of the changed columns as they are now.',
    `severity` LowCardinality(String) COMMENT 'info, low, medium or high, by the dataset\'s rules.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'End of the reading that showed the change.',
    `not_before` Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the previous complete read: the change happened after it.',
    `run_id` UUID COMMENT 'Run that found it.',
    `epoch` UInt32 COMMENT 'Epoch of the dataset.',
    `seq` UInt64 COMMENT 'Attempt number of the run.'
) SQL SECURITY INVOKER AS
SELECT
    v.`event_id` AS `event_id`,
    v.`tenant_id` AS `tenant_id`,
    v.`dataset` AS `dataset`,
    v.`partition_id` AS `partition_id`,
    v.`entity_key` AS `entity_key`,
    v.`entity_name` AS `entity_name`,
    v.`change` AS `change`,
    v.`fields` AS `fields`,
    v.`before` AS `before`,
    v.`after` AS `after`,
    v.`severity` AS `severity`,
    v.`observed_at` AS `observed_at`,
    v.`not_before` AS `not_before`,
    v.`run_id` AS `run_id`,
    v.`epoch` AS `epoch`,
    v.`seq` AS `seq`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL) AS h
INNER JOIN (SELECT * FROM `sitedrift`.`changes_log`) AS v ON v.tenant_id = h.tenant_id AND v.dataset = h.dataset
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'What changed between two snapshots of a site, one event a row.';

CREATE OR REPLACE VIEW `sitedrift`.`coverage`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset.',
    `partition_id` String COMMENT 'Part of the dataset; empty stands for the dataset as a whole, whose state comes first: the parts of what cannot be read as a whole keep what was seen of them last.',
    `state` LowCardinality(String) COMMENT 'complete, partial, forbidden, not_exposed, not_licensed, blocked_by_policy, gone, failed or held.',
    `evidence` String COMMENT 'What the site answered; of what was read completely, by which interface and kind of credential.',
    `unlock` String COMMENT 'What would make it readable.',
    `last_complete_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the last complete read before this state.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'When the state was seen first.',
    `run_id` UUID COMMENT 'Run that saw it.',
    `seq` UInt64 COMMENT 'Attempt number of the run.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`dataset` AS `dataset`,
    v.`partition_id` AS `partition_id`,
    argMax(v.`state`, v.seq) AS `state`,
    argMax(v.`evidence`, v.seq) AS `evidence`,
    argMax(v.`unlock`, v.seq) AS `unlock`,
    argMax(tuple(v.`last_complete_at`), v.seq).1 AS `last_complete_at`,
    argMax(v.`observed_at`, v.seq) AS `observed_at`,
    argMax(v.`run_id`, v.seq) AS `run_id`,
    argMax(v.`seq`, v.seq) AS `seq`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL) AS h
INNER JOIN (SELECT * FROM `sitedrift`.`coverage_log`) AS v ON v.tenant_id = h.tenant_id AND v.dataset = h.dataset
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
GROUP BY v.tenant_id, v.dataset, v.partition_id
COMMENT 'What can be seen of each dataset and partition now.';

CREATE OR REPLACE VIEW `sitedrift`.`coverage_history`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset.',
    `partition_id` String COMMENT 'Part of the dataset; empty stands for the dataset as a whole, whose state comes first: the parts of what cannot be read as a whole keep what was seen of them last.',
    `state` LowCardinality(String) COMMENT 'complete, partial, forbidden, not_exposed, not_licensed, blocked_by_policy, gone, failed or held.',
    `evidence` String COMMENT 'What the site answered; of what was read completely, by which interface and kind of credential.',
    `unlock` String COMMENT 'What would make it readable.',
    `last_complete_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'Start of the last complete read before this state.',
    `observed_at` DateTime64(3, 'UTC') COMMENT 'When the state was seen first.',
    `run_id` UUID COMMENT 'Run that saw it.',
    `seq` UInt64 COMMENT 'Attempt number of the run.'
) SQL SECURITY INVOKER AS
SELECT
    v.`tenant_id` AS `tenant_id`,
    v.`dataset` AS `dataset`,
    v.`partition_id` AS `partition_id`,
    v.`state` AS `state`,
    v.`evidence` AS `evidence`,
    v.`unlock` AS `unlock`,
    v.`last_complete_at` AS `last_complete_at`,
    v.`observed_at` AS `observed_at`,
    v.`run_id` AS `run_id`,
    v.`seq` AS `seq`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL) AS h
INNER JOIN (SELECT * FROM `sitedrift`.`coverage_log`) AS v ON v.tenant_id = h.tenant_id AND v.dataset = h.dataset
WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
COMMENT 'What could be seen of each dataset and partition, from a run on.';

CREATE OR REPLACE VIEW `sitedrift`.`runs`
(
    `run_id` UUID COMMENT 'The run.',
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset_group` LowCardinality(String) COMMENT 'Group of datasets that the run read.',
    `seq` UInt64 COMMENT 'Attempt number; grows per tenant and group.',
    `outcome` LowCardinality(String) COMMENT 'no_change, changed, held, baseline_mismatch, failed, abandoned, quarantined, erased or restored.',
    `trigger` LowCardinality(String) COMMENT 'schedule, catch_up, retry or manual.',
    `started_at` DateTime64(3, 'UTC') COMMENT 'Start of the run.',
    `ended_at` DateTime64(3, 'UTC') COMMENT 'End of the run.',
    `datasets` Array(String) COMMENT 'Datasets that the run was to read.',
    `complete` Array(String) COMMENT 'Datasets that it read completely.',
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
    `error` String COMMENT 'Why the run failed or is incomplete.'
) SQL SECURITY INVOKER AS
SELECT
    v.`run_id` AS `run_id`,
    v.`tenant_id` AS `tenant_id`,
    v.`dataset_group` AS `dataset_group`,
    argMin(v.`seq`, v.outcome = 'abandoned') AS `seq`,
    argMin(v.`outcome`, v.outcome = 'abandoned') AS `outcome`,
    argMin(v.`trigger`, v.outcome = 'abandoned') AS `trigger`,
    v.`started_at` AS `started_at`,
    argMin(v.`ended_at`, v.outcome = 'abandoned') AS `ended_at`,
    argMin(v.`datasets`, v.outcome = 'abandoned') AS `datasets`,
    argMin(v.`complete`, v.outcome = 'abandoned') AS `complete`,
    argMin(v.`gate`, v.outcome = 'abandoned') AS `gate`,
    argMin(v.`api_calls`, v.outcome = 'abandoned') AS `api_calls`,
    argMin(v.`retries`, v.outcome = 'abandoned') AS `retries`,
    argMin(v.`throttled`, v.outcome = 'abandoned') AS `throttled`,
    argMin(v.`points`, v.outcome = 'abandoned') AS `points`,
    argMin(v.`bytes`, v.outcome = 'abandoned') AS `bytes`,
    argMin(v.`rows_read`, v.outcome = 'abandoned') AS `rows_read`,
    argMin(v.`rows_written`, v.outcome = 'abandoned') AS `rows_written`,
    argMin(v.`added`, v.outcome = 'abandoned') AS `added`,
    argMin(v.`changed`, v.outcome = 'abandoned') AS `changed`,
    argMin(v.`removed`, v.outcome = 'abandoned') AS `removed`,
    argMin(v.`vanished`, v.outcome = 'abandoned') AS `vanished`,
    argMin(v.`incomplete`, v.outcome = 'abandoned') AS `incomplete`,
    argMin(v.`error`, v.outcome = 'abandoned') AS `error`
FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL) AS h
RIGHT JOIN (SELECT * FROM `sitedrift`.`runs_log`) AS v ON v.tenant_id = h.tenant_id AND v.gate = h.dataset
WHERE v.gate = '' OR (v.seq <= h.committed_seq AND NOT has(h.void, v.seq))
GROUP BY v.tenant_id, v.dataset_group, v.started_at, v.run_id
COMMENT 'Every run with its outcome, cost and counts.';

CREATE OR REPLACE VIEW `sitedrift`.`tiles`
(
    `tenant_id` LowCardinality(String) COMMENT 'Customer.',
    `dataset` LowCardinality(String) COMMENT 'Dataset.',
    `dataset_group` LowCardinality(String) COMMENT 'Group of datasets that one run reads.',
    `state` LowCardinality(String) COMMENT 'complete, partial, forbidden, not_exposed, not_licensed, blocked_by_policy, gone, failed, held or never_run.',
    `rows_or_null` Nullable(UInt64) COMMENT 'Current rows; null when that is unknown, because some part was never read completely.',
    `rows_known` UInt64 COMMENT 'Current rows that are stored, whether or not they are all.',
    `partitions` UInt64 COMMENT 'Partitions, those that are gone left out.',
    `partitions_complete` UInt64 COMMENT 'Partitions read completely.',
    `partitions_partial` UInt64 COMMENT 'Partitions read in part, or read and held back.',
    `partitions_unreadable` UInt64 COMMENT 'Partitions that could not be read.',
    `last_complete_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the last run that read the dataset completely.',
    `cadence_seconds` UInt64 COMMENT 'Expected time between two runs; 0 when there is no schedule.',
    `stale` Bool COMMENT 'No complete read within twice the cadence and ten minutes, though the schedule is on.',
    `paused` Bool COMMENT 'The tenant\'s schedule is paused.',
    `observed_at` Nullable(DateTime64(3, 'UTC')) COMMENT 'End of the reading that the rows are of.'
) SQL SECURITY INVOKER AS
SELECT
    v.tenant_id AS `tenant_id`,
    v.dataset AS `dataset`,
    v.dataset_group AS `dataset_group`,
    multiIf(
        v.states = 0, if(v.attempts > 0, 'failed', 'never_run'),
        v.whole_state NOT IN ('', 'complete'), v.whole_state,
        v.partitions = 0, if(v.whole_state = '', 'gone', v.whole_state),
        v.complete = v.partitions, 'complete',
        v.complete = 0 AND v.distinct_states = 1, v.any_state,
        'partial') AS `state`,
    if(h.committed_seq > 0 AND v.states > 0 AND v.never_complete = 0, h.rows, NULL) AS `rows_or_null`,
    h.rows AS `rows_known`,
    v.partitions AS `partitions`,
    v.complete AS `partitions_complete`,
    v.partial AS `partitions_partial`,
    v.unreadable AS `partitions_unreadable`,
    v.last_complete_at AS `last_complete_at`,
    v.cadence_seconds AS `cadence_seconds`,
    v.cadence_seconds > 0 AND NOT v.paused AND ifNull(v.last_complete_at < now64(3, 'UTC') - toIntervalSecond(2 * v.cadence_seconds + 600), true) AS `stale`,
    v.paused AS `paused`,
    if(h.committed_seq > 0, h.observed_at, NULL) AS `observed_at`
FROM (SELECT tenant_id, dataset, committed_seq, void, rows, observed_at FROM `sitedrift`.`heads` FINAL) AS h
RIGHT JOIN (
    SELECT e.tenant_id AS tenant_id, e.dataset AS dataset, e.dataset_group AS dataset_group,
        e.cadence_seconds AS cadence_seconds, e.paused AS paused, e.removed AS removed,
        c.states AS states, c.partitions AS partitions, c.complete AS complete, c.partial AS partial, c.unreadable AS unreadable,
        c.never_complete AS never_complete, c.whole_state AS whole_state, c.distinct_states AS distinct_states, c.any_state AS any_state,
        r.attempts AS attempts, r.last_complete_at AS last_complete_at
    FROM (SELECT * FROM `sitedrift`.`expected` FINAL) AS e
    LEFT JOIN (
        SELECT tenant_id, dataset, count() AS states,
            countIf((partition_id != '' OR dataset NOT IN ('space_permissions', 'space_role_assignments', 'security_configuration', 'public_links', 'group_members', 'installed_apps', 'audit_events')) AND state != 'gone') AS partitions,
            countIf((partition_id != '' OR dataset NOT IN ('space_permissions', 'space_role_assignments', 'security_configuration', 'public_links', 'group_members', 'installed_apps', 'audit_events')) AND state = 'complete') AS complete,
            countIf((partition_id != '' OR dataset NOT IN ('space_permissions', 'space_role_assignments', 'security_configuration', 'public_links', 'group_members', 'installed_apps', 'audit_events')) AND state IN ('partial', 'held')) AS partial,
            countIf((partition_id != '' OR dataset NOT IN ('space_permissions', 'space_role_assignments', 'security_configuration', 'public_links', 'group_members', 'installed_apps', 'audit_events')) AND state NOT IN ('complete', 'partial', 'held', 'gone')) AS unreadable,
            countIf(state NOT IN ('complete', 'gone') AND last_complete_at IS NULL) AS never_complete,
            anyIf(toString(state), partition_id = '') AS whole_state,
            uniqExactIf(state, (partition_id != '' OR dataset NOT IN ('space_permissions', 'space_role_assignments', 'security_configuration', 'public_links', 'group_members', 'installed_apps', 'audit_events')) AND state != 'gone') AS distinct_states,
            anyIf(toString(state), (partition_id != '' OR dataset NOT IN ('space_permissions', 'space_role_assignments', 'security_configuration', 'public_links', 'group_members', 'installed_apps', 'audit_events')) AND state != 'gone') AS any_state
        FROM (
            SELECT
                v.`tenant_id` AS `tenant_id`,
                v.`dataset` AS `dataset`,
                v.`partition_id` AS `partition_id`,
                argMax(v.`state`, v.seq) AS `state`,
                argMax(v.`evidence`, v.seq) AS `evidence`,
                argMax(v.`unlock`, v.seq) AS `unlock`,
                argMax(tuple(v.`last_complete_at`), v.seq).1 AS `last_complete_at`,
                argMax(v.`observed_at`, v.seq) AS `observed_at`,
                argMax(v.`run_id`, v.seq) AS `run_id`,
                argMax(v.`seq`, v.seq) AS `seq`
            FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL) AS h
            INNER JOIN (SELECT * FROM `sitedrift`.`coverage_log`) AS v ON v.tenant_id = h.tenant_id AND v.dataset = h.dataset
            WHERE v.seq <= h.committed_seq AND NOT has(h.void, v.seq)
            GROUP BY v.tenant_id, v.dataset, v.partition_id
        )
        GROUP BY tenant_id, dataset
    ) AS c ON c.tenant_id = e.tenant_id AND c.dataset = e.dataset
    LEFT JOIN (
        SELECT tenant_id, dataset, count() AS attempts, maxIf(toNullable(ended_at), has(complete, dataset)) AS last_complete_at
        FROM (
            SELECT
                v.tenant_id AS `tenant_id`,
                v.ended_at AS `ended_at`,
                v.complete AS `complete`,
                arrayDistinct(arrayConcat(v.datasets, v.complete)) AS `read`
            FROM (SELECT tenant_id, dataset, committed_seq, void FROM `sitedrift`.`heads` FINAL) AS h
            RIGHT JOIN (SELECT * FROM `sitedrift`.`runs_log`) AS v ON v.tenant_id = h.tenant_id AND v.gate = h.dataset
            WHERE v.gate = '' OR (v.seq <= h.committed_seq AND NOT has(h.void, v.seq))
        )
        ARRAY JOIN read AS dataset
        GROUP BY tenant_id, dataset
    ) AS r ON r.tenant_id = e.tenant_id AND r.dataset = e.dataset
) AS v ON v.tenant_id = h.tenant_id AND v.dataset = h.dataset
WHERE NOT v.removed
COMMENT 'One row per tenant and dataset, also if never read: what dashboards count from.';
