"""Keys, credits, usage, limits, prices and people in the console: the story of the guide that came first, and the rest."""

import csv
import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.conftest import Server
from tests.console.conftest import KEY, Launch, OpenTab, Tab, console_server
from tests.console.money import MARKUP, ask, call, days_ago, figure, form, let_in, make_key, row, shown
from tests.console.test_pages import violations

DESK_PAGES = ("playground", "api-keys", "credits", "usage", "limits", "prices", "phone", "users", "account")
PHONE: ViewportSize = {"width": 390, "height": 844}
PASSWORD = "a long enough password"

addresses = (f"person{n}@example.org" for n in count())


@pytest.fixture(scope="module")
def money(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose credits only these tests move."""
    with console_server(tmp_path_factory.mktemp("money") / "home") as server:
        yield server


@pytest.fixture(scope="module")
def browser(launch: Launch) -> Browser:
    return launch()


@pytest.fixture
def admin(browser: Browser, open_tab: OpenTab, money: Server) -> Tab:
    """The operator, at the console."""
    tab = open_tab(browser, money)
    tab.open()
    return tab


# ---- the guide


def test_a_key_is_made_used_and_revoked(admin: Tab, money: Server) -> None:
    page = admin.page
    expect(page.get_by_role("navigation").get_by_role("heading", name="Settings")).to_be_visible()
    admin.go("credits")
    before = call(money, "GET", "/api/credits").body["balance_micro"]
    expect(figure(page, "Balance")).to_have_text(shown(before))

    page.get_by_role("link", name="API Keys").click()
    key = make_key(admin, "product update")
    assert key not in page.content()
    expect(row(page, "product update")).to_contain_text("never")
    assert key not in json.dumps(call(money, "GET", "/api/keys").body)

    answer = ask(money, key)
    assert (answer.status, answer.body["modelId"]) == (200, "starter-voice")
    admin.go("credits")
    after = call(money, "GET", "/api/credits").body["balance_micro"]
    assert after < before
    expect(figure(page, "Balance")).to_have_text(shown(after))
    expect(row(page, "spent").first).to_contain_text(f"−{shown(before - after)}")
    admin.go("usage")
    page.get_by_role("radio", name="Key").click()
    expect(row(page, "product update")).to_contain_text(shown(before - after))

    admin.go("api-keys")
    page.get_by_role("button", name="Revoke product update").click()
    form(page).get_by_role("button", name="Revoke").click()
    expect(row(page, "product update")).to_contain_text("revoked")
    refused = ask(money, key)
    assert (refused.status, refused.body["code"]) == (401, "invalid_api_key")


def test_the_playground_asks_calls_and_charges(
    admin: Tab, silent: Path, launch: Launch, open_tab: OpenTab, money: Server
) -> None:
    tab = open_tab(launch(silent), money)
    page = tab.open("playground")
    page.get_by_label("Text", exact=True).fill('Say "hi".')
    expect(page.get_by_label("curl")).to_contain_text("-F 'text=Say \"hi\".'")
    expect(page.get_by_label("curl")).to_contain_text(f"export APP_URL='{money.url}'")
    page.get_by_role("button", name="POST /api/realtime/pipeline").click()
    answer = page.get_by_label("Answer", exact=True)
    expect(answer).to_contain_text('"modelId": "starter-voice"', timeout=20_000)
    expect(answer.locator("audio")).to_have_js_property("readyState", 4)

    page.get_by_role("radio", name="Session").click()
    page.get_by_role("button", name="POST /api/realtime/session").click()
    expect(answer).to_contain_text("Speak.", timeout=20_000)
    call_id = answer.locator("code").first.inner_text()
    admin.go("credits")
    expect(admin.page.get_by_label("Table of holds").get_by_role("row")).to_have_count(2)
    expect(figure(admin.page, "Held right now")).not_to_have_text("0.00")
    page.get_by_role("button", name="Charge it").click()
    expect(page.get_by_label("curl")).to_contain_text(call_id)
    page.get_by_role("button", name="POST /api/realtime/charge").click()
    expect(answer).to_contain_text('"status": "charged"', timeout=20_000)
    expect(page.get_by_role("button", name="Hang up")).to_have_count(0)

    tab.expected = ("404",)
    page.get_by_label("callId").fill("call_nobody")
    page.get_by_role("button", name="POST /api/realtime/charge").click()
    expect(answer).to_contain_text('"code": "call_not_found"')


# ---- people


def test_an_admin_lets_somebody_in_and_tops_them_up(
    admin: Tab, browser: Browser, open_tab: OpenTab, money: Server
) -> None:
    email = next(addresses)
    page = admin.page
    link = let_in(admin, email)
    expect(row(page, email)).to_contain_text(MARKUP)

    person = open_tab(browser, money)
    theirs = person.page
    theirs.goto(link)
    theirs.wait_for_selector("nav")
    person.go("credits")
    expect(figure(theirs, "Balance")).to_have_text("0.00")
    expect(theirs.get_by_text("An admin of this Parley adds credits")).to_be_visible()
    expect(theirs.get_by_role("button", name="Top up")).to_have_count(0)
    expect(theirs.locator("nav a[href='/console/users']")).to_have_count(0)
    theirs.goto(f"{money.url}/console/users")
    expect(theirs.get_by_text("This page is for admins")).to_be_visible()
    person.go("prices")
    expect(row(theirs, "gpt-realtime-mini").first).to_be_visible()
    expect(theirs.get_by_role("button", name="Set")).to_have_count(0)

    row(page, email).get_by_role("link", name="Credits").click()
    page.get_by_role("button", name="Top up").click()
    dialog = form(page)
    dialog.get_by_label("Credits").fill("12.345678")
    dialog.get_by_label("Note").fill(MARKUP)
    dialog.get_by_role("button", name="Add the credits").click()
    expect(figure(page, "Balance")).to_have_text("12.345678")
    expect(page.get_by_label("Account", exact=True)).to_contain_text(email)

    person.go("credits")
    expect(figure(theirs, "Balance")).to_have_text("12.345678")
    expect(row(theirs, "+12.345678")).to_contain_text(MARKUP)

    admin.go("users")
    page.get_by_role("button", name=f"Change {email}").click()
    page.get_by_label("Disabled").check()
    page.get_by_role("button", name="Save").click()
    expect(row(page, email)).to_contain_text("disabled")
    theirs.get_by_role("button", name="Look again").click()
    theirs.wait_for_selector("parley-sign-in-page")


def test_a_password_takes_the_place_of_the_link(admin: Tab, browser: Browser, open_tab: OpenTab, money: Server) -> None:
    email = next(addresses)
    link = let_in(admin, email)
    person, elsewhere = open_tab(browser, money), open_tab(browser, money)
    page = person.page
    page.goto(link)
    page.wait_for_selector("nav")
    person.go("account")
    page.get_by_label("New password").fill("short")
    page.get_by_label("Once more").fill("other")
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_role("alert")).to_contain_text("not the same")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("Once more").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()
    expect(page.get_by_text("changed")).to_be_visible()

    other = elsewhere.page
    other.goto(f"{money.url}/console/account")
    other.get_by_role("radio", name="E-mail").click()
    other.get_by_label("E-mail", exact=True).last.fill(email)
    other.get_by_label("Password").fill("wrong")
    other.get_by_role("button", name="Sign in", exact=True).click()
    expect(other.get_by_role("alert")).to_contain_text("wrong")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Sign in", exact=True).click()
    expect(other.get_by_role("heading", name=MARKUP)).to_be_visible()

    page.reload()
    places = page.get_by_label("Table of sign-ins").get_by_role("row")
    expect(places).to_have_count(3)  # the head, and two
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.get_by_role("button", name="End the sign-in").first.click()
    assert [signed_in(page), signed_in(other)].count(True) == 1


def signed_in(page: Page) -> bool:
    found: bool = page.evaluate("fetch('/api/console').then((response) => response.ok)")
    return found


# ---- money and limits


def test_the_ledger_is_paged_and_the_table_of_usage_is_a_file(admin: Tab, money: Server, tmp_path: Path) -> None:
    for n in range(60):
        assert call(money, "POST", "/api/credits", {"micro": n + 1, "note": f"gift {n}"}).status == 200
    page = admin.page
    admin.go("credits")
    lines = page.get_by_label("Table of the ledger").get_by_role("row")
    expect(lines).to_have_count(51)
    page.get_by_role("button", name="Older lines").click()
    expect(row(page, "the operator's own")).to_contain_text("+1,000,000.00")
    total = len(call(money, "GET", "/api/credits/lines?limit=500").body["data"])
    expect(lines).to_have_count(1 + min(total, 100))

    assert ask(money, KEY).status == 200
    admin.go("usage")
    with page.expect_download() as saving:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(Path(saving.value.path()).read_text().splitlines()))
    used = call(money, "GET", "/api/usage").body["data"]
    assert [int(one["micro"]) for one in rows] == [one["micro"] for one in used]
    spent = sum(one["micro"] for one in used)
    expect(figure(page, "Spent")).to_have_text(shown(spent))
    page.get_by_role("radio", name="Tokens").click()
    text_out = sum(one["output_text"] for one in used)
    expect(row(page, "Text out")).to_contain_text(f"{text_out:,}")


def test_prices_are_searched_and_set_exactly(admin: Tab, money: Server) -> None:
    page = admin.page
    admin.go("prices")
    page.get_by_placeholder("Search for a model").fill("gpt-live")
    expect(page.get_by_label("Table of prices").get_by_role("row")).to_have_count(2)
    page.get_by_role("button", name="Set the price of gpt-live-transcribe").click()
    dialog = form(page)
    dialog.get_by_label("Text in", exact=True).fill("0.300001")
    dialog.get_by_label("A minute").fill("0.1234567")
    dialog.get_by_role("button", name="Set the price").click()
    expect(dialog.locator("form")).to_be_visible()  # seven places are refused by the field
    dialog.get_by_label("A minute").fill("0.29")
    dialog.get_by_role("button", name="Set the price").click()
    expect(row(page, "set here")).to_contain_text("0.300001")
    own = [price for price in call(money, "GET", "/api/prices").body["data"] if price["own"]]
    assert [(price["model"], price["input_text"], price["minute"]) for price in own] == [
        ("gpt-live-transcribe", 300_001, 290_000)
    ]


def test_limits_of_the_account_and_of_a_key(admin: Tab, browser: Browser, open_tab: OpenTab, money: Server) -> None:
    email = next(addresses)
    let_in(admin, email)
    page = admin.page
    row(page, email).get_by_role("link", name="Limits").click()
    expect(page.get_by_text("No limits are set")).to_be_visible()
    page.get_by_role("button", name="Set limits").click()
    page.get_by_label("Requests a minute", exact=True).select_option("this number")
    page.get_by_role("button", name="Set the limits").click()
    expect(page.get_by_role("alert")).to_contain_text("Write a number")
    page.get_by_label("Requests a minute: number").fill("60")
    page.get_by_role("button", name="Set the limits").click()
    expect(row(page, "the account")).to_contain_text("60")

    page.go_back()
    row(page, email).get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill("narrow")
    page.get_by_label("Budget in credits").fill("2.5")
    page.get_by_text("Limits of its own").click()
    page.get_by_label("Sessions at once").fill("2")
    page.get_by_text("Only some models or voices").click()
    page.get_by_label("gpt-realtime", exact=True).check()
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="I have copied it").click()
    expect(row(page, "narrow")).to_contain_text("2 at once")
    expect(row(page, "narrow")).to_contain_text("2.50")
    page.get_by_role("button", name="More budget for narrow").click()
    form(page).get_by_label("Credits").fill("0.000001")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(row(page, "narrow")).to_contain_text("2.500001")
    page.get_by_role("button", name="Change narrow").click()
    expect(page.get_by_label("gpt-realtime", exact=True)).to_be_checked()
    page.get_by_label("Sessions at once").fill("")
    page.get_by_role("button", name="Save").click()
    expect(row(page, "narrow")).not_to_contain_text("at once")


# ---- for everybody


def test_a_key_is_made_by_keyboard_alone(admin: Tab) -> None:
    page = admin.page
    admin.go("api-keys")
    page.get_by_role("button", name="New key").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.locator("parley-once code").first).to_have_text(re.compile("^sk-gptr2-"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(row(page, "by hand")).to_be_visible()


def test_a_phone_reaches_every_page(browser: Browser, open_tab: OpenTab, money: Server) -> None:
    tab = open_tab(browser, money)
    page = tab.open()
    page.set_viewport_size(PHONE)
    for name in DESK_PAGES:
        page.get_by_role("button", name="More").press("Enter")
        menu = page.locator("#more")
        expect(menu).to_be_visible()
        menu.locator(f"a[href='/console/{name}']").click()
        expect(menu).to_be_hidden()
        page.wait_for_selector(f"parley-{name}-page")
        page.wait_for_timeout(200)
        wide = page.evaluate("document.scrollingElement.scrollWidth")
        assert wide <= PHONE["width"], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(scheme: str, browser: Browser, open_tab: OpenTab, money: Server) -> None:
    tab = open_tab(browser, money, color_scheme=scheme)
    page = tab.page
    page.goto(f"{money.url}/console/")
    page.get_by_role("radio", name="E-mail").click()
    found = {"sign-in": violations(page)}
    page.evaluate("localStorage.clear()")
    tab.open()
    for name in DESK_PAGES:
        tab.go(name)
        page.wait_for_timeout(300)
        found[name] = violations(page)
    for name, button in (
        ("api-keys", "New key"), ("credits", "Top up"), ("limits", "Set limits"), ("prices", "Set a price"), ("users", "New user"),
    ):  # fmt: skip
        tab.go(name)
        page.get_by_role("button", name=button).click()
        page.wait_for_timeout(400)
        found[f"{name}: {button}"] = violations(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
    tab.go("usage")
    page.locator("input[type=date]").first.fill(days_ago(301))
    page.locator("input[type=date]").last.fill(days_ago(300))
    expect(page.get_by_text("Nothing was used")).to_be_visible()
    found["usage: empty"] = violations(page)
    page.set_viewport_size(PHONE)
    page.get_by_role("button", name="More").click()
    found["phone: more"] = violations(page)
    page.keyboard.press("Escape")
    for name in DESK_PAGES if scheme == "light" else ():  # a phone has the same colours
        page.goto(f"{money.url}/console/{name}")
        page.wait_for_selector(f"parley-{name}-page")
        page.wait_for_timeout(300)
        found[f"phone: {name}"] = violations(page)
    problems = [f"{name}: {one}" for name, what in found.items() for one in what]
    assert not problems, "\n".join(problems)
