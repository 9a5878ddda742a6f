-- +goose Up
ALTER TABLE tenants ADD COLUMN deployment TEXT NOT NULL DEFAULT 'cloud';

-- What probes found out about sources that the vendor keeps closed.
CREATE TABLE exposures (
    tenant     TEXT    NOT NULL,
    dataset    TEXT    NOT NULL,
    section    TEXT    NOT NULL,
    credential TEXT    NOT NULL,
    is_open    BOOLEAN NOT NULL,
    evidence   TEXT    NOT NULL,
    probed_at  BIGINT  NOT NULL,
    PRIMARY KEY (tenant, dataset, section, credential)
);

-- Tenants that were removed; rows of theirs may still lie in the warehouse.
CREATE TABLE tombstones (
    tenant     TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    site_url   TEXT   NOT NULL,
    removed_at BIGINT NOT NULL,
    erased     BIGINT NOT NULL
);

-- +goose Down
DROP TABLE tombstones;
DROP TABLE exposures;
ALTER TABLE tenants DROP COLUMN deployment;
