"""Sessions as they stand in the database: three tables, and the only scripts that touch them.

A row is written when a session begins, again while it lives, and when it ends. Where its process was killed the row
stops at its last word: a session whose row was not written for `LOST_MS` has ended then.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from parley.storage import Each, Row, Script, Sql

LOST_MS: Final = 30_000
"""Six times as long as a process that lives takes to write again."""

Record = Literal["off", "transcripts", "audio"]
Sound = Literal["none", "live", "whole", "incomplete"]


class Summary(NamedTuple):
    """One row. Moments are milliseconds of Unix time; `turns` is how many there were."""

    id: str
    account: str
    call_id: str | None
    model: str
    record: Record
    opened_at: int
    ended_at: int | None
    saved_at: int
    turns: int
    input_tokens: int
    output_tokens: int
    sound: Sound
    sound_ms: int


class Figures(NamedTuple):
    """JSON, see `recording`."""

    turns: str = "[]"
    usage: str = "{}"


class Words(NamedTuple):
    """JSON, and the peaks of `tape` in base64. `cut`: more was said than is kept."""

    lines: str = "[]"
    cut: bool = False
    peaks: str = ""


class Saved(NamedTuple):
    """Everything about a session. No words where none are kept."""

    summary: Summary
    figures: Figures
    words: Words | None


class Place(NamedTuple):
    """A position in the list, which is newest first."""

    opened_at: int
    id: str


FIELDS: Final = ", ".join(Summary._fields)


def save(sessions: Sequence[Saved]) -> Script[None]:
    """Writes them down, or again."""
    yield Each(
        f"INSERT INTO session_record ({FIELDS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "  # noqa: S608
        "ON CONFLICT (id) DO UPDATE SET ended_at = $7, saved_at = $8, turns = $9, input_tokens = $10, "
        "output_tokens = $11, sound = $12, sound_ms = $13",
        [saved.summary for saved in sessions],
    )
    yield Each(
        "INSERT INTO session_figures (id, turns, usage) VALUES ($1, $2, $3) "
        "ON CONFLICT (id) DO UPDATE SET turns = $2, usage = $3",
        [(saved.summary.id, *saved.figures) for saved in sessions],
    )
    yield Each(
        "INSERT INTO session_words (id, lines, cut, peaks) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT (id) DO UPDATE SET lines = $2, cut = $3, peaks = $4",
        [(saved.summary.id, words.lines, int(words.cut), words.peaks) for saved in sessions if (words := saved.words)],
    )


def beat(ids: Sequence[str], at: int) -> Script[None]:
    """They live."""
    yield Each("UPDATE session_record SET saved_at = $2 WHERE id = $1", [(id, at) for id in ids])


def page(account: str, limit: int, after: Place | None, at: int) -> Script[list[Summary]]:
    """An account's sessions, newest first, from behind `after` on."""
    opened_at, id = after or Place(1 << 62, "")
    rows = yield Sql(
        f"SELECT {FIELDS} FROM session_record WHERE account = $1 AND (opened_at < $2 OR (opened_at = $2 AND id < $3)) "  # noqa: S608
        "ORDER BY opened_at DESC, id DESC LIMIT $4",
        (account, opened_at, id, limit),
    )
    return [_summary(row, at) for row in rows]


def one(account: str, id: str, at: int) -> Script[Saved | None]:
    summary = yield from head(account, id, at)
    if summary is None:
        return None
    figures = yield Sql("SELECT turns, usage FROM session_figures WHERE id = $1", (id,))
    words = yield Sql("SELECT lines, cut, peaks FROM session_words WHERE id = $1", (id,))
    return Saved(
        summary,
        Figures(*figures[0]) if figures else Figures(),
        Words(words[0][0], bool(words[0][1]), words[0][2]) if words else None,
    )


def head(account: str, id: str, at: int) -> Script[Summary | None]:
    rows = yield Sql(f"SELECT {FIELDS} FROM session_record WHERE id = $1 AND account = $2", (id, account))  # noqa: S608
    return _summary(rows[0], at) if rows else None


def forget(ids: Sequence[str]) -> Script[None]:
    for table in ("session_words", "session_figures", "session_record"):
        yield Each(f"DELETE FROM {table} WHERE id = $1", [(id,) for id in ids])  # noqa: S608


def forget_before(opened_at: int, at: int, limit: int) -> Script[list[Summary]]:
    """The oldest of what was opened before then and is over."""
    rows = yield Sql(
        f"SELECT {FIELDS} FROM session_record WHERE opened_at < $1 AND (ended_at IS NOT NULL OR saved_at < $2) "  # noqa: S608
        "ORDER BY opened_at LIMIT $3",
        (opened_at, at - LOST_MS, limit),
    )
    gone = [_summary(row, at) for row in rows]
    yield from forget([summary.id for summary in gone])
    return gone


def lost(at: int) -> Script[None]:
    """Sessions whose process is gone ended when it was last heard of."""
    yield Sql(
        "UPDATE session_record SET ended_at = saved_at, sound = CASE sound WHEN 'live' THEN 'none' ELSE sound END "
        "WHERE ended_at IS NULL AND saved_at < $1",
        (at - LOST_MS,),
    )


def mended(sounds: Sequence[tuple[str, int]]) -> Script[None]:
    """Their processes are gone, and so many milliseconds of sound are left. Id and length."""
    yield Each(
        "UPDATE session_record SET ended_at = COALESCE(ended_at, saved_at), "
        "sound = CASE WHEN $2 > 0 THEN 'incomplete' ELSE 'none' END, sound_ms = $2 WHERE id = $1",
        sounds,
    )


def _summary(row: Row, at: int) -> Summary:
    summary = Summary(*row)
    if summary.ended_at is None and summary.saved_at < at - LOST_MS:
        return summary._replace(ended_at=summary.saved_at)
    return summary
