-- +goose Up
-- How often a refresh was claimed: whoever saves tokens knows whether another
-- process may have asked for newer ones since.
ALTER TABLE credentials ADD COLUMN claims BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE credentials DROP COLUMN claims;
