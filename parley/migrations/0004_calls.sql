-- Calls that may be asked for their price, by the id that the caller was given. Written once, when a call begins: when
-- it has ended and what it has cost, the ledger knows, whatever became of the process that had it.
CREATE TABLE call (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    api_key TEXT,
    session TEXT NOT NULL UNIQUE,
    model TEXT NOT NULL,
    voice TEXT NOT NULL,
    started_at BIGINT NOT NULL
);

CREATE INDEX call_account ON call (account, started_at);
