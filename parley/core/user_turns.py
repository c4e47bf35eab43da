"""The user's side: sound in, turns out, and the words for them.

Owns the input buffer, the turn detector and every running transcription. Turn taking itself (what a started turn
interrupts, what a committed one causes) is the session's business.
"""

from collections.abc import Callable, Iterable

from msgspec import UNSET

from parley.core.config import HOUSE_FORMAT, AudioFormat, SemanticVad, SessionConfig, TranscriptionConfig, TurnDetection
from parley.core.conversation import Conversation, Entry
from parley.core.effects import AnyEffect, Audio, End, Peek, Send, Start, Stop, Tell, Transcribe
from parley.core.events import (
    InputAudioBufferCommitted,
    ItemAdded,
    ItemDone,
    SpeechStarted,
    SpeechStopped,
    TimeoutTriggered,
)
from parley.core.input_audio import COMMIT_MS_MIN, IDLE_AUDIO_MS_MAX, SAMPLES_PER_MS, InputAudioBuffer, to_ms
from parley.core.inputs import Heard, Speech, Transcribed
from parley.core.items import InputAudio, Item, Message
from parley.core.transcripts import BY_DURATION, DEFAULT_TRANSCRIPTION, Early, Listening
from parley.core.turns import Moment, TurnDetector, prefix_ms
from parley.errors import RequestError
from parley.ids import NewId

Emit = Callable[[AnyEffect], None]


