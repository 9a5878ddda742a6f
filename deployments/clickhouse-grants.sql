-- Users and rights on a ClickHouse server (25.12 or newer) for warehouse.mode: clickhouse.
-- Run it once as an administrator, with passwords of your own. Add ON CLUSTER '...' on a cluster.
--
-- sitedrift itself writes the roles and row policies that keep tenants apart, which is why its
-- user may create them; without those rights it says so and serves no tenant readers.

CREATE DATABASE IF NOT EXISTS sitedrift;

-- The daemon: everything inside its own database.
CREATE ROLE IF NOT EXISTS sitedrift_daemon;
GRANT SELECT, INSERT, ALTER, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, SHOW
    ON sitedrift.* TO sitedrift_daemon;
-- It probes what the server can do, and watches its own parts and mutations.
GRANT SELECT ON system.settings TO sitedrift_daemon;
GRANT SELECT ON system.columns TO sitedrift_daemon;
GRANT SELECT ON system.tables TO sitedrift_daemon;
GRANT SELECT ON system.parts TO sitedrift_daemon;
GRANT SELECT ON system.mutations TO sitedrift_daemon;
GRANT SELECT ON system.clusters TO sitedrift_daemon;
-- It writes roles and default-deny row policies for tenants' readers, and grants only what it holds itself.
GRANT CREATE ROLE, ALTER ROLE, DROP ROLE, ROLE ADMIN ON *.* TO sitedrift_daemon;
GRANT CREATE ROW POLICY, ALTER ROW POLICY, DROP ROW POLICY, SHOW ROW POLICIES ON sitedrift.* TO sitedrift_daemon;
GRANT SELECT, SHOW ON sitedrift.* TO sitedrift_daemon WITH GRANT OPTION;
GRANT SELECT ON system.row_policies TO sitedrift_daemon;
GRANT SELECT ON system.roles TO sitedrift_daemon;

CREATE USER IF NOT EXISTS sitedrift IDENTIFIED WITH sha256_password BY 'change me' HOST ANY
    DEFAULT ROLE sitedrift_daemon SETTINGS async_insert = 0;
GRANT sitedrift_daemon TO sitedrift;

-- The vendor's own analysts: every tenant, reading only. Tenants' readers get roles from sitedrift.
-- On a cluster add to the settings: select_sequential_consistency = 1.
-- Grafana's data source sets a time limit of its own with each question, which readonly would refuse.
CREATE ROLE IF NOT EXISTS sitedrift_analyst
    SETTINGS readonly = 1, max_execution_time = 300 MAX 300 CHANGEABLE_IN_READONLY, max_memory_usage = 8000000000;
GRANT SELECT, SHOW ON sitedrift.* TO sitedrift_analyst;

CREATE USER IF NOT EXISTS sitedrift_dashboard IDENTIFIED WITH sha256_password BY 'change me, too' HOST ANY
    DEFAULT ROLE sitedrift_analyst;
GRANT sitedrift_analyst TO sitedrift_dashboard;
