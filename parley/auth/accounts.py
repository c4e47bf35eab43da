"""Accounts, the people in them, their projects, and how they sign in.

An account owns credits; a person belongs to one, a project divides one. A person signs in by a one-time link or with a
password, and is then known by a token that lasts some weeks, until it is ended. Of tokens only HMAC-SHA256 is stored,
under the pepper of this installation; of passwords, argon2id.

Somebody who may not know about a thing is told what somebody would be told about a thing that is not there.
"""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from parley.errors import RequestError
from parley.ids import new_id
from parley.storage import Row, Script, Sql, Storage, Taken

if TYPE_CHECKING:
    import argon2

TOKEN_BYTES: Final = 32
SESSION_S: Final = 30 * 86_400
"""How long a sign-in lasts."""
SEEN_S: Final = 300
"""A session's last use is written down no more often than this."""
LINK_S: Final = 86_400
"""How long a one-time link waits to be used."""
PASSWORD_CHARS_MIN: Final = 10
PASSWORD_CHARS_MAX: Final = 1_000
EMAIL_CHARS_MAX: Final = 254
NAME_CHARS_MAX: Final = 200
AGENT_CHARS_MAX: Final = 200
HASHES_MAX: Final = 2
"""Passwords that are hashed at once: each takes 64 MiB and a fifth of a second."""

EMAIL: Final = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")

Role = Literal["admin", "user"]


class User(NamedTuple):
    """A person. Moments are milliseconds of Unix time."""

    id: str
    account: str
    email: str
    name: str
    role: Role
    created_at: int
    disabled_at: int | None


class Project(NamedTuple):
    id: str
    account: str
    name: str
    created_at: int
    archived_at: int | None


class Account(NamedTuple):
    """`markup_bp`: what it pays on top of prices, in basis points. `limits`: see `auth.limits`."""

    id: str
    name: str
    markup_bp: int
    created_at: int
    limits: Mapping[str, int | None]


class Session(NamedTuple):
    """A sign-in that lasts. `agent` is what the browser said it was."""

    id: str
    user: User
    agent: str
    created_at: int
    seen_at: int
    expires_at: int


class SignedIn(NamedTuple):
    """A new session, and its token: the only time that it is seen."""

    token: str
    session: Session


USER_FIELDS: Final = ", ".join(f"u.{name}" for name in User._fields)
PROJECT_FIELDS: Final = ", ".join(Project._fields)
ACCOUNT_FIELDS: Final = ", ".join(Account._fields)
SESSION_FIELDS: Final = "s.id, s.agent, s.created_at, s.seen_at, s.expires_at"


