"""A relayed session whose transport plays the sound: its output buffer, barge-in, formats."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from parley.core.inputs import CutOff, Drain, Left, Played
from parley.core.relay_config import without_formats
from tests.core.relay_driver import Body, Driver, begin, finish, speak
from tests.core.test_relay import STEPS, History, check

SLICE = 64 * 100
"""Base64 of 100 ms."""


def speaking(ms: int = 500) -> Driver:
    """An answer that has made so much sound, and goes on."""
    driver = Driver(plays=True)
    begin(driver)
    for _ in range(ms // 100):
        speak(driver, "word ", SLICE)
    driver.kinds()
    driver.requests()
    return driver


def play(driver: Driver, ms: int, *, done: bool = False, response: str = "resp_1") -> None:
    driver.happen(Played(response_id=response, played_ms=ms, done=done))


def user_starts(driver: Driver) -> None:
    driver.upstream("input_audio_buffer.speech_started", item_id="item_u", audio_start_ms=900)


def kinds_of(driver: Driver) -> list[str]:
    return [kind for kind in driver.kinds() if not kind.startswith("response.output_audio_transcript")]


def test_the_buffer_starts_before_the_first_sound_and_stops_when_all_was_played() -> None:
    driver = Driver(plays=True)
    begin(driver)
    driver.kinds()
    speak(driver, "Hello", SLICE)
    speak(driver, "there", SLICE)
    assert kinds_of(driver) == [
        "output_audio_buffer.started",
        "response.output_audio.delta",
        "response.output_audio.delta",
    ]
    finish(driver, "Hello there")
    driver.kinds()
    play(driver, 100)
    assert driver.kinds() == []
    play(driver, 200, done=True)
    assert driver.said[-1]["response_id"] == "resp_1"
    assert driver.kinds() == ["output_audio_buffer.stopped"]


def test_nothing_takes_the_short_way() -> None:
    driver = speaking()
    assert driver.relay.needle is None


def test_sound_is_metered_all_the_same() -> None:
    driver = speaking(800)
    finish(driver, "word")
    assert sum(tally.ms for tally in driver.tallies if tally.what == "spoke") == 800


def test_when_the_user_speaks_there_is_silence_and_the_upstream_hears_how_much_was_heard() -> None:
    driver = speaking(500)
    play(driver, 240)
    user_starts(driver)
    assert driver.kinds() == ["input_audio_buffer.speech_started", "output_audio_buffer.cleared"]
    cut = {"type": "conversation.item.truncate", "item_id": "item_a", "content_index": 0, "audio_end_ms": 240}
    assert driver.requests() == [cut]
    speak(driver, "late", SLICE)  # made before the upstream had cancelled it
    assert "response.output_audio.delta" not in driver.kinds()
    driver.upstream("response.done", response={"id": "resp_1", "status": "cancelled", "output": []})
    driver.upstream("conversation.item.truncated", item_id="item_a", content_index=0, audio_end_ms=240)
    assert driver.kinds() == ["response.done", "conversation.item.truncated"]
    play(driver, 260)  # late news
    assert driver.kinds() == []
    begin(driver, "resp_2", "item_b")
    speak(driver, "Yes", SLICE, "resp_2", "item_b")
    assert "output_audio_buffer.started" in driver.kinds()


def test_what_is_still_being_played_of_a_finished_answer_is_cut_too() -> None:
    driver = speaking(500)
    finish(driver, "word")
    driver.kinds()
    play(driver, 300)
    user_starts(driver)
    assert driver.requests()[0]["audio_end_ms"] == 300
    assert driver.kinds()[-1] == "output_audio_buffer.cleared"


def test_two_messages_of_one_answer_are_cut_each_where_it_stopped() -> None:
    driver = speaking(500)
    where = {"response_id": "resp_1", "item_id": "item_b", "output_index": 1, "content_index": 0}
    driver.upstream("response.output_audio.delta", **where, delta="A" * SLICE * 2)
    play(driver, 600)
    user_starts(driver)
    assert [(cut["item_id"], cut["audio_end_ms"]) for cut in driver.requests()] == [("item_b", 100)]


def test_a_user_who_may_not_interrupt_does_not() -> None:
    driver = Driver(plays=True, created=quiet(interrupt_response=False))
    begin(driver)
    speak(driver, "word", SLICE)
    driver.kinds()
    user_starts(driver)
    assert driver.kinds() == ["input_audio_buffer.speech_started"]
    assert driver.requests() == []


def quiet(**rules: Any) -> Body:
    session = {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", **rules}}}}
    return {"type": "session.created", "session": session}


def test_a_client_clears_the_buffer_and_the_upstream_never_hears_of_buffers() -> None:
    driver = speaking(500)
    play(driver, 40)
    driver.client("output_audio_buffer.clear")
    assert driver.kinds() == ["output_audio_buffer.cleared"]
    assert [(asked["type"], asked["audio_end_ms"]) for asked in driver.requests()] == [
        ("conversation.item.truncate", 40)
    ]
    driver.client("output_audio_buffer.clear")
    assert driver.kinds() == []


def test_a_refused_cut_is_not_the_clients_business_and_does_not_stay_open() -> None:
    driver = speaking(500)
    user_starts(driver)
    cut = driver.asked[-1]
    driver.kinds()
    driver.upstream("error", error={"type": "x", "code": "y", "message": "no", "event_id": cut["event_id"]})
    driver.upstream("response.done", response={"id": "resp_1", "status": "cancelled", "output": []})
    assert driver.kinds() == ["response.done"]
    driver.upstream("input_audio_buffer.speech_stopped", audio_end_ms=1_000, item_id="item_u")
    driver.upstream("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
    driver.happen(Drain(reason="stop"))
    assert driver.relay.closed


def test_a_session_that_must_end_finishes_its_sentence_to_the_ear() -> None:
    driver = speaking(500)
    finish(driver, "word")
    driver.happen(CutOff(code="insufficient_credits", message="Empty.", finish_sentence=True))
    assert not driver.relay.closed
    play(driver, 500, done=True)
    assert driver.relay.closed


def test_what_came_before_the_upstream_was_lost_is_played_to_its_end() -> None:
    driver = speaking(500)
    driver.lose()
    assert "output_audio_buffer.cleared" not in driver.kinds()
    driver.reopen()
    play(driver, 500, done=True)
    assert driver.kinds()[-1] == "output_audio_buffer.stopped"


def test_a_user_interrupts_what_another_upstream_has_said() -> None:
    driver = speaking(500)
    driver.lose()
    driver.reopen()
    driver.requests()
    driver.kinds()
    play(driver, 200)
    user_starts(driver)
    kinds = [asked["type"] for asked in driver.requests()]
    assert kinds[0] == "conversation.item.delete"  # to this upstream it is text
    assert driver.kinds() == [
        "input_audio_buffer.speech_started",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
    ]


def test_formats_are_the_transports_business() -> None:
    driver = Driver(plays=True)
    pcmu = {"format": {"type": "audio/pcmu"}}
    driver.client("session.update", session={"audio": {"input": {**pcmu, "turn_detection": None}, "output": pcmu}})
    assert driver.requests()[-1]["session"] == {"audio": {"input": {"turn_detection": None}, "output": {}}}
    driver.client("response.create", response={"audio": {"output": {**pcmu, "voice": "ash"}}})
    assert driver.requests()[-1]["response"] == {"audio": {"output": {"voice": "ash"}}}
    untouched: Body = {"type": "session.update", "session": {"audio": 3}}
    assert without_formats(untouched) is untouched


def test_a_websocket_client_that_clears_is_answered_by_the_upstream() -> None:
    driver = Driver()
    driver.client("output_audio_buffer.clear")
    assert driver.requests() == [{"type": "output_audio_buffer.clear"}]


# ---- every history


class Speaker:
    """A transport that plays what it is told, as a pacer does."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.waiting: dict[str, int] = {}
        self.played: dict[str, int] = {}
        self.finished: set[str] = set()
        self.seen = 0

    def follow(self) -> None:
        """Takes note of what was said since the last time."""
        for body in self.driver.said[self.seen :]:
            match body:
                case {"type": "response.output_audio.delta", "response_id": str(response), "delta": str(sound)}:
                    self.waiting[response] = self.waiting.get(response, 0) + len(sound) // 64
                case {"type": "output_audio_buffer.cleared", "response_id": str(response)}:
                    self.waiting.pop(response, None)
                case {"type": "response.done", "response": {"id": str(response)}}:
                    self.finished.add(response)
                    self.play(response, 0)
        self.seen = len(self.driver.said)

    def play(self, response: str, ms: int) -> None:
        if response in self.waiting:
            took = min(ms, self.waiting[response])
            self.waiting[response] -= took
            self.played[response] = self.played.get(response, 0) + took
            done = response in self.finished and not self.waiting[response]
            if done:
                del self.waiting[response]
            self.driver.happen(Played(response_id=response, played_ms=self.played[response], done=done))

    def beat(self) -> None:
        if first := next(iter(self.waiting), None):
            self.play(first, 20)


