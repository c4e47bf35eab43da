"""What `parley doctor` looks at for telephone calls: ports, the address that callers are told, the certificate."""

import ipaddress
import socket
from contextlib import closing
from typing import Final

from parley.cli.machine_checks import Finding, answers, check_certificate
from parley.cli.place import base_url, certificate_of
from parley.settings import Settings, SettingsError

UNUSED: Final = Finding("ok", "there are none (sip_port is not set)")
ELSEWHERE: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Nobody's addresses (RFC 5737, RFC 3849): the way to them is the way to the rest of the world."""


def check_ports(settings: Settings) -> Finding:
    """UDP and TCP must be free, or ours already."""
    if settings.sip_port is None:
        return UNUSED
    host = _host(settings)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for name, kind in (("UDP", socket.SOCK_DGRAM), ("TCP", socket.SOCK_STREAM)):
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, settings.sip_port))
            except OSError as error:
                if answers(f"{base_url(settings)}/health"):
                    return Finding("ok", f"Parley answers at {base_url(settings)}, and has port {settings.sip_port}")
                text = f"{name} port {settings.sip_port} of {host} is not to be had: {error.strerror}"
                return Finding("fail", text, "Choose another with PARLEY_SIP_PORT, or end who has it")
    return Finding("ok", f"{host}:{settings.sip_port} is free, UDP and TCP")


def check_trunks(settings: Settings) -> Finding:
    """Whether the table can be read."""
    if settings.sip_port is None:
        return UNUSED
    from parley.telephone import trunks_of

    try:
        trunks = trunks_of(settings)
    except SettingsError as error:
        return Finding("fail", str(error).rstrip("."), "Correct the file of PARLEY_SIP_TRUNKS")
    return Finding("ok", f"{', '.join(trunk.name for trunk in trunks) or 'nobody'} may call")


def check_address(settings: Settings) -> Finding:
    """What callers are told of where we are: a private address is of no use to those behind other routers."""
    if settings.sip_port is None:
        return UNUSED
    address = settings.sip_address or _own_address(_host(settings))
    try:
        told = ipaddress.ip_address(address)
    except ValueError:
        return Finding("fail", f"{address!r} is no IP address", "Set PARLEY_SIP_ADDRESS to the public IP address")
    if told.is_loopback:
        return Finding("ok", f"{told}: only this machine can call")
    if told.is_private and not settings.sip_address:
        step = "Set PARLEY_SIP_ADDRESS to the public address, unless all callers are in your own network"
        return Finding("warn", f"callers are told {told}, which is a private address", step)
    return Finding("ok", f"callers are told {told}")


def check_tls(settings: Settings) -> Finding:
    """How long callers over TLS (sips) can be served."""
    if settings.sip_port is None:
        return UNUSED
    if certificate_of(settings) is None:
        return Finding("ok", "no calls over TLS: there is no certificate")
    return check_certificate(settings)


def _host(settings: Settings) -> str:
    return settings.sip_host or settings.host


def _own_address(host: str) -> str:
    """That from which others see us, if we listen on every address. Sends nothing."""
    if not ipaddress.ip_address(host).is_unspecified:
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect((ELSEWHERE[family], 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