class Accounts:
    """`now` is Unix seconds. Methods raise `EngineError` with `storage_unavailable`, and `RequestError` as told."""

    def __init__(
        self,
        storage: Storage,
        pepper: bytes,
        hasher: "argon2.PasswordHasher | None" = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._storage = storage
        self._key = hmac.digest(pepper, b"parley sign-in", hashlib.sha256)
        self._given = hasher
        self._nobody: str | None = None
        """Checked when there is nobody to check, so that it takes as long."""
        self._hashing = asyncio.Semaphore(HASHES_MAX)
        self._now = now

    # ---- people

    async def create_user(
        self,
        email: str,
        name: str = "",
        role: Role = "user",
        *,
        account: str | None = None,
        password: str | None = None,
    ) -> User:
        """A person, in an account of their own unless one is named.

        Raises `invalid_value`, `email_taken`, `account_not_found`.
        """
        email = _email(email)
        name = _name(name or email.partition("@")[0])
        hashed = None if password is None else await self._hash(password)
        at = self._ms()
        user = User(new_id("user"), account or new_id("acc"), email, name, role, at, None)
        try:
            await self._storage.transaction(_create_user, user, hashed, new_account=account is None)
        except Taken as error:
            raise RequestError(
                "email_taken", f"There is somebody with the address {email!r} already.", "email"
            ) from error
        return user

    async def user(self, id: str) -> User:
        """Raises `user_not_found`."""
        return await self._storage.read(_one_user, "u.id", id)

    async def user_by_email(self, email: str) -> User:
        """Raises `user_not_found`."""
        return await self._storage.read(_one_user, "u.email", email.strip().lower())

    async def users(self, account: str | None = None) -> list[User]:
        """Of one account, or all of them; oldest first."""
        return await self._storage.read(_users, account)

    async def set_role(self, id: str, role: Role) -> None:
        """Raises `user_not_found`, and `last_admin` for the last one."""
        await self._storage.transaction(_set_role, id, role)

    async def disable(self, id: str) -> None:
        """Ends their sessions; their keys are refused. Raises `user_not_found`, and `last_admin` for the last one."""
        await self._storage.transaction(_disable, id, self._ms())

    async def enable(self, id: str) -> None:
        """Raises `user_not_found`."""
        await self._storage.transaction(_enable, id)

    # ---- accounts and projects

    async def account(self, id: str) -> Account:
        """Raises `account_not_found`."""
        return await self._storage.read(_one_account, id)

    async def set_markup(self, id: str, markup_bp: int) -> None:
        """Raises `account_not_found`."""
        await self._storage.transaction(_set_markup, id, markup_bp)

    async def set_limits(self, id: str, limits: Mapping[str, int | None]) -> None:
        """Instead of what the settings say for all: names of `auth.limits.LimitRules`; None lifts a limit.

        Raises `account_not_found`.
        """
        await self._storage.transaction(_set_limits, id, json.dumps(dict(limits)))

    async def create_project(self, account: str, name: str) -> Project:
        """Raises `invalid_value`, `account_not_found`."""
        project = Project(new_id("proj"), account, _name(name), self._ms(), None)
        await self._storage.transaction(_create_project, project)
        return project

    async def projects(self, account: str) -> list[Project]:
        """Those that are not archived, oldest first."""
        return await self._storage.read(_projects, account)

    async def archive_project(self, account: str, id: str) -> None:
        """Raises `project_not_found`."""
        await self._storage.transaction(_archive_project, account, id, self._ms())

    # ---- signing in

    async def set_password(self, id: str, password: str) -> None:
        """And ends every session of theirs. Raises `user_not_found`, `invalid_value`."""
        await self._storage.transaction(_set_password, id, await self._hash(password))

    async def sign_in(self, email: str, password: str, agent: str = "") -> SignedIn:
        """Raises `invalid_sign_in`, whatever is wrong, and after the same time."""
        user, hashed = await self._storage.read(_password, email.strip().lower())
        if self._nobody is None:
            self._nobody = await self._hash(secrets.token_urlsafe())
        good = await self._verify(hashed or self._nobody, password)
        if user is None or hashed is None or not good or user.disabled_at is not None:
            raise RequestError("invalid_sign_in", "The address or the password is wrong.")
        if self._hasher.check_needs_rehash(hashed):
            await self._storage.transaction(_rehash, user.id, hashed, await self._hash(password))
        return await self._begin(user, agent)

    async def sign_in_as(self, user: User, agent: str = "") -> SignedIn:
        """For who was recognised elsewhere (OIDC)."""
        return await self._begin(user, agent)

    async def new_link(self, id: str, seconds: int = LINK_S) -> str:
        """The token of a link that signs this person in, once. Raises `user_not_found`."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        await self._storage.transaction(_new_link, id, self._digest(token), self._ms() + seconds * 1_000, self._ms())
        return token

    async def use_link(self, token: str, agent: str = "") -> SignedIn:
        """Of many who use it at once, one gets in. Raises `sign_in_required`."""
        user = await self._storage.transaction(_use_link, self._digest(token), self._ms())
        if user is None:
            raise RequestError("sign_in_required", "This sign-in link was already used or has expired.")
        return await self._begin(user, agent)

    async def session(self, token: str) -> Session:
        """Whose token this is. Raises `sign_in_required`."""
        digest, at = self._digest(token), self._ms()
        found = await self._storage.read(_session, digest, at)
        if found is None:
            raise RequestError("sign_in_required", "Sign in: you were not, or it was too long ago.")
        if at - found.seen_at >= SEEN_S * 1_000:
            await self._storage.transaction(_seen, digest, at)
        return found

    async def sessions(self, user: str) -> list[Session]:
        """Those that last, newest first."""
        return await self._storage.read(_sessions, user, self._ms())

    async def end_session(self, user: str, id: str) -> None:
        """Nothing happens to somebody else's."""
        await self._storage.transaction(_end_session, user, id)

    async def end_sessions(self, user: str) -> None:
        """Everywhere."""
        await self._storage.transaction(_end_sessions, user)

    async def sweep(self) -> None:
        """Forgets sessions and links that are over."""
        await self._storage.transaction(_sweep, self._ms())

    # ---- who they are elsewhere

    async def link_identity(self, issuer: str, subject: str, user: str) -> None:
        """Raises `identity_taken`."""
        try:
            await self._storage.transaction(_link_identity, issuer, subject, user)
        except Taken as error:
            raise RequestError("identity_taken", "This identity belongs to somebody already.") from error

    async def by_identity(self, issuer: str, subject: str) -> User | None:
        """None: nobody, or somebody who may not come in any more."""
        return await self._storage.read(_by_identity, issuer, subject)

    # ---- inside

    @cached_property
    def _hasher(self) -> "argon2.PasswordHasher":
        import argon2  # who never sees a password need not carry it

        return self._given or argon2.PasswordHasher()

    async def _begin(self, user: User, agent: str) -> SignedIn:
        token, at = secrets.token_urlsafe(TOKEN_BYTES), self._ms()
        session = Session(new_id("login"), user, agent[:AGENT_CHARS_MAX], at, at, at + SESSION_S * 1_000)
        await self._storage.transaction(_begin_session, self._digest(token), session)
        return SignedIn(token, session)

    async def _hash(self, password: str) -> str:
        if not PASSWORD_CHARS_MIN <= len(password) <= PASSWORD_CHARS_MAX:
            raise RequestError(
                "invalid_value", f"A password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters.", "password"
            )
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _verify(self, hashed: str, password: str) -> bool:
        from argon2.exceptions import VerifyMismatchError

        if len(password) > PASSWORD_CHARS_MAX:
            return False
        async with self._hashing:
            try:
                return await asyncio.to_thread(self._hasher.verify, hashed, password)
            except VerifyMismatchError:
                return False

    def _digest(self, token: str) -> str:
        return hmac.digest(self._key, token.encode(), hashlib.sha256).hex()

    def _ms(self) -> int:
        return int(self._now() * 1_000)


def _email(email: str) -> str:
    email = email.strip().lower()
    if not EMAIL.fullmatch(email) or len(email) > EMAIL_CHARS_MAX:
        raise RequestError("invalid_value", "This is not an e-mail address.", "email")
    return email


def _name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable():
        raise RequestError("invalid_value", f"A name has 1 to {NAME_CHARS_MAX} printable characters.", "name")
    return name


# ---- scripts


def _user_of(row: Row) -> User:
    return User(*row[: len(User._fields)])


def _create_user(user: User, password: str | None, new_account: bool) -> Script[None]:
    if new_account:
        yield Sql(
            "INSERT INTO account (id, name, markup_bp, created_at) VALUES ($1, $2, 0, $3)",
            (user.account, user.name, user.created_at),
        )
    else:
        yield from _one_account(user.account)
    yield Sql(
        "INSERT INTO auth_user (id, account, email, name, role, created_at, disabled_at, password) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (*user, password),
    )


def _one_user(column: str, value: str) -> Script[User]:
    rows = yield Sql(f"SELECT {USER_FIELDS} FROM auth_user u WHERE {column} = $1", (value,))  # noqa: S608
    if not rows:
        raise RequestError("user_not_found", "There is no such person.")
    return _user_of(rows[0])


def _users(account: str | None) -> Script[list[User]]:
    chosen = "" if account is None else "WHERE u.account = $1 "
    args = () if account is None else (account,)
    rows = yield Sql(f"SELECT {USER_FIELDS} FROM auth_user u {chosen}ORDER BY u.created_at, u.id", args)  # noqa: S608
    return [_user_of(row) for row in rows]


def _lock_admins() -> Script[list[str]]:
    """Those who may come in. Two who take each other's role away wait for one another."""
    rows = yield Sql("SELECT id FROM auth_user WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR UPDATE")
    return [str(row[0]) for row in rows]


def _keep_an_admin(id: str) -> Script[None]:
    admins = yield from _lock_admins()
    if admins == [id]:
        raise RequestError("last_admin", "This is the last administrator; make another one first.")


def _set_role(id: str, role: Role) -> Script[None]:
    yield from _one_user("u.id", id)
    if role != "admin":
        yield from _keep_an_admin(id)
    yield Sql("UPDATE auth_user SET role = $2 WHERE id = $1", (id, role))


def _disable(id: str, at: int) -> Script[None]:
    yield from _one_user("u.id", id)
    yield from _keep_an_admin(id)
    yield Sql("UPDATE auth_user SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL", (id, at))
    yield from _end_sessions(id)
    yield Sql("DELETE FROM auth_link WHERE auth_user = $1", (id,))


def _enable(id: str) -> Script[None]:
    yield from _one_user("u.id", id)
    yield Sql("UPDATE auth_user SET disabled_at = NULL WHERE id = $1", (id,))


def _one_account(id: str) -> Script[Account]:
    rows = yield Sql(f"SELECT {ACCOUNT_FIELDS} FROM account WHERE id = $1", (id,))  # noqa: S608
    if not rows:
        raise RequestError("account_not_found", "There is no such account.")
    return Account(*rows[0])._replace(limits=json.loads(rows[0][-1]))


def _set_markup(id: str, markup_bp: int) -> Script[None]:
    yield from _one_account(id)
    yield Sql("UPDATE account SET markup_bp = $2 WHERE id = $1", (id, markup_bp))


def _set_limits(id: str, limits: str) -> Script[None]:
    yield from _one_account(id)
    yield Sql("UPDATE account SET limits = $2 WHERE id = $1", (id, limits))


def _create_project(project: Project) -> Script[None]:
    yield from _one_account(project.account)
    yield Sql(f"INSERT INTO project ({PROJECT_FIELDS}) VALUES ($1, $2, $3, $4, $5)", project)  # noqa: S608


def _projects(account: str) -> Script[list[Project]]:
    rows = yield Sql(
        f"SELECT {PROJECT_FIELDS} FROM project WHERE account = $1 AND archived_at IS NULL ORDER BY created_at, id",  # noqa: S608
        (account,),
    )
    return [Project(*row) for row in rows]


def _archive_project(account: str, id: str, at: int) -> Script[None]:
    rows = yield Sql(
        "UPDATE project SET archived_at = $3 WHERE account = $1 AND id = $2 AND archived_at IS NULL RETURNING id",
        (account, id, at),
    )
    if not rows:
        raise RequestError("project_not_found", "There is no such project.")


def _set_password(id: str, hashed: str) -> Script[None]:
    yield from _one_user("u.id", id)
    yield Sql("UPDATE auth_user SET password = $2 WHERE id = $1", (id, hashed))
    yield from _end_sessions(id)


def _rehash(id: str, old: str, new: str) -> Script[None]:
    yield Sql("UPDATE auth_user SET password = $3 WHERE id = $1 AND password = $2", (id, old, new))


def _password(email: str) -> Script[tuple[User | None, str | None]]:
    rows = yield Sql(f"SELECT {USER_FIELDS}, u.password FROM auth_user u WHERE u.email = $1", (email,))  # noqa: S608
    return (_user_of(rows[0]), rows[0][-1]) if rows else (None, None)


def _new_link(id: str, digest: str, expires_at: int, at: int) -> Script[None]:
    user = yield from _one_user("u.id", id)
    if user.disabled_at is not None:
        raise RequestError("user_not_found", "There is no such person.")
    yield Sql("INSERT INTO auth_link (digest, auth_user, expires_at) VALUES ($1, $2, $3)", (digest, id, expires_at))


def _use_link(digest: str, at: int) -> Script[User | None]:
    rows = yield Sql("DELETE FROM auth_link WHERE digest = $1 AND expires_at > $2 RETURNING auth_user", (digest, at))
    if not rows:
        return None
    user = yield from _one_user("u.id", rows[0][0])
    return user if user.disabled_at is None else None


def _begin_session(digest: str, session: Session) -> Script[None]:
    yield Sql(
        "INSERT INTO auth_session (digest, id, auth_user, agent, created_at, seen_at, expires_at) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            digest, session.id, session.user.id, session.agent, session.created_at, session.seen_at,
            session.expires_at,
        ),
    )  # fmt: skip


