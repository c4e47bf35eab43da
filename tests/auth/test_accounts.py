"""People, accounts, projects, sign-ins, on both databases."""

import asyncio
import sqlite3
from pathlib import Path

import argon2
import pytest

from parley.auth.accounts import LINK_S, PASSWORD_CHARS_MIN, SEEN_S, SESSION_S, Accounts, SignedIn, User
from parley.errors import RequestError
from parley.storage import Script, Sql, Storage, open_storage
from tests.databases import Clock

PASSWORD = "correct horse"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""So that the tests do not heat the room."""


@pytest.fixture
def accounts(storage: Storage, clock: Clock) -> Accounts:
    return Accounts(storage, b"pepper", CHEAP, clock)


async def code_of(awaitable: object) -> str:
    with pytest.raises(RequestError) as caught:
        await awaitable  # type: ignore[misc]
    return caught.value.code


async def test_a_person_has_an_account_of_their_own(accounts: Accounts) -> None:
    ann = await accounts.create_user(" Ann@Example.org ", role="admin")
    bob = await accounts.create_user("bob@example.org", "Bob")
    assert (ann.email, ann.name, ann.role) == ("ann@example.org", "ann", "admin")
    assert ann.account != bob.account
    assert (await accounts.account(ann.account)).markup_bp == 0
    assert await accounts.users() == [ann, bob] or await accounts.users() == [bob, ann]
    assert await accounts.user(ann.id) == await accounts.user_by_email("ANN@example.org") == ann


async def test_people_may_share_an_account(accounts: Accounts) -> None:
    ann = await accounts.create_user("ann@example.org")
    bob = await accounts.create_user("bob@example.org", account=ann.account)
    assert bob.account == ann.account
    assert {user.id for user in await accounts.users(ann.account)} == {ann.id, bob.id}
    assert await code_of(accounts.create_user("c@example.org", account="acc_none")) == "account_not_found"


async def test_an_address_is_taken_once_also_at_once(accounts: Accounts) -> None:
    made = await asyncio.gather(*(accounts.create_user("ann@example.org") for _ in range(5)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["RequestError"] * 4 + ["User"]
    assert {one.code for one in made if isinstance(one, RequestError)} == {"email_taken"}
    assert len(await accounts.users()) == 1


@pytest.mark.parametrize("email", ["", "ann", "a@b@c", "a b@c", "@", "x" * 250 + "@example.org"])
async def test_what_is_no_address(accounts: Accounts, email: str) -> None:
    assert await code_of(accounts.create_user(email)) == "invalid_value"


async def test_sign_in_with_a_password(accounts: Accounts, clock: Clock) -> None:
    ann = await accounts.create_user("ann@example.org", password=PASSWORD)
    signed = await accounts.sign_in("Ann@example.org", PASSWORD, "Firefox")
    session = await accounts.session(signed.token)
    assert (session.user, session.agent, session.id) == (ann, "Firefox", signed.session.id)
    for email, password in (("ann@example.org", "wrong horse"), ("nobody@example.org", PASSWORD), ("", "")):
        assert await code_of(accounts.sign_in(email, password)) == "invalid_sign_in"
    assert await code_of(accounts.sign_in("ann@example.org", "x" * 2_000)) == "invalid_sign_in"
    clock.seconds += SESSION_S
    assert await code_of(accounts.session(signed.token)) == "sign_in_required"


async def test_who_has_no_password_cannot_use_one(accounts: Accounts) -> None:
    ann = await accounts.create_user("ann@example.org")
    assert await code_of(accounts.sign_in("ann@example.org", "")) == "invalid_sign_in"
    await accounts.set_password(ann.id, PASSWORD)
    assert (await accounts.sign_in("ann@example.org", PASSWORD)).session.user == ann


async def test_a_new_password_ends_what_the_old_one_began(accounts: Accounts) -> None:
    ann = await accounts.create_user("ann@example.org", password=PASSWORD)
    signed = await accounts.sign_in("ann@example.org", PASSWORD)
    assert await code_of(accounts.set_password(ann.id, "x" * (PASSWORD_CHARS_MIN - 1))) == "invalid_value"
    await accounts.set_password(ann.id, "battery staple")
    assert await code_of(accounts.session(signed.token)) == "sign_in_required"
    assert await code_of(accounts.sign_in("ann@example.org", PASSWORD)) == "invalid_sign_in"


async def test_a_hash_is_renewed_when_it_has_become_too_cheap(storage: Storage) -> None:
    def hashes() -> Script[list[str]]:
        rows = yield Sql("SELECT password FROM auth_user")
        return [row[0] for row in rows]

    await Accounts(storage, b"pepper", CHEAP).create_user("ann@example.org", password=PASSWORD)
    before = await storage.read(hashes)
    dearer = Accounts(storage, b"pepper", argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    await dearer.sign_in("ann@example.org", PASSWORD)
    after = await storage.read(hashes)
    assert "t=1" in before[0]
    assert "t=2" in after[0]


async def test_a_link_signs_in_once(accounts: Accounts, clock: Clock) -> None:
    ann = await accounts.create_user("ann@example.org", role="admin")
    token = await accounts.new_link(ann.id)
    came = await asyncio.gather(*(accounts.use_link(token) for _ in range(5)), return_exceptions=True)
    (signed,) = [one for one in came if isinstance(one, SignedIn)]
    assert (await accounts.session(signed.token)).user == ann
    assert {one.code for one in came if isinstance(one, RequestError)} == {"sign_in_required"}
    late = await accounts.new_link(ann.id)
    clock.seconds += LINK_S
    assert await code_of(accounts.use_link(late)) == "sign_in_required"
    assert await code_of(accounts.use_link("made up")) == "sign_in_required"
    assert await code_of(accounts.new_link("user_none")) == "user_not_found"


async def test_sessions_are_listed_and_ended_by_whom_they_belong_to(accounts: Accounts, clock: Clock) -> None:
    ann = await accounts.create_user("ann@example.org")
    bob = await accounts.create_user("bob@example.org")
    one = await accounts.sign_in_as(ann, "one")
    clock.seconds += 1
    two = await accounts.sign_in_as(ann, "two" * 200)
    assert [session.id for session in await accounts.sessions(ann.id)] == [two.session.id, one.session.id]
    await accounts.end_session(bob.id, one.session.id)
    assert (await accounts.session(one.token)).user == ann
    await accounts.end_session(ann.id, one.session.id)
    assert await code_of(accounts.session(one.token)) == "sign_in_required"
    await accounts.end_sessions(ann.id)
    assert await accounts.sessions(ann.id) == []


async def test_when_a_session_was_last_seen(accounts: Accounts, clock: Clock) -> None:
    signed = await accounts.sign_in_as(await accounts.create_user("ann@example.org"))
    clock.seconds += SEEN_S - 1
    await accounts.session(signed.token)
    assert (await accounts.session(signed.token)).seen_at == signed.session.seen_at
    clock.seconds += 1
    await accounts.session(signed.token)
    assert (await accounts.session(signed.token)).seen_at == signed.session.seen_at + SEEN_S * 1_000


async def test_who_is_disabled_is_out_at_once(accounts: Accounts) -> None:
    root = await accounts.create_user("root@example.org", role="admin")
    ann = await accounts.create_user("ann@example.org", password=PASSWORD)
    await accounts.link_identity("https://id.example.org", "17", ann.id)
    signed, link = await accounts.sign_in_as(ann), await accounts.new_link(ann.id)
    assert await accounts.by_identity("https://id.example.org", "17") == ann
    await accounts.disable(ann.id)
    assert await code_of(accounts.session(signed.token)) == "sign_in_required"
    assert await code_of(accounts.use_link(link)) == "sign_in_required"
    assert await code_of(accounts.sign_in("ann@example.org", PASSWORD)) == "invalid_sign_in"
    assert await code_of(accounts.new_link(ann.id)) == "user_not_found"
    assert await accounts.by_identity("https://id.example.org", "17") is None
    await accounts.enable(ann.id)
    assert (await accounts.sign_in("ann@example.org", PASSWORD)).session.user == ann
    assert (await accounts.user(root.id)).disabled_at is None


async def test_there_is_always_an_admin(accounts: Accounts) -> None:
    """Also when the last two take each other's role at the same moment."""
    users: list[User] = [await accounts.create_user(f"{name}@example.org", role="admin") for name in "ab"]
    came = await asyncio.gather(
        accounts.set_role(users[0].id, "user"), accounts.disable(users[1].id), return_exceptions=True
    )
    (refusal,) = [one for one in came if isinstance(one, RequestError)]
    assert refusal.code == "last_admin"
    left = [user for user in await accounts.users() if user.role == "admin" and user.disabled_at is None]
    assert len(left) == 1
    await accounts.set_role(left[0].id, "admin")


