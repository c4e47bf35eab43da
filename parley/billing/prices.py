"""What a model costs from which day on, and what usage comes to. Pure functions over whole numbers.

    book = load_prices(Path("prices.toml"))                  # ours, overridden by the operator's
    price = book.find("gpt-realtime", "2026-12-01")
    micro = cost(usage, price, markup_bp=2_000)              # 20 % on top

A line of the ledger is computed exactly and rounded up once, to the next whole micro-credit: kinds of tokens are not
rounded one by one, and the mark-up is part of the same division.
"""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec

from parley.billing.book import Usage

PUBLISHED: Final = Path(__file__).parent / "prices.toml"
ALWAYS: Final = "1970-01-01"
"""The first day of a price that has none."""
ANY_MODEL: Final = "*"
AMOUNT_MAX: Final = 10**12
"""A million credits per million tokens: whatever is above it is a slip of the pen."""
MARKUP_BP_MIN: Final = -10_000
"""Free."""
MARKUP_BP_MAX: Final = 1_000_000
"""A hundred times the price."""

BASIS_POINTS: Final = 10_000
SHARES: Final = 3_000_000
"""A common denominator of a million tokens and of the 60,000 ms of a minute."""
PER_TOKEN: Final = SHARES // 1_000_000
PER_MS: Final = SHARES // 60_000


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Micro-credits per million tokens of a kind, per minute, per call. `since` is a day, as ``2026-12-01``."""

    model: str
    since: str = ALWAYS
    input_text: int = 0
    input_audio: int = 0
    input_image: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    cached_image: int = 0
    output_text: int = 0
    output_audio: int = 0
    minute: int = 0
    call: int = 0


AMOUNTS: Final = tuple(name for name in Price.__struct_fields__ if name not in ("model", "since"))


class PriceError(Exception):
    """A price file is wrong. The message says where and how."""


class PriceBook:
    def __init__(self, published: Iterable[Price], own: Iterable[Price] = ()) -> None:
        self._published = _by_model(published)
        self._own = _by_model(own)

    def find(self, model: str, day: str) -> Price | None:
        """The price of a model on a day (``2026-12-01``, UTC); None when it has none, which is not to say it is free.

        The operator's come before ours, and a model's own before the one for any model.
        """
        for name in (model, ANY_MODEL):
            for book in (self._own, self._published):
                held = [price for price in book.get(name, ()) if price.since <= day]
                if held:
                    return held[-1]
        return None

    def find_cost(self, named: str, model: str, day: str) -> Price | None:
        """What an upstream asks for what it calls `named` and the house `model`; None when that is not known.

        Its published price. For a name that has none (a deployment), the operator's price for that name; else the
        published one of the model. Never the operator's price for the model, which is what clients pay.
        """
        for book, name in (
            (self._published, named),
            (self._own if named != model else {}, named),
            (self._published, model),
        ):
            held = [price for price in book.get(name, ()) if price.since <= day]
            if held:
                return held[-1]
        return None

    def all(self) -> list[Price]:
        """Every price, for people to read: by model, oldest first, the operator's in place of ours where they hold."""
        names = sorted(self._published.keys() | self._own.keys())
        return [price for name in names for price in self._of(name)]

    def _of(self, name: str) -> list[Price]:
        own = self._own.get(name, [])
        ours = self._published.get(name, [])
        return [price for price in ours if not own or price.since < own[0].since] + own


def cost(usage: Usage, price: Price, markup_bp: int = 0) -> int:
    """Micro-credits, rounded up once. `markup_bp` is in basis points of the price; below zero it is a discount."""
    tokens = (
        (usage.input_text - usage.cached_text) * price.input_text
        + (usage.input_audio - usage.cached_audio) * price.input_audio
        + (usage.input_image - usage.cached_image) * price.input_image
        + usage.cached_text * price.cached_text
        + usage.cached_audio * price.cached_audio
        + usage.cached_image * price.cached_image
        + usage.output_text * price.output_text
        + usage.output_audio * price.output_audio
    )
    shares = tokens * PER_TOKEN + usage.milliseconds * price.minute * PER_MS + usage.calls * price.call * SHARES
    return -(-shares * (BASIS_POINTS + markup_bp) // (SHARES * BASIS_POINTS))


# ---- files


def load_prices(own: Path | None = None) -> PriceBook:
    """The published prices, and the operator's from the file `own`. Raises `PriceError`."""
    return PriceBook(read_prices(PUBLISHED), read_prices(own) if own is not None else ())


def read_prices(path: Path) -> list[Price]:
    """Raises `PriceError`."""
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PriceError(f"Cannot read the prices in {path}: {error}.") from error
    rows = content.pop("price", [])
    if content or not isinstance(rows, list):
        raise PriceError(f"{path}: expected [[price]] tables and nothing else.")
    prices = [price for number, row in enumerate(rows, 1) for price in _read_row(row, f"{path}, price {number}")]
    seen: set[tuple[str, str]] = set()
    for price in prices:
        if (price.model, price.since) in seen:
            raise PriceError(f"{path}: {price.model} has two prices from {price.since} on.")
        seen.add((price.model, price.since))
    return prices


def _read_row(row: Mapping[str, Any], place: str) -> list[Price]:
    unknown = row.keys() - {"models", "from", *AMOUNTS}
    if unknown:
        raise PriceError(f"{place}: unknown key {min(unknown)!r}.")
    models, since = row.get("models"), row.get("from")
    if not (isinstance(models, list) and models and all(isinstance(name, str) and name for name in models)):
        raise PriceError(f"{place}: `models` must list at least one name.")
    if not (since is None or type(since) is date):
        raise PriceError(f"{place}: `from` must be a day, as 2026-12-01 (without quotes).")
    amounts = {name: _amount(row[name], f"{place}, {name}") for name in AMOUNTS if name in row}
    day = ALWAYS if since is None else since.isoformat()
    return [Price(model=name, since=day, **amounts) for name in models]


def _amount(value: object, place: str) -> int:
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise PriceError(f"{place}: expected a whole number of micro-credits, 0 to {AMOUNT_MAX:_}.")
    return value


def _by_model(prices: Iterable[Price]) -> dict[str, list[Price]]:
    found: dict[str, list[Price]] = {}
    for price in sorted(prices, key=lambda price: price.since):
        found.setdefault(price.model, []).append(price)
    return found
