-- +goose Up
-- One value that is sealed with the installation's key, so that a process with
-- another key file is told apart before it uses or stores a credential.
CREATE TABLE vault_key (
    id     BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sealed BYTEA  NOT NULL
);

-- +goose Down
DROP TABLE vault_key;
