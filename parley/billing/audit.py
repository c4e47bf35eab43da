"""What must always be true of the ledger, asked of the database itself. `parley db verify` prints what is not."""

from decimal import Decimal
from typing import Final

from parley.storage import Script, Sql, Storage

FINDINGS_MAX: Final = 20
"""Shown of each kind."""

PROMISES: Final = {
    "the entries of a line are zero together": """
        SELECT line, SUM(amount) FROM ledger_entry GROUP BY line HAVING SUM(amount) <> 0""",
    "an account has the sum of its entries": """
        SELECT a.id, a.posted, COALESCE(SUM(e.amount), 0) FROM ledger_account a
        LEFT JOIN ledger_entry e ON e.account = a.id
        GROUP BY a.id, a.posted HAVING a.posted <> COALESCE(SUM(e.amount), 0)""",
    "an account holds what its open holds have left": """
        SELECT a.id, a.held, COALESCE(SUM(h.amount - h.captured), 0) FROM ledger_account a
        LEFT JOIN ledger_hold h ON h.state = 'open' AND (h.account = a.id OR h.budget = a.id)
        GROUP BY a.id, a.held HAVING a.held <> COALESCE(SUM(h.amount - h.captured), 0)""",
    "nothing is below zero": """
        SELECT id, posted, held FROM ledger_account WHERE posted < 0 OR held < 0 OR held > posted""",
    "a hold is at least what was captured of it": """
        SELECT id, amount, captured FROM ledger_hold WHERE captured > amount OR captured < 0""",
    "a hold knows what its lines have captured": """
        SELECT h.id, h.captured, COALESCE(l.moved, 0) FROM ledger_hold h LEFT JOIN
        (SELECT hold, SUM(moved) AS moved FROM ledger_line WHERE kind IN ('capture', 'close', 'settle') GROUP BY hold) l
        ON l.hold = h.id WHERE h.captured <> COALESCE(l.moved, 0)""",
    "a hold is open until exactly one line has ended it": """
        SELECT h.id, h.state, COALESCE(l.ends, 0) FROM ledger_hold h LEFT JOIN
        (SELECT hold, COUNT(*) AS ends FROM ledger_line WHERE kind IN ('close', 'settle') GROUP BY hold) l
        ON l.hold = h.id WHERE COALESCE(l.ends, 0) <> CASE h.state WHEN 'open' THEN 0 ELSE 1 END""",
    "a line that moved money has its entries": """
        SELECT l.id, l.moved, e.amount FROM ledger_line l
        LEFT JOIN ledger_entry e ON e.line = l.id AND e.account = l.account
        WHERE l.kind IN ('credit', 'capture', 'close', 'settle')
        AND COALESCE(e.amount, 0) <> CASE l.kind WHEN 'credit' THEN l.moved ELSE -l.moved END""",
    "an entry has its line": """
        SELECT e.line, e.account FROM ledger_entry e LEFT JOIN ledger_line l ON l.id = e.line WHERE l.id IS NULL""",
    "a line's account is there": """
        SELECT l.id, l.account FROM ledger_line l LEFT JOIN ledger_account a ON a.id = l.account WHERE a.id IS NULL""",
    "a hold has the line that opened it": """
        SELECT h.id, h.account FROM ledger_hold h
        LEFT JOIN ledger_line l ON l.id = h.id AND l.kind = 'hold' AND l.account = h.account WHERE l.id IS NULL""",
    "usage is charged as its line says": """
        SELECT u.line, u.moved, l.moved FROM ledger_usage u
        LEFT JOIN ledger_line l ON l.id = u.line WHERE l.id IS NULL OR l.moved <> u.moved""",
}


async def audit(storage: Storage) -> list[str]:
    """Every promise that is broken, and where; best nothing. All of it is read at one moment."""
    return await storage.damage() + await storage.read(broken_promises)


def broken_promises() -> Script[list[str]]:
    found = []
    for promise, query in PROMISES.items():
        rows = yield Sql(f"{query} LIMIT {FINDINGS_MAX}")
        found += [f"broken: {promise}: {', '.join(map(_text, row))}" for row in rows]
    return found


def _text(value: object) -> str:
    """PostgreSQL's sums are Decimals, and of whole numbers."""
    return str(int(value) if isinstance(value, Decimal) else value)