def _read_sessions(where: str, *args: object) -> Script[list[Session]]:
    rows = yield Sql(
        f"SELECT {USER_FIELDS}, {SESSION_FIELDS} FROM auth_session s JOIN auth_user u ON u.id = s.auth_user "  # noqa: S608
        f"WHERE {where} AND s.expires_at > $2 AND u.disabled_at IS NULL ORDER BY s.created_at DESC, s.id",
        args,
    )
    return [Session(row[-5], _user_of(row), *row[-4:]) for row in rows]


def _session(digest: str, at: int) -> Script[Session | None]:
    found = yield from _read_sessions("s.digest = $1", digest, at)
    return found[0] if found else None


def _sessions(user: str, at: int) -> Script[list[Session]]:
    return (yield from _read_sessions("s.auth_user = $1", user, at))


def _seen(digest: str, at: int) -> Script[None]:
    yield Sql("UPDATE auth_session SET seen_at = $2 WHERE digest = $1", (digest, at))


def _end_session(user: str, id: str) -> Script[None]:
    yield Sql("DELETE FROM auth_session WHERE auth_user = $1 AND id = $2", (user, id))


def _end_sessions(user: str) -> Script[None]:
    yield Sql("DELETE FROM auth_session WHERE auth_user = $1", (user,))


def _sweep(at: int) -> Script[None]:
    yield Sql("DELETE FROM auth_session WHERE expires_at <= $1", (at,))
    yield Sql("DELETE FROM auth_link WHERE expires_at <= $1", (at,))


def _link_identity(issuer: str, subject: str, user: str) -> Script[None]:
    yield from _one_user("u.id", user)
    yield Sql("INSERT INTO auth_identity (issuer, subject, auth_user) VALUES ($1, $2, $3)", (issuer, subject, user))


def _by_identity(issuer: str, subject: str) -> Script[User | None]:
    rows = yield Sql(
        f"SELECT {USER_FIELDS} FROM auth_identity i JOIN auth_user u ON u.id = i.auth_user "  # noqa: S608
        "WHERE i.issuer = $1 AND i.subject = $2 AND u.disabled_at IS NULL",
        (issuer, subject),
    )
    return _user_of(rows[0]) if rows else None
