-- What was written stays as it is.
CREATE TRIGGER ledger_line_kept BEFORE UPDATE ON ledger_line BEGIN
    SELECT RAISE(ABORT, 'ledger_line is append-only');
END;
CREATE TRIGGER ledger_line_stays BEFORE DELETE ON ledger_line BEGIN
    SELECT RAISE(ABORT, 'ledger_line is append-only');
END;
CREATE TRIGGER ledger_entry_kept BEFORE UPDATE ON ledger_entry BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is append-only');
END;
CREATE TRIGGER ledger_entry_stays BEFORE DELETE ON ledger_entry BEGIN
    SELECT RAISE(ABORT, 'ledger_entry is append-only');
END;
