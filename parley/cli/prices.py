"""`parley prices`: what a model costs on a day, in credits."""

from argparse import Namespace
from datetime import UTC, datetime
from typing import Final

from parley.billing.book import credits_text
from parley.billing.prices import ALWAYS, AMOUNTS, Price, PriceError, load_prices
from parley.cli.amounts import day_of
from parley.cli.config import loaded_settings
from parley.cli.listing import show_json, show_table
from parley.cli.problem import Problem, Status

PER_TOKENS: Final = tuple(name for name in AMOUNTS if name not in ("minute", "call"))
"""These are credits per million tokens."""


def run(args: Namespace) -> int:
    day = datetime.now(UTC).date().isoformat() if args.day is None else day_of(args.day).isoformat()
    try:
        book = load_prices(loaded_settings(args.config).settings.prices)
    except PriceError as error:
        raise Problem(str(error), status=Status.CONFIG) from error
    names = sorted({price.model for price in book.all()}) if args.model is None else [args.model]
    found = {name: price for name in names if (price := book.find(name, day)) is not None}
    if args.model is not None and not found:
        raise Problem(f"{args.model} has no price on {day}", "`parley prices` lists those that have one")
    if args.json:
        show_json({"day": day, "prices": [facts_of(name, price) for name, price in found.items()]})
        return Status.OK
    used = [name for name in AMOUNTS if any(getattr(price, name) for price in found.values())]
    head = ["model", "since", *(name.replace("_", " ") for name in used)]
    show_table(head, [(name, since(price), *amounts(price, used)) for name, price in found.items()])
    return Status.OK


def amounts(price: Price, names: list[str]) -> list[str]:
    return [credits_text(getattr(price, name)) for name in names]


def since(price: Price) -> str | None:
    return None if price.since == ALWAYS else price.since


def facts_of(model: str, price: Price) -> dict[str, object]:
    return {
        "model": model,
        "since": since(price),
        "per_million_tokens": {name: credits_text(getattr(price, name)) for name in PER_TOKENS},
        "per_minute": credits_text(price.minute),
        "per_call": credits_text(price.call),
    }
