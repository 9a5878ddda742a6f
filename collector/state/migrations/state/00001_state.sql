-- Read by SQLite and by PostgreSQL, so only what both understand: times are
-- BIGINT milliseconds since 1970 in UTC (0: none), identifiers and JSON lists
-- are TEXT, digests BYTEA.

-- +goose Up
CREATE TABLE tenants (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    site_url   TEXT    NOT NULL,
    cloud_id   TEXT    NOT NULL,
    paused     BOOLEAN NOT NULL DEFAULT FALSE,
    created_at BIGINT  NOT NULL
);

-- One row: which state database this is.
CREATE TABLE installation (
    one BIGINT NOT NULL PRIMARY KEY,
    id  TEXT   NOT NULL
);

-- One row per tenant and group, never deleted: who may run it now, how often
-- it was claimed (fence) and attempted (seq). The lease lies here and not in
-- work, so that a schedule and a one-off of the same group exclude each other.
CREATE TABLE lanes (
    tenant      TEXT   NOT NULL,
    grp         TEXT   NOT NULL,
    lease_kind  TEXT   NOT NULL DEFAULT '',
    lease_owner TEXT   NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    fence       BIGINT NOT NULL DEFAULT 0,
    seq         BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, grp)
);
CREATE INDEX lanes_leased ON lanes (lease_until) WHERE lease_until > 0;

-- The schedule row is the job; a one-off is a row that its run deletes.
CREATE TABLE work (
    tenant   TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    kind     TEXT    NOT NULL,
    grp      TEXT    NOT NULL,
    one_off  BOOLEAN NOT NULL,
    cron     TEXT    NOT NULL,
    datasets TEXT    NOT NULL,
    next_at  BIGINT  NOT NULL,
    failures BIGINT  NOT NULL DEFAULT 0,
    paused   BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (tenant, kind)
);
CREATE INDEX work_due ON work (one_off, next_at) WHERE NOT paused;
CREATE INDEX work_next ON work (next_at) WHERE NOT paused;

-- Attempts that are open, or that were the last of their lane.
CREATE TABLE attempts (
    tenant     TEXT   NOT NULL,
    grp        TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    run_id     TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    cause      TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    phase      TEXT   NOT NULL,
    PRIMARY KEY (tenant, grp, seq)
);

-- The last decided attempt of each dataset.
CREATE TABLE heads (
    tenant      TEXT    NOT NULL,
    dataset     TEXT    NOT NULL,
    grp         TEXT    NOT NULL,
    seq         BIGINT  NOT NULL,
    epoch       BIGINT  NOT NULL,
    row_count   BIGINT  NOT NULL,
    digest      BYTEA   NOT NULL,
    observed_at BIGINT  NOT NULL,
    run_id      TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    version     BIGINT  NOT NULL,
    read_start  BIGINT  NOT NULL,
    read_cursor TEXT    NOT NULL,
    projected   BOOLEAN NOT NULL,
    mismatches  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, dataset)
);
CREATE INDEX heads_unprojected ON heads (tenant, dataset) WHERE NOT projected;

-- Attempt numbers under which rows of a dataset may lie in the warehouse
-- without ever having been decided. Those at or below the head are its void
-- list. superseded_at: when a later attempt fenced this one; 0 while it may run.
CREATE TABLE residue (
    tenant        TEXT   NOT NULL,
    dataset       TEXT   NOT NULL,
    seq           BIGINT NOT NULL,
    grp           TEXT   NOT NULL,
    superseded_at BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, dataset, seq)
);
CREATE INDEX residue_age ON residue (superseded_at) WHERE superseded_at > 0;

CREATE TABLE holds (
    tenant       TEXT    NOT NULL,
    dataset      TEXT    NOT NULL,
    fingerprint  TEXT    NOT NULL,
    run_id       TEXT    NOT NULL,
    held_at      BIGINT  NOT NULL,
    removed      BIGINT  NOT NULL,
    row_count    BIGINT  NOT NULL,
    sample       TEXT    NOT NULL,
    key_prefixes BYTEA   NOT NULL,
    approved     BOOLEAN NOT NULL,
    reason       TEXT    NOT NULL,
    PRIMARY KEY (tenant, dataset)
);

-- +goose Down
DROP TABLE holds;
DROP TABLE residue;
DROP TABLE heads;
DROP TABLE attempts;
DROP TABLE work;
DROP TABLE lanes;
DROP TABLE tenants;
DROP TABLE installation;
