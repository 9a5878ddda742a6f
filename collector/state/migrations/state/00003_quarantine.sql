-- +goose Up
-- Since when the group's runs are not started any more (0: they are), and the
-- number of the last attempt whose death was forgiven.
ALTER TABLE lanes ADD COLUMN quarantined_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE lanes ADD COLUMN forgiven BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE lanes DROP COLUMN forgiven;
ALTER TABLE lanes DROP COLUMN quarantined_at;