class UserTurns:
    def __init__(self, conversation: Conversation, new_id: NewId, emit: Emit, *, peeks: bool) -> None:
        self.buffer = InputAudioBuffer()
        self.detector = TurnDetector()
        self.current: Listening | None = None
        """The turn that goes on now; None between turns."""
        self.running: dict[str, Listening] = {}
        """Every transcription whose last word is still to come, by work id."""
        self._conversation = conversation
        self._new_id = new_id
        self._emit = emit
        self._peeks = peeks

    # ---- sound

    def hear(self, heard: Heard, config: SessionConfig) -> None:
        """Raises `RequestError` when the buffer is full; the sound is then not taken."""
        if not self.buffer.has_room(heard.pcm):
            raise RequestError(
                "input_audio_buffer_full",
                f"The input audio buffer holds {self.buffer.ms / 1000:.0f} s of audio; commit or clear it first.",
                "audio",
            )
        self.buffer.append(heard.pcm)
        if self.current is not None:
            self._tell(self.current, heard.pcm)
        elif config.audio.input.turn_detection is not None:
            self.buffer.forget_before(self.buffer.heard - IDLE_AUDIO_MS_MAX * SAMPLES_PER_MS)
        elif isinstance(config, TranscriptionConfig) and config.audio.input.transcription is not None:
            self.current = self._listen(self._new_id("item"), config)
            self._tell(self.current, self.buffer.since(self.buffer.start))

    def notice(self, speech: Speech, rules: TurnDetection) -> Moment | None:
        """Weigh the Ear's evidence; a pause is used to ask for an early transcript."""
        moment = self.detector.hear(speech.upto, speech.probability, rules, speech.voiced_upto)
        if moment is Moment.PAUSED and self.current is not None and (self._peeks or isinstance(rules, SemanticVad)):
            self._ask_early(self.current)
        return moment

    def over(self, rules: TurnDetection) -> bool:
        return self.detector.ended(self.buffer.heard, rules)

    # ---- turns

    def start(self, config: SessionConfig, rules: TurnDetection, now: float) -> None:
        """Speech has begun: name the turn and listen to it from its first sound, padding included."""
        first = max(self.buffer.start, self.detector.started_at - prefix_ms(rules) * SAMPLES_PER_MS)
        self.buffer.forget_before(first)
        self.current = self._listen(self._new_id("item"), config)
        self.current.clock.speech_start = now - (self.buffer.heard - self.detector.started_at) / 24_000
        self._emit(Send(event=SpeechStarted(audio_start_ms=to_ms(first), item_id=self.current.item_id)))
        self._tell(self.current, self.buffer.since(first))

    def stop(self, now: float) -> None:
        """Speech has ended. `commit` follows."""
        assert self.current is not None
        self.current.clock.speech_stop = now - (self.buffer.heard - self.detector.voiced_until) / 24_000
        end = to_ms(self.buffer.heard)
        self._emit(Send(event=SpeechStopped(audio_end_ms=end, item_id=self.current.item_id)))

    def commit(self, config: SessionConfig, now: float, *, needs_words: bool) -> Listening | None:
        """Make an item of the buffer (protocol.md 3.3). Raises `RequestError` below 100 ms.

        Returns what listens to it. If that has an `early` transcript already, it is the last word.
        """
        if self.buffer.ms < COMMIT_MS_MIN:
            raise RequestError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self.buffer.ms:.2f}ms of audio.",
            )
        turn = self.current
        if turn is None and needs_words:
            turn = self._listen(self._new_id("item"), config)
            self._tell(turn, self.buffer.since(self.buffer.start))
        item_id = turn.item_id if turn is not None else self._new_id("item")
        entry = self._place(item_id, self.buffer.take())
        if turn is not None:
            turn.entry = entry
            turn.clock.committed = now
            self._close(turn)
        self.detector.reset(self.buffer.heard)
        self.current = None
        return turn

    def time_out(self, silence_ms: int) -> Entry:
        """The user said nothing for so long that the silence becomes a turn of its own (protocol.md 7.9)."""
        item_id = self._new_id("item")
        end = to_ms(self.buffer.heard)
        start = max(0, end - silence_ms)
        self._emit(Send(event=TimeoutTriggered(audio_start_ms=start, audio_end_ms=end, item_id=item_id)))
        entry = self._place(item_id, self.buffer.take())
        entry.set_transcript("")
        self.detector.reset(self.buffer.heard)
        return entry

    def clear(self) -> None:
        self.buffer.take()
        self.give_up()

    def give_up(self) -> None:
        """Forget the turn that goes on, but not its sound."""
        self.detector.reset(self.buffer.heard)
        if self.current is not None:
            self.drop(self.current)
            self.current = None

    def listen_to(self, entry: Entry, config: SessionConfig) -> None:
        """Put a client's audio item into words; the model has to read it."""
        turn = self._listen(entry.id, config, audio_format=entry.format, shown=False)
        turn.entry = entry
        self._tell(turn, entry.audio)
        self._close(turn)

    def drop(self, listening: Listening) -> None:
        self.running.pop(listening.work_id, None)
        if listening.failure is None:
            self._emit(Stop(work_id=listening.work_id))

    # ---- words

    def early(self, heard: Transcribed) -> Listening | None:
        """A hypothesis has come. Returns the listening if it is the answer to a Peek and still worth something."""
        listening = self.running.get(heard.work_id)
        if listening is None or listening.asked_at is None:
            return None
        asked_at, listening.asked_at = listening.asked_at, None
        going_on = listening is self.current and self.detector.voiced_until <= asked_at
        if not (going_on or listening.take_early):
            return None
        listening.early = Early(heard, asked_at)
        return listening

    def pending_for(self, entries: Iterable[Entry]) -> set[str]:
        """The transcriptions that a reader of these entries has to wait for."""
        wanted = {id(entry) for entry in entries}
        return {work_id for work_id, listening in self.running.items() if id(listening.entry) in wanted}

    # ---- inside

    def _listen(
        self, item_id: str, config: SessionConfig, *, audio_format: AudioFormat = HOUSE_FORMAT, shown: bool = True
    ) -> Listening:
        settings = config.audio.input.transcription if shown else None
        include = config.include or ()
        listening = Listening(self._new_id("work"), item_id, settings, bool(include))
        self.running[listening.work_id] = listening
        self._emit(
            Start(
                work=Transcribe(
                    work_id=listening.work_id,
                    item_id=item_id,
                    config=settings or DEFAULT_TRANSCRIPTION,
                    partials=settings is not None and settings.model not in BY_DURATION,
                    logprobs=listening.logprobs,
                    format=audio_format,
                )
            )
        )
        return listening

    def _tell(self, listening: Listening, pcm: bytes) -> None:
        if listening.failure is None:
            self._emit(Tell(work_id=listening.work_id, message=Audio(pcm=pcm)))

    def _ask_early(self, listening: Listening) -> None:
        if listening.asked_at is None and listening.failure is None:
            listening.early = None
            listening.asked_at = self.buffer.heard
            self._emit(Tell(work_id=listening.work_id, message=Peek()))

    def _close(self, listening: Listening) -> None:
        """No more sound. If an early transcript covers all that was said, it is the last word; else ask for that."""
        if listening.failure is not None:
            return
        voiced_until = self.detector.voiced_until
        if listening.early is not None and voiced_until <= listening.early.asked_at:
            return
        listening.early = None
        if listening.asked_at is not None and voiced_until <= listening.asked_at:
            listening.take_early = True
            return
        self._emit(Tell(work_id=listening.work_id, message=End()))

    def _place(self, item_id: str, pcm: bytes) -> Entry:
        previous = self._conversation.last_id
        self._emit(Send(event=InputAudioBufferCommitted(item_id=item_id, previous_item_id=previous)))
        item: Item = Message(id=item_id, role="user", content=(InputAudio(transcript=None, audio=UNSET),))
        entry = Entry(item, pcm)
        self._conversation.add(entry)
        self._emit(Send(event=ItemAdded(previous_item_id=previous, item=item)))
        self._emit(Send(event=ItemDone(previous_item_id=previous, item=item)))
        return entry
