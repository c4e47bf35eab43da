from hypothesis import given
from hypothesis import strategies as st

from parley.core.output_audio import OutputAudio, syllables


def sound(ms: int) -> bytes:
    return bytes(48 * ms)


def spoken(*pieces: tuple[str, int]) -> OutputAudio:
    audio = OutputAudio()
    for text, ms in pieces:
        audio.say(text)
        audio.speak(sound(ms))
    audio.close()
    return audio


def test_truncation_keeps_exactly_the_words_that_were_heard() -> None:
    audio = spoken(("One two three four. ", 2_000), ("Five six seven eight.", 2_000))
    audio.truncate(2_900)
    assert audio.transcript == "One two three four. Five six"
    assert audio.ms == 2_900
    assert len(audio.pcm) == 48 * 2_900


def test_an_error_never_crosses_the_border_of_a_piece() -> None:
    audio = spoken(("Short. ", 3_000), ("A much longer sentence with many words.", 1_000))
    audio.truncate(3_000)
    assert audio.transcript == "Short."


def test_nothing_heard_is_nothing_said() -> None:
    audio = spoken(("Hello there.", 1_000))
    audio.truncate(0)
    assert audio.transcript == ""
    assert audio.pcm == b""


def test_a_piece_whose_sound_has_not_all_come_is_not_taken_as_said() -> None:
    audio = OutputAudio()
    audio.say("One two three four five six seven eight nine ten.")
    audio.speak(sound(400))
    audio.truncate(400)
    assert audio.transcript == "One two"


def test_what_comes_after_the_cut_is_not_part_of_the_message() -> None:
    audio = spoken(("One. ", 500))
    audio.truncate(500)
    audio.say("Two.")
    audio.speak(sound(500))
    assert (audio.transcript, audio.ms) == ("One.", 500)


def test_forgotten_sound_leaves_its_words_and_its_length() -> None:
    audio = spoken(("One two.", 1_000))
    assert audio.forget() == 48_000
    assert (audio.transcript, audio.ms, audio.pcm) == ("One two.", 1_000, b"")
    audio.speak(sound(100))
    assert audio.ms == 1_100
    assert audio.forget() == 0


def test_syllables() -> None:
    counted = {word: syllables(word) for word in ("a", "time", "seven", "weather", "table", "42", "Chicago.", "-")}
    assert counted == {"a": 1, "time": 1, "seven": 2, "weather": 2, "table": 2, "42": 4, "Chicago.": 3, "-": 1}


@given(st.lists(st.tuples(st.text("abc de.,", min_size=1, max_size=30), st.integers(1, 900)), max_size=5), st.data())
def test_more_time_never_means_fewer_words(pieces: list[tuple[str, int]], data: st.DataObject) -> None:
    total = sum(ms for _, ms in pieces)
    early = data.draw(st.integers(0, total))
    late = data.draw(st.integers(early, total))
    cuts = []
    for end in (early, late, total):
        audio = spoken(*pieces)
        audio.truncate(end)
        cuts.append(audio.transcript)
    assert cuts[1].startswith(cuts[0])
    assert cuts[2].startswith(cuts[1])
    assert cuts[2] == "".join(text for text, _ in pieces).rstrip() or total == 0
