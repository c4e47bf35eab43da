"""From settings to a `Webhooks`."""

from collections.abc import Collection

from yarl import URL

from parley.outgoing import SCHEMES, Outgoing
from parley.settings import Settings, SettingsError
from parley.storage import Storage
from parley.webhooks.sender import Webhooks
from parley.webhooks.signing import read_secrets


def open_webhooks(
    settings: Settings, storage: Storage, outgoing: Outgoing, more: Collection[str] = ()
) -> Webhooks | None:
    """None where nothing is to be announced. `more` are other endpoints that the operator names, as for one number.

    Raises `SettingsError`: an address that is none, no secret, or a bad one. Nothing is ever sent unsigned.
    """
    endpoints = frozenset(filter(None, (settings.webhook_url, *more)))
    for endpoint in endpoints:
        _check(endpoint)
    if not endpoints:
        return None
    if settings.webhook_secret is None:
        raise SettingsError("webhook_url needs webhook_secret, which signs; `parley webhooks secret` makes one.")
    try:
        keys = read_secrets(settings.webhook_secret)
    except ValueError as error:
        raise SettingsError(f"webhook_secret is wrong: {error}.") from error
    return Webhooks(storage, keys, outgoing, endpoints)


def _check(endpoint: str) -> None:
    """The operator's own may be anywhere, so that it is not vetted."""
    try:
        url = URL(endpoint)
        whole = url.scheme in SCHEMES and bool(url.raw_host) and url.port is not None
    except ValueError:
        whole = False
    if not whole:
        raise SettingsError("webhook_url is wrong: expected an address such as https://hooks.example/parley.")
