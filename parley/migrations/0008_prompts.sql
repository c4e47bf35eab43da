-- Prompts that sessions name instead of carrying them. A version is never changed, so that what a program was tested
-- with is what it gets.
CREATE TABLE prompt (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    project TEXT REFERENCES project (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX prompt_account ON prompt (account, created_at);

CREATE TABLE prompt_version (
    prompt TEXT NOT NULL REFERENCES prompt (id),
    version BIGINT NOT NULL,
    template TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (prompt, version)
);
