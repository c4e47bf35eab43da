"""Where the local server is, and with which key: what `talk`, `say` and `doctor` assume unless they are told."""

from argparse import Namespace
from pathlib import Path
from typing import Final

from parley.auth.api_keys import KEY_FILE, read_local_key
from parley.cli.client import START_STEP, Target
from parley.cli.config import loaded_settings
from parley.cli.problem import Problem, Status
from parley.settings import Settings

ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def base_url(settings: Settings) -> str:
    """The address under which a server with these settings is reached from this machine."""
    host = ANYWHERE.get(settings.host, settings.host)
    scheme = "https" if certificate_of(settings) else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"


def target_of(args: Namespace) -> Target:
    """The server that a command's flags and the settings mean. Raises `Problem`."""
    settings = loaded_settings(args.config).settings
    certificate = args.cafile or certificate_of(settings)
    return Target(
        url=args.url or base_url(settings),
        key=args.key or key_of(settings),
        model=args.model,
        trusted=str(certificate) if certificate and Path(certificate).exists() else None,
    )


def key_of(settings: Settings) -> str:
    """The key that this machine's server accepts. Raises `Problem` when there is none yet."""
    try:
        key = settings.api_key or read_local_key(settings.home)
    except OSError as error:
        raise Problem(f"Cannot read {key_file_of(settings)}: {error.strerror}", status=Status.AUTH) from error
    if not key:
        raise Problem("There is no key yet, so no server has run here", START_STEP, Status.AUTH)
    return key


def key_file_of(settings: Settings) -> Path:
    return settings.home / KEY_FILE


def certificate_of(settings: Settings) -> Path | None:
    """The certificate that the server shows, or None without TLS."""
    if settings.tls_cert is not None:
        return settings.tls_cert
    return settings.home / "tls" / "cert.pem" if settings.tls == "local" else None