async def test_an_identity_belongs_to_one(accounts: Accounts) -> None:
    ann = await accounts.create_user("ann@example.org")
    await accounts.link_identity("https://id.example.org", "17", ann.id)
    assert await code_of(accounts.link_identity("https://id.example.org", "17", ann.id)) == "identity_taken"
    assert await accounts.by_identity("https://id.example.org", "18") is None


async def test_projects_of_an_account(accounts: Accounts) -> None:
    ann, bob = [await accounts.create_user(f"{name}@example.org") for name in ("ann", "bob")]
    phone = await accounts.create_project(ann.account, " Phone ")
    assert await accounts.projects(ann.account) == [phone]
    assert phone.name == "Phone"
    assert await accounts.projects(bob.account) == []
    assert await code_of(accounts.archive_project(bob.account, phone.id)) == "project_not_found"
    await accounts.archive_project(ann.account, phone.id)
    assert await accounts.projects(ann.account) == []
    assert await code_of(accounts.create_project(ann.account, " ")) == "invalid_value"
    assert await code_of(accounts.create_project("acc_none", "x")) == "account_not_found"


async def test_a_mark_up_belongs_to_the_account(accounts: Accounts) -> None:
    ann = await accounts.create_user("ann@example.org")
    await accounts.set_markup(ann.account, 2_500)
    assert (await accounts.account(ann.account)).markup_bp == 2_500
    assert await code_of(accounts.set_markup("acc_none", 0)) == "account_not_found"