SPEECH = st.sampled_from(["begin", "speak", "speak", "beat", "beat", "clear", "started", "finish"])


@given(st.lists(SPEECH | SPEECH | STEPS, min_size=10, max_size=60))
@settings(max_examples=300, deadline=None)
def test_every_history_of_a_session_that_plays(steps: list[str]) -> None:
    history = History(plays=True)
    driver = history.driver
    speaker = Speaker(driver)
    for step in steps:
        if step == "beat":
            speaker.beat()
        elif step == "clear":
            driver.client("output_audio_buffer.clear")
        else:
            history.play(step)
        speaker.follow()
    driver.happen(Left())
    check([body for body in driver.said if not body["type"].startswith("output_audio_buffer")])
    check_buffer(driver.said)
    lengths = lengths_of(driver.said)
    for asked in driver.asked:
        if asked["type"] == "conversation.item.truncate" and str(asked.get("event_id", "")).startswith("parley_"):
            assert 0 <= asked["audio_end_ms"] <= lengths[asked["item_id"]]


def check_buffer(said: list[Body]) -> None:
    """Each buffer starts once, before its sound, and ends once at most, after which it is silent; `stopped` says that
    everything was made."""
    playing: set[str] = set()
    over: set[str] = set()
    done: set[str] = set()
    for body in said:
        response = str(body.get("response_id"))
        match body["type"]:
            case "output_audio_buffer.started":
                assert response not in playing | over
                playing.add(response)
            case "response.output_audio.delta":
                assert response in playing
            case "response.done":
                done.add(body["response"]["id"])
            case "output_audio_buffer.stopped" | "output_audio_buffer.cleared" as kind:
                playing.remove(response)
                over.add(response)
                assert kind.endswith("cleared") or response in done


def lengths_of(said: list[Body]) -> dict[str, int]:
    """Milliseconds of sound that came of each item."""
    lengths: dict[str, int] = {}
    for body in said:
        if body["type"] == "response.output_audio.delta":
            lengths[body["item_id"]] = lengths.get(body["item_id"], 0) + len(body["delta"]) // 64
    return lengths
