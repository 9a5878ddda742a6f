-- +goose Up
-- See migrations/state: the oldest version whose releases work on this schema.
CREATE TABLE sitedrift_vault_oldest (version BIGINT NOT NULL);
INSERT INTO sitedrift_vault_oldest (version) VALUES (2);

-- +goose Down
DROP TABLE sitedrift_vault_oldest;
