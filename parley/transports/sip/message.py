"""SIP messages (RFC 3261 section 7): bytes to `Request` or `Response` and back. Pure.

    read(datagram)  --> Request | Response
                    --> Refused(status, …): what came is a request, and its sender should be told
                    --> Broken: what came deserves no answer

Strict where two readers could understand two things (RFC 4475), and open to everything that is only unusual.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from parley.transports.sip.grammar import TOKEN, Broken, Via, read_address, read_via, scheme_of, split_values

MESSAGE_BYTES_MAX: Final = 65_535
"""On any transport: what one datagram holds."""
HEADERS_MAX: Final = 200
HEAD_BYTES_MAX: Final = 16_384
"""Start line and headers."""

SHORT_NAMES: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
LISTS: Final = frozenset({"via", "contact", "route", "record-route"})
"""Headers with addresses or Via in them that may stand several to a line."""
SINGLE: Final = frozenset(
    {"from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires", "date", "event"}
)
REQUIRED: Final = ("via", "from", "to", "call-id", "cseq")
NUMBERS: Final = {"max-forwards": 255, "expires": 2**32 - 1, "content-length": 2**31 - 1, "min-se": 2**32 - 1}
"""Headers that are a number, and the greatest."""
CSEQ_MAX: Final = 2**31 - 1

_REQUEST_LINE = re.compile(rf"({TOKEN}) ([^ <>\t\r\n]+) SIP/([0-9]+\.[0-9]+)")
_ANY_REQUEST = re.compile(rf"({TOKEN})[ \t]+(.*)SIP/[0-9]+\.[0-9]+[ \t]*", re.DOTALL)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) ([^\r\n]*)")
_HEADER = re.compile(rf"({TOKEN})[ \t]*:(.*)", re.DOTALL)
_CSEQ = re.compile(rf"([0-9]{{1,10}})[ \t]+({TOKEN})")
_CALL_ID = re.compile(r"""[A-Za-z0-9.!%*_+`'~()<>:\\"/\[\]?{}-]+(?:@[A-Za-z0-9.!%*_+`'~()<>:\\"/\[\]?{}-]+)?""")
_NUMBER = re.compile(r"[0-9]{1,10}")
_RETRY_AFTER = re.compile(r"([0-9]{1,10})(?:[ \t]*\(.*\))?(?:[ \t]*;.*)?")
_WARNING = re.compile(r"[0-9]{3} .+")
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_FOLD = re.compile(r"\r\n[ \t]+")

REASONS: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    600: "Busy Everywhere",
    603: "Decline",
}


class Header(NamedTuple):
    """`name` is as it was written."""

    name: str
    value: str

    @property
    def key(self) -> str:
        """The name in lower case and in full."""
        key = self.name.lower()
        return SHORT_NAMES.get(key, key)


