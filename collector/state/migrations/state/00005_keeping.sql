-- +goose Up
-- What is done once a day by one process: when it was begun last.
CREATE TABLE chores (
    name     TEXT   NOT NULL PRIMARY KEY,
    begun_at BIGINT NOT NULL
);

-- Persons whose data was erased. The account is here until that is done, so
-- that it can go on after a crash; what stays says nothing of the person.
CREATE TABLE erasures (
    id       TEXT   NOT NULL PRIMARY KEY,
    tenant   TEXT   NOT NULL,
    account  TEXT   NOT NULL,
    asked_at BIGINT NOT NULL,
    done_at  BIGINT NOT NULL DEFAULT 0,
    erased   BIGINT NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE erasures;
DROP TABLE chores;
