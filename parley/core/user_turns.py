"""The user's side: sound in, turns out, and the words for them.

Owns the input buffer, the turn detector and every running transcription. Turn taking itself (what a started turn
interrupts, what a committed one causes) is the session's business.
"""

from collections.abc import Callable, Iterable

from msgspec import UNSET

from parley.core.config import (
    HOUSE_FORMAT,
    LOGPROBS,
    AudioFormat,
    SemanticVad,
    SessionConfig,
    TranscriptionConfig,
    TurnDetection,
)
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
        self._told = 0
        """Sample up to which the current turn's transcriber has been given its sound."""
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
        rules = config.audio.input.turn_detection
        if rules is None:
            if self.current is None and isinstance(config, TranscriptionConfig) and config.audio.input.transcription:
                self._begin(config, self.buffer.start)
            self._pass_on(self.buffer.heard)
        elif self.current is not None:
            self._pass_on(self.detector.sure_until(self.buffer.heard))
        else:
            # What nobody has judged yet stays, however much of it a client sends at once.
            self.buffer.forget_before(self.detector.known - IDLE_AUDIO_MS_MAX * SAMPLES_PER_MS)

    def notice(self, speech: Speech, rules: TurnDetection) -> Moment | None:
        """Weigh the Ear's evidence; a pause is used to ask for an early transcript."""
        moment = self.detector.hear(speech.upto, speech.probability, rules, speech.voiced_upto)
        self._pass_on(self.detector.sure_until(self.buffer.heard))
        if moment is Moment.PAUSED and self.current is not None:
            if self.current.failure is not None:
                self.detector.judge("")  # there will be no words to judge it by
            elif self._peeks or isinstance(rules, SemanticVad):
                self._ask_early(self.current)
        return moment

    def over(self, rules: TurnDetection) -> int | None:
        """The sample at which the turn that goes on has ended, or None."""
        heard = self.buffer.heard
        return self.detector.cut(heard, rules) if self.detector.ended(heard, rules) else None

    # ---- turns

    def start(self, config: SessionConfig, rules: TurnDetection, now: float) -> None:
        """Speech has begun: name the turn and listen to it from its first sound, padding included."""
        first = max(self.buffer.start, self.detector.started_at - prefix_ms(rules) * SAMPLES_PER_MS)
        self.buffer.forget_before(first)
        turn = self._begin(config, first)
        turn.clock.speech_start = now - (self.buffer.heard - self.detector.started_at) / 24_000
        self._emit(Send(event=SpeechStarted(audio_start_ms=to_ms(first), item_id=turn.item_id)))
        self._pass_on(self.detector.sure_until(self.buffer.heard))

    def stop(self, end: int, now: float) -> None:
        """Speech has ended, and with it the turn, at sample `end`. `commit` follows."""
        assert self.current is not None
        self.current.clock.speech_stop = now - (self.buffer.heard - self.detector.voiced_until) / 24_000
        self._emit(Send(event=SpeechStopped(audio_end_ms=to_ms(end), item_id=self.current.item_id)))

    def check_length(self) -> None:
        """Raises `RequestError` when there is less in the buffer than a client may commit (protocol.md 3.3)."""
        if self.buffer.ms < COMMIT_MS_MIN:
            raise RequestError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self.buffer.ms:.2f}ms of audio.",
            )

    def commit(self, config: SessionConfig, end: int, now: float, *, needs_words: bool) -> Listening | None:
        """Make an item of the buffer up to sample `end` (protocol.md 3.3).

        Returns what listens to it. If that has an `early` transcript already, it is the last word.
        """
        if self.current is None and needs_words:
            self._begin(config, self.buffer.start)
        self._pass_on(end)
        turn = self.current
        item_id = turn.item_id if turn is not None else self._new_id("item")
        entry = self._place(item_id, self.buffer.take(end))
        if turn is not None:
            turn.entry = entry
            turn.clock.committed = now
            self._close(turn)
        self.detector.reset(end)
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
            if listening is self.current and self.detector.paused:
                self._ask_early(listening)  # the answer was to an older question
            return None
        listening.early = Early(heard, asked_at)
        return listening

    def pending_for(self, entries: Iterable[Entry]) -> set[str]:
        """The transcriptions that a reader of these entries has to wait for."""
        wanted = {id(entry) for entry in entries}
        return {work_id for work_id, listening in self.running.items() if id(listening.entry) in wanted}

    # ---- inside

    def _begin(self, config: SessionConfig, first: int) -> Listening:
        """A turn goes on from sample `first`."""
        self.current = self._listen(self._new_id("item"), config)
        self._told = first
        return self.current

    def _pass_on(self, end: int) -> None:
        """Give the current turn's transcriber the sound up to sample `end`."""
        if self.current is not None and end > self._told:
            self._tell(self.current, self.buffer.between(self._told, end))
            self._told = end

    def _listen(
        self, item_id: str, config: SessionConfig, *, audio_format: AudioFormat = HOUSE_FORMAT, shown: bool = True
    ) -> Listening:
        settings = config.audio.input.transcription if shown else None
        include = config.include or ()
        listening = Listening(self._new_id("work"), item_id, settings, LOGPROBS in include)
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
            listening.asked_at = self._told
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
