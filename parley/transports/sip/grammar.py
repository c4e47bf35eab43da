"""The words of SIP: URIs, addresses, parameters, Via (RFC 3261 section 25). Pure, and strict: `Broken` for the rest."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

TOKEN: Final = r"[A-Za-z0-9.!%*_+`'~-]+"
QUOTED: Final = r'"(?:[^"\\\r\n]|\\[\x00-\x09\x0b\x0c\x0e-\x7f])*"'
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
_MARKED: Final = r"A-Za-z0-9_.!~*'()\-"
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])"
_PARAMETER: Final = rf"(?:[{_MARKED}\[\]/:&+$]|{_ESCAPED})+"

_SIP_URI = re.compile(
    rf"(?P<scheme>sips?):"
    rf"(?:(?P<user>(?:[{_MARKED}&=+$,;?/]|{_ESCAPED})+)(?::(?P<password>(?:[{_MARKED}&=+$,]|{_ESCAPED})*))?@)?"
    rf"(?P<host>{_HOST})(?::(?P<port>[0-9]{{1,5}}))?"
    rf"(?P<parameters>(?:;{_PARAMETER}(?:={_PARAMETER})?)*)"
    rf"(?P<headers>\?(?:[{_MARKED}\[\]/?:+$&=]|{_ESCAPED})*)?",
    re.IGNORECASE,
)
_ANY_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:(?:[{_MARKED};/?:@&=+$,\[\]]|{_ESCAPED})+")
_ADDRESS = re.compile(
    rf"(?P<name>{QUOTED}|(?:{TOKEN}[ \t]+)*(?:{TOKEN})?)[ \t]*<(?P<uri>[^<>]*)>(?P<rest>.*)", re.DOTALL
)
_ONE_PARAMETER = re.compile(
    rf"[ \t]*;[ \t]*(?P<name>{TOKEN})(?:[ \t]*=[ \t]*(?P<value>{QUOTED}|\[[0-9A-Fa-f:.]+\]|{TOKEN}))?", re.DOTALL
)
_VIA = re.compile(
    rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*(?P<transport>{TOKEN})[ \t]+"
    rf"(?P<host>{_HOST})(?:[ \t]*:[ \t]*(?P<port>[0-9]{{1,5}}))?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_PIECE = re.compile(rf'{QUOTED}|<[^<>]*>|[^",<]+|,', re.DOTALL)

PORT_MAX: Final = 65_535
MAGIC: Final = "z9hG4bK"
"""RFC 3261 8.1.1.7: how a branch begins that names a transaction."""


class Broken(Exception):
    """Not SIP. The message says what and where, in words fit for a reason phrase."""


class Uri(NamedTuple):
    """A SIP or SIPS URI. `user` is as it was written, escapes and all."""

    scheme: str
    user: str
    host: str
    port: int | None
    parameters: Mapping[str, str]
    headers: str

    @property
    def number(self) -> str:
        """The user without escapes and without the parameters of a telephone number (RFC 3966)."""
        return unescape(self.user).partition(";")[0]


class Address(NamedTuple):
    """`"Ann" <sip:ann@example.com>;tag=1`. `uri` is as it was written, of any scheme."""

    name: str
    uri: str
    parameters: Mapping[str, str]

    @property
    def tag(self) -> str:
        return self.parameters.get("tag", "")


class Via(NamedTuple):
    transport: str
    host: str
    port: int | None
    parameters: Mapping[str, str]

    @property
    def branch(self) -> str:
        return self.parameters.get("branch", "")


def unescape(text: str) -> str:
    """`%41` is `A`."""
    return re.sub(_ESCAPED, lambda found: chr(int(found[0][1:], 16)), text)


def read_uri(text: str) -> Uri:
    """Raises `Broken` for what is not a SIP or SIPS URI."""
    found = _SIP_URI.fullmatch(text)
    if found is None or int(found["port"] or 0) > PORT_MAX:
        raise Broken("bad SIP URI")
    parameters = {}
    for each in found["parameters"].split(";")[1:]:
        name, _, value = each.partition("=")
        parameters[unescape(name).lower()] = unescape(value)
    port = None if found["port"] is None else int(found["port"])
    return Uri(found["scheme"].lower(), found["user"] or "", found["host"], port, parameters, found["headers"] or "")


def scheme_of(text: str) -> str:
    """Of any URI, in lower case. Raises `Broken`."""
    scheme = text.partition(":")[0].lower()
    if scheme in ("sip", "sips"):
        read_uri(text)
    elif _ANY_URI.fullmatch(text) is None:
        raise Broken("bad URI")
    return scheme


def read_address(text: str) -> Address:
    """A name-addr or addr-spec with parameters (20.10: without brackets, what follows `;` is not the URI's).

    Raises `Broken`.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        uri, semicolon, rest = text.strip().partition(";")
        uri = uri.strip()
        if "?" in uri or "," in uri:
            raise Broken("a URI with ? or , wants angle brackets")
        scheme_of(uri)
        return Address("", uri, read_parameters(semicolon + rest))
    scheme_of(found["uri"])
    return Address(_unquoted(found["name"].strip()), found["uri"], read_parameters(found["rest"]))


def read_via(text: str) -> Via:
    """Raises `Broken`."""
    found = _VIA.fullmatch(text.strip())
    if found is None or int(found["port"] or 0) > PORT_MAX:
        raise Broken("bad Via")
    port = None if found["port"] is None else int(found["port"])
    return Via(found["transport"].upper(), found["host"], port, read_parameters(found["rest"]))


def read_parameters(text: str) -> dict[str, str]:
    """`;a=1;b` with names in lower case; quotes are taken off. Raises `Broken`."""
    parameters: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        found = _ONE_PARAMETER.match(text, at)
        if found is None:
            raise Broken("bad parameters")
        parameters[found["name"].lower()] = _unquoted(found["value"] or "")
        at = found.end()
    return parameters


def split_values(text: str) -> list[str]:
    """The values between commas, those in quotes and brackets apart. Raises `Broken` where one is empty."""
    values = [""]
    at = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            raise Broken("unbalanced quotes or brackets")
        if found[0] == ",":
            values.append("")
        else:
            values[-1] += found[0]
        at = found.end()
    stripped = [value.strip() for value in values]
    if not all(stripped):
        raise Broken("an empty value in a list")
    return stripped


def words_of(values: Iterator[str] | list[str]) -> set[str]:
    """Comma-separated tokens of all `values`, in lower case: option tags, methods."""
    return {word.strip().lower() for value in values for word in value.split(",") if word.strip()}


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if text.startswith('"') else text


def quoted(text: str) -> str:
    """As a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
