-- +goose Up
-- Since when the site refuses the credential itself (0: it does not), when it was
-- asked last, and what was asked and answered.
ALTER TABLE credentials ADD COLUMN refused_since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN refused_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN refused_evidence TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE credentials DROP COLUMN refused_evidence;
ALTER TABLE credentials DROP COLUMN refused_at;
ALTER TABLE credentials DROP COLUMN refused_since;
