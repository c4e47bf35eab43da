-- What an upstream asks for what it did, beside what was charged for it. Both are NULL where this server did the work,
-- and `cost` where no price is known.
ALTER TABLE ledger_usage ADD COLUMN upstream TEXT;
ALTER TABLE ledger_usage ADD COLUMN cost BIGINT CHECK (cost >= 0);

CREATE INDEX ledger_usage_upstream ON ledger_usage (at) WHERE upstream IS NOT NULL;
