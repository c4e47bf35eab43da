"""The table `webhook`: what is to be delivered, who delivers it at the moment, and what became of it. Scripts only."""

from typing import Final, Literal, NamedTuple

from parley.storage import Row, Script, Sql

FIELDS: Final = (
    "id, account, project, endpoint, event, body, created_at, expires_at, attempts, next_at, delivered_at, outcome"
)
EXPIRED: Final = "expired"

State = Literal["pending", "delivered", "failed"]


class Delivery(NamedTuple):
    """One announcement to one endpoint. Moments in milliseconds of Unix time."""

    id: str
    account: str
    project: str
    endpoint: str
    event: str
    body: str
    created_at: int
    expires_at: int
    """After that nobody is helped by it."""
    attempts: int = 0
    """Those begun, since it was made or replayed."""
    next_at: int | None = None
    delivered_at: int | None = None
    outcome: str = ""
    """What came of the last attempt: a status of HTTP, or a word."""

    @property
    def state(self) -> State:
        if self.next_at is not None:
            return "pending"
        return "failed" if self.delivered_at is None else "delivered"


def add(delivery: Delivery) -> Script[None]:
    yield Sql(
        f"INSERT INTO webhook ({FIELDS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",  # noqa: S608
        delivery,
    )


def due(now: int, endpoints_max: int) -> Script[list[str]]:
    """Endpoints for which something waits, those that have waited longest first."""
    rows = yield Sql(
        "SELECT endpoint FROM webhook WHERE next_at <= $1 GROUP BY endpoint ORDER BY MIN(next_at) LIMIT $2",
        (now, endpoints_max),
    )
    return [row[0] for row in rows]


def claim(endpoint: str, now: int, until: int, most: int) -> Script[list[Delivery]]:
    """Takes what is due for an endpoint: nobody else takes it before `until`. What has expired is given up."""
    yield Sql(
        "UPDATE webhook SET next_at = NULL, outcome = CASE outcome WHEN '' THEN $3 ELSE outcome END "
        "WHERE next_at <= $1 AND endpoint = $2 AND expires_at <= $1",
        (now, endpoint, EXPIRED),
    )
    waiting = yield Sql(
        "SELECT id FROM webhook WHERE next_at <= $1 AND endpoint = $2 ORDER BY next_at LIMIT $3", (now, endpoint, most)
    )
    taken: list[Delivery] = []
    for (id,) in waiting:
        rows = yield Sql(
            "UPDATE webhook SET next_at = $3, attempts = attempts + 1 "  # noqa: S608
            f"WHERE id = $1 AND next_at <= $2 RETURNING {FIELDS}",
            (id, now, until),
        )
        taken += map(_delivery, rows)
    return taken


def delivered(id: str, at: int, outcome: str) -> Script[None]:
    yield Sql("UPDATE webhook SET next_at = NULL, delivered_at = $2, outcome = $3 WHERE id = $1", (id, at, outcome))


def failed(id: str, attempt: int, next_at: int | None, outcome: str) -> Script[None]:
    """Unless somebody else tries it by now."""
    yield Sql(
        "UPDATE webhook SET next_at = $3, outcome = $4 WHERE id = $1 AND attempts = $2 AND next_at IS NOT NULL",
        (id, attempt, next_at, outcome),
    )


def replay(id: str, account: str | None, now: int, expires_at: int) -> Script[bool]:
    """Makes it due again, under the same id. False where the account has none of this id; None: any account's."""
    rows = yield Sql(
        "UPDATE webhook SET next_at = $2, expires_at = $3, attempts = 0, delivered_at = NULL "
        "WHERE id = $1 AND ($4 = '' OR account = $4) RETURNING id",
        (id, now, expires_at, account or ""),
    )
    return bool(rows)


def page(account: str | None, limit: int, before: tuple[int, str] | None = None) -> Script[list[Delivery]]:
    """Newest first, those after the one with `before` as its created_at and id; of any account where none is named."""
    at, id = before or (2**53, "")
    rows = yield Sql(
        f"SELECT {FIELDS} FROM webhook WHERE ($1 = '' OR account = $1) "  # noqa: S608
        "AND (created_at < $2 OR (created_at = $2 AND id < $3)) ORDER BY created_at DESC, id DESC LIMIT $4",
        (account or "", at, id, limit),
    )
    return [_delivery(row) for row in rows]


def sweep(before: int) -> Script[None]:
    """Forgets what was made before that and is not pending."""
    yield Sql("DELETE FROM webhook WHERE created_at < $1 AND next_at IS NULL", (before,))


def _delivery(row: Row) -> Delivery:
    return Delivery(*row)