class Headers:
    """In their order. Asked by the full name in lower case."""

    def __init__(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._headers = [Header(name, value) for name, value in headers]

    def __iter__(self) -> Iterator[Header]:
        return iter(self._headers)

    def one(self, key: str) -> str:
        """The first value; empty where there is none."""
        return next((header.value for header in self._headers if header.key == key), "")

    def all(self, key: str) -> list[str]:
        """The values, those of lists one by one. Raises `Broken` for a bad list."""
        lines = [header.value for header in self._headers if header.key == key]
        return [value for line in lines for value in split_values(line)] if key in LISTS else lines

    def __contains__(self, key: object) -> bool:
        return any(header.key == key for header in self._headers)


class CSeq(NamedTuple):
    number: int
    method: str


class Request(NamedTuple):
    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @property
    def cseq(self) -> CSeq:
        return read_cseq(self.headers.one("cseq"))

    @property
    def via(self) -> Via:
        """Of who sent it to us."""
        return read_via(self.headers.all("via")[0])

    @property
    def from_tag(self) -> str:
        return read_address(self.headers.one("from")).tag

    @property
    def to_tag(self) -> str:
        return read_address(self.headers.one("to")).tag

    @property
    def call_id(self) -> str:
        return self.headers.one("call-id")

    def __bytes__(self) -> bytes:
        return _written(f"{self.method} {self.uri} SIP/2.0", self.headers, self.body)


class Response(NamedTuple):
    status: int
    reason: str
    headers: Headers
    body: bytes = b""

    @property
    def cseq(self) -> CSeq:
        return read_cseq(self.headers.one("cseq"))

    @property
    def via(self) -> Via:
        return read_via(self.headers.all("via")[0])

    @property
    def to_tag(self) -> str:
        return read_address(self.headers.one("to")).tag

    def __bytes__(self) -> bytes:
        return _written(f"SIP/2.0 {self.status} {self.reason}", self.headers, self.body)


class Refused(Exception):
    """A request that cannot be taken; `request` has what is needed to answer it."""

    def __init__(self, status: int, reason: str, request: Request) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.request = request


# ---- reading


def read(data: bytes, *, stream: bool = False) -> Request | Response:
    """One message; on a datagram, octets after Content-Length are no part of it. Raises `Broken`, `Refused`."""
    head, blank, body = data.partition(b"\r\n\r\n")
    if len(head) > HEAD_BYTES_MAX or len(data) > MESSAGE_BYTES_MAX:
        raise Broken("message too large")
    start, _, rest = head.decode("utf-8", "surrogateescape").partition("\r\n")
    if start.startswith("SIP/"):
        return _read_response(start, rest, body)
    line = _ANY_REQUEST.fullmatch(start)
    if line is None:
        raise Broken("neither a request nor a response")
    request = Request(line[1], line[2].strip(), Headers(_fields(rest, strict=False)), body)
    try:
        return _read_request(start, rest, body, whole=bool(blank) and not stream)
    except Broken as error:
        raise Refused(400, f"Bad Request ({error})", request) from error
    except _Version as error:
        raise Refused(505, REASONS[505], request) from error


class _Version(Exception):
    """Another version of SIP."""


def _read_request(start: str, rest: str, body: bytes, *, whole: bool) -> Request:
    line = _REQUEST_LINE.fullmatch(start)
    if line is None:
        raise Broken("bad request line")
    method, uri, version = line.groups()
    if version != "2.0":
        raise _Version
    if scheme_of(uri) in ("sip", "sips") and "?" in uri.rpartition("@")[2]:
        raise Broken("headers in the Request-URI")
    headers = _headers(rest)
    if read_cseq(headers.one("cseq")).method != method:
        raise Broken("CSeq is of another method")
    return Request(method, uri, headers, _body(headers, body, whole=whole))


def _read_response(start: str, rest: str, body: bytes) -> Response:
    line = _STATUS_LINE.fullmatch(start)
    if line is None:
        raise Broken("bad status line")
    headers = _headers(rest)
    return Response(int(line[1]), line[2], headers, _body(headers, body, whole=True))


def _headers(text: str) -> Headers:
    headers = Headers(_fields(text, strict=True))
    missing = [key for key in REQUIRED if key not in headers]
    if missing:
        raise Broken(f"no {missing[0]}")
    keys = [header.key for header in headers]
    repeated = [key for key in SINGLE if keys.count(key) > 1]
    if repeated:
        raise Broken(f"more than one {repeated[0]}")
    for header in headers:
        _check(header)
    return headers


def _fields(text: str, *, strict: bool) -> Iterator[tuple[str, str]]:
    lines = _FOLD.sub(" ", text).split("\r\n") if text else []
    if len(lines) > HEADERS_MAX:
        raise Broken("too many headers")
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is not None and "\r" not in line and "\n" not in line:
            yield found[1], found[2].strip(" \t")
        elif strict:
            raise Broken("bad header line")


def _check(header: Header) -> None:
    """Whether a header that means something to us has its form."""
    key, value = header.key, header.value
    if key in ("from", "to", "refer-to"):
        read_address(value)
    elif key == "via":
        for each in split_values(value):
            read_via(each)
    elif key in ("contact", "route", "record-route") and value != "*":
        for each in split_values(value):
            read_address(each)
    elif key == "cseq":
        read_cseq(value)
    elif key in NUMBERS:
        _check_number(key, value)
    elif not _FORMS.get(key, _ANYTHING).fullmatch(value):
        raise Broken(f"bad {header.name}")


_ANYTHING = re.compile(r".*", re.DOTALL)
_FORMS = {"call-id": _CALL_ID, "date": _DATE, "retry-after": _RETRY_AFTER, "warning": _WARNING}


def _check_number(key: str, value: str) -> None:
    if not _NUMBER.fullmatch(value) or int(value) > NUMBERS[key]:
        raise Broken(f"bad {key}")


def read_cseq(value: str) -> CSeq:
    """Raises `Broken`."""
    found = _CSEQ.fullmatch(value.strip())
    if found is None or int(found[1]) > CSEQ_MAX:
        raise Broken("bad CSeq")
    return CSeq(int(found[1]), found[2])


def _body(headers: Headers, body: bytes, *, whole: bool) -> bytes:
    said = headers.one("content-length")
    if not said:
        return body
    if whole and int(said) > len(body):
        raise Broken("the body is shorter than Content-Length")
    return body[: int(said)]


# ---- writing


def _written(start: str, headers: Headers, body: bytes) -> bytes:
    lines = [start, *(f"{header.name}: {header.value}" for header in headers if header.key != "content-length")]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def answer(
    request: Request,
    status: int,
    more: Iterable[tuple[str, str]] = (),
    *,
    body: bytes = b"",
    tag: str = "",
    reason: str = "",
) -> Response:
    """A response to `request` (8.2.6); `tag` is ours for To, where it has none yet. Raises `Broken`."""
    copied = []
    for header in request.headers:
        if header.key in ("from", "call-id", "cseq", "via") or (header.key == "record-route" and 101 <= status < 300):
            copied.append((header.name, header.value))
        elif header.key == "to":
            tagged = not tag or status == 100 or read_address(header.value).tag
            copied.append((header.name, header.value if tagged else f"{header.value};tag={tag}"))
    return Response(status, reason or REASONS.get(status, "Unknown"), Headers([*copied, *more]), body)
