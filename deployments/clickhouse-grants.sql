-- Users and rights on a ClickHouse server (25.12 or newer) for warehouse.mode: clickhouse.
-- Run it once as an administrator, with passwords of your own. Add ON CLUSTER '...' on a cluster.
--
-- Readers of one tenant: `sitedrift schema readers --tenant T` prints their statements, to be run after these.
-- `sitedrift migrate` looks whether they are still whole.

CREATE DATABASE IF NOT EXISTS sitedrift;

-- The daemon: everything inside its own database.
CREATE ROLE IF NOT EXISTS sitedrift_daemon;
GRANT SELECT, INSERT, ALTER, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, SHOW
    ON sitedrift.* TO sitedrift_daemon;
-- On a cluster (warehouse.cluster) it makes them on every replica, which is a right of its own:
-- GRANT CLUSTER ON *.* TO sitedrift_daemon;
-- It probes what the server can do, and watches its own parts and mutations.
GRANT SELECT ON system.settings TO sitedrift_daemon;
GRANT SELECT ON system.columns TO sitedrift_daemon;
GRANT SELECT ON system.tables TO sitedrift_daemon;
GRANT SELECT ON system.parts TO sitedrift_daemon;
GRANT SELECT ON system.disks TO sitedrift_daemon;
GRANT SELECT ON system.mutations TO sitedrift_daemon;
GRANT SELECT ON system.clusters TO sitedrift_daemon;
-- It looks whether the row policies and views of tenants' readers are whole, and whether readers have rights beyond, and
-- changes none of them.
GRANT SHOW ROW POLICIES, SHOW USERS, SHOW ROLES ON *.* TO sitedrift_daemon;
GRANT SHOW ON sitedrift_tenant_*.* TO sitedrift_daemon;
GRANT SELECT ON system.databases TO sitedrift_daemon;
GRANT SELECT ON system.row_policies TO sitedrift_daemon;
GRANT SELECT ON system.grants TO sitedrift_daemon;
GRANT SELECT ON system.role_grants TO sitedrift_daemon;

CREATE USER IF NOT EXISTS sitedrift IDENTIFIED WITH sha256_password BY 'change me' HOST ANY
    DEFAULT ROLE sitedrift_daemon SETTINGS async_insert = 0;
GRANT sitedrift_daemon TO sitedrift;

-- The vendor's own analysts: every tenant, reading only. Row policies of readers leave this role and the daemon's alone;
-- whoever else is to see rows, such as an administrator, is granted it.
-- On a cluster add to the settings: select_sequential_consistency = 1.
-- Grafana's data source sets a time limit of its own with each question, which readonly would refuse.
CREATE ROLE IF NOT EXISTS sitedrift_analyst
    SETTINGS readonly = 1, max_execution_time = 300 MAX 300 CHANGEABLE_IN_READONLY, max_memory_usage = 8000000000;
GRANT SELECT, SHOW ON sitedrift.* TO sitedrift_analyst;

CREATE USER IF NOT EXISTS sitedrift_dashboard IDENTIFIED WITH sha256_password BY 'change me, too' HOST ANY
    DEFAULT ROLE sitedrift_analyst;
GRANT sitedrift_analyst TO sitedrift_dashboard;
