"""What was used and what it came to, for people to read: what the ledger has written, added up by the database."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from parley.core.relayed import LOCAL
from parley.storage import Script, Sql, Storage

DAY_MS: Final = 86_400_000
CLOCKS_MS: Final = 60_000
"""Clocks of two processes may differ by so much."""
ROWS_MAX: Final = 10_000
"""A year of 27 models and keys. More are cut off, the oldest days first."""

SUMS: Final = (
    "input_text", "input_audio", "input_image", "cached_text", "cached_audio", "cached_image", "output_text",
    "output_audio", "milliseconds", "calls",
)  # fmt: skip


class Used(NamedTuple):
    """A day (the number of days since 1970, UTC) of one model, key, project and kind of work."""

    day: int
    model: str
    api_key: str | None
    project: str | None
    kind: str
    lines: int
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
    micro: int
    cost: int | None
    """What upstreams asked for it; None where none did the work, or no price of theirs is known."""
    margin: int | None
    """What was charged beyond that, for the same work."""


class Spent(NamedTuple):
    """What one upstream did: turns, what they were charged for, and what it asked, as far as that is known."""

    upstream: str
    turns: int
    micro: int
    cost: int | None

    @property
    def here(self) -> bool:
        """Whether it is this machine, in the place of upstreams."""
        return self.upstream == LOCAL


async def spent_by_upstream(storage: Storage, since: int) -> list[Spent]:
    """All accounts together, from a moment on (milliseconds)."""
    return await storage.read(_spent_by_upstream, since)


def _spent_by_upstream(since: int) -> Script[list[Spent]]:
    rows = yield Sql(
        "SELECT upstream, COUNT(*), SUM(moved), SUM(cost) FROM ledger_usage WHERE upstream IS NOT NULL AND at >= $1 "
        "GROUP BY upstream ORDER BY upstream",
        (since,),
    )
    return [Spent(str(name), int(turns), int(micro), _known(cost)) for name, turns, micro, cost in rows]


def _known(sum: object) -> int | None:
    """PostgreSQL adds whole numbers up to a `numeric`."""
    return None if sum is None else int(str(sum))


async def usage_by_day(storage: Storage, account: str, since: int, until: int) -> list[Used]:
    """Of the moments `since` (included) to `until` (not), in milliseconds; the latest day first."""
    return await storage.read(_usage_by_day, account, since, until)


def _usage_by_day(account: str, since: int, until: int) -> Script[list[Used]]:
    sums = ", ".join([*(f"SUM({name})" for name in SUMS), "SUM(moved)"])
    asked = "SUM(cost), SUM(CASE WHEN cost IS NOT NULL THEN moved - cost END)"
    rows = yield Sql(
        f"SELECT at / {DAY_MS}, model, api_key, project, kind, COUNT(*), {sums}, {asked} FROM ledger_usage "  # noqa: S608
        "WHERE account = $1 AND at >= $2 AND at < $3 "
        f"GROUP BY 1, model, api_key, project, kind ORDER BY 1 DESC, model, api_key, project, kind LIMIT {ROWS_MAX}",
        (account, since, until),
    )
    return [Used(*row[:5], *map(int, row[5:-2]), *map(_known, row[-2:])) for row in rows]


async def charged_for(storage: Storage, account: str, sessions: Sequence[str], since: int) -> dict[str, int]:
    """Micro-credits that stand in the ledger for each of these sessions; `since`: when the first of them began."""
    return await storage.read(_charged_for, account, sessions, since)


def _charged_for(account: str, sessions: Sequence[str], since: int) -> Script[dict[str, int]]:
    places = ", ".join(f"${number}" for number in range(3, 3 + len(sessions)))
    rows = yield Sql(
        "SELECT session, SUM(moved) FROM ledger_usage "  # noqa: S608
        f"WHERE account = $1 AND at >= $2 AND session IN ({places or 'NULL'}) GROUP BY session",
        (account, since - CLOCKS_MS, *sessions),
    )
    return {str(session): int(micro) for session, micro in rows}
