"""Identifiers: a prefix that says what it names, and 96 random bits."""

import secrets
from collections.abc import Callable

NewId = Callable[[str], str]
"""Makes an id of a kind: ``new_id("item")`` -> ``"item_…"``. The core is given one, so that tests can count instead."""


def new_id(kind: str) -> str:
    """A fresh id such as ``item_3f9c…`` (protocol.md 5.3). Clients treat it as opaque, and so do we."""
    return f"{kind}_{secrets.token_hex(12)}"


def new_node() -> str:
    """A short name for this process: part of the ids that others must find it by, such as ``rtc_1f0a9c3e_…``."""
    return secrets.token_hex(4)
