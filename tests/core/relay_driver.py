"""Drives a `Relay` by hand: an upstream's side and a client's side, as lists of plain events."""

from typing import Any

from parley.core.effects import Close, Meter, Turn
from parley.core.relay import Relay
from parley.core.relayed import (
    AnyRelayEffect,
    AnyRelayInput,
    Ask,
    Asked,
    Dial,
    HangUp,
    Lost,
    Message,
    Opened,
    RelayTerms,
    Said,
    Say,
    Tally,
)

Body = dict[str, Any]
MANUAL: Body = {"audio": {"input": {"turn_detection": None}}}


class Counter:
    def __init__(self) -> None:
        self.n = 0

    def __call__(self, kind: str) -> str:
        self.n += 1
        return f"{kind}_{self.n}"


def session(**fields: Any) -> Body:
    return {
        "type": "session.created",
        "session": {"type": "realtime", "id": "sess_theirs", "model": "theirs", **fields},
    }


class Driver:
    def __init__(self, *, lasts_s: float | None = None, created: Body | None = None, **terms: Any) -> None:
        self.now = 0.0
        self.said: list[Body] = []
        """What clients were told since it was last looked."""
        self.passed: list[bytes | None] = []
        self.asked: list[Body] = []
        self.asked_raw: list[bytes | None] = []
        self.dialled: list[str] = []
        self.hung_up: list[tuple[str, str]] = []
        self.turns: list[Turn] = []
        self.tallies: list[Tally] = []
        self.closed: tuple[int, str] | None = None
        self.created = created or session()
        self.relay = Relay(terms=RelayTerms(model="ours", **terms), new_id=Counter(), now=self.now)
        self.perform(self.relay.open(self.opened("leg_0", lasts_s=lasts_s)))

    def opened(self, leg: str, *, lasts_s: float | None = None) -> Opened:
        return Opened(leg=leg, created=Message(self.created), upstream="up", model="theirs", lasts_s=lasts_s)

    def perform(self, effects: list[AnyRelayEffect]) -> None:
        for effect in effects:
            match effect:
                case Say():
                    self.said.append(effect.message.body)
                    self.passed.append(effect.message.raw)
                case Ask():
                    assert effect.leg == self.relay.leg or self.relay.closed
                    self.asked.append(effect.message.body)
                    self.asked_raw.append(effect.message.raw)
                case Dial():
                    self.dialled.append(effect.leg)
                case HangUp():
                    self.hung_up.append((effect.leg, effect.code))
                case Meter():
                    self.turns.append(effect.turn)
                case Tally():
                    self.tallies.append(effect)
                case Close():
                    self.closed = (effect.code, effect.reason)

    def happen(self, event: AnyRelayInput) -> None:
        self.perform(self.relay.handle(event, self.now))

    # ---- the two sides

    def client(self, kind: str, **fields: Any) -> None:
        body = {"type": kind, **fields}
        self.happen(Asked(message=Message(body, repr(body).encode(), "ga")))

    def upstream(self, kind: str, **fields: Any) -> None:
        assert self.relay.leg is not None
        self.upstream_of(self.relay.leg, kind, **fields)

    def upstream_of(self, leg: str, kind: str, **fields: Any) -> None:
        body = {"type": kind, **fields}
        self.happen(Said(leg=leg, message=Message(body, repr(body).encode(), "ga")))

    def sound(self, name: str, chars: int = 640) -> None:
        self.relay.heard(name.encode(), chars)

    def lose(self, code: str = "backend_unavailable") -> None:
        assert self.relay.leg is not None
        self.happen(Lost(leg=self.relay.leg, code=code, message="It broke."))

    def reopen(self, *, lasts_s: float | None = None) -> None:
        self.happen(self.opened(self.dialled[-1], lasts_s=lasts_s))

    # ---- looking

    def kinds(self) -> list[str]:
        """The types of what clients were told, since the last time."""
        told, self.said = [body["type"] for body in self.said], []
        return told

    def requests(self) -> list[Body]:
        """What upstreams were asked, since the last time; ids of our own left out."""
        asked, self.asked = self.asked, []
        self.asked_raw = []
        return [
            {k: v for k, v in body.items() if k != "event_id" or not str(v).startswith("parley_")} for body in asked
        ]


# ---- what upstreams say


def begin(driver: Driver, response: str = "resp_1", item: str = "item_a", **fields: Any) -> None:
    """An answer up to its first part."""
    driver.upstream("response.created", response={"id": response, "status": "in_progress", "output": [], **fields})
    shape = {"id": item, "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    driver.upstream("response.output_item.added", response_id=response, output_index=0, item=shape)
    driver.upstream("conversation.item.added", item=shape, previous_item_id=None)
    where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
    driver.upstream("response.content_part.added", **where, part={"type": "audio", "transcript": ""})


def speak(driver: Driver, words: str, chars: int = 6_400, response: str = "resp_1", item: str = "item_a") -> None:
    where = {"response_id": response, "item_id": item, "output_index": 0, "content_index": 0}
    driver.upstream("response.output_audio_transcript.delta", **where, delta=words)
    driver.upstream("response.output_audio.delta", **where, delta="A" * chars)


def finish(
    driver: Driver, words: str, response: str = "resp_1", item: str = "item_a", usage: Body | None = None
) -> None:
    content = [{"type": "output_audio", "transcript": words}]
    done = {"id": item, "type": "message", "role": "assistant", "status": "completed", "content": content}
    driver.upstream("conversation.item.done", item=done, previous_item_id=None)
    driver.upstream("response.output_item.done", response_id=response, output_index=0, item=done)
    driver.upstream("response.done", response={"id": response, "status": "completed", "output": [done], "usage": usage})


def user_says(driver: Driver, words: str, item: str = "item_u") -> None:
    """An item of the user, from text."""
    content = [{"type": "input_text", "text": words}]
    driver.client("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    shape = {"id": item, "type": "message", "role": "user", "status": "completed", "content": content}
    driver.upstream("conversation.item.added", item=shape, previous_item_id=None)
    driver.upstream("conversation.item.done", item=shape, previous_item_id=None)
