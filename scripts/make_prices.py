#!/usr/bin/env python3
"""Writes parley/billing/prices.toml anew: the published prices of the models that we know by name, from genai-prices.

The package carries its data in the wheel, so nothing is fetched. It is asked here and not at run time: it takes a
second and 95 MB to import, and prices that we ship should be seen in a review before anybody pays them. What stands
above the marker is written by hand and kept. `--check` writes nothing, and fails when the file is stale.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from genai_prices.data import providers  # noqa: E402

from parley.catalog import MODELS, TRANSCRIPTION_MODELS  # noqa: E402

FILE: Final = ROOT / "parley" / "billing" / "prices.toml"
MARKER: Final = "# ---- published prices; scripts/make_prices.py writes what follows\n"
MICRO: Final = 1_000_000
MINUTES: Final = 60
PROVIDER: Final = "openai"

# Our key: the keys of the package, the first that is there. Kinds without a price of their own cost what text costs.
KINDS: Final = {
    "input_text": ("input_text_mtok", "input_mtok"),
    "input_audio": ("input_audio_mtok", "input_mtok"),
    "input_image": ("input_image_mtok", "input_mtok"),
    "cached_text": ("cache_text_read_mtok", "cache_read_mtok", "input_text_mtok", "input_mtok"),
    "cached_audio": ("cache_audio_read_mtok", "input_audio_mtok", "input_mtok"),
    "cached_image": ("cache_image_read_mtok", "input_image_mtok", "input_mtok"),
    "output_text": ("output_text_mtok", "output_mtok"),
    "output_audio": ("output_audio_mtok", "output_mtok"),
}
HOURS: Final = ("audio_hours", "input_audio_hours")


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the published prices.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the file is stale")
    old = FILE.read_text("utf-8") if FILE.exists() else ""
    new = old.partition(MARKER)[0] + MARKER + "\n".join(published()) + "\n"
    if parser.parse_args().check:
        print("prices.toml is stale; run scripts/make_prices.py" if new != old else "prices.toml is up to date")
        return int(new != old)
    FILE.write_text(new, "utf-8")
    return 0


def published() -> Iterator[str]:
    yield f"# genai-prices {version('genai-prices')}."
    (openai,) = (provider for provider in providers if provider.id == PROVIDER)
    names: dict[str, list[str]] = {}
    prices = {}
    for name in (*MODELS, *TRANSCRIPTION_MODELS):
        if (found := openai.find_model(name)) is not None:
            names.setdefault(found.id, []).append(name)
            prices[found.id] = found.get_prices(datetime.now(UTC))
    for id, price in prices.items():
        yield from ("", "[[price]]", "models = [", *(f'    "{name}",' for name in names[id]), "]")
        for kind, keys in KINDS.items():
            if amount := first(price, keys):
                yield f"{kind} = {whole(amount * MICRO)}"
        if per_hour := first(price, HOURS):
            yield f"minute = {whole(per_hour * MICRO / MINUTES)}"


def first(prices: Any, keys: tuple[str, ...]) -> Decimal | None:
    """Dollars. A price in tiers counts with its first: no realtime model has any."""
    for key in keys:
        value = getattr(prices, key, None)
        if value is not None:
            return Decimal(getattr(value, "base", value))
    return None


def whole(micro: Decimal) -> str:
    """Exact where the published price is; a price per hour may not divide, and is rounded up."""
    amount = int(micro.to_integral_value(rounding="ROUND_CEILING"))
    return f"{amount:_}"


if __name__ == "__main__":
    sys.exit(main())
