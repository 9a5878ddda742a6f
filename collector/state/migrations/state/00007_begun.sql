-- +goose Up
-- Actions that began and have not ended. When one ends, its rows go and its
-- outcome is added to actions, in one transaction.
CREATE TABLE begun_actions (
    id        TEXT   NOT NULL PRIMARY KEY,
    operation TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    actor     TEXT   NOT NULL,
    action    TEXT   NOT NULL,
    tenant    TEXT   NOT NULL,
    detail    TEXT   NOT NULL
);
CREATE INDEX begun_actions_of ON begun_actions (operation);

-- +goose Down
DROP TABLE begun_actions;
