"""Credits and moments, as people write them and read them. No amount is ever a float."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Final

from parley.billing.book import AMOUNT_MICRO_MAX, CREDIT_MICRO, credits_text
from parley.cli.problem import Problem, Status

AMOUNT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,6})?")
SPAN: Final = re.compile(r"([0-9]{1,6})([dh])")
SPAN_DAYS_MAX: Final = 36_500
"""A hundred years."""


def micro_of(text: str) -> int:
    """Micro-credits of ``5`` or ``1.25``, more than none. Raises `Problem`."""
    if text.startswith("-"):
        step = "To stop somebody from spending: parley users disable, or parley keys revoke"
        raise Problem(f"Credits are added and never taken back, so {text} cannot be", step, Status.USAGE)
    if not AMOUNT.fullmatch(text):
        step = "Write for example 5 or 1.25, with at most six places"
        raise Problem(f"{text!r} is not an amount of credits", step, Status.USAGE)
    micro = int(Decimal(text) * CREDIT_MICRO)
    if not 0 < micro <= AMOUNT_MICRO_MAX:
        most = credits_text(AMOUNT_MICRO_MAX)
        raise Problem(f"{text} credits cannot be added at once", f"Add 0.000001 to {most}", Status.USAGE)
    return micro


def as_json(name: str, micro: int) -> dict[str, str | int]:
    """``{"balance": "1.25", "balance_micro": 1250000}``: both are exact, also for readers that know only floats."""
    return {name: credits_text(micro), f"{name}_micro": micro}


def moment(at_ms: int | None) -> str | None:
    """``2026-12-01T12:00:00Z`` of milliseconds of Unix time."""
    return None if at_ms is None else datetime.fromtimestamp(at_ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def expiry_ms(text: str) -> int:
    """The end of ``30d``, ``12h``, or of the day ``2026-12-31`` (UTC), in milliseconds. Raises `Problem`."""
    span = SPAN.fullmatch(text)
    if span:
        hours = int(span[1]) * (24 if span[2] == "d" else 1)
        if 0 < hours <= SPAN_DAYS_MAX * 24:
            return int((time.time() + hours * 3_600) * 1_000)
        raise Problem(f"{text} is too short or too long", f"Use 1h to {SPAN_DAYS_MAX}d", Status.USAGE)
    end = datetime.combine(day_of(text), datetime.min.time(), UTC) + timedelta(days=1)
    if end <= datetime.now(UTC):
        raise Problem(f"{text} is over", "Use a day that is not, or for example 30d", Status.USAGE)
    return int(end.timestamp()) * 1_000


def day_of(text: str) -> date:
    """Raises `Problem`."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise Problem(f"{text!r} is not a day", "Write it as 2026-12-31", Status.USAGE) from error
    if day == date.max:
        raise Problem(f"{text} has no end", "Use an earlier day", Status.USAGE)
    return day
