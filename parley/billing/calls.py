"""Calls by the id that their caller knows, and the bill of each, which can be asked for at any time.

    book = CallBook(storage)
    await book.begin(call)                          # before the caller is told the id
    bill = await book.bill(call.id, call.account)   # as it stands; final when it is `settled`

A bill is read from what the ledger has written for the call's session, so it is the same today, after a restart, and
from another process. Nothing that a client says goes into it.
"""

from typing import Final, NamedTuple

from parley.billing.reports import SUMS
from parley.storage import Script, Sql, Storage

CLOCKS_MS: Final = 60_000
"""How far apart the moments of two processes may be."""
CALL_FIELDS: Final = "id, account, api_key, session, model, voice, started_at"


class Call(NamedTuple):
    """`started_at` in milliseconds of Unix time."""

    id: str
    account: str
    api_key: str | None
    session: str
    model: str
    voice: str
    started_at: int


class Used(NamedTuple):
    """Tokens by kind (cached ones are part of the input), over the whole call."""

    input_text: int
    input_audio: int
    input_image: int
    cached_text: int
    cached_audio: int
    cached_image: int
    output_text: int
    output_audio: int
    milliseconds: int
    calls: int


class Bill(NamedTuple):
    """Amounts in micro-credits; `available` is what the account has left now."""

    call: Call
    charged: int
    used: Used
    ended_at: int | None
    """When the ledger closed the call's session, in milliseconds of Unix time; None while it may still cost more."""
    available: int

    @property
    def settled(self) -> bool:
        """Whether this is the last word."""
        return self.ended_at is not None


class CallBook:
    """Methods raise `EngineError` with `storage_unavailable`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def begin(self, call: Call) -> None:
        await self._storage.transaction(_begin, call)

    async def bill(self, id: str, account: str) -> Bill | None:
        """None for a call of somebody else's, as for one that never was."""
        return await self._storage.read(_bill, id, account)


def _begin(call: Call) -> Script[None]:
    yield Sql(f"INSERT INTO call ({CALL_FIELDS}) VALUES ($1, $2, $3, $4, $5, $6, $7)", call)  # noqa: S608


def _bill(id: str, account: str) -> Script[Bill | None]:
    rows = yield Sql(f"SELECT {CALL_FIELDS} FROM call WHERE id = $1 AND account = $2", (id, account))  # noqa: S608
    if not rows:
        return None
    call = Call(*rows[0])
    hold = f"{call.session}:hold"  # this and the ids of the lines that close it: see `Meter` and `Ledger`
    held = yield Sql("SELECT captured FROM ledger_hold WHERE id = $1 AND account = $2", (hold, account))
    ends = (f"{call.session}:end", f"{hold}:settled")
    ended = yield Sql("SELECT MAX(at) FROM ledger_line WHERE id IN ($1, $2) AND kind IN ('close', 'settle')", ends)
    sums = ", ".join(f"COALESCE(SUM({name}), 0)" for name in SUMS)
    used = yield Sql(
        f"SELECT {sums} FROM ledger_usage WHERE account = $1 AND at >= $2 AND session = $3",  # noqa: S608
        (account, call.started_at - CLOCKS_MS, call.session),
    )
    left = yield Sql("SELECT posted - held FROM ledger_account WHERE id = $1", (account,))
    charged, available = (int(rows[0][0]) if rows else 0 for rows in (held, left))
    return Bill(call, charged, Used(*map(int, used[0])), ended[0][0], available)
