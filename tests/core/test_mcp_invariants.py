"""The promises of `test_invariants` where MCP servers are called: histories that get as far as calls and approvals."""

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from parley.core import effects as f
from parley.core import events as e
from parley.core import inputs as i
from parley.core.events import AnyServerEvent
from tests.core.driver import new_session, tool_info
from tests.core.test_invariants import Watch

SERVER = {
    "type": "mcp",
    "server_label": "a",
    "server_url": "http://a/",
    "require_approval": {"never": {"read_only": True}},
}
UPDATES: dict[str, list[dict[str, Any]]] = {
    "keep": [SERVER],
    "move": [{**SERVER, "server_url": "http://b/"}],
    "remove": [],
}
LOOK, DO, F = ("a__look", 0), ("a__do", 1), ("f", 2)
USUAL: list[list[Any]] = [
    ["create", LOOK, "generated"],
    ["create", DO, "generated", "approve"],
    ["create", LOOK, DO, F, "generated"],
    ["returned", LOOK, "generated"],
    ["keep", "listed"],
]
SINGLE = [
    "create",
    "cancel",
    "generated",
    "returned",
    "lost",
    "approve",
    "refuse",
    "move",
    "remove",
    "speech",
    "silence",
]
STEPS = st.one_of(st.sampled_from(USUAL), st.sampled_from([*SINGLE, LOOK, DO, F]).map(lambda step: [step]))


class Story:
    """Takes each step about whatever runs at the time, and counts what came of it."""

    def __init__(self) -> None:
        self.session = new_session({"tools": [SERVER]})
        self.watch = Watch(self.session)
        self.watch.see = self.see  # type: ignore[method-assign]
        self.server = ""
        self.response = ""
        self.hearing: list[str] = []
        self.calls: list[str] = []
        self.called = 0
        self.questions: list[str] = []
        self.done: list[str] = []
        for effect in self.session.open():
            self.see(effect)
        self.take("listed")

    def take(self, step: Any) -> None:
        for event in self.events(step):
            self.watch.give(event)

    def events(self, step: Any) -> list[i.AnyInput]:
        match step:
            case (name, output):
                return [i.Called(work_id=self.response, output=output, name=name, arguments="{}")]
            case "listed":
                return [i.ToolsListed(work_id=self.server, tools=(tool_info("look"), tool_info("do!")))]
            case "create":
                return [e.ResponseCreate()]
            case "cancel":
                return [e.ResponseCancel()]
            case "generated":
                return [i.Generated(work_id=self.response)]
            case "returned":
                return [i.ToolReturned(work_id=self.server, call_id=self.calls.pop(), output="1")] if self.calls else []
            case "lost":
                return [i.Failed(work_id=self.server, code="backend_timeout", message="slow")]
            case "approve" | "refuse":
                return [self.answer(step == "approve")] if self.questions else []
            case "speech" | "silence":
                self.watch.sound(30, step == "speech")
                heard, self.hearing = self.hearing, []
                return [i.Transcribed(work_id=work_id, text="hello", final=True) for work_id in heard]
        return [e.SessionUpdate(session={"type": "realtime", "tools": UPDATES[step]})]

    def answer(self, approve: bool) -> e.ConversationItemCreate:
        question = self.questions.pop()
        item = {"type": "mcp_approval_response", "approval_request_id": question, "approve": approve}
        return e.ConversationItemCreate(item=item)

    def see(self, effect: f.AnyEffect) -> None:
        Watch.see(self.watch, effect)
        match effect:
            case f.Start(work=f.Attend(work_id=work_id)):
                self.server = work_id
            case f.Start(work=f.Transcribe(work_id=work_id)):
                self.hearing.append(work_id)
            case f.Start(work=f.Generate(work_id=work_id)):
                self.response = work_id
            case f.Tell(message=f.Call(call_id=call_id)):
                self.calls.append(call_id)
                self.called += 1
            case f.Send(event=event):
                self.hear(event)

    def hear(self, event: AnyServerEvent) -> None:
        match event:
            case e.ItemAdded(item=item) if item.id is not None and item.id.startswith("mcpr_"):
                self.questions.append(item.id)
            case e.ItemDone(item=item):
                assert item.id is not None and item.id not in self.done
                self.done.append(item.id)


def test_promises_hold_where_servers_are_called() -> None:
    called = asked = 0

    @settings(max_examples=300, deadline=None)
    @given(st.lists(STEPS, min_size=5, max_size=30))
    def check(history: list[list[Any]]) -> None:
        nonlocal called, asked
        story = Story()
        for step in (step for steps in history for step in steps):
            story.take(step)
        story.watch.close()
        called += story.called
        asked += len([item for item in story.done if item.startswith("mcpr_")])

    check()
    assert called > 20 and asked > 20, "the histories get that far"
