import pytest

from parley.core.config import Pcmu, RetentionRatio, TokenLimits
from parley.core.conversation import Entry
from parley.core.items import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputImage,
    InputText,
    Message,
    OutputAudio,
    OutputText,
)
from parley.core.output_audio import OutputAudio as Sound
from parley.core.usage import Line, Tokens, common_prefix, entry_tokens, fit, input_budget, usage
from parley.errors import EngineError
from tests.core.driver import count_words

HEAD = Line("instructions", Tokens(text=10))


def text(item_id: str, words: int, role: str = "user") -> Entry:
    part = OutputText(text="w " * words) if role == "assistant" else InputText(text="w " * words)
    return Entry(Message(id=item_id, role=role, content=(part,)))  # type: ignore[arg-type]


def test_each_kind_is_counted_by_its_rule() -> None:
    spoken = Entry(Message(id="a", role="assistant", content=(OutputAudio(transcript="one two three"),)))
    spoken.sound = Sound()
    spoken.sound.say("one two three")
    spoken.sound.speak(bytes(48 * 1_010))
    image = InputImage(image_url="data:image/png;base64,", detail="low")
    counted = [
        entry_tokens(Entry(Message(id="u", role="user", content=(InputAudio(),)), bytes(48 * 950)), count_words),
        entry_tokens(Entry(Message(id="u", role="user", content=(InputAudio(),)), bytes(8 * 950), Pcmu()), count_words),
        entry_tokens(Entry(Message(id="u", role="user", content=(InputAudio(transcript="by hand"),))), count_words),
        entry_tokens(Entry(Message(id="u", role="user", content=(image, InputText(text="what is it")))), count_words),
        entry_tokens(spoken, count_words),
        entry_tokens(Entry(FunctionCall(name="f", arguments="a b")), count_words),
        entry_tokens(Entry(FunctionCallOutput(call_id="c", output="x y z")), count_words),
    ]
    assert counted == [
        Tokens(audio=10),
        Tokens(audio=10),
        Tokens(text=2),
        Tokens(text=3, image=85),
        Tokens(text=3, audio=21),
        Tokens(text=3),
        Tokens(text=3),
    ]


def test_only_what_was_heard_of_an_answer_counts() -> None:
    spoken = Entry(Message(id="a", role="assistant", content=(OutputAudio(transcript="one two three four"),)))
    spoken.sound = Sound()
    spoken.sound.say("one two three four")
    spoken.sound.speak(bytes(48 * 1_000))
    spoken.sound.close()
    spoken.sound.truncate(500)
    assert entry_tokens(spoken, count_words) == Tokens(text=2, audio=10)


def test_auto_leaves_out_the_oldest_turns_and_begins_with_the_user() -> None:
    entries = [text("u1", 40), text("a1", 40, "assistant"), text("u2", 40), text("a2", 5, "assistant"), text("u3", 5)]
    context = fit(HEAD, entries, "auto", 100, count_words)
    assert [entry.id for entry in context.entries] == ["u2", "a2", "u3"]
    everything = fit(HEAD, entries, "auto", 1_000, count_words)
    assert len(everything.entries) == 5


def test_no_function_output_is_left_without_its_call() -> None:
    call = Entry(FunctionCall(id="c", call_id="k", name="f", arguments="w " * 50))
    output = Entry(FunctionCallOutput(id="o", call_id="k", output="w " * 20))
    context = fit(HEAD, [text("u1", 10), call, output, text("u2", 5)], "auto", 60, count_words)
    assert [entry.id for entry in context.entries] == ["u2"]


def test_a_retention_ratio_cuts_deeper_at_once() -> None:
    entries = [text(f"u{n}", 10) for n in range(12)]
    ratio = RetentionRatio(retention_ratio=0.5)
    assert len(fit(HEAD, entries, "auto", 110, count_words).entries) == 10
    assert len(fit(HEAD, entries, ratio, 110, count_words).entries) == 5
    limited = RetentionRatio(retention_ratio=1.0, token_limits=TokenLimits(post_instructions=30))
    assert len(fit(HEAD, entries, limited, 110, count_words).entries) == 3


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(EngineError, match="120 tokens, more than the 100"):
        fit(HEAD, [text("u1", 110)], "disabled", 100, count_words)
    with pytest.raises(EngineError) as refused:
        fit(HEAD, [text("u1", 5), text("u2", 110)], "auto", 100, count_words)
    assert refused.value.code == "context_length_exceeded"


def test_a_cache_keeps_the_common_beginning() -> None:
    one, two, three = Line("1", Tokens(5, 1)), Line("2", Tokens(7)), Line("3", Tokens(9))
    assert common_prefix([one, two, three], [one, two]) == Tokens(12, 1)
    assert common_prefix([two, one], [one, two]) == Tokens()


def test_usage_adds_up() -> None:
    seen = usage(Tokens(119, 13, 0), Tokens(64, 0, 0), 30, 91)
    assert (seen.total_tokens, seen.input_tokens, seen.output_tokens) == (253, 132, 121)
    assert seen.input_token_details.cached_tokens == 64


def test_the_budget_is_what_the_answer_leaves() -> None:
    assert input_budget(32_768, 4_096) == 28_672
