-- The ledger (docs/decisions/0010-ledger.md). Whole micro-credits, moments in milliseconds of Unix time.
-- No foreign keys: on PostgreSQL they cost a third of the charges; `parley db verify` looks for orphans.

-- What an account may spend. Sums of the entries and of the open holds, kept in the transaction that writes those.
-- Budgets of keys are accounts too. Accounts of the house (`house:…`) can go below zero and have no row here.
CREATE TABLE ledger_account (
    id TEXT PRIMARY KEY,
    posted BIGINT NOT NULL CHECK (posted BETWEEN 0 AND 9000000000000000),
    held BIGINT NOT NULL CHECK (held >= 0),
    CHECK (held <= posted)
);

-- One line per thing done, written once. The id is the caller's, and the line is the answer, also to whoever asks again.
CREATE TABLE ledger_line (
    id TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 200),
    kind TEXT NOT NULL CHECK (kind IN ('credit', 'hold', 'extend', 'capture', 'close', 'settle')),
    account TEXT NOT NULL,
    budget TEXT,
    hold TEXT,
    asked BIGINT NOT NULL CHECK (asked >= 0),
    moved BIGINT NOT NULL CHECK (moved BETWEEN 0 AND asked),
    posted BIGINT NOT NULL CHECK (posted >= 0),
    held BIGINT NOT NULL CHECK (held BETWEEN 0 AND posted),
    remaining BIGINT NOT NULL CHECK (remaining >= 0),
    at BIGINT NOT NULL,
    note TEXT NOT NULL
);

CREATE INDEX ledger_line_account ON ledger_line (account, at);

-- Double entry: the amounts of one line are zero together. Written once.
CREATE TABLE ledger_entry (
    account TEXT NOT NULL,
    line TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (account, line)
);

CREATE TABLE ledger_hold (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    budget TEXT,
    holder TEXT NOT NULL,
    amount BIGINT NOT NULL,
    captured BIGINT NOT NULL,
    owed BIGINT NOT NULL CHECK (owed >= 0),
    state TEXT NOT NULL CHECK (state IN ('open', 'closed', 'settled')),
    opened_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK (captured BETWEEN 0 AND amount)
);

CREATE INDEX ledger_hold_open ON ledger_hold (account) WHERE state = 'open';

-- A process that holds, and until when it is believed to live.
CREATE TABLE ledger_holder (
    id TEXT PRIMARY KEY,
    alive_until BIGINT NOT NULL
);

-- What a capture was for: tokens by kind (cached is part of input).
CREATE TABLE ledger_usage (
    line TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    project TEXT,
    api_key TEXT,
    session TEXT NOT NULL,
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    input_text BIGINT NOT NULL CHECK (input_text >= 0),
    input_audio BIGINT NOT NULL CHECK (input_audio >= 0),
    input_image BIGINT NOT NULL CHECK (input_image >= 0),
    cached_text BIGINT NOT NULL CHECK (cached_text BETWEEN 0 AND input_text),
    cached_audio BIGINT NOT NULL CHECK (cached_audio BETWEEN 0 AND input_audio),
    cached_image BIGINT NOT NULL CHECK (cached_image BETWEEN 0 AND input_image),
    output_text BIGINT NOT NULL CHECK (output_text >= 0),
    output_audio BIGINT NOT NULL CHECK (output_audio >= 0),
    milliseconds BIGINT NOT NULL CHECK (milliseconds >= 0),
    calls BIGINT NOT NULL CHECK (calls >= 0),
    estimated BIGINT NOT NULL CHECK (estimated IN (0, 1)),
    price_from TEXT NOT NULL,
    markup_bp BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    at BIGINT NOT NULL
);

CREATE INDEX ledger_usage_account ON ledger_usage (account, at);

-- What others must be told; whoever has told them deletes the row.
CREATE TABLE ledger_outbox (
    line TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX ledger_outbox_at ON ledger_outbox (at, line);
