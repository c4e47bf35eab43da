-- What is announced to programs of the operator's, written before it is sent. `next_at` is when it is tried next, and
-- none when it is not: it was delivered, or given up. Whoever sends moves it on first, so that a delivery that dies in
-- the middle comes back.
CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    project TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT,
    delivered_at BIGINT,
    outcome TEXT NOT NULL
);

CREATE INDEX webhook_due ON webhook (next_at, endpoint);
CREATE INDEX webhook_account ON webhook (account, created_at);
CREATE INDEX webhook_created ON webhook (created_at);
