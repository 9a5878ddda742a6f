-- +goose Up
-- Processes that run work, by the database's clock: one whose last beat is too
-- old is dead, and what it had leased is free.
CREATE TABLE replicas (
    name    TEXT   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

-- Which claim of a suspect's lane runs alone; one row.
CREATE TABLE suspect (
    one   BIGINT NOT NULL PRIMARY KEY,
    claim TEXT   NOT NULL
);
INSERT INTO suspect (one, claim) VALUES (1, '');

-- The oldest version of this schema whose releases work on it. A migration that
-- takes away what they need raises it; all others leave it, and releases run
-- beside newer ones.
CREATE TABLE sitedrift_state_oldest (version BIGINT NOT NULL);
INSERT INTO sitedrift_state_oldest (version) VALUES (4);

-- +goose Down
DROP TABLE sitedrift_state_oldest;
DROP TABLE suspect;
DROP TABLE replicas;
