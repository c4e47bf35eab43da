-- Accounts, the people in them, their sign-ins and their keys. Secrets are here as digests only.

-- Whose credits are spent. The ledger has an account of the same id, from the first credit on.
CREATE TABLE account (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    markup_bp BIGINT NOT NULL CHECK (markup_bp BETWEEN -10000 AND 1000000),
    created_at BIGINT NOT NULL
);

CREATE TABLE project (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    archived_at BIGINT
);

CREATE INDEX project_account ON project (account);

CREATE TABLE auth_user (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (id),
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('admin', 'user')),
    password TEXT,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE INDEX auth_user_account ON auth_user (account);

-- Who somebody is elsewhere (OIDC).
CREATE TABLE auth_identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    auth_user TEXT NOT NULL REFERENCES auth_user (id),
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE auth_link (
    digest TEXT PRIMARY KEY,
    auth_user TEXT NOT NULL REFERENCES auth_user (id),
    expires_at BIGINT NOT NULL
);

CREATE TABLE auth_session (
    digest TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    auth_user TEXT NOT NULL REFERENCES auth_user (id),
    agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX auth_session_user ON auth_session (auth_user);

CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    lookup TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    hint TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES account (id),
    auth_user TEXT NOT NULL REFERENCES auth_user (id),
    project TEXT REFERENCES project (id),
    name TEXT NOT NULL,
    rules TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    revoked_at BIGINT
);

CREATE INDEX api_key_account ON api_key (account, created_at);
CREATE INDEX api_key_revoked ON api_key (revoked_at);
CREATE INDEX auth_user_disabled ON auth_user (disabled_at);