async def test_what_is_over_is_swept(accounts: Accounts, storage: Storage, clock: Clock) -> None:
    def rows() -> Script[list[int]]:
        sessions = yield Sql("SELECT COUNT(*) FROM auth_session")
        links = yield Sql("SELECT COUNT(*) FROM auth_link")
        return [sessions[0][0], links[0][0]]

    ann = await accounts.create_user("ann@example.org")
    await accounts.sign_in_as(ann)
    await accounts.new_link(ann.id)
    await accounts.sweep()
    assert await storage.read(rows) == [1, 1]
    clock.seconds += SESSION_S
    await accounts.sweep()
    assert await storage.read(rows) == [0, 0]


async def test_no_token_and_no_password_lies_in_the_database(tmp_path: Path) -> None:
    storage = await open_storage(None, tmp_path)
    accounts = Accounts(storage, b"pepper", CHEAP)
    ann = await accounts.create_user("ann@example.org", password=PASSWORD)
    secrets = [PASSWORD, await accounts.new_link(ann.id), (await accounts.sign_in_as(ann)).token]
    await storage.close()
    with sqlite3.connect(tmp_path / "parley.db") as database:
        text = "\n".join(database.iterdump())
    database.close()
    written = text.encode() + b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert ann.email in text
    assert not [secret for secret in secrets if secret.encode() in written]
