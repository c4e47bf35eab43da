"""What tests of the money pages do again and again, as a program and by hand."""

import json
import re
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from playwright.sync_api import Locator, Page, expect

from tests.conftest import Server
from tests.console.conftest import KEY, Tab

MARKUP = "<img src=x onerror=alert(1)>"
"""A name that must stay text."""


class Answer(NamedTuple):
    status: int
    body: Any


def call(server: Server, method: str, path: str, body: Any = None, key: str = KEY) -> Answer:
    """As a program does it, with a key."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return answer(urllib.request.Request(f"{server.url}{path}", data, headers, method=method))


def ask(server: Server, key: str) -> Answer:
    """One question to POST /api/realtime/pipeline."""
    lines = [
        f'--x\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("model", "starter-voice"), ("text", "Hello there"))
    ]
    headers = {"x-api-key": key, "content-type": "multipart/form-data; boundary=x"}
    body = "".join([*lines, "--x--\r\n"]).encode()
    return answer(urllib.request.Request(f"{server.url}/api/realtime/pipeline", body, headers, method="POST"))


def answer(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, json.load(error))


def shown(micro: int) -> str:
    """As the console writes it: exactly, with at least two places."""
    whole, _, places = f"{Decimal(micro) / 1_000_000:,f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def days_ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days)).strftime("%Y-%m-%d")


def figure(page: Page, name: str) -> Locator:
    return page.locator(".figure", has=page.get_by_text(name, exact=True)).locator("dd").first


def row(page: Page, text: str) -> Locator:
    return page.get_by_role("row", name=text)


def form(page: Page) -> Locator:
    """The one that is open. (Its fields are slotted into the dialog, and not below it.)"""
    return page.locator("parley-form-dialog")


def make_key(tab: Tab, name: str) -> str:
    """By hand."""
    page = tab.page
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make the key").click()
    value = page.locator("parley-once code").first
    expect(value).to_have_text(re.compile("^sk-gptr2-"))
    made = value.inner_text()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    return made


def let_in(tab: Tab, email: str) -> str:
    """By hand, at the Users page. The link that signs them in."""
    page = tab.page
    tab.go("users")
    page.get_by_role("button", name="New user").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Name").fill(MARKUP)
    page.get_by_role("button", name="Let them in").click()
    link = page.locator("parley-once code").first
    expect(link).to_have_text(re.compile("#sign-in="))
    url = link.inner_text()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    return url
