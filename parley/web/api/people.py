"""Who I am, my sign-ins, my password; and, for admins, everybody else."""

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from parley.auth.accounts import LINK_S, NAME_CHARS_MAX, PASSWORD_CHARS_MAX, Account, Project, Session, User
from parley.office import Office
from parley.web.api.operations import AccountQuery, Call, Nothing, Operation, Shown, Wire

MS: Final = 1_000
Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Password = Annotated[str, Meta(max_length=PASSWORD_CHARS_MAX)]


class Person(Shown):
    id: str
    account: str
    email: str
    name: str
    role: Literal["admin", "user"]
    created_at: int
    disabled_at: int | None


class People(Shown):
    data: list[Person]


class Me(Shown):
    user: Person
    account: str
    markup_bp: int
    """What the account pays on top of prices, in hundredths of a percent."""


class SignIn(Shown):
    """`current`: the one that this request was sent with."""

    id: str
    current: bool
    agent: str
    created_at: int
    seen_at: int
    expires_at: int


class SignIns(Shown):
    data: list[SignIn]


class NewPassword(Wire):
    password: Password


class NewPerson(Wire):
    """Without an `account` they get one of their own. Without a `password` they sign in by the link that comes back."""

    email: str
    name: Annotated[str, Meta(max_length=NAME_CHARS_MAX)] = ""
    role: Literal["admin", "user"] = "user"
    account: str | None = None
    password: Password | None = None


class Link(Shown):
    """The token goes into the fragment of the console's address: ``/console/#sign-in=TOKEN``. It signs in once."""

    token: str
    expires_in: int


class NewlyMade(Shown):
    user: Person
    link: Link


class PersonChange(Wire):
    role: Literal["admin", "user"] | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class Named(Wire):
    name: Name


class ProjectShown(Shown):
    id: str
    name: str
    created_at: int


class Projects(Shown):
    data: list[ProjectShown]


class AccountChange(Wire):
    markup_bp: Annotated[int, Meta(ge=-10_000, le=1_000_000)]


class AccountShown(Shown):
    id: str
    name: str
    markup_bp: int
    created_at: int


class Desk:
    def __init__(self, office: Office) -> None:
        self._accounts = office.accounts

    def operations(self) -> list[Operation]:
        return [
            Operation("GET", "/api/me", "Who I am", self.me, Me),
            Operation("PUT", "/api/me/password", "Set my password", self.set_password, Nothing, NewPassword),
            Operation("GET", "/api/me/sign-ins", "Where I am signed in", self.sign_ins, SignIns),
            Operation("DELETE", "/api/me/sign-ins/{sign_in_id}", "Sign out there", self.end_sign_in, Nothing),
            Operation("GET", "/api/projects", "Projects", self.projects, Projects),
            Operation("POST", "/api/projects", "Make a project", self.create_project, ProjectShown, Named, status=201),
            Operation("DELETE", "/api/projects/{project_id}", "Archive a project", self.archive_project, Nothing),
            Operation("GET", "/api/users", "Everybody", self.users, People, query=AccountQuery, role="admin"),
            Operation(
                "POST", "/api/users", "Let somebody in", self.create_user, NewlyMade, NewPerson,
                role="admin", status=201,
            ),
            Operation(
                "PATCH", "/api/users/{user_id}", "Change a role, or lock somebody out", self.change_user, Person,
                PersonChange, role="admin",
            ),
            Operation(
                "POST", "/api/users/{user_id}/link", "A new one-time sign-in link", self.create_link, Link, role="admin"
            ),
            Operation(
                "GET", "/api/accounts/{account_id}", "An account", self.account, AccountShown, role="admin"
            ),
            Operation(
                "PATCH", "/api/accounts/{account_id}", "Change an account's mark-up", self.change_account, AccountShown,
                AccountChange, role="admin",
            ),
        ]  # fmt: skip

    async def me(self, call: Call) -> Me:
        user = call.caller.user
        account = await self._accounts.account(user.account)
        return Me(user=person(user), account=account.id, markup_bp=account.markup_bp)

    async def set_password(self, call: Call) -> Nothing:
        await self._accounts.set_password(call.caller.user.id, call.body.password)
        return Nothing()

    async def sign_ins(self, call: Call) -> SignIns:
        sessions = await self._accounts.sessions(call.caller.user.id)
        return SignIns(data=[_sign_in(one, call.caller.sign_in) for one in sessions])

    async def end_sign_in(self, call: Call) -> Nothing:
        await self._accounts.end_session(call.caller.user.id, call.ids["sign_in_id"])
        return Nothing()

    async def projects(self, call: Call) -> Projects:
        return Projects(data=[_project(one) for one in await self._accounts.projects(call.account)])

    async def create_project(self, call: Call) -> ProjectShown:
        return _project(await self._accounts.create_project(call.account, call.body.name))

    async def archive_project(self, call: Call) -> Nothing:
        await self._accounts.archive_project(call.account, call.ids["project_id"])
        return Nothing()

    async def users(self, call: Call) -> People:
        return People(data=[person(user) for user in await self._accounts.users(call.query.account)])

    async def create_user(self, call: Call) -> NewlyMade:
        asked: NewPerson = call.body
        user = await self._accounts.create_user(
            asked.email, asked.name, asked.role, account=asked.account, password=asked.password
        )
        return NewlyMade(user=person(user), link=await self._link(user.id))

    async def change_user(self, call: Call) -> Person:
        id, asked = call.ids["user_id"], call.body
        if asked.role is not UNSET:
            await self._accounts.set_role(id, asked.role)
        if asked.disabled is not UNSET:
            await (self._accounts.disable(id) if asked.disabled else self._accounts.enable(id))
        return person(await self._accounts.user(id))

    async def create_link(self, call: Call) -> Link:
        return await self._link(call.ids["user_id"])

    async def account(self, call: Call) -> AccountShown:
        return _account(await self._accounts.account(call.ids["account_id"]))

    async def change_account(self, call: Call) -> AccountShown:
        await self._accounts.set_markup(call.ids["account_id"], call.body.markup_bp)
        return await self.account(call)

    async def _link(self, user: str) -> Link:
        return Link(token=await self._accounts.new_link(user), expires_in=LINK_S)


def person(user: User) -> Person:
    return Person(
        id=user.id, account=user.account, email=user.email, name=user.name, role=user.role,
        created_at=user.created_at // MS, disabled_at=None if user.disabled_at is None else user.disabled_at // MS,
    )  # fmt: skip


def _sign_in(session: Session, current: str | None) -> SignIn:
    return SignIn(
        id=session.id,
        current=session.id == current,
        agent=session.agent,
        created_at=session.created_at // MS,
        seen_at=session.seen_at // MS,
        expires_at=session.expires_at // MS,
    )  # fmt: skip


def _project(project: Project) -> ProjectShown:
    return ProjectShown(id=project.id, name=project.name, created_at=project.created_at // MS)


def _account(account: Account) -> AccountShown:
    return AccountShown(
        id=account.id, name=account.name, markup_bp=account.markup_bp, created_at=account.created_at // MS
    )
