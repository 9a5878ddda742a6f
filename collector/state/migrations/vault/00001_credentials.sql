-- Lies in vault.db on SQLite, beside the other tables on PostgreSQL. Same
-- conventions as migrations/state.

-- +goose Up
CREATE TABLE credentials (
    tenant            TEXT   NOT NULL,
    kind              TEXT   NOT NULL,
    sealed            BYTEA  NOT NULL,
    generation        BIGINT NOT NULL,
    state             TEXT   NOT NULL,
    state_reason      TEXT   NOT NULL DEFAULT '',
    lease_owner       TEXT   NOT NULL DEFAULT '',
    lease_until       BIGINT NOT NULL DEFAULT 0,
    intent_at         BIGINT NOT NULL DEFAULT 0,
    access_expires_at BIGINT NOT NULL DEFAULT 0,
    last_ok_at        BIGINT NOT NULL DEFAULT 0,
    consented_at      BIGINT NOT NULL DEFAULT 0,
    client_id         TEXT   NOT NULL DEFAULT '',
    account_id        TEXT   NOT NULL DEFAULT '',
    scopes            TEXT   NOT NULL,
    PRIMARY KEY (tenant, kind)
);
CREATE INDEX credentials_intents ON credentials (intent_at) WHERE intent_at > 0;
CREATE INDEX credentials_grantor ON credentials (client_id, account_id);

-- +goose Down
DROP TABLE credentials;
