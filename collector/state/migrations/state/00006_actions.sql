-- +goose Up
-- What people and the configuration changed: rows are added, never changed.
CREATE TABLE actions (
    id      TEXT   NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    tenant  TEXT   NOT NULL,
    detail  TEXT   NOT NULL,
    failure TEXT   NOT NULL
);
CREATE INDEX actions_at ON actions (at);
CREATE INDEX actions_of ON actions (tenant, at);

-- +goose Down
DROP TABLE actions;
